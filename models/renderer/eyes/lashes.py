"""Lashes: the photo's own, which a closing lid turns down."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit

from visavis.models.arrays import Floats, Image

LASH_LENGTH, _LASH_ROWS, _LASH_COLUMNS = 0.30, 24, 96  # of the eye's width; of their picture


class _LashTuning(NamedTuple):
    """Where lashes are found in a photo, and how they hang.

    Set by eye on rendered portraits, not fitted.
    """

    lash_strength: float = 0.60  # of the line where the lids meet, for lashes that hardly show
    tufts: float = 64.0  # radians along a lid's rim, or more: a dozen tufts of lashes
    uneven: float = 0.35  # of that, by which tufts are closer at one corner than at the other
    ahead: float = 1.2  # of the line's width, for lashes that neither stand nor hang
    # of the line's strength: the tufts of lashes that the photo does not resolve
    faint: float = 0.20
    # of the lid's length from a corner, from where lashes are as long as any
    lash_ends: float = 0.30
    gaps: float = 0.65  # how far the ends of hanging lashes part
    lash_noise: float = 0.10  # of the light: what is darker than the bare lid by less is no lash
    lash_near: float = 0.05  # of the eye's width along the rim, within which a lash leans
    # rows of the picture within which a lash begins: rims are not found to the pixel
    roots: int = 4


_TUNING = _LashTuning()


@njit(cache=True, fastmath=True, nogil=True)
def lash_at(line, ox, oy, half_width, lashes, length, fall):
    """Return how dark the lashes of a closing lid make a pixel, 0-1.

    ``lashes`` is the picture of ``lash_picture``; ``length`` pixels of the frame that it is long,
    ``fall`` how far lashes hang, 0-1.
    """
    nearest, place, below = np.float32(1e9), np.float32(0.0), False
    count = line.shape[0] - 1
    for s in range(count):
        ex, ey = line[s + 1, 0] - line[s, 0], line[s + 1, 1] - line[s, 1]
        px, py = ox - line[s, 0], oy - line[s, 1]
        t = (px * ex + py * ey) / (ex * ex + ey * ey + np.float32(1e-6))
        t = min(np.float32(1.0), max(np.float32(0.0), t))
        gx, gy = px - t * ex, py - t * ey
        d = gx * gx + gy * gy
        if d < nearest:
            nearest, place, below = d, (s + t) / np.float32(count), ex * py > ey * px
    # The line tapers to both corners; lashes hang down rather than stand up.
    taper = math.sqrt(max(0.0, 4.0 * place * (1.0 - place)))
    soft, tail, tuft = np.float32(2.0), np.float32(_TUNING.faint), np.float32(1.0)
    if below:
        uneven = (
            np.float32(_TUNING.tufts)
            * place
            * (np.float32(1.0) + np.float32(_TUNING.uneven) * place)
        )
        tuft = np.float32(0.5) + np.float32(0.5) * math.sin(uneven)
        soft = np.float32(8.0) + np.float32(14.0) * tuft
    rows, columns = lashes.shape
    column = min(np.float32(columns - 1.001), place * np.float32(columns - 1))
    c = int(column)
    t = column - c
    root = max(lashes[0, c], lashes[1, c])
    # Half-way down they point at the viewer: a thick rim.
    half_width *= np.float32(1.0) + np.float32(_TUNING.ahead) * root * (np.float32(1.0) - fall)
    d = nearest / (half_width * half_width)
    a = np.float32(_TUNING.lash_strength) + np.float32(0.35) * root
    a *= np.exp(-d) * (0.15 + 0.85 * taper) + tail * taper * taper * np.exp(-d / soft)
    if below and fall > np.float32(0.05):
        # Shorter and sparser towards the corners, and in tufts towards their ends.
        left, right = ox - line[0, 0], line[count, 0] - ox
        ends = min(left, right) / (np.float32(_TUNING.lash_ends) * (left + right))
        ends = min(np.float32(1.0), max(np.float32(0.02), ends))
        ends *= np.float32(2.0) - ends
        row = math.sqrt(nearest) / (length * fall * ends) * np.float32(rows)
        k = int(row)
        if k < rows - 1:
            u = row - k
            high = lashes[k, c] + t * (lashes[k, c + 1] - lashes[k, c])
            low = lashes[k + 1, c] + t * (lashes[k + 1, c + 1] - lashes[k + 1, c])
            ends *= (
                np.float32(1.0) - np.float32(_TUNING.gaps) * (np.float32(1.0) - tuft) * row / rows
            )
            a = max(a, (high + u * (low - high)) * ends * min(np.float32(1.0), 2 * fall))
    return min(a, np.float32(1.0))


def smoothed(rim: Floats) -> Floats:
    """Return a rim ``(N, 2)``, smoothed a little."""
    line = rim.copy()
    for _ in range(3):
        line[1:-1] = 0.25 * line[:-2] + 0.5 * line[1:-1] + 0.25 * line[2:]
    return np.ascontiguousarray(line)


def lash_picture(photo: Image, bare: Image, rim: Floats, width: float) -> Floats:
    """Return how dark a photo's upper lashes are: row 0 at the rim, columns along it, 0-1.

    Args:
        photo: ``(P, P, 3)`` an open eye.
        bare: ``(P, P, 3)`` the same with the lid closed over it, without lashes.
        rim: ``(N, 2)`` the upper lid's rim, left to right, in pixels.
        width: of the eye in pixels.

    Returns:
        ``(_LASH_ROWS, _LASH_COLUMNS)`` float32. A fold, which no lash joins to the rim, is not in
        it.
    """
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    seen, skin = photo.astype(np.float32) @ weights, bare.astype(np.float32) @ weights
    dark = np.clip(
        (1.0 - seen / np.maximum(skin, 8.0) - _TUNING.lash_noise) / (1 - _TUNING.lash_noise), 0, 1
    )
    place = np.linspace(0, len(rim) - 1, _LASH_COLUMNS)
    at = np.stack([np.interp(place, np.arange(len(rim)), rim[:, k]) for k in (0, 1)], 1)
    along = np.gradient(at, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
    up = np.stack([along[:, 1], -along[:, 0]], 1)
    away = np.linspace(0, LASH_LENGTH * width, _LASH_ROWS)
    grid = (at[None] + away[:, None, None] * up[None]).astype(np.float32)
    found = cv2.remap(dark, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR)
    reach = 2 * max(1, round(_TUNING.lash_near * _LASH_COLUMNS)) + 1
    lean = cv2.dilate(found, np.ones((1, reach), np.uint8))
    lean[: _TUNING.roots] = lean[: _TUNING.roots].max(0)
    joined = np.minimum.accumulate(lean, axis=0)
    fade = np.clip(2.0 - 2.0 * np.arange(_LASH_ROWS) / (_LASH_ROWS - 1), 0, 1)
    return (np.minimum(found, joined) * fade[:, None]).astype(np.float32)
