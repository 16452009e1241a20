"""How fast this machine is at this minute, so that figures of different days can be compared.

Three fixed pieces of work, each on one thread, stand for what a session does: interpreted Python
(the edge), warping a picture (drawing) and a Fourier transform (sound). Each is repeated; the
medians, divided into the reference machine's, are averaged geometrically. 1 is a quiet core of an
Intel Xeon of 2026 in a virtual machine; a machine at .5 needs twice as long for everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

# Milliseconds on the reference machine when nothing else ran.
REFERENCE_MS = {"python": 4.25, "warp": 2.0, "transform": 0.56}
_REPEATS = 60
_SIDE = 512
_SAMPLES = 1 << 16


def machine_speed(repeats: int = _REPEATS) -> dict[str, float]:
    """Time the fixed work, half a second in all.

    Returns:
        ``index``, and the median milliseconds of each piece.
    """
    timed = {name: _median_ms(work, repeats) for name, work in _pieces().items()}
    ratios = [REFERENCE_MS[name] / ms for name, ms in timed.items()]
    index = float(np.exp(np.mean(np.log(ratios))))
    return {"index": round(index, 3), **{f"{k}_ms": round(v, 3) for k, v in timed.items()}}


def between(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    """Return the speed around a measurement: the geometric mean of before and after."""
    index = (before["index"] * after["index"]) ** 0.5
    return {"index": round(index, 3), "before": before, "after": after}


def _pieces() -> dict[str, Callable[[], object]]:
    import cv2

    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32)
    map_x = columns + 3 * np.sin(rows / 31, dtype=np.float32)
    map_y = rows + 3 * np.cos(columns / 29, dtype=np.float32)
    picture = (np.stack([rows, columns, rows + columns], axis=2) % 251).astype(np.uint8)
    sound = np.sin(np.arange(_SAMPLES) ** 1.1)

    def warp() -> object:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR)
        finally:
            cv2.setNumThreads(threads)

    return {"python": _interpreted, "warp": warp, "transform": lambda: np.fft.rfft(sound)}


def _interpreted() -> int:
    counts: dict[int, int] = {}
    for number in range(30_000):
        key = number * 7919 % 97
        counts[key] = counts.get(key, 0) + (number & 3)
    return sum(counts.values())


def _median_ms(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))
