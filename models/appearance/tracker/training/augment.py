"""What cameras, lights and hands do to a picture; landmarks stay where they are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def relight(picture: Picture, rng: np.random.Generator) -> Picture:
    """Change exposure, contrast and colour; sometimes light from one side, sometimes grey."""
    x = picture.astype(np.float32)
    if rng.random() < 0.5:
        x = 255 * (x / 255) ** np.exp(rng.normal(0, 0.35))
    gain = np.exp(rng.normal(0, 0.18)) * np.exp(rng.normal(0, 0.08, 3))
    x = x * gain.astype(np.float32) + rng.normal(0, 8)
    if rng.random() < 0.3:
        corners = np.exp(rng.normal(0, 0.5, (2, 2))).astype(np.float32)
        size = (picture.shape[1], picture.shape[0])
        x *= cv2.resize(corners, size, interpolation=cv2.INTER_LINEAR)[..., None]
    if rng.random() < 0.12:
        x[:] = x.mean(2, keepdims=True)
    return np.clip(x, 0, 255).astype(np.uint8)


def wear(picture: Picture, rng: np.random.Generator) -> Picture:
    """Blur, shrink, add noise and JPEG, each sometimes."""
    height, width = picture.shape[:2]
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 2.0))
    if rng.random() < 0.25:
        small = max(24, int(width * rng.uniform(0.25, 0.8)))
        how = (cv2.INTER_AREA, cv2.INTER_LINEAR)[rng.integers(2)]
        picture = cv2.resize(picture, (small, max(1, small * height // width)), interpolation=how)
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.35:
        noise = rng.standard_normal((height, width, 3), np.float32) * rng.uniform(2, 14)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = int(rng.integers(25, 85))
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done:
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)


def occlude(picture: Picture, other: Picture, rng: np.random.Generator) -> Picture:
    """Lay a piece of another picture, or of one colour, over a part."""
    size = len(picture)
    mask = np.zeros((size, size), np.uint8)
    middle = tuple(int(v) for v in rng.integers(0, size, 2))
    axes = tuple(int(v) for v in rng.integers(size // 12, size // 4, 2))
    if rng.random() < 0.5:
        cv2.ellipse(mask, middle, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    else:
        box = cv2.boxPoints((middle, (2 * axes[0], axes[1]), float(rng.uniform(0, 180))))
        cv2.fillConvexPoly(mask, np.rint(box).astype(np.int32), 255)
    cover = np.empty_like(picture)
    if rng.random() < 0.5:
        cover[:] = rng.integers(0, 256, 3)
    else:
        cover[:] = cv2.resize(other, (size, size))
    return np.where(mask[..., None] > 0, cover, picture)


def texture(rng: np.random.Generator, size: int) -> Picture:
    """Return noise of several scales, stripes, blobs or plain colour."""
    x = np.zeros((size, size, 3), np.float32) + rng.integers(0, 256, 3)
    for cells in (2, 4, 9, 20, 48):
        if rng.random() < 0.6:
            deviation = rng.uniform(5, 60)
            grid = rng.normal(0, deviation, (cells, cells, 3 if rng.random() < 0.5 else 1))
            how = (cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.random() < 0.25)]
            grown = cv2.resize(grid.astype(np.float32), (size, size), interpolation=how)
            x += grown.reshape(size, size, -1)
    x = np.clip(x, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 12))):
        at, axes = rng.integers(0, size, 2), rng.integers(2, max(3, size // 4), 2)
        colour = [int(v) for v in rng.integers(0, 256, 3)]
        turn, width = float(rng.uniform(0, 180)), int(rng.integers(-1, 4)) or 1
        cv2.ellipse(x, [int(v) for v in at], [int(v) for v in axes], turn, 0, 360, colour, width)
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.4 else 0):  # emblems have letters
        word = "".join(chr(int(c)) for c in rng.integers(48, 123, int(rng.integers(1, 6))))
        where = [int(v) for v in rng.integers(0, size, 2)]
        colour = [int(v) for v in rng.integers(0, 256, 3)]
        large = float(rng.uniform(0.2, 0.02 * size))
        cv2.putText(x, word, where, int(rng.integers(0, 8)), large, colour, int(rng.integers(1, 5)))
    return x
