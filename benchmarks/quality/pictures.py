"""How near a picture is to the truth, by region: PSNR, SSIM, MS-SSIM, and what to trust of it.

Pictures are ``(H, W, 3)`` float or uint8 in 0-255; weights ``(H, W)`` in 0-1 say what counts.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SIGMA = 1.5
# The first three of the five scales of Wang et al. 2003, normalised: a crop has no room for more.
_SCALES = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)


def psnr(picture: NDArray, truth: NDArray, weight: NDArray) -> float:
    """Return the weighted peak signal-to-noise ratio in dB; at most 99."""
    error = ((picture.astype(np.float64) - truth) ** 2).mean(2)
    mean = float((error * weight).sum() / max(float(weight.sum()), 1e-9))
    return min(99.0, 10 * np.log10(255.0**2 / max(mean, 1e-9)))


def _maps(picture: Floats, truth: Floats) -> tuple[Floats, Floats]:
    def blur(image: Floats) -> Floats:
        return cv2.GaussianBlur(image, (11, 11), _SIGMA)

    a, b = blur(picture), blur(truth)
    aa, bb = blur(picture**2) - a * a, blur(truth**2) - b * b
    ab = blur(picture * truth) - a * b
    structure = (2 * ab + _C2) / (aa + bb + _C2)
    return (2 * a * b + _C1) / (a * a + b * b + _C1) * structure, structure


def ssim(picture: NDArray, truth: NDArray, weight: NDArray) -> float:
    """Return the weighted mean of the structural similarity of the grey pictures."""
    whole, _ = _maps(picture.astype(np.float64).mean(2), truth.astype(np.float64).mean(2))
    return float((whole * weight).sum() / max(float(weight.sum()), 1e-9))


def ms_ssim(picture: NDArray, truth: NDArray, weight: NDArray) -> float:
    """Return the same over three scales, the coarsest one with its light."""
    a, b = picture.astype(np.float64).mean(2), truth.astype(np.float64).mean(2)
    w, result = weight.astype(np.float64), 1.0
    for scale, power in enumerate(_SCALES):
        whole, structure = _maps(a, b)
        chosen = whole if scale == len(_SCALES) - 1 else structure
        value = float((chosen * w).sum() / max(float(w.sum()), 1e-9))
        result *= max(value, 1e-6) ** power
        a, b, w = (
            cv2.resize(v, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for v in (a, b, w)
        )
    return result


def sharpness(picture: NDArray, weight: NDArray) -> float:
    """Return the root of the mean squared gradient of the grey picture."""
    grey = picture.astype(np.float64).mean(2)
    dy, dx = np.gradient(grey)
    return float(np.sqrt(((dx**2 + dy**2) * weight).sum() / max(float(weight.sum()), 1e-9)))


def interval(
    values: Floats, groups: NDArray[np.int64], rounds: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return mean and 95 % bootstrap interval, drawing whole groups (people), not pictures."""
    people = np.unique(groups)
    sums = np.array([values[groups == p].sum() for p in people])
    counts = np.array([(groups == p).sum() for p in people], np.float64)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(people), (rounds, len(people)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(sums.sum() / counts.sum()), float(low), float(high)
