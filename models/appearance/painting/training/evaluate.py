"""How good the paintings are: few steps against many, and painted mouths against drawn ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.appearance.basis import load_basis
from visavis.models.appearance.colours import measure_colours
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers import frame_face
from visavis.models.appearance.painting.bake import paint_mouth, prepare, widest
from visavis.models.appearance.painting.canvas import (
    EYE_POINTS,
    MOUTH_POINTS,
    cut,
    labels,
    placement,
)
from visavis.models.appearance.painting.painter import TEMPERATURE, choose, paint, settle
from visavis.models.appearance.painting.training.crops import Set, plain
from visavis.models.appearance.painting.training.flow import trajectory, velocity
from visavis.models.appearance.painting.training.mouths import seen_teeth
from visavis.models.appearance.painting.training.network import PaintNetwork
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.refiner import Refiner
from visavis.models.renderer.relight.light import MouthLight, light_graph
from visavis.models.renderer.renderer import InsideView, Renderer
from visavis.models.renderer.training.relight.portraits import (
    enrol_known,
    open_expression,
)

_LOG = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

TEACHER_STEPS = 12
STUDENT_STEPS = (1, 2, 4)
_SHEET_COLUMNS = 8
_KINDS = ("drawn", "painted", "drawn, lit", "painted, lit", "direct")
_SMALLEST = 30  # pixels of the hole
# Openings at which the sheets show every person, beside their own.
OPENINGS = {
    "ah": {"jawOpen": 0.45},
    "eh": {"jawOpen": 0.22, "mouthStretchLeft": 0.3, "mouthStretchRight": 0.3,
           "mouthUpperUpLeft": 0.2, "mouthUpperUpRight": 0.2, "mouthLowerDownLeft": 0.3,
           "mouthLowerDownRight": 0.3},
    "smile": {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "jawOpen": 0.1,
              "mouthUpperUpLeft": 0.4, "mouthUpperUpRight": 0.4},
    "wide": {"jawOpen": 0.7, "mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3},
}  # fmt: skip


def compare_steps(
    teacher: PaintNetwork, student: PaintNetwork, data: Set, out: Path
) -> dict[str, dict[str, float]]:
    """Compare the student's 1, 2 and 4 steps with the teacher's 12 on held-out mouths.

    All begin at the same noise. An untrained student is compared as well: it must fail.

    Returns:
        For each painter PSNR to the truth and to the teacher's painting, in the hole, dB.
    """
    batch = plain(data, np.flatnonzero(data.held_out))
    noise = torch.randn(batch.picture.shape, generator=torch.Generator().manual_seed(0))
    noise *= TEMPERATURE
    wanted = trajectory(teacher, batch, noise, TEACHER_STEPS)[-1].clamp(-1, 1)

    def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
        error = ((a - b) ** 2 * batch.paint).sum((1, 2, 3)) / (3 * batch.paint.sum((1, 2, 3)))
        return float((10 * torch.log10(4 / error)).mean())

    figures = {"teacher": {"truth": decibels(wanted, batch.picture)}}
    torch.manual_seed(0)
    untrained = PaintNetwork().eval()
    torch.nn.init.normal_(untrained.head.weight, 0, 0.05)
    for name, network in (("student", student), ("untrained", untrained)):
        for steps in STUDENT_STEPS:
            x, d = noise, torch.full((len(noise),), 1 / steps)
            for step in range(steps):
                t = torch.full((len(noise),), 1 - step / steps)
                with torch.no_grad():
                    x = x - velocity(network, x, t, d, batch) / steps
            x = x.clamp(-1, 1)
            figures[f"{name}, {steps}"] = {
                "truth": decibels(x, batch.picture), "teacher": decibels(x, wanted),
            }  # fmt: skip
    (out / "steps.json").write_text(json.dumps(figures, indent=1) + "\n")
    for name, found in figures.items():
        _LOG.info("%s: %s", name, {k: round(v, 2) for k, v in found.items()})
    return figures


@dataclass(frozen=True)
class Shown:
    """A held-out portrait beside what is drawn and what is painted of it.

    Attributes:
        truth: ``(HEIGHT, WIDTH, 3)`` float32 RGB.
        shown: the same by ``_KINDS``: the mouth as it is drawn without painting, the one that is
            painted at enrolment and drawn from its texture, both with the network's light on them,
            and the one that is painted straight into the portrait's own mouth.
        hole: ``(HEIGHT, WIDTH)`` bool, the mouth.
        teeth: ``(HEIGHT, WIDTH)`` bool, the truth's bright, pale pixels in it.
        tiles: sheet pictures ``(h, w, 3)`` uint8.
    """

    truth: Floats
    shown: tuple[Floats, ...]
    hole: NDArray[np.bool_]
    teeth: NDArray[np.bool_]
    tiles: list[Image]


def pretended(photo: Image, landmarks: Floats) -> tuple[Identity, Identity, Floats, Image] | None:
    """Close a portrait's mouth with our own renderer and take its teeth away.

    Returns:
        The portrait's identity and the pretended one, ``(V, 2)`` where the portrait's vertices are
        seen, and the framed portrait; None where the fit is poor.
    """
    enrolled = enrol_known(photo, landmarks)
    if enrolled is None:
        return None
    identity, seen, picture = enrolled
    basis, none = load_basis(), np.zeros((0, 0, 4), np.uint8)
    first = Renderer(identity, size=identity.size)
    closed = first.render(neutral()).copy()
    source = identity.source.copy()
    face = basis.part_vertices("face")
    source[face] = first._rig.points[face, :2]
    points = frame_face(photo, landmarks, identity.size).points(landmarks)
    calm = replace(
        identity, photo=closed, foreground=closed, background=closed, source=source, teeth=none,
        opening=0.0, colours=measure_colours(picture, points, none),
    )  # fmt: skip
    return identity, calm, seen, picture


def opened(
    identity: Identity, like: Identity, seen: Floats, light: Refiner | None = None
) -> InsideView | None:
    """Draw an identity with the expression of the portrait it was made of."""
    renderer = Renderer(identity, size=identity.size, refiner=light)
    open_expression(renderer, like, seen)
    return renderer.look_inside(neutral())


def held_out(faces: Path, data: Set) -> Iterator[tuple[Image, Floats]]:
    """Yield pictures and landmarks of the held-out portraits, those with most teeth first."""
    with np.load(faces / "train_landmarks.npz", allow_pickle=False) as known:
        names = [str(n) for n in known["names"]]
        landmarks = known["landmarks"].astype(np.float32)
    rows = np.flatnonzero(data.held_out)
    for row in rows[np.argsort(-data.about[rows, 1].numpy(), kind="stable")]:
        name = str(data.names[row])
        picture = cv2.imread(str(faces / "train" / name), cv2.IMREAD_COLOR)
        if picture is not None:
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), landmarks[names.index(name)]


def show(photo: Image, landmarks: Floats, graph: OnnxEngine, light: OnnxEngine) -> Shown | None:
    """Hide a portrait's mouth, draw and paint it again, and put them beside the truth."""
    found = pretended(photo, landmarks)
    if found is None:
        return None
    identity, calm, seen, picture = found
    painted = paint_mouth(calm, graph)
    views = [
        opened(calm, identity, seen),
        opened(painted, identity, seen),
        opened(calm, identity, seen, MouthLight(light)),
        opened(painted, identity, seen, MouthLight(light, own_teeth=True)),
    ]
    before = views[0]
    if before is None or any(v is None for v in views):
        return None
    marks = before.points[load_basis().landmarks[list((*EYE_POINTS, *MOUTH_POINTS))], :2]
    place = placement(marks[:2], marks[2:].mean(0))
    hole = cut(before.hole, place) > 0.8
    if hole.sum() < _SMALLEST:
        return None
    truth = cut(picture, place)
    teeth = seen_teeth(np.clip(truth, 0, 255).astype(np.uint8), hole)
    basis = load_basis()
    canvas = replace(prepare(basis, labels(basis), before)[0], picture=truth)
    paintings = paint(graph, canvas)
    direct = settle(paintings, choose(paintings, canvas, calm.colours.teeth), canvas)
    frames = [view.frame for view in views if view is not None]
    tiles = [_tile(p, place) for p in (picture, *frames)]
    tiles.append(cv2.resize(direct, (160, 96), interpolation=cv2.INTER_CUBIC))
    tiles[-1] = np.clip(np.rint(tiles[-1]), 0, 255).astype(np.uint8)
    return Shown(truth, (*(cut(f, place) for f in frames), direct), hole, teeth, tiles)


