"""From what the page noted to figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from visavis.benchmarks.browser import movement_of
from visavis.benchmarks.common import percentiles
from visavis.benchmarks.detect import Movement, answering_cells, responses, still_after
from visavis.benchmarks.figures.intervals import slope_interval
from visavis.benchmarks.latency.stops import lips_still_after, shown_lips

WARM_UP_MS = 3000.0
FIGURES = ("mouth_to_lip_ms", "mic_to_sound_ms", "av_skew_ms", "first_frame_ms", "barge_in_ms")
_PERIOD_MS = 40.0
_STAMPED = 0.9  # of frames that must carry a believable stamp
_HOUR_MS = 3.6e6


def summarise(raw: dict[str, Any], within_ms: float = 700.0) -> dict[str, Any]:
    """Turn notes into figures.

    Args:
        raw: ``sent`` and ``heard`` (wall-clock ms of clicks), ``frames`` with ``wall``,
            ``mediaMs``, ``click``, ``offsetMs``, ``valid`` and maybe ``grid``, ``connects`` (ms to
            the first frame), ``stops``, ``began``, ``stopped``, ``stats``, ``errors``, ``grids``.
        within_ms: a click not answered within this is lost.

    Returns:
        The ``FIGURES`` as percentiles (sound later than picture is positive skew), how they were
        found, how steadily frames came, and the single readings under ``samples``.
    """
    start, stop = raw["began"] + WARM_UP_MS, raw["stopped"]
    clicks = [s for s in raw["sent"] if start < s < stop - within_ms]
    frames = [f for f in raw["frames"] if f["wall"] < stop]
    stamped = carries_stamp(frames)
    movement = movement_of(raw, stamped=stamped)
    seen = _seen_moves(movement, clicks, within_ms)
    lips = stamped_lips(frames, clicks, within_ms) if stamped else seen["onsets"]
    heard = [first_within(raw["heard"], c, within_ms) for c in clicks]
    skews = [
        (h - lip["offset"] - lip["wall"] if stamped else h - lip["wall"], c)
        for c, lip, h in zip(clicks, lips, heard, strict=True)
        if lip and h
    ]
    stops, stops_by = _stops(raw, movement, seen["sounds"], stamped)
    samples = {
        "mouth_to_lip_ms": [(x["wall"] - c, c) for c, x in zip(clicks, lips, strict=True) if x],
        "mic_to_sound_ms": [(h - c, c) for c, h in zip(clicks, heard, strict=True) if h],
        "av_skew_ms": skews,
        "first_frame_ms": [(ms, 0.0) for ms in raw["connects"]],
        **stops,
    }
    if stamped:
        samples["mouth_seen_moving_ms"] = seen["delays"]
    return {
        **{name: percentiles([v for v, _ in values]) for name, values in samples.items()},
        "method": {
            "picture": "stamp" if stamped else "change",
            "stops": stops_by,
            "resolution_ms": _PERIOD_MS,
            "false_rate_of_change": round(seen["false_rate"], 3),
        },
        "av_drift_ms_per_hour": _drift(skews),
        "clicks_sent": len(clicks),
        "frames": steadiness(frames, start, stop, stamped),
        "errors": raw["errors"],
        "last_stats": raw["stats"][-1] if raw["stats"] else None,
        "samples": {name: [round(v, 1) for v, _ in values] for name, values in samples.items()},
        "at_s": {
            name: [round((c - raw["began"]) / 1000, 1) for _, c in values]
            for name, values in samples.items()
            if name in FIGURES[:3]
        },
    }


def carries_stamp(frames: list[dict[str, Any]]) -> bool:
    """Whether the pictures carry media time: right parity, and it goes on like the wall clock.

    Half of all pictures have the right parity by chance, so that alone says nothing.
    """
    if len(frames) < 25:
        return False
    wall = np.array([f["wall"] for f in frames])
    media = np.array([f["mediaMs"] for f in frames], float)
    steady = np.abs(np.diff(wall) - np.diff(media)) < 1000
    valid = np.array([f["valid"] for f in frames])
    return float((steady & valid[1:]).mean()) > _STAMPED and np.ptp(media) > 0.5 * np.ptp(wall)


def first_within(times: list[float], after: float, within: float) -> float | None:
    return next((t for t in times if after < t < after + within), None)


def stamped_lips(
    frames: list[dict[str, Any]], clicks: list[float], within: float
) -> list[dict[str, float] | None]:
    """Return the first showing of the frame that carries each click's mark."""
    good = [f for f in frames if f["valid"] and f["click"]]
    first = {f["mediaMs"]: f for f in sorted(good, key=lambda f: -f["wall"])}
    marked = sorted(first.values(), key=lambda f: f["wall"])
    found: list[dict[str, float] | None] = []
    for click in clicks:
        frame = next((f for f in marked if click < f["wall"] < click + within), None)
        found.append({"wall": frame["wall"], "offset": frame["offsetMs"]} if frame else None)
    return found


