"""Which landmarks are refined on a closer look, and where that look is taken.

Distances are in inter-ocular distances (IOD): between the means of both corners of each eye.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

RIGHT_EYE: Final = (33, 133)  # corners; right and left are the person's own
LEFT_EYE: Final = (362, 263)
MOUTH: Final = (61, 291)
# Of a look's side, in IOD: the eye with its brow; the mouth as far as a jaw drops.
EYE_SIDE: Final = 1.15
LIPS_SIDE: Final = 1.7
# Of the face's side (mean of width and height of the mesh): how much of it the face network sees.
FACE_ROOM: Final = 1.5
# Landmarks of each region by which errors are counted, too.
EYE: Final = (
    33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7,
    130, 247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25,
    113, 225, 224, 223, 222, 221, 189, 244, 233, 232, 231, 230, 229, 228, 31, 226,
    156, 70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 124,
    468, 469, 470, 471, 472,
)  # fmt: skip
LIPS: Final = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
    57, 43, 106, 182, 83, 18, 313, 406, 335, 273, 287, 186, 92, 165, 167, 164, 393, 391, 322, 410,
)  # fmt: skip


def centre(points: NDArray[np.floating], ends: tuple[int, int]) -> NDArray[np.float64]:
    """Return the middle of two landmarks, ``(2,)`` in their pixels."""
    return points[list(ends), :2].mean(0).astype(np.float64)


def eyes_apart(points: NDArray[np.floating]) -> tuple[float, float]:
    """Return the inter-ocular distance in pixels and the angle of the eyes' line in radians."""
    dx, dy = centre(points, LEFT_EYE) - centre(points, RIGHT_EYE)
    return max(float(np.hypot(dx, dy)), 1e-6), float(np.arctan2(dy, dx))


def look(
    middle: NDArray[np.floating], side: float, angle: float, size: int, *, mirrored: bool = False
) -> NDArray[np.float64]:
    """Return the ``(2, 3)`` matrix from pixels of the picture to pixels of a look.

    Args:
        middle: ``(2,)`` what comes to the middle of the look.
        side: of the look in pixels of the picture.
        angle: of the eyes' line in radians; it becomes level.
        size: of the look in pixels.
        mirrored: left and right change places, after turning.
    """
    scale = size / side
    c, s = np.cos(angle), np.sin(angle)
    turn = scale * np.array([[c, s], [-s, c]])
    if mirrored:
        turn[0] = -turn[0]
    offset = (size - 1) / 2 - turn @ np.asarray(middle, np.float64)
    return np.hstack([turn, offset[:, None]])


def mesh_box(points: NDArray[np.floating], angle: float) -> tuple[NDArray[np.float64], float]:
    """Return the middle, ``(2,)`` in pixels, and the mean side of the mesh, turned level."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, s], [-s, c]])
    turned = points[:468, :2] @ turn.T
    low, high = turned.min(0), turned.max(0)
    return turn.T @ ((low + high) / 2), float((high - low).mean())
