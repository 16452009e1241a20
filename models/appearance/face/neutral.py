"""From a fit to two geometries: where the photo's texture is, and the face at rest.

The landmark residual is absorbed by a radial basis function in model space, evaluated with mouth
and eyes open so that upper and lower lips (and lids) keep apart. The rest geometry loses the
photo's smile and closes the lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.face.fit import LIPS, Fit, landmark_weights
from visavis.models.appearance.face.seam import Seam, lid_edges, make_seam
from visavis.models.arrays import Floats

LIP_COLUMNS = 21
LID_COLUMNS = 15
_SMOOTHING = 0.05
_SMILE_SMOOTHING = 6.0  # a smile's lip contour is not that of the mouth at rest
_LID_THICKNESS = 0.45  # cm from the mesh's edge to the lid's visible rim, at most
_KEPT = 0.12  # of a strong expression
# People rest at part of a smile: so much of it stays whole, and so much of what is beyond.
_SMILES = ("mouthSmile", "mouthDimple", "cheek", "mouthStretch")
_SLIGHT, _SMILE_KEPT = 0.15, 0.42
_WIDE_SMILE = (0.45, 0.80)  # strength of a smile from which it thins the lips, and wholly
# Width of a mouth at rest that 424 unsmiling portraits have, in distances of the outer eye corners:
# a constant, and per nose's width, face's width and face's height; its deviation is .036. A smile
# that goes leaves at least that, or it looks like a pout: a mouth whose corners are clean is seen
# some 2 % narrower than one with creases beyond them.
_WIDTH_OF = np.array([0.095, 1.378, -0.095, 0.038])
_LEAST_WIDTH, _MOST_STRETCH = 1.0, 0.40
_WIDTHS = ((98, 327), (127, 356), (10, 152))  # MediaPipe landmarks
_EYES, _CORNERS = (33, 263), (61, 291)
_STRETCH = ("mouthStretch_L", "mouthStretch_R")
# What passes; the other shapes of the mouth describe its lips.
_PASSING = (
    "mouthSmile", "mouthDimple", "mouthStretch", "mouthUpperUp", "mouthLowerDown", "mouthFunnel",
    "mouthPucker", "jawOpen", "cheek", "noseSneer",
)  # fmt: skip
_SEALED = -0.015  # cm of overlap, so that no dark line shows
INCISORS_BELOW_LIPS = 0.48  # cm of upper teeth under the closed lip line
LOWER_EDGE = 0.12  # cm of lower teeth above the closed lip line, hidden behind the upper


@dataclass(frozen=True)
class Geometry:
    """The two geometries of an enrolled face.

    Attributes:
        source: ``(V, 2)`` pixels of the photo where each vertex is seen.
        rest: ``(V, 3)`` neutral face in model cm.
        lost: ``(57,)`` the photo's expression that ``rest`` lacks.
        kept: ``(57,)`` what of its smile ``rest`` has, 0 where the shape is no smile's.
        smile: strength of the photo's mouth expression, 0-1.
        opening: inner-lip gap in the photo, cm.
    """

    source: Floats
    rest: Floats
    lost: Floats
    kept: Floats
    smile: float
    opening: float


def shape_at(basis: FaceBasis, expression: dict[str, float]) -> Floats:
    """Return the offsets ``(V, 3)`` of named expressions."""
    total = np.zeros_like(basis.neutral)
    for name, value in expression.items():
        total += value * basis.expression[basis.expression_names.index(name)]
    return total


def opened_face(basis: FaceBasis, base: Floats) -> Floats:
    """Return ``base`` with mouth and eyes wide open, where edges that touch lie apart."""
    wide = {"jawOpen": 0.6, "eyeWide_L": 0.5, "eyeWide_R": 0.5}
    return (base + shape_at(basis, wide)).astype(np.float32)


def lip_seam(basis: FaceBasis, rest: Floats) -> Seam:
    """Return the seam between the lips; moves lips and the skin 1.1 cm around."""
    return make_seam(
        rest, opened_face(basis, rest), basis.ring_upper, basis.ring_lower,
        basis.part_vertices("face"), columns=LIP_COLUMNS, reach=1.1, upper_share=0.45,
    )  # fmt: skip


def lid_seam(basis: FaceBasis, rest: Floats, eye: int) -> Seam:
    """Return the seam between the lids of the left (0) or right (1) eye.

    The mesh ends behind the lids' rims; the seam runs along the rims, which are what is seen.
    """
    upper, lower = _lid_rims(basis, eye)
    return make_seam(
        rest, opened_face(basis, rest), upper, lower, basis.part_vertices("face"),
        columns=LID_COLUMNS, reach=0.8, upper_share=0.80,
    )  # fmt: skip


def _lid_rims(basis: FaceBasis, eye: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lids' visible rims, ordered along x, with the corners shared.

    They are looked for on the mean face, so that they are the same for everyone.
    """
    rest = basis.neutral
    name = ("eyeBlink_L", "eyeBlink_R")[eye]
    drop = basis.expression[basis.expression_names.index(name)][:, 1]
    half = rest + shape_at(basis, {name: 0.5})
    edges = lid_edges(basis.eye_loops[eye], rest)
    face = np.setdiff1d(basis.part_vertices("face"), basis.eye_loops[eye])
    upper_lid = face[drop[face] < 0.3 * drop.min()]
    lower_lid = face[np.abs(drop[face]) < 0.12 * np.abs(drop).max()]
    rims = []
    for edge, lid, sign in zip(edges, (upper_lid, lower_lid), (-1.0, 1.0), strict=True):
        rim = [int(edge[0])]
        for v in edge[1:-1]:
            near = lid[
                (np.linalg.norm(rest[lid] - rest[v], axis=1) < _LID_THICKNESS)
                & (np.abs(rest[lid, 0] - rest[v, 0]) < 0.14)
            ]
            if len(near):
                rim.append(int(near[(sign * half[near, 1]).argmax()]))
        rim.append(int(edge[-1]))
        low, high = rest[edge[[0, -1]], 0]
        inside = {v for v in rim if low <= rest[v, 0] <= high}
        rims.append(np.array(sorted(inside, key=lambda v: rest[v, 0]), np.int64))
    return rims[0], rims[1]


