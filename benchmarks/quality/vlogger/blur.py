"""CPBD: the share of a picture's edges at which nobody would see blur.

N. D. Narvekar and L. J. Karam, *A No-Reference Image Blur Metric Based on the Cumulative
Probability of Blur Detection (CPBD)*, IEEE Transactions on Image Processing 20(9), 2011; widths of
edges after P. Marziliano et al., *A no-reference perceptual blur metric*, ICIP 2002. Higher is
better, 1 at most.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_BLOCK = 64
_EDGES = 0.002  # of a block's pixels, from which it is one with edges
_BETA = 3.6
_CONTRAST, _WIDTHS = 50, (5.0, 3.0)  # grey levels; just noticeable pixels below and above
_JUST_SEEN = 0.63  # probability of detection at the just noticeable width
_WIDEST = 40  # pixels to either side that an edge is followed
_CANNY = (50, 120)
_UPRIGHT = np.tan(np.pi / 8)  # an edge is measured along a row within 22.5 degrees of it


def _upright_edges(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the thinned edges that run upright, by Sobel's operator."""
    across, down = (cv2.Sobel(grey, cv2.CV_32F, k, 1 - k, ksize=3) / 8 for k in (1, 0))
    strength = across * across
    limit = 4 * float(strength.mean())
    edges = np.zeros(grey.shape, bool)
    middle = strength[:, 1:-1]
    edges[:, 1:-1] = (middle > limit) & (middle >= strength[:, :-2]) & (middle > strength[:, 2:])
    edges &= np.abs(down) <= _UPRIGHT * np.abs(across)
    return edges


def edge_widths(grey: NDArray[np.float32], rows: NDArray, columns: NDArray) -> NDArray[np.float64]:
    """Return how many pixels the grey level goes on rising or falling through edges.

    Args:
        grey: ``(H, W)``.
        rows: ``(N,)`` of the edges' pixels.
        columns: ``(N,)`` of them, none at the border.
    """
    steps = np.diff(grey, axis=1)
    way = np.sign(grey[rows, columns + 1] - grey[rows, columns - 1])
    width = np.zeros(len(rows))
    for side in (0, -1):
        going = way != 0
        for k in range(_WIDEST):
            at = columns + (k if side == 0 else -1 - k)
            inside = (at >= 0) & (at < steps.shape[1])
            step = steps[rows, np.clip(at, 0, steps.shape[1] - 1)]
            going &= inside & (np.sign(step) == way)
            if not going.any():
                break
            width += going
    return width


def cpbd(picture: NDArray[np.uint8]) -> float:
    """Return the cumulative probability of blur detection; nan where a picture has no edges.

    Args:
        picture: ``(H, W, 3)`` uint8 RGB.
    """
    levels = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    grey = levels.astype(np.float32)
    upright, any_edge = _upright_edges(grey), cv2.Canny(levels, *_CANNY) > 0
    sharp = total = 0
    for y in range(0, grey.shape[0] - _BLOCK + 1, _BLOCK):
        for x in range(0, grey.shape[1] - _BLOCK + 1, _BLOCK):
            part = np.s_[y : y + _BLOCK, x : x + _BLOCK]
            if any_edge[part].mean() <= _EDGES:
                continue
            rows, columns = np.nonzero(upright[part])
            if not len(rows):
                continue
            widths = edge_widths(grey, rows + y, columns + x)
            seen = _WIDTHS[int(np.ptp(levels[part].astype(int)) > _CONTRAST)]
            detected = 1 - np.exp(-((widths / seen) ** _BETA))
            sharp += int((detected <= _JUST_SEEN).sum())
            total += len(widths)
    return sharp / total if total else float("nan")
