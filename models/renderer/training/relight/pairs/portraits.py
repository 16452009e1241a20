"""Real texture: portraits with an open mouth, closed by our renderer and opened again.

A portrait that shows its teeth is enrolled and drawn at rest: that picture, in which our own warp
has closed the lips, serves as the photo. Opened again to the portrait's own geometry, it is what
the product would draw of this mouth, pixel on pixel, and the portrait is what it should have been.
No landmark is measured twice, so nothing is out of register.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from visavis.models.appearance.colours import measure_colours, take_teeth
from visavis.models.appearance.enrol import Layers, assemble
from visavis.models.appearance.face.basis import FaceBasis, load_basis
from visavis.models.appearance.face.fit import fit_face
from visavis.models.appearance.face.neutral import neutralise
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers.layers import frame_face
from visavis.models.arrays import Floats, Image
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.geometry.expression import Expression
from visavis.models.renderer.mouth.mouth import MouthPainter
from visavis.models.renderer.mouth.teeth import incisal_edge
from visavis.models.renderer.pictures import pictures_at
from visavis.models.renderer.relight.crop import Crop
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.relight.pairs.pairs import Pair, Recorder, cut_target

HELD_OUT = 10  # every tenth portrait
_SIZE = 512
_OPEN = 0.05  # of the outer eye distance; narrower gaps in portraits are often closed lips
_WORST_FIT = 6.0  # pixels rms
_FURTHEST = 75.0  # of 255, between the mean colours inside the mouth


def opening(points: Floats) -> float:
    """Return the gap between the inner lips over the distance of the outer eye corners."""
    gap = np.linalg.norm(points[13, :2] - points[14, :2])
    return float(gap / np.linalg.norm(points[33, :2] - points[263, :2]))


def enrol_known(photo: Image, landmarks: Floats) -> tuple[Identity, Floats, Image] | None:
    """Enrol a portrait whose landmarks are known; no matte, which a mouth does not need.

    Returns:
        The identity, ``(V, 2)`` where its vertices are seen, and the framed portrait; None where
        the fit is poor.
    """
    framing = frame_face(photo, landmarks, _SIZE)
    picture, points = framing.cut(photo), framing.points(landmarks)
    basis = load_basis()
    fit = fit_face(basis, points)
    if not np.isfinite(fit.rms) or fit.rms > _WORST_FIT or max(np.abs(fit.angles[:2])) > 0.45:
        return None
    geometry = neutralise(basis, fit)
    teeth, foreground = take_teeth(picture, points)
    whole = np.full((_SIZE, _SIZE), 255, np.float32)
    layers = Layers(picture, picture, foreground, teeth, whole, picture)
    return assemble(layers, points, fit, geometry), geometry.source, picture


def _some_rest(rng: np.random.Generator) -> Floats:
    """Return how the pretended photo looks: nearly at rest, a little turned."""
    values = neutral()
    values[INDEX["headYaw"]] = rng.normal(0, 0.06)
    values[INDEX["headPitch"]] = rng.normal(0, 0.04)
    values[INDEX["headRoll"]] = rng.normal(0, 0.03)
    smile = max(0.0, rng.normal(0, 0.15))
    values[INDEX["mouthSmileLeft"]] = values[INDEX["mouthSmileRight"]] = smile
    values[INDEX["mouthPucker"]] = max(0.0, rng.normal(-0.1, 0.15))
    return values


def _bent(source: Floats, unit: float, rng: np.random.Generator) -> Floats:
    """Return the vertices' pixels with the smooth error of a fit."""
    moved = source.copy()
    for _ in range(6):
        centre = source[rng.integers(len(source))]
        reach = unit * rng.uniform(0.15, 0.5)
        weight = np.exp(-(((source - centre) ** 2).sum(1)) / (2 * reach**2))
        moved += weight[:, None] * rng.normal(0, 0.012 * unit, 2)
    return moved.astype(np.float32)


def _own_expression(renderer: Renderer, identity: Identity) -> Expression:
    """Return the portrait's own expression, eyes as they are."""
    jaw = float(identity.expression[load_basis().expression_names.index("jawOpen")])
    rest = renderer.rig.map(neutral())
    return replace(rest, weights=identity.expression, seal=0.0, jaw=jaw)


def _open_model(renderer: Renderer, expression: Expression, seen: Floats) -> Floats:
    """Return the vertices of the portrait's own expression in model cm."""
    rig = renderer.rig
    model = rig.express(expression).copy()
    n = rig.face_count
    pixels = rig.project(model[:n])
    pixels[:, :2] = seen[:n]
    model[:n] = rig.to_model(pixels)
    return model


