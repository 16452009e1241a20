"""From what the people of a call took down to figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visavis.benchmarks.common import percentiles
from visavis.benchmarks.viewer import Arrivals

PERIOD_MS = 40.0
GOALS = {
    "fps": 24.5,  # at least, of the slowest stream
    "late_percent": 1.0,  # at most, of the worst avatar
    "join_ms": 1000.0,
    "leave_ms": 1000.0,
    "reconnect_ms": 3000.0,
    "worker_ms": 2000.0,
}


def stream_figures(arrivals: Arrivals, began: float, ended: float) -> dict[str, Any]:
    """Return what came of one stream between two moments, in monotonic seconds.

    ``late_percent`` is of pictures that trail the median pace of their own stream by more than a
    frame period; ``gap_ms`` the longest wait for the next picture, the one not yet come included.
    """
    wall, media = np.array(arrivals.wall), np.array(arrivals.media)
    inside = (wall >= began) & (wall < ended)
    wall, media = wall[inside], media[inside]
    edges = np.concatenate([[began], wall, [ended]])
    gap_ms = float(1e3 * np.diff(edges).max())
    if len(wall) < 3:
        return {"fps": 0.0, "late_percent": 100.0, "p99_ms": None, "gap_ms": gap_ms}
    trails = 1e3 * (wall - media)
    trails -= np.median(trails)
    return {
        "fps": round(len(np.unique(media)) / (ended - began), 2),
        "late_percent": round(100 * float((trails > PERIOD_MS).mean()), 2),
        "p99_ms": round(float(np.percentile(trails, 99)), 1),
        "gap_ms": round(gap_ms, 1),
    }


def steady(
    streams: Sequence[dict[str, Any]],
    before: dict[str, tuple[int, int]],
    after: dict[str, tuple[int, int]],
) -> dict[str, Any]:
    """Return the figures of a call that just goes on.

    Args:
        streams: of :func:`stream_figures`, every stream at every receiver.
        before: ``(sent, late or repeated)`` of every avatar at the server.
        after: the same at the end.
    """
    stale = [
        100 * (after[k][1] - before[k][1]) / max(1, after[k][0] - before[k][0])
        for k in before.keys() & after.keys()
    ]
    return {
        "streams": len(streams),
        "slowest_fps": min((s["fps"] for s in streams), default=0.0),
        "late_or_repeated_percent": [round(v, 2) for v in sorted(stale)],
        "late_or_repeated_percent_of_the_worst": round(max(stale, default=100.0), 2),
        "came_late_percent_of_the_worst": max((s["late_percent"] for s in streams), default=100.0),
        "longest_gap_ms": max((s["gap_ms"] for s in streams), default=None),
    }


def comings(joins: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the percentiles of how long it took to see and to be seen."""
    return {
        "own_picture_ms": percentiles([j["own"] for j in joins]),
        "first_picture_of_another_ms": percentiles([j["another"] for j in joins]),
        "all_pictures_ms": percentiles([j["all"] for j in joins]),
        "seen_by_others_ms": percentiles([t for j in joins for t in j["told_others"]]),
    }


def verdict(result: dict[str, Any]) -> dict[str, bool]:
    """Return which of the goals are met; p95 where there are several readings."""
    held = result["steady"]
    return {
        "fps": held["slowest_fps"] >= GOALS["fps"],
        "late": held["late_or_repeated_percent_of_the_worst"] < GOALS["late_percent"],
        "join": result["joins"]["first_picture_of_another_ms"]["p95"] <= GOALS["join_ms"],
        "leave": result["leave_seen_ms"]["p95"] <= GOALS["leave_ms"],
        "reconnect": result["reconnect"]["ms"]["p95"] <= GOALS["reconnect_ms"]
        and result["reconnect"]["same_id"],
        "worker": result["worker_death"]["longest_gap_ms"] <= GOALS["worker_ms"],
    }
