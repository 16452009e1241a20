"""What the photo's upper edge and sides cut off a person, continued outside the picture.

Without it the photo's first row or column is drawn out into streaks as soon as the head tips or
turns. The outline continues as the ellipse that leaves the picture with the outline's own slope;
above it closes where a skull would. Its texture mirrors the hair inside.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Floats, Image

OUTSIDE = 0.18  # of the picture's side that is added, as far as the shell reaches


class _CrownTuning(NamedTuple):
    """How a crown that the photo's edge cuts is continued.

    Set by eye on rendered portraits, not fitted.
    """

    slope_rows: float = 0.03  # of the side over which the outline's slope is measured
    shortest: float = 0.10  # of the half width that a cut crown rises at least
    round: float = 0.55  # of the height of a round cap that it rises at least
    smallest: float = 0.015  # of the side: shorter runs of an edge are no part of the outline
    eyes_to_crown: float = 1.16  # from eyes to crown over eyes to chin, hair included
    merged: float = 0.06  # of the side: gaps in the top row that do not end the head
    edge: float = 1.0  # pixels of softness
    sharp: float = 0.2  # of what is added, next to the edge, that is not softened
    soft: float = 0.08  # of what is added: blur
    softened: float = 0.75  # its share further out
    same: int = 30  # of 255: hair and forehead that differ less are not told apart
    skin: float = 0.5  # of a row between the temples from which it is forehead
    thinnest: float = 0.4  # of the rows above the hairline that are mirrored at least


_TUNING = _CrownTuning()


def rows_outside(size: int) -> int:
    """Return how many rows or columns are added at an edge of a picture of ``size``; even."""
    return 2 * round(OUTSIDE * size / 2)


def extend_sides(person: Image, cheeks: tuple[float, float], added: int = 0) -> Image:
    """Return ``(S, S + 2 added, 4)``: the person with what the sides cut off.

    Args:
        person: ``(S, S, 4)`` colour and opacity.
        cheeks: columns of the face's sides; what is mirrored ends before them.
        added: columns on either side; as far as the shell reaches if 0.
    """
    size = person.shape[0]
    added = added or rows_outside(size)
    turned = np.ascontiguousarray(person.transpose(1, 0, 2))  # the left side lies above
    left = _beside(turned, added, cheeks[0])
    right = _beside(turned[::-1], added, size - 1 - cheeks[1])[::-1]
    return np.ascontiguousarray(np.concatenate([left, turned, right]).transpose(1, 0, 2))


def _beside(person: Image, added: int, cheek: float) -> Image:
    """Return ``(added, S, 4)`` rows above a person whose left end was its top."""
    alpha = np.zeros((added, person.shape[1]), np.float32)
    for run in _runs(person[0, :, 3]):
        alpha = np.maximum(alpha, _bulge(person[..., 3], run, added))
    colour = _softened(_mirrored(person[..., :3], added, cheek))
    return np.dstack([colour, np.rint(255 * alpha).astype(np.uint8)])


def _bulge(alpha: Image, run: tuple[int, int], added: int) -> Floats:
    """Return the opacity of what the edge cut off at a run."""
    last = alpha.shape[1] - 1
    if run == (0, last):
        return np.ones((added, last + 1), np.float32)
    slopes = [max(0.0, -_slope(alpha, run, o)) for o in (-1, 1)]
    # A run that ends in a corner is half of what was cut off there.
    if run[0] == 0:
        run, slopes = (-run[1], run[1]), [slopes[1]] * 2
    elif run[1] == last:
        run, slopes = (run[0], 2 * last - run[0]), [slopes[0]] * 2
    cap = _cap(0.5 * (run[1] - run[0] + 1), float(np.mean(slopes)))
    return _ellipse(last + 1, added, run, slopes, max(cap, 1.0))


def extend_top(person: Image, eyes: tuple[float, float], chin: float, hairline: float) -> Image:
    """Return the person with the ``rows_outside(S)`` rows that the upper edge cut off.

    Args:
        person: ``(S, W, 4)`` colour and opacity.
        eyes: middle between the eyes, pixels.
        chin: row of the chin.
        hairline: row of the upper end of the forehead; what is mirrored ends above it.
    """
    size = person.shape[0]
    added = rows_outside(size)
    unit = chin - eyes[1]
    middle = np.s_[:, max(0, int(eyes[0] - 0.3 * unit)) : int(eyes[0] + 0.3 * unit) + 1]
    colour = _mirrored(person[..., :3], added, _hair_ends(person[..., :3][middle], hairline))
    alpha = np.zeros(colour.shape[:2], np.float32)
    segment = _segment(person[0, :, 3], eyes[0])
    if segment is not None:
        alpha = _dome(
            person[..., 3], segment, added, eyes[1] - _TUNING.eyes_to_crown * (chin - eyes[1])
        )
    opacity = np.rint(255 * alpha).astype(np.uint8)
    return np.concatenate([np.dstack([colour, opacity]), person], 0)


def _hair_ends(middle: Image, hairline: float) -> float:
    """Return the row where the forehead begins below the hair in the columns given."""
    rows = int(np.clip(hairline, 2, len(middle) - 1))
    forehead = np.median(middle[rows : rows + max(2, rows // 4)].astype(np.float32), (0, 1))
    top = np.median(middle[: max(2, rows // 8)].astype(np.float32), (0, 1))
    part = middle[:rows].astype(np.float32)
    skin = ((part - forehead) ** 2).sum(2) < ((part - top) ** 2).sum(2)
    if np.abs(forehead - top).max() < _TUNING.same:
        return float(rows)
    found = np.flatnonzero(skin.mean(1) > _TUNING.skin)
    return max(float(found[0]), _TUNING.thinnest * rows) if len(found) else float(rows)


def _mirrored(colour: Image, added: int, hairline: float) -> Image:
    """Fold the rows above the forehead upwards, back and forth where they are too few."""
    thick = int(np.clip(0.8 * hairline, 2, added))
    place = np.arange(added, 0, -1)
    wave = place % (2 * thick)
    return colour[np.where(wave < thick, wave, 2 * thick - 1 - wave)]


def _softened(folded: Image) -> Image:
    """Soften what lies further out: whole locks that stand mirrored catch the eye."""
    added = len(folded)
    soft = cv2.GaussianBlur(folded, (0, 0), _TUNING.soft * added)
    share = (
        np.clip((np.arange(added, 0, -1) / added - _TUNING.sharp) / _TUNING.sharp, 0, 1)
        * _TUNING.softened
    )
    mixed = folded * (1 - share[:, None, None]) + soft * share[:, None, None]
    return np.rint(mixed).astype(np.uint8)


def _runs(row: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return (first, last) of every part of an edge that the person covers."""
    solid = (row > 127).astype(np.uint8)
    gap = max(3, round(_TUNING.merged * len(row)) | 1)
    solid = cv2.morphologyEx(solid[None], cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))[0]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], solid, [0]])))
    shortest = _TUNING.smallest * len(row)
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2) if b - a > shortest]