def _tile(picture: Image, place: Floats) -> Image:
    """Return the mouth at twice the canvas's size."""
    twice = place * 2.0
    twice[:, 2] += 0.5
    return cv2.warpAffine(picture, twice, (160, 96), flags=cv2.INTER_AREA)


def figures_of(picture: Floats, shown: Shown) -> dict[str, float]:
    """Return how near a picture is to the truth.

    Returns:
        ``psnr`` and ``ssim`` in the hole; ``gradient``, energy of differences over the truth's;
        and where teeth are seen ``delta_e`` (CIE76 of their mean colours) and ``edges``, the
        energy of horizontal differences in them over the truth's.
    """
    hole, truth = shown.hole, shown.truth
    error = float(((picture - truth)[hole] ** 2).mean())
    energy = [sum(float((np.diff(p, axis=k)[_pairs(hole, k)] ** 2).mean()) for k in (0, 1))
              for p in (picture, truth)]  # fmt: skip
    found = {
        "psnr": 10 * np.log10(255**2 / max(error, 1e-6)),
        "ssim": _ssim(picture, truth, hole),
        "gradient": energy[0] / max(energy[1], 1e-6),
    }
    if shown.teeth.sum() >= 20:
        lab = [_lab(p)[shown.teeth].mean(0) for p in (picture, truth)]
        found["delta_e"] = float(np.linalg.norm(lab[0] - lab[1]))
        inside = _pairs(shown.teeth, 1)
        edge = [float((np.diff(p.mean(2), axis=1)[inside] ** 2).mean()) for p in (picture, truth)]
        found["edges"] = edge[0] / max(edge[1], 1e-6)
    return found


