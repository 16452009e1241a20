"""How well the warp serves whom: measures by skin tone, sex and age, the worst group beside all.

Groups are small, so each comes with an interval, and the worst with how often chance alone makes
one as bad.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality.measures import flicker
from visavis.benchmarks.quality.pictures import sharpness
from visavis.benchmarks.quality.renderer.photos_sheet import POSES, SPEECH, coefficients
from visavis.benchmarks.quality.renderer.renderer_photos import FPS, held_open, mouth_of
from visavis.models.appearance.enrol import Tracker
from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, Image
from visavis.models.coefficients import INDEX
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.people.labels import PortraitLabels
from visavis.streamer.worker.pipeline.picture_models import load_pictures

TONES = {1: "1-2", 2: "1-2", 3: "3", 4: "4", 5: "5-6", 6: "5-6"}
# Better when larger; all others are better when smaller.
LARGER = ("sharpness", "rest_psnr")
# MediaPipe landmarks whose distances hardly depend on the expression: eyes' corners, nose, the
# face at the height of the eyes.
_PAIRS = ((133, 362), (33, 133), (263, 362), (6, 4), (98, 327), (127, 356), (33, 98), (263, 327))
# The same distances on a face that is mirrored: left is right.
_MIRRORED = (
    (362, 133), (263, 362), (33, 133), (6, 4), (327, 98), (356, 127), (263, 327), (33, 98),
)  # fmt: skip
_SECONDS = 3
_OPEN = 0.02  # of a blink, up to which an eye is open
_CALM = 0.5  # of a smile, below which a photo's landmarks are those of a face at rest
_FEWEST = 4  # people that make a group
_LABELS = ("tone", "sex", "age")
_ROUNDS = 2000  # of resampling
_MINUTE = 60  # s of movement between two drawings of the same frame
_DRAWN_FPS = 2  # of that minute: the renderer sees the movement at this pace


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
        the eyes, speaking against the photo; ``identity_calm_percent``: the same for photos that
        hardly smile, nan for others: a smile that is taken away moves landmarks, as it should;
        ``tracker_percent``: the same between the photo and its mirror image: what the tracker adds
        by itself; ``sharpness``: of the face over the photo's; ``rest_psnr``: dB of the face at
        rest against the photo (lower where a smile was taken away); ``smile``: its strength, 0-1;
        ``flicker``: of the face in silence, blinks left out; ``teeth_noise``: flicker of an open
        mouth in a swaying head; ``flicker_px``, ``teeth_noise_px``: the same over the picture's
        own mean gradient, pixels of 96 across: wrinkles, beards and contrast are not counted as
        unrest; ``drift_levels``: largest change of any pixel, 0-255, between two drawings of the
        same frame with a minute of movement between. The renderer keeps nothing from frame to
        frame, so 0 is what is to be expected, and anything else is a fault.
    """
    renderer = load_pictures("cpu").renderer(identity, identity.size)
    rest = renderer.render(coefficients({})).copy()
    box = face_box(renderer)
    part = np.s_[box[1] : box[3], box[0] : box[2]]
    error = ((rest[part].astype(np.float64) - identity.photo[part]) ** 2).mean()
    speaking = renderer.render(coefficients(SPEECH["eh"])).copy()
    inside = np.zeros(rest.shape[:2])
    inside[part] = 1.0
    still = _still(renderer, silence, part)
    crops = []
    for number in range(_SECONDS * FPS):
        renderer.render(held_open(number))
        crops.append(mouth_of(renderer))
    moved = shape_change(tracker, identity.photo, speaking)
    smile, unrest, noise = float(identity.smile), flicker(still), flicker(crops)
    mirrored = np.ascontiguousarray(identity.photo[:, ::-1])
    return {
        "tone": TONES[labels.tone], "sex": labels.sex, "age": labels.age,
        "identity_percent": moved,
        "identity_calm_percent": moved if smile < _CALM else float("nan"),
        "tracker_percent": shape_change(tracker, identity.photo, mirrored, mirrored=True),
        "sharpness": sharpness(speaking, inside) / sharpness(identity.photo, inside),
        "rest_psnr": float(min(60.0, 10 * np.log10(255**2 / max(error, 1e-9)))),
        "smile": smile,
        "flicker": unrest,
        "flicker_px": unrest / max(_gradient(still[0]), 1e-6) if still else float("nan"),
        "teeth_noise": noise,
        "teeth_noise_px": noise / max(_gradient(crops[0]), 1e-6),
        "drift_levels": _drift(renderer, rest),
    }  # fmt: skip


def _still(renderer: Renderer, silence: Floats, part: tuple[slice, slice]) -> list[Image]:
    """Return the face as it is drawn in silence, 96 pixels across, where the eyes are open."""
    quiet = []
    for frame in silence:
        picture = renderer.render(frame)[part]
        if _blink(frame) < _OPEN:
            quiet.append(cv2.resize(picture, (96, 96), interpolation=cv2.INTER_AREA))
    return quiet


def _drift(renderer: Renderer, rest: Image) -> float:
    """Return how far any pixel of the first frame is another after a minute of movement."""
    poses = [coefficients(pose) for pose in (*SPEECH.values(), *POSES.values())]
    rng = np.random.default_rng(0)
    now = poses[0]
    for _ in range(_MINUTE * _DRAWN_FPS):
        now = now + 0.5 * (poses[int(rng.integers(len(poses)))] - now)
        renderer.render(now)
    again = renderer.render(coefficients({})).astype(np.int16)
    return float(np.abs(again - rest).max())


