"""The top of a head that the photo cuts off, continued above the picture.

Without it the photo's first row is drawn out into a straight column as soon as the head tips
forward. The outline continues as the ellipse that leaves the picture with the outline's own slope
and closes where a skull would; its texture mirrors the hair below.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

ABOVE = 0.16  # of the picture's side that is added, as far as the shell reaches
_SLOPE_ROWS = 0.03  # of the side over which the outline's slope is measured
_SHORTEST = 0.10  # of the half width that a cut crown rises at least
_CROWN = 1.16  # from eyes to crown over eyes to chin, hair included
_MERGED = 0.06  # of the side: gaps in the top row that do not end the head
_EDGE = 1.0  # pixels of softness


def rows_above(size: int) -> int:
    """Return how many rows ``extend_top`` adds to a picture of ``size`` rows; even."""
    return 2 * round(ABOVE * size / 2)


def extend_top(person: Image, eyes: tuple[float, float], chin: float, hairline: float) -> Image:
    """Return ``(S + rows_above(S), S, 4)``: the person with what the upper edge cut off.

    Args:
        person: ``(S, S, 4)`` colour and opacity.
        eyes: middle between the eyes, pixels.
        chin: row of the chin.
        hairline: row of the upper end of the forehead; what is mirrored ends above it.
    """
    size = person.shape[0]
    added = rows_above(size)
    colour = _mirrored(person[..., :3], added, hairline)
    alpha = np.zeros((added, size), np.float32)
    segment = _segment(person[0, :, 3], eyes[0])
    if segment is not None:
        alpha = _dome(person[..., 3], segment, added, eyes[1] - _CROWN * (chin - eyes[1]))
    opacity = np.rint(255 * alpha).astype(np.uint8)
    return np.concatenate([np.dstack([colour, opacity]), person], 0)


def _mirrored(colour: Image, added: int, hairline: float) -> Image:
    """Fold the rows above the forehead upwards, back and forth where they are too few."""
    thick = int(np.clip(0.8 * hairline, 2, added))
    place = np.arange(added, 0, -1)
    wave = place % (2 * thick)
    return colour[np.where(wave < thick, wave, 2 * thick - 1 - wave)]


def _segment(row: NDArray[np.uint8], middle: float) -> tuple[int, int] | None:
    """Return (first, last) column of the head in the top row, or None."""
    solid = (row > 127).astype(np.uint8)
    gap = max(3, round(_MERGED * len(row)) | 1)
    solid = cv2.morphologyEx(solid[None], cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))[0]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], solid, [0]])))
    runs = [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2) if b - a > 0.04 * len(row)]
    if not runs:
        return None
    return min(runs, key=lambda run: max(run[0] - middle, middle - run[1], 0.0))


def _dome(alpha: Image, segment: tuple[int, int], added: int, crown: float) -> Floats:
    """Return the opacity ``(added, S)`` of the part above the picture."""
    size = alpha.shape[1]
    left, right = segment
    half = max(1.0, 0.5 * (right - left + 1))
    slopes = [max(0.0, -_slope(alpha, e, o)) for e, o in ((left, -1.0), (right, 1.0))]
    # A round cap whose rim slopes like that is this high; heads are a little higher than round.
    steep = float(np.mean(slopes))
    cap = 1.3 * half * (np.hypot(1.0, steep) - steep)
    height = float(np.clip(min(max(-crown, _SHORTEST * half), cap), 2.0, added - 3.0))
    up = np.arange(added, 0, -1, dtype=np.float32)
    sides = []
    for slope in slopes:
        inward = slope / half
        # Ellipse through (half, 0) with that slope and its apex at `height`.
        turn = 1.0 - 2.0 * inward * height
        below = inward * height**2 / turn if turn > 0.1 else 5.0 * height
        axis = height + below
        width = np.sqrt(np.clip(1 - ((up + below) / axis) ** 2, 0, 1)) / np.sqrt(
            max(1e-3, 1 - (below / axis) ** 2)
        )
        sides.append(half * width)
    middle = 0.5 * (left + right)
    x = np.arange(size, dtype=np.float32)[None]
    inside = np.minimum(
        (x - (middle - sides[0][:, None])) / _EDGE, ((middle + sides[1][:, None]) - x) / _EDGE
    )
    inside = np.where((sides[0] + sides[1] < 1.0)[:, None], -1.0, inside)
    # Hair that the side of the picture cuts as well stays cut there.
    if left <= 1:
        inside = np.where(x < middle, np.maximum(inside, (height * 0.8 - up[:, None])), inside)
    if right >= size - 2:
        inside = np.where(x > middle, np.maximum(inside, (height * 0.8 - up[:, None])), inside)
    return np.clip(inside + 0.5, 0, 1).astype(np.float32)


def _slope(alpha: Image, edge: int, outward: float) -> float:
    """Return how many columns the outline moves outwards per row upwards at the top edge."""
    rows = max(4, round(_SLOPE_ROWS * alpha.shape[0]))
    places = []
    for y in range(rows):
        solid = np.flatnonzero(alpha[y] > 127)
        near = solid[np.abs(solid - edge) < 2 * rows]
        if len(near):
            places.append((y, near.min() if outward < 0 else near.max()))
    if len(places) < 4:
        return 0.0
    y, x = np.array(places, np.float64).T
    return float(-np.polyfit(y, x, 1)[0] * outward)
