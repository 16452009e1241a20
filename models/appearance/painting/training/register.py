"""Find by how much the kit's rows of teeth miss the teeth that a portrait shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.basis import FaceBasis
from visavis.models.renderer.teeth import tooth_places

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

_FRONT = 16  # columns on both sides of the middle, where edges are looked for
_LEAST_SEEN = 25  # pixels of teeth
_FURTHEST = 9.0, 10.0  # pixels that the upper and the lower row may move
_SHIFTS = np.arange(-5, 5.1, 0.5)
_STRETCHES = np.linspace(0.88, 1.14, 14)
_WEIGHT = 14.0  # pixels from the middle over which gaps count less
_LEAST_FIT = 0.35  # of the score below which the kit's own gaps stay


@dataclass(frozen=True)
class Register:
    """What brings the kit's teeth over a portrait's, in pixels of the crop.

    Attributes:
        upper: down, of the upper row and its gum.
        lower: the same of the lower row and the tongue.
        across: to the right, of both.
        stretch: of both, about ``middle``.
        middle: column between the two middle incisors.
    """

    upper: float
    lower: float
    across: float
    stretch: float
    middle: float


def register(
    basis: FaceBasis,
    vertices: Floats,
    crop: Image,
    inside: NDArray[np.bool_],
    teeth: NDArray[np.bool_],
) -> Register:
    """Register biting edges first, then the gaps between the upper teeth.

    Args:
        basis: the face basis.
        vertices: ``(V + T, 3)`` on the crop.
        crop: ``(H, W, 3)`` RGB.
        inside: ``(H, W)`` the mouth.
        teeth: ``(H, W)`` its bright, pale pixels.
    """
    upper, lower = basis.part_vertices("upper_teeth"), basis.part_vertices("lower_teeth")
    middle = _column(basis, vertices, upper, 0.0)
    if teeth.sum() <= _LEAST_SEEN:
        return Register(0.0, 0.0, 0.0, 1.0, middle)
    edge = _edge(vertices[upper], crop.shape[1], np.max)
    other = _edge(vertices[lower], crop.shape[1], np.min)
    down, lower_down = _edges(edge, other, inside, teeth, middle)
    across, stretch = _gaps(basis, vertices, crop, inside, teeth, edge + down, middle)
    return Register(down, lower_down, across, stretch, middle)


def _column(basis: FaceBasis, vertices: Floats, rows: NDArray[np.int64], at: float) -> float:
    """Return the crop's column of what lies ``at`` cm from the middle; nan where nothing does."""
    near = np.abs(basis.neutral[rows, 0] - at) < 0.12
    return float(vertices[rows[near], 0].mean()) if near.any() else float("nan")


def _edge(row: Floats, columns: int, last: np.ufunc) -> Floats:
    """Return the row's biting edge by column, nan beside it."""
    edge = np.full(columns, np.nan)
    for x in range(columns):
        near = np.abs(row[:, 0] - x) < 2.2
        if near.sum() >= 2:
            edge[x] = last(row[near, 1])
    return edge


def _edges(
    upper: Floats,
    lower: Floats,
    inside: NDArray[np.bool_],
    teeth: NDArray[np.bool_],
    middle: float,
) -> tuple[float, float]:
    """Return how far down the upper and the lower row must go."""
    ends, covered, tops = [], [], []
    first, last = max(1, int(middle - _FRONT)), min(inside.shape[1] - 1, int(middle + _FRONT + 1))
    for x in range(first, last):
        seen, hole = np.flatnonzero(teeth[:, x]), np.flatnonzero(inside[:, x])
        if len(seen) < 3 or len(hole) < 4 or np.isnan(upper[x] + lower[x]):
            continue
        if seen[0] - hole[0] > 5:
            continue
        gaps = np.flatnonzero(np.diff(seen) > 1)
        end = seen[gaps[0]] if len(gaps) else seen[-1]
        if end < hole[-1] - 1:
            ends.append(end + 0.7 - upper[x])
        else:  # the lower lip covers the edge
            covered.append(end + 1 - upper[x])
        if len(gaps) and len(seen) - gaps[0] > 2:
            tops.append(seen[gaps[0] + 1] - 0.7 - lower[x])
    most, most_lower = _FURTHEST
    down = 0.0
    if len(ends) >= 8 and len(ends) >= 0.6 * len(covered):
        down = float(np.clip(np.median(ends), -most, most))
    elif len(covered) >= 6:
        down = float(np.clip(np.median(covered), 0, most))
    up = float(np.clip(np.median(tops), -most_lower, most_lower)) if len(tops) >= 6 else 0.0
    return down, up


def _gaps(
    basis: FaceBasis,
    vertices: Floats,
    crop: Image,
    inside: NDArray[np.bool_],
    teeth: NDArray[np.bool_],
    edge: Floats,
    middle: float,
) -> tuple[float, float]:
    """Return shift and stretch that lay the kit's gaps on dark columns above the biting edge."""
    profile = _profile(crop, inside, teeth, edge)
    known = ~np.isnan(profile)
    if known.sum() <= 20:
        return 0.0, 1.0
    columns = np.arange(crop.shape[1])
    filled = np.interp(columns, np.flatnonzero(known), profile[known]).astype(np.float32)
    fine = (filled - cv2.GaussianBlur(filled[None], (0, 0), 4)[0]) * known
    fine /= fine.std() + 1e-3
    gaps = _kit_gaps(basis, vertices, middle)
    middles = (gaps[1:] + gaps[:-1]) / 2
    of_gaps, of_middles = (np.exp(-np.abs(v - middle) / _WEIGHT) for v in (gaps, middles))
    best, found = -np.inf, (0.0, 1.0)
    for stretch in _STRETCHES:
        for shift in _SHIFTS:
            dark, light = (middle + (v - middle) * stretch + shift for v in (gaps, middles))
            score = np.average(np.interp(light, columns, fine), weights=of_middles)
            score -= np.average(np.interp(dark, columns, fine), weights=of_gaps)
            score -= 0.02 * shift**2 + 8 * (stretch - 1) ** 2
            if score > best:
                best, found = score, (float(shift), float(stretch))
    return found if best >= _LEAST_FIT else (0.0, 1.0)


def _kit_gaps(basis: FaceBasis, vertices: Floats, middle: float) -> Floats:
    """Return the columns where one upper tooth of the kit ends, from right to left."""
    rows, place = tooth_places(basis, "upper_teeth")
    at = basis.neutral[rows, 0]
    outer = np.where(at > 0, place[:, 0], -place[:, 0]) > 0.999
    ends = np.unique(np.round(at[outer & (np.abs(at) < 1.9)], 2))
    found = [_column(basis, vertices, rows, float(v)) for v in ends]
    return np.array(sorted({round(v, 2) for v in (middle, *found) if np.isfinite(v)}))


def _profile(
    crop: Image, inside: NDArray[np.bool_], teeth: NDArray[np.bool_], edge: Floats
) -> Floats:
    """Return the mean light just above the biting edge by column, nan where no teeth are."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    value = crop.max(2).astype(np.float32)
    bright = np.percentile(value[inside], 90)
    profile = np.full(crop.shape[1], np.nan)
    for x in range(crop.shape[1]):
        if np.isnan(edge[x]):
            continue
        rows = np.arange(round(edge[x] - 7), round(edge[x] - 1))
        rows = rows[(rows > 0) & (rows < crop.shape[0])]
        rows = rows[teeth[rows, x] | (inside[rows, x] & (value[rows, x] > 0.4 * bright))]
        if len(rows) >= 2:
            profile[x] = grey[rows, x].mean()
    return profile
