"""How well the warp serves whom: measures by skin tone, sex and age, the worst group beside all."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.measures import flicker
from benchmarks.quality.photos_sheet import SPEECH, coefficients
from benchmarks.quality.pictures import sharpness
from benchmarks.quality.renderer_photos import FPS, held_open, mouth_of
from models.appearance.enrol import Tracker
from models.appearance.identity import Identity
from models.coefficients import INDEX
from models.renderer.people.labels import PortraitLabels
from models.renderer.renderer import Renderer

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

TONES = {1: "1-2", 2: "1-2", 3: "3", 4: "4", 5: "5-6", 6: "5-6"}
# Better when larger; all others are better when smaller.
LARGER = ("sharpness", "rest_psnr")
# MediaPipe landmarks whose distances hardly depend on the expression: eyes' corners, nose, the
# face at the height of the eyes.
_PAIRS = ((133, 362), (33, 133), (263, 362), (6, 4), (98, 327), (127, 356), (33, 98), (263, 327))
_SECONDS = 3
_OPEN = 0.02  # of a blink, up to which an eye is open


def choose(labels: dict[str, PortraitLabels], per_cell: int) -> list[str]:
    """Return as many portraits of every tone and sex, their ages as even as there are."""
    chosen: list[str] = []
    for tone in dict.fromkeys(TONES.values()):
        for sex in ("female", "male"):
            cell = sorted(n for n, v in labels.items() if TONES[v.tone] == tone and v.sex == sex)
            ages: dict[str, list[str]] = {}
            for name in cell:
                ages.setdefault(labels[name].age, []).append(name)
            queues, found = list(ages.values()), []
            while len(found) < per_cell and any(queues):
                found += [queue.pop(0) for queue in queues if queue]
            chosen += found[:per_cell]
    return chosen


def measure(
    identity: Identity, tracker: Tracker, silence: Floats, labels: PortraitLabels
) -> dict[str, float | str]:
    """Measure one identity as the warp draws it.

    Args:
        identity: the enrolled person.
        tracker: finds the face in pictures.
        silence: ``(k, COUNT)`` what the motion predictor makes of silence.
        labels: who it is.

    Returns:
        ``identity_percent``: mean difference of eight landmark distances over the distance between
        the eyes, speaking against the photo; ``sharpness``: of the face over the photo's;
        ``rest_psnr``: dB of the face at rest against the photo (lower where a smile was taken
        away); ``smile``: its strength, 0-1; ``flicker``: of the face in silence, blinks left out;
        ``teeth_noise``: flicker of an open mouth in a swaying head; ``drift_percent``: change of
        the mouth's mean colour when the same frame comes again.
    """
    renderer = Renderer(identity)
    rest = renderer.render(coefficients({})).copy()
    box = _face(renderer)
    part = np.s_[box[1] : box[3], box[0] : box[2]]
    error = ((rest[part].astype(np.float64) - identity.photo[part]) ** 2).mean()
    speaking = renderer.render(coefficients(SPEECH["eh"])).copy()
    inside = np.zeros(rest.shape[:2])
    inside[part] = 1.0
    quiet = []
    for frame in silence:
        picture = renderer.render(frame)[part]
        quiet.append(cv2.resize(picture, (96, 96), interpolation=cv2.INTER_AREA))
    still = [p for p, frame in zip(quiet, silence, strict=True) if _blink(frame) < _OPEN]
    crops = []
    for number in range(_SECONDS * FPS):
        renderer.render(held_open(number))
        crops.append(mouth_of(renderer))
    start = crops[0].mean((0, 1))
    renderer.render(held_open(0))
    end = mouth_of(renderer).mean((0, 1))
    return {
        "tone": TONES[labels.tone], "sex": labels.sex, "age": labels.age,
        "identity_percent": _identity(tracker, identity.photo, speaking),
        "sharpness": sharpness(speaking, inside) / sharpness(identity.photo, inside),
        "rest_psnr": float(min(60.0, 10 * np.log10(255**2 / max(error, 1e-9)))),
        "smile": float(identity.smile),
        "flicker": flicker(still),
        "teeth_noise": flicker(crops),
        "drift_percent": float(100 * np.abs(end - start).max() / max(float(start.max()), 1.0)),
    }  # fmt: skip


def by_group(rows: dict[str, dict[str, float | str]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return, per measure, the mean, every group's mean, and the worst over the mean.

    A group counts from four people on; ``worst`` is 1 where all groups are alike, and larger the
    worse the worst one is.
    """
    first = next(iter(rows.values()))
    measures = [k for k, v in first.items() if k != "smile" and not isinstance(v, str)]
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name in measures:
        mean = _mean(rows.values(), name)
        groups: dict[str, float] = {}
        for label in ("tone", "sex", "age"):
            for value in sorted({str(r[label]) for r in rows.values()}):
                members = [r for r in rows.values() if r[label] == value]
                if len(members) >= 4:
                    groups[f"{label} {value}"] = _mean(members, name)
        out[name] = {"all": {"mean": mean}, "groups": groups}
        if groups and mean > 0:
            worst = min(groups, key=lambda g: groups[g] * (1 if name in LARGER else -1))
            ratio = mean / groups[worst] if name in LARGER else groups[worst] / mean
            out[name]["worst"] = {worst: ratio}
    return out


def table(groups: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return lines of text: a measure each, mean, groups, worst over mean."""
    lines = []
    for name, entry in groups.items():
        parts = "  ".join(f"{g} {v:.3f}" for g, v in entry["groups"].items())
        worst = "".join(f"  worst: {g} by {r:.2f}" for g, r in entry.get("worst", {}).items())
        lines.append(f"{name:<17} mean {entry['all']['mean']:.3f}  {parts}{worst}")
    return "\n".join(lines)


def _mean(rows: Iterable[dict[str, float | str]], name: str) -> float:
    return float(np.nanmean([float(r[name]) for r in rows]))


def _blink(frame: Floats) -> float:
    return float(max(frame[INDEX["eyeBlinkLeft"]], frame[INDEX["eyeBlinkRight"]]))


def _face(renderer: Renderer) -> tuple[int, int, int, int]:
    source = renderer._rig.source[: renderer._rig.face_count]
    low, high = np.clip(source.min(0), 0, renderer.size), np.clip(source.max(0), 0, renderer.size)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _identity(tracker: Tracker, photo: Image, speaking: Image) -> float:
    shapes = []
    for picture in (photo, speaking):
        faces = tracker.detect(picture)
        if not faces:
            return float("nan")
        points = faces[0].points[:, :2]
        lengths = np.array([np.linalg.norm(points[a] - points[b]) for a, b in _PAIRS])
        shapes.append(lengths / np.linalg.norm(points[33] - points[263]))
    return float(100 * np.abs(shapes[1] / shapes[0] - 1).mean())
