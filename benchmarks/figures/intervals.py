"""What a handful of figures allows one to say: intervals by resampling, and slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 2000
_LEVEL = 95  # percent, of every interval here
_BLOCK = 8  # readings that may depend on each other: neighbours share the server's state


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside."""
        return not self.low <= value <= self.high


def _resampled_medians(
    values: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return medians of resamples in blocks, since latency wanders and neighbours resemble."""
    count = len(values)
    block = max(1, min(_BLOCK, count // 4))
    starts = rng.integers(0, count - block + 1, (_RESAMPLES, -(-count // block)))
    places = (starts[..., None] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :count]
    return np.median(values[places], axis=1)


def ratio_interval(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Interval | None:
    """Return median(b) / median(a) with its bootstrap interval; None where it means nothing."""
    first, second = np.asarray(a, float), np.asarray(b, float)
    if min(len(first), len(second)) < 5:
        return None
    rng = np.random.default_rng(seed)
    below, above = _resampled_medians(first, rng), _resampled_medians(second, rng)
    if np.median(first) <= 0 or (below <= 0).any():
        return None
    return _interval(float(np.median(second) / np.median(first)), above / below)


def slope_interval(x: Sequence[float], y: Sequence[float], blocks: int = 20) -> Interval | None:
    """Return the slope of y over x with an interval that neighbours' likeness does not narrow.

    The readings are averaged in ``blocks`` stretches first; the line goes through the averages, so
    that slow wandering counts as noise (Student's t over the blocks).

    Returns:
        The slope, or None for fewer than four stretches.
    """
    times, values = np.asarray(x, float), np.asarray(y, float)
    blocks = min(blocks, len(times) // 3)
    if blocks < 4:
        return None
    if np.ptp(values) == 0:
        return Interval(0.0, 0.0, 0.0)
    from scipy.stats import linregress, t

    parts = np.array_split(np.argsort(times, kind="stable"), blocks)
    fit = linregress([times[p].mean() for p in parts], [values[p].mean() for p in parts])
    half = float(t.ppf(0.5 + _LEVEL / 200, blocks - 2) * fit.stderr)
    return Interval(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half)


def _interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(resampled, [50 - _LEVEL / 2, 50 + _LEVEL / 2])
    return Interval(value, float(low), float(high))