def _is_mouth(name: str) -> bool:
    return name.startswith(("mouth", "jaw", "cheek", "nose"))


def _calm(names: tuple[str, ...], expression: Floats) -> tuple[Floats, float]:
    """Return what of an expression a face keeps at rest, and how strong the rest of it is, 0-1.

    A kiss and an open mouth pass, a smile fades to part of it. Lips that are thin, pressed or drawn
    down belong to the person, unless it is a wide smile that makes them so.
    """
    passing = np.array([n.startswith(_PASSING) for n in names])
    smiles = np.array([n.startswith(_SMILES) for n in names])
    mouth = np.array([_is_mouth(n) for n in names])
    strength = float(np.clip(expression[passing].max(), 0, 1))
    kept = np.interp(strength, [0.12, 0.40], [1.0, _KEPT])
    lips = 1.0 - (1.0 - kept) * np.interp(strength, _WIDE_SMILE, [0.0, 1.0])
    factor = np.where(passing, kept, np.where(mouth, lips, 1.0))
    smile = np.minimum(expression, _SLIGHT + _SMILE_KEPT * np.maximum(expression - _SLIGHT, 0.0))
    return np.where(smiles, smile, factor * expression).astype(np.float64), strength


def neutralise(basis: FaceBasis, fit: Fit) -> Geometry:
    """Compute the photo's geometry and the rest geometry."""
    base = basis.neutral + np.tensordot(fit.identity, basis.identity, 1).astype(np.float32)
    calm, strength = _calm(basis.expression_names, fit.expression)
    seen = base + np.tensordot(fit.expression, basis.expression, 1).astype(np.float32)
    rest = base + np.tensordot(calm, basis.expression, 1).astype(np.float32)
    correction = _residual_field(basis, fit, base, np.full(468, _SMOOTHING))
    smoothing = np.full(468, _SMOOTHING)
    if strength > 0.3:
        smoothing[list(LIPS)] = _SMILE_SMOOTHING
    rest_correction = _residual_field(basis, fit, base, smoothing)
    seen, rest = seen + correction, rest + rest_correction
    rest = np.ascontiguousarray(rest, np.float32)
    if strength > 0.3:
        stretch = {name: _missing_width(basis, rest, seen) for name in _STRETCH}
        rest += shape_at(basis, stretch).astype(np.float32)
        for name, value in stretch.items():
            calm[basis.expression_names.index(name)] += value
    seam = lip_seam(basis, rest)
    opening = float(seam.gap(np.ascontiguousarray(seen, np.float32)).max())
    _close_lips(seam, rest)
    _place_teeth(basis, rest, base)
    lost = (fit.expression - calm).astype(np.float32)
    smiles = np.array([n.startswith(_SMILES) for n in basis.expression_names])
    kept = np.where(smiles, calm, 0.0).astype(np.float32)
    return Geometry(fit.project(seen).astype(np.float32), rest, lost, kept, strength, opening)


