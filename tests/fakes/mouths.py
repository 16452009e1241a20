"""Mouths for the tests of what lights them."""

from __future__ import annotations

import numpy as np

from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.refiner import RefinerInput


def talking(jaw: float = 0.3, **more: float) -> np.ndarray:
    values = neutral()
    values[INDEX["jawOpen"]] = jaw
    for side in ("Left", "Right"):
        values[INDEX["mouthLowerDown" + side]] = 0.12
    for name, value in more.items():
        values[INDEX[name]] = value
    return values


def frame(side: int, rng: np.random.Generator) -> RefinerInput:
    inside = np.zeros((side, side), bool)
    inside[side // 2 - 8 : side // 2 + 8, side // 3 : -side // 3] = True
    picture = rng.integers(0, 255, (3, side, side, 3)).astype(np.uint8)
    vertices = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)
    return RefinerInput(*picture, vertices + np.float32(60.0), inside)
