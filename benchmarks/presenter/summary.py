"""From noted moments to figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import percentiles
from visavis.benchmarks.detect import Movement, responses

Moments = NDArray[np.float64]
_WITHIN_S = 0.9  # what comes later than this answers something else
_ASKED = {40: (75.0, 105.0), 80: (110.0, 140.0)}  # ms: p50 and p95 by look-ahead
SKEW_MS = 20.0


def following(causes: Moments, effects: Moments) -> Moments:
    """Return, for each cause, the first effect after it within ``_WITHIN_S``, else NaN."""
    at = np.searchsorted(effects, causes)
    padded = np.append(effects, np.inf)
    found = padded[np.minimum(at, len(effects))]
    return np.where(found - causes < _WITHIN_S, found, np.nan)


def clicks_seen(sent: Moments, stamps: NDArray[np.int64]) -> tuple[Moments, Moments]:
    """Return when the picture of each click was sent, and the click's place in its frame in s.

    Args:
        sent: seconds at which pictures were sent.
        stamps: ``(n, 2)`` media time and place of a click in ms, -1 where there is none.
    """
    with_click = stamps[:, 1] >= 0
    # A picture that is shown twice counts where it was shown first.
    first = np.unique(stamps[:, 0], return_index=True)[1]
    keep = np.zeros(len(stamps), bool)
    keep[first] = True
    keep &= with_click
    return sent[keep], stamps[keep, 1] / 1000.0


def summarise(run: Any, into: Moments, out: Moments, settle_s: float) -> dict[str, Any]:
    """Return the figures of a run.

    Args:
        run: what ``child`` wrote.
        into: seconds at which clicks went into the microphone.
        out: seconds at which they came out of the virtual one.
        settle_s: of the beginning that is not counted.
    """
    sent, stamps = run["sent"], run["stamps"]
    begin = float(sent[0]) + settle_s
    into = into[into > begin]
    seen, place = clicks_seen(sent, stamps)
    shown_at = following(into, seen)
    heard_at = following(into, out)
    offset = dict(zip(seen.tolist(), place.tolist(), strict=True))
    # The click lies within its picture's 40 ms, so it belongs that much after their beginning.
    belongs = np.array([t + offset[t] if t in offset else np.nan for t in shown_at.tolist()])
    skew = 1e3 * (heard_at - belongs)
    result = {
        "mic_to_camera_ms": _of(1e3 * (shown_at - into)),
        "mic_to_sound_ms": _of(1e3 * (heard_at - into)),
        "av_skew_ms": {**_of(skew), **_spread(skew)},
        "mouth_seen_moving_ms": _mouths(sent, run["grids"], into),
        "draw_ms": percentiles(run["draw_ms"]),
        **_watched(run["watched"]),
    }
    result["samples"] = {
        "mic_to_camera_ms": _listed(1e3 * (shown_at - into)),
        "mic_to_sound_ms": _listed(1e3 * (heard_at - into)),
        "av_skew_ms": _listed(skew),
    }
    return result


def _of(values: Moments) -> dict[str, float | int | None]:
    return percentiles(values[np.isfinite(values)])


def _listed(values: Moments) -> list[float]:
    return [round(float(v), 1) for v in values if np.isfinite(v)]


def _spread(skew: Moments) -> dict[str, Any]:
    skew = skew[np.isfinite(skew)]
    if not len(skew):
        return {}
    within = float((np.abs(skew) <= SKEW_MS).mean())
    ends = {"least": round(float(skew.min()), 1), "most": round(float(skew.max()), 1)}
    slope = float(np.polyfit(np.arange(len(skew)), skew, 1)[0]) if len(skew) > 9 else 0.0
    return {
        **ends,
        "within_20": round(within, 4),
        "drift_ms_of_the_run": round(slope * len(skew), 2),
    }


def _mouths(sent: Moments, grids: NDArray[np.uint8], into: Moments) -> dict[str, Any]:
    movement = Movement(1e3 * sent, grids.reshape(len(grids), -1).astype(np.float32))
    found = responses(movement, (1e3 * into).tolist())
    late = found.onsets - 1e3 * into
    return {**_of(late), "false_rate": round(found.false_rate, 3)}


def _watched(watched: NDArray[np.float64]) -> dict[str, Any]:
    if len(watched) < 2:
        return {}
    times, spent, resident, delay = watched.T
    cores = np.diff(spent) / np.diff(times)
    half = len(resident) // 2
    return {
        "cores": percentiles(cores, 2),
        "stated_delay_ms": percentiles(delay),
        "memory_mb": {
            "first": round(float(resident[0]), 1),
            "middle": round(float(resident[half]), 1),
            "last": round(float(resident[-1]), 1),
        },
    }


def against(result: dict[str, Any], look_ahead_ms: int, canvas: str) -> dict[str, str]:
    """Return what was asked for and what became of it, where something was asked for."""
    asked = _ASKED.get(look_ahead_ms)
    if asked is None or canvas != "1280x720":
        return {}
    camera = result["mic_to_camera_ms"]
    lines = {
        f"mic_to_camera {mark} <= {limit:.0f} ms": f"{camera[mark]}"
        for mark, limit in zip(("p50", "p95"), asked, strict=True)
    }
    lines["late < 1 %"] = f"{100 * result['late_share']:.2f} %"
    if "cores" in result:
        lines["work <= 1 core"] = f"{result['cores']['p50']}"
    lines["skew within 20 ms"] = f"{100 * result['av_skew_ms'].get('within_20', 0):.1f} %"
    return lines
