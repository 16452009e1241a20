"""Figures of a call whose network was bad for a while: before, during, after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import percentiles
from visavis.benchmarks.latency.summary import WARM_UP_MS, carries_stamp, first_within, stamped_lips

NEAR_MS = 20.0  # a picture this little later than before the trouble is as before
_WINDOW = 12  # frames whose median is looked at, half a second
_STAYS_MS = 1000.0
_GAP_MS = 110.0  # between two shown pictures: two missing at 25 fps
_SETTLED_MS = 5000.0  # after the trouble; what is still later then has grown


@dataclass(frozen=True)
class Phases:
    """Wall-clock milliseconds: the trouble, and the ends of the call."""

    began: float
    bad_from: float
    bad_until: float
    stopped: float

    def named(self) -> dict[str, tuple[float, float]]:
        """Return the start and end of each phase."""
        return {
            "before": (self.began + WARM_UP_MS, self.bad_from),
            "during": (self.bad_from, self.bad_until),
            "after": (self.bad_until + _SETTLED_MS, self.stopped),
        }


def lateness(raw: dict[str, Any], phases: Phases) -> tuple[NDArray[np.float64], ...]:
    """Return when frames were shown, and how much later against media time than before.

    Media time is the stamp's, or the RTP timestamp where there is none.
    """
    stamped = carries_stamp(raw["frames"])
    frames = [f for f in raw["frames"] if (f["valid"] if stamped else f["rtp"] is not None)]
    wall = np.array([f["wall"] for f in frames], float)
    media = np.array([f["mediaMs"] if stamped else f["rtp"] / 90 for f in frames], float)
    kept = wall < phases.stopped
    wall, late = wall[kept], (wall - media)[kept]
    # A stamp that was misread is minutes off; it is no late picture.
    sane = np.abs(late - np.median(late)) < 10_000 if len(late) else late.astype(bool)
    wall, late = wall[sane], late[sane]
    start, end = phases.named()["before"]
    before = late[(wall >= start) & (wall < end)]
    return wall, late - (np.median(before) if len(before) else 0.0)


def recovery_ms(wall: NDArray[np.float64], late: NDArray[np.float64], end: float) -> float | None:
    """Return how long after the trouble pictures are again as timely as before, and stay so.

    The running median of half a second of frames must be within ``NEAR_MS`` of before for a
    second, and no two frames further apart than a quarter of one. None if that never comes.
    """
    after = np.flatnonzero(wall >= end)
    if len(after) < 2 * _WINDOW:
        return None
    times, values = wall[after], late[after]
    middle = np.array([np.median(values[k : k + _WINDOW]) for k in range(len(values) - _WINDOW)])
    starts = times[: len(middle)]
    gaps = np.diff(times, prepend=end)[: len(middle)]
    bad = (middle > NEAR_MS) | (gaps > 250)
    for k in range(len(starts)):
        span = (starts >= starts[k]) & (starts < starts[k] + _STAYS_MS)
        if starts[k] + _STAYS_MS <= times[-1] and not bad[k:][span[k:]].any():
            return float(starts[k] - end) if k else 0.0
    return None


def smooth_again_ms(wall: NDArray[np.float64], end: float) -> float | None:
    """Return how long after the trouble pictures come without a gap for a second, however old."""
    times = wall[wall >= end]
    for k in range(len(times)):
        span = times[(times >= times[k]) & (times <= times[k] + _STAYS_MS)]
        if times[-1] - times[k] >= _STAYS_MS and (np.diff(span) < _GAP_MS).all():
            return float(times[k] - end)
    return None


def summarise(raw: dict[str, Any], phases: Phases, within_ms: float) -> dict[str, Any]:
    """Turn the page's notes into figures of each phase, growth and recovery."""
    wall, late = lateness(raw, phases)
    stamped = carries_stamp(raw["frames"])
    out: dict[str, Any] = {"phases": {}}
    for name, (start, end) in phases.named().items():
        shown = (wall >= start) & (wall < end)
        clicks = [c for c in raw["sent"] if start < c < end - within_ms]
        frames = [f for f in raw["frames"] if start <= f["wall"] < end + within_ms]
        lips = stamped_lips(frames, clicks, within_ms) if stamped else []
        heard = [first_within(raw["heard"], c, within_ms) for c in clicks]
        steps = np.diff(wall[shown])
        out["phases"][name] = {
            "mouth_to_lip_ms": percentiles(
                [x["wall"] - c for c, x in zip(clicks, lips, strict=False) if x]
            ),
            "mic_to_sound_ms": percentiles(
                [h - c for c, h in zip(clicks, heard, strict=True) if h]
            ),
            "lateness_ms": percentiles(late[shown]),
            "fps": round(float(shown.sum()) / max(1e-3, (end - start) / 1000), 2),
            "longest_gap_ms": round(float(steps.max())) if len(steps) else None,
            **_counts(raw["stats"], start, end),
            **_held(raw["stats"], start, end),
        }
    before, after = out["phases"]["before"], out["phases"]["after"]
    out["recovery_ms"] = _rounded(recovery_ms(wall, late, phases.bad_until))
    out["smooth_again_ms"] = _rounded(smooth_again_ms(wall, phases.bad_until))
    out["recovery"] = _words(out["recovery_ms"])
    out["picture_growth_ms"] = _difference(after["lateness_ms"], before["lateness_ms"])
    out["sound_growth_ms"] = _difference(after["mic_to_sound_ms"], before["mic_to_sound_ms"])
    thin = slice(None, None, max(1, len(wall) // 4000))
    out["samples"] = {
        "at_s": [round(float(w - phases.began) / 1000, 2) for w in wall[thin]],
        "lateness_ms": [round(float(v), 1) for v in late[thin]],
    }
    out["bad_s"] = [
        round((t - phases.began) / 1000, 2) for t in (phases.bad_from, phases.bad_until)
    ]
    return out


def _counts(stats: list[dict[str, Any]], start: float, end: float) -> dict[str, Any]:
    """Return what the browser's totals grew by within a phase."""
    inside = [s for s in stats if start <= s["wall"] < end]
    names = {
        "keyframes": "video.keyFramesDecoded",
        "pli": "video.pliCount",
        "nack": "video.nackCount",
        "freezes": "video.freezeCount",
        "video_packets": "video.packetsReceived",
        "video_packets_lost": "video.packetsLost",
        "audio_samples": "audio.totalSamplesReceived",
        "audio_samples_concealed": "audio.concealedSamples",
    }
    if len(inside) < 2:
        return {}
    first, last = inside[0], inside[-1]
    return {name: last.get(key, 0) - first.get(key, 0) for name, key in names.items()}


def _held(stats: list[dict[str, Any]], start: float, end: float) -> dict[str, float | None]:
    """Return what the server and the two buffers of the browser held back within a phase.

    The server's delay against media time is its own word and None where it gives none.
    """
    inside = [s for s in stats if start <= s["wall"] < end]
    delays = [s["server"]["delay_ms"] for s in inside if "delay_ms" in (s.get("server") or {})]
    out: dict[str, float | None] = {
        "server_delay_ms": float(np.median(delays)) if delays else None,
    }
    leads = [
        s["server"]["sound_lead_ms"] for s in inside if "sound_lead_ms" in (s.get("server") or {})
    ]
    out["server_sound_lead_ms"] = float(np.median(leads)) if leads else None
    for kind, total, name in (
        ("video", "jitterBufferDelay", "viewer_video_buffer_ms"),
        ("audio", "jitterBufferDelay", "viewer_audio_buffer_ms"),
        ("audio", "jitterBufferTargetDelay", "viewer_audio_target_ms"),
    ):
        held, taken = (
            inside[-1].get(f"{kind}.{key}", 0) - inside[0].get(f"{kind}.{key}", 0) if inside else 0
            for key in (total, "jitterBufferEmittedCount")
        )
        out[name] = round(1000 * held / taken, 1) if taken else None
    return out


def _difference(after: dict[str, Any], before: dict[str, Any]) -> float | None:
    if after["p50"] is None or before["p50"] is None:
        return None
    return round(after["p50"] - before["p50"], 1)


def _words(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "not within the run"
    return f"after {milliseconds / 1000:.1f} s"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