def _gradient(picture: Image) -> float:
    """Return the mean length of the grey picture's gradient, levels per pixel."""
    dy, dx = np.gradient(picture.astype(np.float64).mean(2))
    return float(np.hypot(dx, dy).mean())


def by_group(rows: dict[str, dict[str, float | str]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return, per measure, the mean, every group's mean, and the worst over the mean.

    A group counts from four people on. ``ratio`` (and its 95 % interval ``low`` to ``high``, drawn
    from people by bootstrap) is 1 where a group is like all, and larger the worse it is;
    ``by_chance`` is how often labels that are dealt out at random make some group as bad as the
    worst one is, 0-1.
    """
    first = next(iter(rows.values()))
    measures = [k for k, v in first.items() if k != "smile" and not isinstance(v, str)]
    people = list(rows.values())
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name in measures:
        values = np.array([float(r[name]) for r in people])
        sign = -1.0 if name in LARGER else 1.0
        members = members_of(people, values)
        mean = float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
        out[name] = {
            "all": {"mean": mean, "people": int(np.isfinite(values).sum())},
            "groups": {k: float(np.nanmean(values[m])) for k, m in members.items()},
        }
        if not members or not mean > 0:
            continue
        ratios = {k: (float(np.nanmean(values[m])) / mean) ** sign for k, m in members.items()}
        worst = max(ratios, key=lambda k: ratios[k])
        low, high = _interval(values, members[worst], sign)
        out[name]["worst"] = {worst: ratios[worst]}
        out[name]["certainty"] = {
            "low": low, "high": high, "people": int(members[worst].sum()),
            "by_chance": _by_chance(people, values, sign, ratios[worst]),
        }  # fmt: skip
    return out


def members_of(
    people: list[dict[str, float | str]], values: NDArray[np.float64]
) -> dict[str, NDArray[np.bool_]]:
    """Return who is in each group and was measured; groups of too few are left out."""
    found: dict[str, NDArray[np.bool_]] = {}
    for label in _LABELS:
        has = np.array([str(r[label]) for r in people])
        for value in sorted(set(has)):
            members = (has == value) & np.isfinite(values)
            if members.sum() >= _FEWEST:
                found[f"{label} {value}"] = members
    return found


def _interval(
    values: NDArray[np.float64], members: NDArray[np.bool_], sign: float
) -> tuple[float, float]:
    """Return the 95 % interval of a group's mean over that of all, people drawn anew."""
    rng = np.random.default_rng(0)
    inside, others = values[members], values[~members & np.isfinite(values)]
    drawn = inside[rng.integers(0, len(inside), (_ROUNDS, len(inside)))]
    total = drawn.sum(1)
    if len(others):
        total = total + others[rng.integers(0, len(others), (_ROUNDS, len(others)))].sum(1)
    mean = total / (len(inside) + len(others))
    ratio = (drawn.mean(1) / np.maximum(mean, 1e-9)) ** sign
    low, high = np.percentile(ratio, (2.5, 97.5))
    return float(low), float(high)


def _by_chance(
    people: list[dict[str, float | str]], values: NDArray[np.float64], sign: float, worst: float
) -> float:
    """Return how often some group is as bad as the worst when values are dealt out at random."""
    rng = np.random.default_rng(0)
    measured = np.isfinite(values)
    members = members_of(people, values)
    kept = values[measured]
    weights = np.stack([m[measured] / m.sum() for m in members.values()])
    shuffled = np.stack([rng.permutation(kept) for _ in range(_ROUNDS)], 1)
    ratios = (weights @ shuffled / kept.mean()) ** sign
    return float((ratios.max(0) >= worst - 1e-12).mean())


def table(groups: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return lines of text: a measure each, mean, groups, worst over mean with its interval."""
    lines = []
    for name, entry in groups.items():
        parts = "  ".join(f"{g} {v:.3f}" for g, v in entry["groups"].items())
        worst = "".join(
            f"  worst: {g} by {r:.2f} ({entry['certainty']['low']:.2f}-"
            f"{entry['certainty']['high']:.2f}), by chance {entry['certainty']['by_chance']:.2f}"
            for g, r in entry.get("worst", {}).items()
        )
        lines.append(f"{name:<21} mean {entry['all']['mean']:.3f}  {parts}{worst}")
    return "\n".join(lines)


def _blink(frame: Floats) -> float:
    return float(max(frame[INDEX["eyeBlinkLeft"]], frame[INDEX["eyeBlinkRight"]]))


def face_box(renderer: Renderer) -> tuple[int, int, int, int]:
    """Return the box (x0, y0, x1, y1) of the face in the photo, from forehead to chin."""
    vertices = load_basis().landmarks
    face = renderer.rig.source[vertices[vertices >= 0]]
    low, high = np.clip(face.min(0), 0, renderer.size), np.clip(face.max(0), 0, renderer.size)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def shape_change(tracker: Tracker, photo: Image, other: Image, *, mirrored: bool = False) -> float:
    """Return the mean difference of landmark distances in percent; nan where no face is found."""
    shapes = []
    for picture, pairs in ((photo, _PAIRS), (other, _MIRRORED if mirrored else _PAIRS)):
        faces = tracker.detect(picture)
        if not faces:
            return float("nan")
        points = faces[0].points[:, :2]
        lengths = np.array([np.linalg.norm(points[a] - points[b]) for a, b in pairs])
        shapes.append(lengths / np.linalg.norm(points[33] - points[263]))
    return float(100 * np.abs(shapes[1] / shapes[0] - 1).mean())
