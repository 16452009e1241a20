"""Cutting looks out of a photo, and the edges of a matte."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


def cut(photo: Picture, matrix: Floats, size: int) -> Picture:
    """Return a ``(size, size, 3)`` look at a photo; outside it, its border goes on.

    Args:
        photo: ``(H, W, 3)`` RGB.
        matrix: ``(2, 3)`` from pixels of the photo to pixels of the look.
        size: of the look in pixels.

    What is much larger than the look is averaged, not sampled: only the part that is seen is
    shrunk, so that a small face in a large photo costs no more than another.
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale >= 0.66:
        return _warp(photo, matrix, size)
    back = np.linalg.inv(matrix[:, :2])
    corners = (np.array([[0, 0], [size, 0], [0, size], [size, size]]) - matrix[:, 2]) @ back.T
    limit = np.array(photo.shape[1::-1])
    low = np.clip(np.floor(corners.min(0)) - 2, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 2, low + 1, limit).astype(int)
    part = photo[low[1] : high[1], low[0] : high[0]]
    small = [max(1, round(n * 1.25 * scale)) for n in (part.shape[1], part.shape[0])]
    shrunk = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
    factor = np.array(small) / np.array([part.shape[1], part.shape[0]])
    inner = matrix.copy()
    inner[:, 2] += matrix[:, :2] @ (low + 0.5 / factor - 0.5)
    inner[:, :2] = matrix[:, :2] / factor
    return _warp(np.asarray(shrunk, np.uint8), inner, size)


def _warp(photo: Picture, matrix: Floats, size: int) -> Picture:
    return np.asarray(
        cv2.warpAffine(
            np.ascontiguousarray(photo), matrix, (size, size), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )  # fmt: skip


def follow_edges(photo: Picture, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Guided filter (He, Sun and Tang 2010) of a mask along a photo's edges, in colour.

    Args:
        photo: ``(H, W, 3)`` RGB.
        mask: ``(H, W)`` float32, 0-1.
    """
    radius = max(2, round(max(photo.shape[:2]) / 100))
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(x, size, borderType=cv2.BORDER_REFLECT), np.float32)

    guide = photo.astype(np.float32) / 255
    of_guide, of_mask = mean(guide), mean(mask)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    products = np.stack([guide[..., i] * guide[..., j] for i, j in pairs], -1)
    # cv2.blur takes four channels at most
    spread = np.concatenate([mean(products[..., :3]), mean(products[..., 3:])], -1)
    a, b, c, d, e, f = (
        spread[..., k] - of_guide[..., i] * of_guide[..., j] + (1e-3 if i == j else 0.0)
        for k, (i, j) in enumerate(pairs)
    )
    along = mean(guide * mask[..., None]) - of_guide * of_mask[..., None]
    # Cramer's rule for the symmetric 3x3 system of every pixel
    inverse = np.stack(
        [d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b],
        -1,
    )
    determinant = a * inverse[..., 0] + b * inverse[..., 1] + c * inverse[..., 2]
    rows = inverse[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(*mask.shape, 3, 3)
    slope = np.einsum("hwij,hwj->hwi", rows, along) / np.maximum(determinant, 1e-12)[..., None]
    slope = slope.astype(np.float32)
    offset = of_mask - (slope * of_guide).sum(-1)
    out = (mean(slope) * guide).sum(-1) + mean(offset)
    return np.clip(out, 0.0, 1.0).astype(np.float32)
