"""NIQE: how far a picture's statistics are from those of pictures that nothing was done to.

A. Mittal, R. Soundararajan and A. C. Bovik, *Making a "Completely Blind" Image Quality Analyzer*,
IEEE Signal Processing Letters 20(3), 2013. Lower is better. The pristine model is our own, fitted
to portraits, so figures compare with one another and not with those of papers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma

from visavis.benchmarks.common import BenchmarkError

Floats = NDArray[np.float64]
BLOCK = 96  # pixels, at the finer of two scales
FEATURES = 36
_SIGMA, _WINDOW = 7 / 6, (7, 7)
_SHARP = 0.75  # of the sharpest block's deviation: blocks that a pristine model learns from
_FEWEST = 2 * FEATURES  # blocks of a model: fewer leave its covariance singular
_SHAPES = np.arange(0.2, 10.001, 0.001)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, below, and both diagonals


@dataclass(frozen=True)
class Pristine:
    """The Gaussian of features of pictures that nothing was done to.

    Attributes:
        mean: ``(36,)``.
        covariance: ``(36, 36)``.
        blocks: that it was fitted to.
    """

    mean: Floats
    covariance: Floats
    blocks: int


def _grey(picture: NDArray[np.uint8]) -> Floats:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)


def _normalised(grey: Floats) -> tuple[Floats, Floats]:
    """Return the mean-subtracted, contrast-normalised picture and the local deviation."""
    border = cv2.BORDER_REPLICATE
    mean = cv2.GaussianBlur(grey, _WINDOW, _SIGMA, borderType=border)
    square = cv2.GaussianBlur(grey * grey, _WINDOW, _SIGMA, borderType=border)
    deviation = np.sqrt(np.abs(square - mean * mean))
    return (grey - mean) / (deviation + 1.0), deviation


def asymmetric_gaussian(values: Floats) -> tuple[float, float, float]:
    """Fit an asymmetric generalised Gaussian by its moments.

    N. E. Lasmar, Y. Stitou and Y. Berthoumieu, *Multiscale skewed heavy tailed model for texture
    analysis*, ICIP 2009.

    Returns:
        Shape (2 for a Gaussian), and the scale to the left and to the right.
    """
    values = values.ravel()
    left, right = values[values < 0], values[values > 0]
    low = float(np.sqrt(np.mean(left**2))) if len(left) else 1e-6
    high = float(np.sqrt(np.mean(right**2))) if len(right) else 1e-6
    skew = low / high
    moments = float(np.abs(values).mean() ** 2 / max(float(np.mean(values**2)), 1e-12))
    wanted = moments * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = float(_SHAPES[np.abs(_RATIOS - wanted).argmin()])
    size = float(np.sqrt(gamma(1 / shape) / gamma(3 / shape)))
    return shape, low * size, high * size


def _of_block(block: Floats) -> list[float]:
    """Return the 18 features of one block at one scale."""
    shape, left, right = asymmetric_gaussian(block)
    found = [shape, 0.5 * (left + right)]
    for down, aside in _NEIGHBOURS:
        pairs = block * np.roll(block, (down, aside), axis=(0, 1))
        shape, left, right = asymmetric_gaussian(pairs)
        mean = (right - left) * float(gamma(2 / shape) / gamma(1 / shape))
        found += [shape, mean, left, right]
    return found


def features(picture: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return the features ``(N, 36)`` of a picture's blocks, and their sharpness ``(N,)``.

    Args:
        picture: ``(H, W, 3)`` uint8 RGB, at least one block large. The second scale is the mean of
            2 x 2 pixels, where the authors' program resamples by cubics.

    Raises:
        BenchmarkError: it is smaller than a block.
    """
    grey = _grey(picture)
    rows, columns = (n // BLOCK for n in grey.shape)
    if not rows or not columns:
        raise BenchmarkError(f"A picture must have {BLOCK} pixels a side at least.")
    grey = grey[: rows * BLOCK, : columns * BLOCK]
    parts, sharp = [], np.zeros(rows * columns)
    for scale in (1, 2):
        normal, deviation = _normalised(grey)
        side = BLOCK // scale
        cells = [
            np.s_[r * side : (r + 1) * side, c * side : (c + 1) * side]
            for r in range(rows)
            for c in range(columns)
        ]
        parts.append(np.array([_of_block(normal[cell]) for cell in cells]))
        if scale == 1:
            sharp = np.array([deviation[cell].mean() for cell in cells])
        grey = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.concatenate(parts, axis=1), sharp


def fit(pictures: Iterable[NDArray[np.uint8]]) -> Pristine:
    """Fit the pristine model to the sharp blocks of pictures.

    Raises:
        BenchmarkError: the pictures have too few sharp blocks.
    """
    chosen = []
    for picture in pictures:
        found, sharp = features(picture)
        chosen.append(found[sharp >= _SHARP * sharp.max()])
    blocks = np.concatenate(chosen) if chosen else np.zeros((0, FEATURES))
    if len(blocks) < _FEWEST:
        raise BenchmarkError("There are too few pictures to fit NIQE's pristine model to.")
    return Pristine(blocks.mean(0), np.cov(blocks, rowvar=False), len(blocks))


def niqe(picture: NDArray[np.uint8], pristine: Pristine) -> float:
    """Return the distance of a picture's Gaussian of features from the pristine one."""
    found, _ = features(picture)
    spread = np.cov(found, rowvar=False) if len(found) > 1 else np.zeros((FEATURES, FEATURES))
    away = found.mean(0) - pristine.mean
    inverse = np.linalg.pinv((spread + pristine.covariance) / 2)
    return float(np.sqrt(max(0.0, float(away @ inverse @ away))))
