"""Latency, skew, steadiness and capacity from what was noted, with delays that are known."""

from __future__ import annotations

import base64
from collections import deque

import numpy as np

from visavis.benchmarks.capacity.main import judge
from visavis.benchmarks.common import percentiles
from visavis.benchmarks.latency.sound import RATE, WORD_S, babble, synthetic_speech, words
from visavis.benchmarks.latency.summary import carries_stamp, summarise
from visavis.benchmarks.soak.summary import drift, growth
from visavis.benchmarks.viewer import Arrivals, Viewer
from visavis.streamer.worker.probe import Probe

CLICKS = [5000.0 + 1836.7 * k for k in range(24)]


def noted(lip_ms: float, sound_ms: float, drop: range = range(0), stamped: bool = True) -> dict:
    """A minute as the page would note it, media time 0 at wall 1000."""
    frames, grids = [], []
    for number in range(1500):
        if number in drop:
            continue
        media = number * 40
        click = next((c for c in CLICKS if media <= c - 1000 < media + 40), None)
        offset = 0 if click is None else int(click - 1000 - media)
        speaking = any(-40 < media - (c - 1000) < 600 for c in CLICKS)
        grid = np.full((32, 32), 90, np.uint8)
        grid[18:21, 12:20] += np.uint8(30 * speaking * (1 + number % 2) + number % 3)
        frames.append(
            {
                "wall": 1000 + media + lip_ms,
                "mediaMs": media if stamped else 12345,
                "rtp": 90 * media,
                "click": stamped and click is not None,
                "offsetMs": offset,
                "valid": stamped or number % 2 == 0,
                "grid": len(grids),
            }
        )
        grids.append(grid.tobytes())
    return {
        "sent": CLICKS,
        "heard": [c + sound_ms for c in CLICKS],
        "frames": frames,
        "grids": base64.b64encode(b"".join(grids)).decode(),
        "began": 1000.0,
        "stopped": 61_000.0,
        "connects": [400.0, 500.0, 450.0],
        "stops": [],
        "errors": [],
        "stats": [],
    }


def test_known_delays_come_out() -> None:
    result = summarise(noted(lip_ms=180, sound_ms=190))
    assert result["method"]["picture"] == "stamp"
    # A click waits inside its frame for 0-40 ms less than the frame's own 180.
    assert 140 <= result["mouth_to_lip_ms"]["p50"] <= 180
    assert result["mic_to_sound_ms"]["p50"] == 190
    assert abs(result["av_skew_ms"]["p50"] - 10) < 1
    assert result["first_frame_ms"] == {"p50": 450.0, "p95": 495.0, "p99": 499.0, "n": 3}
    assert result["frames"]["missing_percent"] == 0
    assert result["barge_in_ms"]["n"] == 0
    assert len(result["samples"]["mouth_to_lip_ms"]) == result["mouth_to_lip_ms"]["n"]


def test_a_server_without_a_stamp_is_measured_by_its_picture() -> None:
    raw = noted(lip_ms=180, sound_ms=190, stamped=False)
    assert not carries_stamp(raw["frames"])
    result = summarise(raw)
    assert result["method"]["picture"] == "change"
    assert result["mouth_to_lip_ms"]["n"] > 15
    assert 120 <= result["mouth_to_lip_ms"]["p50"] <= 260
    assert result["frames"]["fps"] > 24


def test_missing_frames_are_counted() -> None:
    result = summarise(noted(180, 180, drop=range(500, 520)))
    assert 1.0 < result["frames"]["missing_percent"] < 2.0


def test_click_that_was_never_answered_is_not_invented() -> None:
    raw = noted(180, 180)
    raw["heard"] = raw["heard"][:10]
    result = summarise(raw)
    assert result["mic_to_sound_ms"]["n"] < result["mouth_to_lip_ms"]["n"]