def _segment(row: NDArray[np.uint8], middle: float) -> tuple[int, int] | None:
    """Return (first, last) column of the head in the top row, or None."""
    runs = [run for run in _runs(row) if run[1] - run[0] >= 0.04 * len(row)]
    if not runs:
        return None
    return min(runs, key=lambda run: max(run[0] - middle, middle - run[1], 0.0))


def _cap(half: float, slope: float) -> float:
    """Return the height of a cap whose rim slopes like that; heads are higher than round."""
    return float(1.3 * half * (np.hypot(1.0, slope) - slope))


def _dome(alpha: Image, segment: tuple[int, int], added: int, crown: float) -> Floats:
    """Return the opacity ``(added, W)`` of the part above the picture."""
    half = max(1.0, 0.5 * (segment[1] - segment[0] + 1))
    slopes = [max(0.0, -_slope(alpha, segment, o)) for o in (-1, 1)]
    cap = _cap(half, float(np.mean(slopes)))
    height = max(min(max(-crown, _TUNING.shortest * half), cap), _TUNING.round * cap)
    return _ellipse(alpha.shape[1], added, segment, slopes, min(max(height, 2.0), added - 3.0))


def _ellipse(
    width: int, added: int, run: tuple[int, int], slopes: list[float], height: float
) -> Floats:
    """Return the opacity ``(added, width)`` of a run that closes at ``height`` above the edge."""
    half = max(1.0, 0.5 * (run[1] - run[0] + 1))
    up = np.arange(added, 0, -1, dtype=np.float32)
    sides = []
    for slope in slopes:
        inward = slope / half
        # Ellipse through (half, 0) with that slope and its apex at `height`.
        turn = 1.0 - 2.0 * inward * height
        below = inward * height**2 / turn if turn > 0.1 else 5.0 * height
        axis = height + below
        rise = np.sqrt(np.clip(1 - ((up + below) / axis) ** 2, 0, 1))
        sides.append(half * rise / np.sqrt(max(1e-3, 1 - (below / axis) ** 2)))
    middle = 0.5 * (run[0] + run[1])
    x = np.arange(width, dtype=np.float32)[None]
    inside = np.minimum(
        (x - (middle - sides[0][:, None])) / _TUNING.edge,
        ((middle + sides[1][:, None]) - x) / _TUNING.edge,
    )
    inside = np.where((sides[0] + sides[1] < 1.0)[:, None], -1.0, inside)
    shape = np.clip(inside + 0.5, 0, 1).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(shape, (0, 0), _TUNING.edge), np.float32)


def _slope(alpha: Image, run: tuple[int, int], outward: int) -> float:
    """Return how many columns one end of a run moves outwards per row towards the edge."""
    rows = max(4, round(_TUNING.slope_rows * alpha.shape[0]))
    gap = max(3, round(_TUNING.merged * alpha.shape[1]) | 1)
    solid = (alpha[:rows] > 127).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))
    start = int(np.clip(sum(run) // 2, 0, alpha.shape[1] - 1))
    places = []
    for row in solid:
        side = row[start:] if outward > 0 else row[start::-1]
        ended = np.flatnonzero(side == 0)
        if len(ended) and ended[0] == 0:
            break
        places.append(int(ended[0]) if len(ended) else len(side))
    if len(places) < 4:
        return 0.0
    return float(-np.polyfit(np.arange(len(places)), places, 1)[0])