def _missing_width(basis: FaceBasis, rest: Floats, seen: Floats) -> float:
    """Return how far to stretch a mouth at rest that is narrower than such faces have, 0-1.

    Never beyond what the photo shows.
    """
    marks = basis.landmarks

    def apart(shape: Floats, pair: tuple[int, int]) -> float:
        a, b = (shape[marks[n], :2] for n in pair)
        return float(np.linalg.norm(a - b))

    unit, now = apart(rest, _EYES), apart(rest, _CORNERS)
    terms = np.array([1.0, *(apart(rest, pair) / unit for pair in _WIDTHS)])
    wanted = min(_LEAST_WIDTH * float(terms @ _WIDTH_OF) * unit, apart(seen, _CORNERS))
    gain = apart(rest + shape_at(basis, dict.fromkeys(_STRETCH, 1.0)), _CORNERS) - now
    return float(np.clip((wanted - now) / gain, 0.0, _MOST_STRETCH)) if gain > 0 else 0.0


def _residual_field(
    basis: FaceBasis, fit: Fit, base: Floats, smoothing: NDArray[np.float64]
) -> Floats:
    """Spread the landmark residual over the face; ``(V, 3)`` model cm, other parts follow."""
    trusted = landmark_weights(basis) > 0.2
    opened = opened_face(basis, base)
    # Rows of the rotation are the view axes in the model.
    view = fit.residual / fit.scale * (1.0, -1.0)
    offsets = view @ fit.rotation[:2]
    field = RBFInterpolator(
        opened[basis.landmarks[trusted]], offsets[trusted], kernel="linear",
        smoothing=smoothing[trusted], degree=0,
    )  # fmt: skip
    result = np.zeros_like(base)
    face = basis.part_vertices("face")
    result[face] = field(opened[face])
    inside = np.setdiff1d(np.arange(len(base)), face)
    result[inside] = offsets[list(LIPS)].mean(0)
    return result


def _close_lips(seam: Seam, rest: Floats) -> None:
    for _ in range(3):  # hats and columns are not exact inverses
        seam.change(rest, (_SEALED - seam.gap(rest)).astype(np.float32))


def _place_teeth(basis: FaceBasis, rest: Floats, base: Floats) -> None:
    """Hang the teeth under the closed lip line; the kit's own hide behind the upper lip."""
    line = float(rest[basis.ring_lower[len(basis.ring_lower) // 2], 1])
    upper = basis.part_vertices("upper_teeth")
    front = upper[np.abs(rest[upper, 0]) < 0.9]
    drop = line - INCISORS_BELOW_LIPS - float(rest[front, 1].min())
    rest[upper, 1] += drop
    rest[basis.part_vertices("upper_gum"), 1] += drop
    lower = basis.part_vertices("lower_teeth")
    front = lower[np.abs(rest[lower, 0]) < 0.9]
    rise = line + LOWER_EDGE - float(rest[front, 1].max())
    for name in ("lower_teeth", "lower_gum", "tongue"):
        rest[basis.part_vertices(name), 1] += rise