def _seen_moves(movement: Movement, clicks: list[float], within: float) -> dict[str, Any]:
    """Look for movement after the clicks of the time from which pictures were kept."""
    wall = movement.wall
    nothing = {"onsets": [None] * len(clicks), "delays": [], "false_rate": 0.0, "sounds": []}
    gaps = np.flatnonzero(np.diff(wall) > 5000) if len(wall) else []
    end = wall[gaps[0]] if len(gaps) else (wall[-1] if len(wall) else 0.0)
    sounds = [c for c in clicks if c < end - within]
    if len(sounds) < 6:
        return nothing
    answers = responses(movement, sounds, within + 200)
    by_click = dict(zip(sounds, answers.onsets, strict=True))
    onsets = [by_click.get(c, np.nan) for c in clicks]
    return {
        "onsets": [{"wall": float(o), "offset": 0.0} if np.isfinite(o) else None for o in onsets],
        "delays": [(float(o) - c, c) for c, o in zip(clicks, onsets, strict=True) if o == o],
        "false_rate": answers.false_rate,
        "sounds": sounds,
    }


def _stops(
    raw: dict[str, Any], movement: Movement, sounds: list[float], stamped: bool
) -> tuple[dict[str, list[tuple[float, float]]], str]:
    """Return how long the mouth went on after barge-ins and after plain stops, and how it is known.

    Where the server tells what its pictures are drawn from, the lips decide, and what is seen in
    the pictures is given beside it.
    """
    cells = answering_cells(movement, sounds) if sounds else np.zeros(0, np.intp)
    seen = _still_times(raw["stops"], lambda stop: still_after(movement, stop, cells))
    shown = shown_lips(raw["frames"], raw.get("motion", [])) if stamped else None
    if shown is None:
        return seen, "picture"
    exact = _still_times(raw["stops"], lambda stop: lips_still_after(shown, stop))
    beside = {name.replace("_ms", "_seen_ms"): values for name, values in seen.items()}
    return {**exact, **beside}, "lips"


def _still_times(
    stops: list[dict[str, Any]], still_at: Callable[[float], float]
) -> dict[str, list[tuple[float, float]]]:
    out: dict[str, list[tuple[float, float]]] = {"barge_in_ms": [], "stop_to_still_ms": []}
    for stop in stops:
        still = still_at(stop["wall"])
        if np.isfinite(still):
            name = "barge_in_ms" if stop["interrupted"] else "stop_to_still_ms"
            out[name].append((still - stop["wall"], stop["wall"]))
    return out


def _drift(skews: list[tuple[float, float]]) -> dict[str, float] | None:
    slope = slope_interval([c / _HOUR_MS for _, c in skews], [s for s, _ in skews])
    if slope is None:
        return None
    return {
        "value": round(slope.value, 2),
        "low": round(slope.low, 2),
        "high": round(slope.high, 2),
    }


def steadiness(
    frames: list[dict[str, Any]], start: float, stop: float, stamped: bool
) -> dict[str, Any]:
    """Count by media time what was shown, what never was, and how even the intervals were.

    Media time is the stamp's, or that of the RTP timestamps where there is none; with the latter
    the frame rate is the server's and only its median step says which frames are missing.
    """
    steady = [f for f in frames if f["wall"] >= start and (f["valid"] if stamped else f["rtp"])]
    media = np.array([f["mediaMs"] if stamped else f["rtp"] / 90 for f in steady], float)
    times = np.unique(media)
    if len(times) < 2:
        return {"shown": len(times)}
    step = float(np.median(np.diff(times)))
    expected = round(float((times[-1] - times[0]) / step)) + 1
    walls = np.array([f["wall"] for f in steady])
    # A frame is late if it trails the pace of the ten seconds around it by more than a period;
    # the release delay may move over minutes, and that is in the latency, not here.
    lateness = walls - media
    pace = median_filter(lateness, size=250, mode="nearest")
    return {
        "fps": round(len(times) / ((stop - start) / 1000), 2),
        "shown": len(times),
        "expected": expected,
        "missing_percent": round(max(0.0, 100 * (1 - len(times) / expected)), 3),
        "late_percent": round(100 * float((lateness - pace > step).mean()), 3),
        "interval_ms": percentiles(np.diff(walls)),
    }
