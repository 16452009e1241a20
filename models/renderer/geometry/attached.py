"""What of the picture goes with the head, and what stays with the shoulders.

Height alone does not tell a collar, a helmet's ring or a shoulder from a neck and hair at the same
height. What can be reached from the head without crossing an edge of the picture goes with it;
what can be reached like that from the shoulders stays.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.appearance.layers.layers import push_pull
from visavis.models.arrays import Floats, Image, ease

GRID = 128  # cells of the map on each side


class _AttachedTuning(NamedTuple):
    """What moves with the head, and what stays with the body.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    sweeps: int = 4  # over the map until ways through it are found
    edge: float = 0.25  # cells that a difference of one grey level is worth
    far: float = 1e6  # cells: not reached
    head_above: float = -3.5  # cm: the height of the nostrils, above which everything is head
    body_below: float = -4.5  # cm, below which clothes can be
    bin: int = 12  # grey levels of a bin of colours
    common: float = 0.002  # of the head that has a colour which counts as the head's
    foreign: float = 24.0  # grey levels from all of those
    # cells of clothes, and of such as do not reach an edge
    fewest: int = 24
    large: int = 200
    near_edge: float = 0.06  # of the picture
    # of both distances: the body's share at which a cell stays or goes
    stays: float = 0.12
    goes: float = 0.38
    # cm from the middle over which the neck's own column ends
    neck: tuple[float, float] = (3.0, 5.5)
    smooth: float = 1.2  # cells


_TUNING = _AttachedTuning()


@njit(cache=True, fastmath=True, nogil=True)
def _sweep(colour, inside, distance, edge, sweeps):
    """Relax shortest ways over the cells that are inside, in four directions of scanning.

    Args:
        colour: ``(H, W, 3)`` float32.
        inside: ``(H, W)`` bool; ways do not leave it.
        distance: ``(H, W)`` float32, 0 at the seeds, large elsewhere; changed in place.
        edge: length of one level of colour difference.
        sweeps: rounds.
    """
    rows, columns = distance.shape
    for _ in range(sweeps):
        for way in range(4):
            dy, dx = 1 - 2 * (way & 1), 1 - (way & 2)
            for j in range(rows):
                y = j if dy > 0 else rows - 1 - j
                for i in range(columns):
                    x = i if dx > 0 else columns - 1 - i
                    if not inside[y, x]:
                        continue
                    for k in range(3):
                        ny, nx = (y - dy if k != 1 else y), (x - dx if k != 0 else x)
                        if ny < 0 or nx < 0 or ny >= rows or nx >= columns:
                            continue
                        if not inside[ny, nx]:
                            continue
                        step = np.float32(0.0)
                        for c in range(3):
                            step += (colour[y, x, c] - colour[ny, nx, c]) ** 2
                        length = (np.float32(1.0) if k < 2 else np.float32(1.414)) + edge * np.sqrt(
                            step
                        )
                        distance[y, x] = min(distance[y, x], distance[ny, nx] + length)


def _foreign(colour: Floats, head: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where no colour of the head, hair included, comes near."""
    bins = (colour / _TUNING.bin).astype(np.int64)
    flat = (bins * (64 * 64, 64, 1)).sum(2)
    numbers, counts = np.unique(flat[head], return_counts=True)
    known = numbers[counts >= max(2.0, _TUNING.common * head.sum())]
    centres = (
        np.stack([known // 4096, known // 64 % 64, known % 64], 1) * _TUNING.bin + _TUNING.bin / 2
    )
    nearest = np.full(colour.shape[:2], np.inf, np.float32)
    for centre in centres.astype(np.float32):
        nearest = np.minimum(nearest, ((colour - centre) ** 2).sum(2))
    return np.asarray(nearest > _TUNING.foreign**2)


def head_share(picture: Image, alpha: Image, model: Floats, face: Floats) -> Floats:
    """Return how far each cell goes with the head, ``(GRID, GRID)`` in 0-1.

    Args:
        picture: ``(S, S, 3)`` the person's colour.
        alpha: ``(S, S)`` the person's opacity.
        model: ``(GRID, GRID, 2)`` model x and y of the cells' centres, cm.
        face: ``(N, 2)`` outline of the face in pixels.
    """
    outline = np.rint((face + 0.5) * (GRID / len(picture)) - 0.5).astype(np.int32)
    oval = cv2.fillPoly(np.zeros((GRID, GRID), np.uint8), [outline], (1.0,))
    oval = cv2.dilate(oval, np.ones((3, 3), np.uint8), iterations=2)
    small = cv2.resize(picture, (GRID, GRID), interpolation=cv2.INTER_AREA)
    colour = cv2.medianBlur(small, 3).astype(np.float32)
    inside = cv2.resize(alpha, (GRID, GRID), interpolation=cv2.INTER_AREA) > 127
    x, y = np.abs(model[..., 0]), model[..., 1]
    head = inside & ((y > _TUNING.head_above) | (oval > 0))
    body = (
        inside & ~head & (y < _TUNING.body_below) & (x > _TUNING.neck[0]) & _foreign(colour, head)
    )
    labels, sizes = cv2.connectedComponentsWithStats(body.astype(np.uint8))[1:3]
    left, top, width, height, area = sizes.T
    near = round(_TUNING.near_edge * GRID)
    # Shadow between hair and neck has a colour of its own too, but is small and ends inside.
    cut = (top + height >= GRID - near) | (left <= near) | (left + width >= GRID - near)
    clothes = (area >= _TUNING.fewest) & cut | (area >= _TUNING.large)
    body &= clothes[labels]
    if not head.any() or not body.any():
        return np.ones((GRID, GRID), np.float32)
    ways = []
    for seeds in (head, body):
        distance = np.where(seeds, 0.0, _TUNING.far).astype(np.float32)
        _sweep(colour, inside, distance, np.float32(_TUNING.edge), _TUNING.sweeps)
        ways.append(distance)
    ratio = ways[1] / np.maximum(ways[0] + ways[1], 1e-3)
    t = np.clip((ratio - _TUNING.stays) / (_TUNING.goes - _TUNING.stays), 0, 1)
    t = np.clip((_TUNING.neck[1] - x) / (_TUNING.neck[1] - _TUNING.neck[0]), t, 1)
    reached = inside & (np.minimum(ways[0], ways[1]) < _TUNING.far)
    share = ease(t)
    share = push_pull(np.where(reached, share, 0)[..., None], reached)[..., 0]
    share = np.maximum(np.maximum(share, 0), oval)
    return np.clip(cv2.GaussianBlur(share, (0, 0), _TUNING.smooth), 0, 1).astype(np.float32)
