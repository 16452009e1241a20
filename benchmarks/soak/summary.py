"""What hours of calls left behind, and whether sound and picture drifted."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import percentiles
from visavis.benchmarks.figures.intervals import Interval, slope_interval
from visavis.benchmarks.viewer import Arrivals

_DRIFT_WARM_UP_S = 60.0
_BIN_S = 2.0


def rounded(interval: Interval | None, digits: int = 2) -> dict[str, float] | None:
    """Return an interval as it stands in a result."""
    if interval is None:
        return None
    values = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: round(value, digits) for name, value in values.items()}


def skew_over_time(
    pictures: Arrivals, sounds: Arrivals
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return seconds and picture minus sound in ms, as they arrive for the same media time.

    Both RTP clocks of one session count the same media time from offsets of their own, so the
    level means nothing (it is set to 0 at the start) but its change is drift. Medians over 2 s.
    """
    lags = []
    for arrivals in (pictures, sounds):
        wall, media = np.array(arrivals.wall), np.array(arrivals.media)
        if len(wall) < 2:
            return np.zeros(0), np.zeros(0)
        lags.append((wall, 1e3 * (wall - media)))
    start = max(w[0] for w, _ in lags) + _DRIFT_WARM_UP_S
    stop = min(w[-1] for w, _ in lags)
    edges = np.arange(start, stop, _BIN_S)
    if len(edges) < 3:
        return np.zeros(0), np.zeros(0)
    binned = [_medians(wall, lag, edges) for wall, lag in lags]
    skew = binned[0] - binned[1]
    good = np.isfinite(skew)
    times, skew = edges[:-1][good] - edges[0], skew[good]
    return times, skew - (np.median(skew[:10]) if len(skew) else 0.0)


def _medians(
    wall: NDArray[np.float64], lag: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    places = np.searchsorted(wall, edges)
    out = np.full(len(edges) - 1, np.nan)
    for k, (first, last) in enumerate(pairwise(places)):
        if last > first:
            out[k] = np.median(lag[first:last])
    return out


def drift(pictures: Arrivals, sounds: Arrivals) -> dict[str, Any]:
    """Return the drift of picture against sound in ms per hour, extrapolated, with its interval."""
    times, skew = skew_over_time(pictures, sounds)
    slope = rounded(slope_interval(times / 3600, skew))
    return {
        "av_drift_ms_per_hour": slope,
        "watched_s": round(float(times[-1]) + _BIN_S, 1) if len(times) else 0.0,
        "skew_change_ms": percentiles(skew),
    }


def growth(counts: list[dict[str, float]], released: list[float]) -> dict[str, Any]:
    """Return how each resource went, as first, last, highest and slope per connect."""
    out: dict[str, Any] = {}
    for name in ("rss_mb", "files", "threads", "tasks", "sessions"):
        values = [c[name] for c in counts if c.get(name) is not None]
        if not values:
            continue
        slope = slope_interval(range(len(values)), values)
        out[name] = {
            "first": values[0],
            "last": values[-1],
            "max": max(values),
            "per_1000_connects": rounded(
                slope and Interval(1e3 * slope.value, 1e3 * slope.low, 1e3 * slope.high)
            ),
        }
    if released:
        out["released_after_kill_s"] = percentiles(released)
    return out