def _pairs(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    return mask[1:] & mask[:-1] if axis == 0 else mask[:, 1:] & mask[:, :-1]


def _lab(picture: Floats) -> Floats:
    return cv2.cvtColor((np.clip(picture, 0, 255) / 255).astype(np.float32), cv2.COLOR_RGB2LAB)


def _ssim(a: Floats, b: Floats, mask: NDArray[np.bool_]) -> float:
    """Return the mean structural similarity in a mask (Wang et al. 2004, Gaussian of 1.5)."""
    a, b = a.mean(2), b.mean(2)

    def blur(x: Floats) -> Floats:
        return cv2.GaussianBlur(x, (0, 0), 1.5)

    ma, mb = blur(a), blur(b)
    va, vb, both = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = (2 * ma * mb + c1) * (2 * both + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(value[mask].mean())


def judge(faces: Path, data: Set, graph: Path, out: Path) -> dict[str, dict[str, float]]:
    """Measure drawn and painted mouths of the held-out portraits; write figures and sheets.

    Returns:
        Means over portraits, by measure: ``drawn``, ``painted``, and in how many it is better.
    """
    engine, rows, tiles = OnnxEngine(graph), [], []
    light = OnnxEngine(light_graph())
    for photo, landmarks in held_out(faces, data):
        shown = show(photo, landmarks, engine, light)
        if shown is None:
            continue
        rows.append([figures_of(p, shown) for p in shown.shown])
        tiles.append(np.vstack(shown.tiles))
    engine.close()
    figures = {}
    for name in ("psnr", "ssim", "gradient", "delta_e", "edges"):
        both = np.array([[f[name] for f in r] for r in rows if name in r[0]])
        value = np.abs(np.log(both)) if name in ("gradient", "edges") else both
        better = (
            value[:, 1] > value[:, 0] if name in ("psnr", "ssim") else value[:, 1] < value[:, 0]
        )
        figures[name] = {
            **{f"{k} mean": float(v) for k, v in zip(_KINDS, both.mean(0), strict=True)},
            **{f"{k} median": float(v) for k, v in zip(_KINDS, np.median(both, 0), strict=True)},
            "painted better than drawn": int(better[0].sum()),
            "the same, lit": int(better[1].sum()), "of": len(both),
        }  # fmt: skip
        _LOG.info("%s: %s", name, {k: round(v, 3) for k, v in figures[name].items()})
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    _sheet(tiles, out / "truth_drawn_painted.png")
    return figures


def openings(faces: Path, data: Set, graph: Path, out: Path, count: int = 24) -> None:
    """Write a sheet of held-out people at several openings, drawn above painted."""
    engine, tiles = OnnxEngine(graph), []
    for photo, landmarks in held_out(faces, data):
        found = pretended(photo, landmarks)
        if found is None:
            continue
        calm = found[1]
        columns = [_openings(each) for each in (calm, paint_mouth(calm, engine))]
        tiles.append(np.vstack([np.hstack(c) for c in columns]))
        if len(tiles) == count:
            break
    engine.close()
    _sheet(tiles, out / "openings.png", columns=2)


def _openings(identity: Identity) -> list[Image]:
    renderer, found = Renderer(identity, size=identity.size), []
    marks = None
    for name, values in {**OPENINGS, "widest": None}.items():
        vector = widest() if values is None else neutral()
        for key, value in (values or {}).items():
            vector[INDEX[key]] = value
        view = renderer.look_inside(vector)
        if view is None:
            raise ValueError(f"The mouth does not open at {name}.")
        if marks is None:
            marks = view.points[load_basis().landmarks[list((*EYE_POINTS, *MOUTH_POINTS))], :2]
        found.append(_tile(view.frame, placement(marks[:2], marks[2:].mean(0))))
    return found


def _sheet(tiles: list[Image], path: Path, columns: int = _SHEET_COLUMNS) -> None:
    blank = np.zeros_like(tiles[0])
    rows = [tiles[k : k + columns] for k in range(0, len(tiles), columns)]
    sheet = np.vstack([np.hstack([*r, *[blank] * (columns - len(r))]) for r in rows])
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
