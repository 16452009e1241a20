"""Shapes of a face in a picture: masks of contours, and which landmarks make them."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.arrays import Floats, Mask

# MediaPipe landmarks, subject's left then right where there are two.
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308,
               324, 318, 402, 317, 14, 87, 178, 88, 95)  # fmt: skip
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291,
               375, 321, 405, 314, 17, 84, 181, 91, 146)  # fmt: skip
UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291,
              308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78)  # fmt: skip
LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291,
              308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78)  # fmt: skip
CHEEKS = ((50, 101, 118, 117), (280, 330, 347, 346))


def polygon_mask(points: Floats, size: tuple[int, int]) -> Mask:
    """Return the pixels of ``size`` (rows, columns) inside a polygon of ``(N, 2)`` pixels."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 1, shift=4)
    return mask > 0


def box(mask: Mask) -> tuple[int, int, int, int]:
    """Return (y0, y1, x0, x1) around the pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
