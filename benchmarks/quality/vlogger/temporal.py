"""How steady pictures are over time, and how much they move and differ.

Points are in pixels and results in thousandths of the distance between the eyes.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SIDE = 192  # pixels that optical flow is computed on
_LOOSE, _CONSTANT = 0.01, 0.5  # of the flows' square, pixels: what forward and back may differ by


def jitter(points: Floats, unit: float) -> float:
    """Return the mean length of the second difference of landmarks ``(T, N, 2)``.

    Steady movement and stillness have none; what trembles has.
    """
    if len(points) < 3:
        return 0.0
    bent = points[:-2] - 2 * points[1:-1] + points[2:]
    return float(1000 * np.linalg.norm(bent, axis=-1).mean() / unit)


def diversity(points: Floats, unit: float) -> float:
    """Return how far seeds differ: the deviation of ``(S, T, N, 2)`` over the first axis."""
    spread = np.sqrt(points.var(axis=0).sum(-1))
    return float(1000 * spread.mean() / unit)


def movement(points: Floats, unit: float) -> float:
    """Return how far landmarks ``(T, N, 2)`` move: their deviation over time."""
    return float(1000 * np.sqrt(points.var(axis=0).sum(-1)).mean() / unit)


def warping_error(frames: Iterable[NDArray[np.uint8]]) -> float:
    """Return the mean squared difference of pictures that flow has brought together, times 1000.

    W.-S. Lai et al., *Learning Blind Video Temporal Consistency*, ECCV 2018, with grey levels in
    0-1; what flow forward and back do not agree on counts as hidden (M. Ruder et al., *Artistic
    style transfer for videos*, GCPR 2016). The flow is dense inverse search (T. Kroeger et al.,
    ECCV 2016), where the authors use a network's.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found: list[float] = []
    last = None
    for frame in frames:
        small = cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        if last is not None:
            found.append(_between(search, last, (small, grey)))
        last = (small, grey)
    return float(1000 * np.mean(found)) if found else 0.0


def _between(search: cv2.DISOpticalFlow, before: tuple, now: tuple) -> float:
    there = search.calc(before[1], now[1], np.zeros((_SIDE, _SIDE, 2), np.float32))
    back = search.calc(now[1], before[1], np.zeros((_SIDE, _SIDE, 2), np.float32))
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    at = there + np.stack([x, y], -1)
    moved = cv2.remap(now[0], at, None, cv2.INTER_LINEAR).astype(np.float64)
    returned = cv2.remap(back, at, None, cv2.INTER_LINEAR)
    apart = ((there + returned) ** 2).sum(-1)
    size = (there**2).sum(-1) + (returned**2).sum(-1)
    inside = (at >= 0).all(-1) & (at <= _SIDE - 1).all(-1)
    seen = inside & (apart <= _LOOSE * size + _CONSTANT)
    error = (((moved - before[0]) / 255) ** 2).mean(-1)
    return float(error[seen].mean()) if seen.any() else 0.0
