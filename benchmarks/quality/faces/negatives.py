"""Pictures without a face: objects, text, textures, portraits whose face is painted over."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
# Of scikit-image's own wheel; nobody is in them.
_NAMES = (
    "brick", "grass", "gravel", "cat", "coffee", "rocket", "hubble_deep_field", "page", "text",
    "clock", "coins", "moon", "horse", "immunohistochemistry", "colorwheel", "checkerboard",
    "cell", "retina", "logo",
)  # fmt: skip


def plain_pictures(wanted: int = 100) -> Iterator[Picture]:
    """Yield pieces of photographs without people, several a photograph, and smooth noise."""
    from skimage import data

    rng = np.random.default_rng(20)
    whole = []
    for name in _NAMES:
        try:
            whole.append(_rgb(getattr(data, name)()))
        except (OSError, AttributeError, ValueError, ImportError):
            continue  # some are fetched from a network, which is not asked here
    for at in range(wanted):
        if at < len(whole):
            yield whole[at]
        elif whole and at % 4:
            yield _piece(whole[at % len(whole)], rng)
        else:
            cells = int(rng.integers(3, 40))
            noise = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
            how = cv2.INTER_CUBIC if at % 8 else cv2.INTER_NEAREST
            yield np.asarray(cv2.resize(noise, (400, 300), interpolation=how), np.uint8)


def without_face(photo: Picture, points: NDArray[np.float32], seed: int) -> Picture:
    """Return a portrait with skin-coloured cloud where the face was: hair and shoulders stay."""
    rng = np.random.default_rng(seed)
    low, high = points[:468, :2].min(0), points[:468, :2].max(0)
    middle, half = (low + high) / 2, (high - low) * 0.68
    mask = np.zeros(photo.shape[:2], np.uint8)
    axes = (int(half[0]), int(half[1] * 1.1))
    cv2.ellipse(mask, (int(middle[0]), int(middle[1])), axes, 0, 0, 360, 255, -1)
    mean = photo[mask > 0].mean(0)
    cloud = rng.normal(0, 14, (5, 5, 1)).astype(np.float32)
    cloud = cv2.resize(cloud, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    soft = cv2.GaussianBlur(mask, (0, 0), max(1.0, half[0] / 20))[..., None] / 255.0
    out = photo * (1 - soft) + np.clip(mean + cloud, 0, 255) * soft
    return np.asarray(np.clip(out, 0, 255), np.uint8)


def _rgb(picture: NDArray[np.generic]) -> Picture:
    if picture.dtype == np.bool_:
        picture = picture.astype(np.uint8) * 255
    if picture.dtype != np.uint8:
        picture = (255 * np.clip(picture, 0, 1)).astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    return np.ascontiguousarray(picture[..., :3], np.uint8)


def _piece(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    side = int(rng.uniform(0.3, 0.8) * min(height, width))
    y, x = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    piece = picture[y : y + side, x : x + side]
    return np.ascontiguousarray(np.rot90(piece, int(rng.integers(4))))