def _meet_teeth(model: Floats, basis: FaceBasis, renderer: Renderer, edge: float) -> None:
    """Hang the upper teeth where the portrait's are, if that is not far."""
    rig = renderer.rig
    upper = basis.part_vertices("upper_teeth")
    front = upper[np.abs(basis.neutral[upper, 0]) < 0.9]
    drop = edge - float(rig.project(model[front])[:, 1].max())
    if abs(drop) < 0.7 * rig.scale:
        for part in ("upper_teeth", "upper_gum"):
            rows = basis.part_vertices(part)
            pixels = rig.project(model[rows])
            pixels[:, 1] += drop
            model[rows] = rig.to_model(pixels)


def portrait_pairs(
    photo: Image, landmarks: Floats, number: int, rng: np.random.Generator, variants: int
) -> Iterator[Pair]:
    """Make pairs of one portrait; ``number`` is negative for held-out ones."""
    enrolled = enrol_known(photo, landmarks)
    if enrolled is None:
        return
    identity, seen, picture = enrolled
    basis = load_basis()
    first = Renderer(identity, size=_SIZE)
    edge = incisal_edge(identity.teeth[..., 3]) if identity.teeth.size else None
    points = frame_face(photo, landmarks, _SIZE).points(landmarks)
    none = np.zeros((0, 0, 4), np.uint8)
    plain = measure_colours(picture, points, none)
    inner = np.ones(len(identity.rest), bool)
    inner[basis.part_vertices("face")] = False
    recorder = Recorder(rng)
    second: Renderer | None = None
    for variant in range(variants):
        closed = first.render(_some_rest(rng)).copy()
        source = _bent(first._rig.points[:, :2].copy(), first._rig.unit, rng)
        source[inner] = identity.source[inner]
        own = variant % 3 == 2 and identity.teeth.size > 0
        pretended = replace(
            identity, photo=closed, foreground=closed, background=closed, source=source,
            teeth=identity.teeth if own else none, opening=0.0,
            colours=identity.colours if own else plain,
        )  # fmt: skip
        if second is None:
            second = Renderer(pretended, size=_SIZE, refiner=recorder)
            expression = _own_expression(second, identity)
            model = _open_model(second, expression, seen)
            second._rig.map = lambda _, own=expression: own  # type: ignore[assignment]
        else:
            _change_photo(second, pretended)
        shown = model.copy()
        if edge is not None:
            _meet_teeth(shown, basis, second, edge[1] + rng.normal(0, 0.03) * first._rig.scale)
        second._rig.express = lambda _, shown=shown: shown  # type: ignore[method-assign]
        second.render(neutral())
        if recorder.seen is not None:
            crop, box = recorder.seen
            target = cut_target(picture, box)
            if _alike(crop, target):
                yield Pair(crop, target, number, False, real=True)


def _change_photo(renderer: Renderer, pretended: Identity) -> None:
    """Give a renderer another photo of the same person; building a new one costs three times."""
    landmarks = load_basis().landmarks
    chin, hairline = (float(pretended.source[landmarks[n], 1]) for n in (152, 10))
    renderer._pictures = pictures_at(pretended, _SIZE, chin=chin, hairline=hairline)
    renderer._lift = np.float32(renderer._pictures.lift)
    renderer.rig.source = np.ascontiguousarray(pretended.source, np.float32)
    renderer._values[:, :2] = pretended.source
    renderer._mouth = MouthPainter(renderer.rig, load_basis(), pretended)


def _alike(crop: Crop, target: Image) -> bool:
    """Say whether warp and portrait show the same state; a tongue put out does not."""
    inside = crop.inside > 127
    if not inside.any():
        return False
    near = crop.warped.astype(np.float32) - target
    return bool(np.abs(near[inside].mean(0)).max() < _FURTHEST)


def open_portraits(faces: Path) -> Iterator[tuple[int, Image, Floats]]:
    """Yield number, picture and landmarks of the portraits with an open mouth.

    Numbers of held-out portraits are negative; portrait 0 is never held out.
    """
    with np.load(faces / "train_landmarks.npz", allow_pickle=False) as known:
        names, landmarks = known["names"], known["landmarks"].astype(np.float32)
    for number, (name, points) in enumerate(zip(names, landmarks, strict=True)):
        if not np.isfinite(points).all() or opening(points) < _OPEN:
            continue
        picture = cv2.imread(str(faces / "train" / str(name)), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        held_out = number > 0 and number % HELD_OUT == 0
        yield -number if held_out else number, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), points