def test_every_word_begins_with_one_click_after_a_rest() -> None:
    sound = words(synthetic_speech(5), 10.0)
    probe = Probe(RATE, 25)
    probe.listen(sound)
    loud = np.flatnonzero(np.abs(sound) > 0.5)
    starts = loud[np.diff(loud, prepend=-RATE) > RATE // 4]
    assert len(probe._clicks) == len(starts) == 5
    for start in starts:
        assert not sound[start - int(1.2 * RATE) : start].any()
        assert np.abs(sound[start + RATE // 100 : start + int(WORD_S * RATE)]).max() > 0.1


def test_babble_has_no_pause_and_no_click() -> None:
    sound = babble(5)
    blocks = np.abs(sound[: 5 * RATE]).reshape(-1, RATE // 10).max(axis=1)
    assert blocks.min() > 0.02 and blocks.max() < 0.5


def test_percentiles_of_nothing() -> None:
    assert percentiles([])["n"] == 0
    assert percentiles(np.arange(101))["p95"] == 95


def arrivals(wall: np.ndarray, media: np.ndarray) -> Arrivals:
    out = Arrivals(90_000, marked=True)
    out.wall, out.media = deque(wall.tolist()), deque(media.tolist())
    return out


def viewer(lateness_s: np.ndarray) -> Viewer:
    media = np.arange(len(lateness_s)) * 0.04
    return Viewer("", "", np.zeros(1, np.float32), 512, arrivals(media + lateness_s, media))


def test_late_or_repeated_pictures_do_not_count_as_held() -> None:
    steady, jumpy = np.full(250, 0.1), np.full(250, 0.1)
    jumpy[::20] += 0.08
    before, fresh, stale = {"a": (0, 0)}, {"a": (250, 1)}, {"a": (250, 100)}
    assert judge([viewer(steady)], 0.0, before, fresh)["held"]
    assert not judge([viewer(steady)], 0.0, before, stale)["held"]
    late = judge([viewer(jumpy)], 0.0, before, fresh)
    assert not late["held"] and late["p99_lateness_ms_of_the_worst"] > 40
    assert not judge([viewer(steady), viewer(steady[:0])], 0.0, before, fresh)["held"]


class Packet:
    """The two fields of an RTP packet that arrivals look at."""

    def __init__(self, timestamp: int, marker: bool = True) -> None:
        self.timestamp, self.marker = timestamp % 2**32, marker


def test_arrivals_count_whole_pictures_and_survive_the_wrap() -> None:
    pictures = Arrivals(90_000, marked=True)
    start = 2**32 - 5 * 3600
    for number in range(10):
        assert not pictures.take(Packet(start + 3600 * number, marker=False))
        assert pictures.take(Packet(start + 3600 * number))
    assert np.allclose(np.diff(pictures.media), 0.04)


def test_drift_between_sound_and_picture_is_found_and_bounded() -> None:
    rng = np.random.default_rng(0)
    media = np.arange(0, 1200, 0.04)
    noise = rng.normal(0, 0.002, len(media))
    for per_hour in (0.0, 36.0):
        wall = media * (1 + per_hour / 3.6e6) + noise
        sound = np.arange(0, 1200, 0.01)
        found = drift(arrivals(wall, media), arrivals(sound, sound))["av_drift_ms_per_hour"]
        assert found["low"] < per_hour < found["high"]
        assert found["high"] - found["low"] < 10
    assert (
        drift(arrivals(media[:5], media[:5]), arrivals(media[:5], media[:5]))[
            "av_drift_ms_per_hour"
        ]
        is None
    )


def test_growth_is_told_from_noise() -> None:
    rng = np.random.default_rng(1)
    counts = [
        {"rss_mb": 700 + 0.1 * k + rng.normal(0, 1), "files": 20.0, "tasks": None}
        for k in range(300)
    ]
    found = growth(counts, [31.0, 32.0])
    assert found["rss_mb"]["per_1000_connects"]["low"] > 80
    assert found["files"]["per_1000_connects"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "tasks" not in found
    assert found["released_after_kill_s"]["n"] == 2
