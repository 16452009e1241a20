from __future__ import annotations

import numpy as np

from benchmarks.common import percentiles
from benchmarks.latency.main import summarise
from benchmarks.latency.sound import RATE, synthetic_speech, with_clicks
from streamer.worker.probe import Probe


def noted(lip_ms: float, sound_ms: float, drop: range = range(0)) -> dict:
    """A minute as the page would note it, media time 0 at wall 1000."""
    clicks = [5000.0 + 1530 * k for k in range(30)]
    frames = []
    for number in range(1500):
        if number in drop:
            continue
        media = number * 40
        click = next((c for c in clicks if media <= c - 1000 < media + 40), None)
        offset = 0 if click is None else int(click - 1000 - media)
        frames.append(
            {
                "wall": 1000 + media + lip_ms,
                "mediaMs": media,
                "click": click is not None,
                "offsetMs": offset,
                "valid": True,
            }
        )
    return {
        "sent": clicks,
        "heard": [c + sound_ms for c in clicks],
        "frames": frames,
        "stopped": 61_000.0,
        "firstFrameMs": 400.0,
        "errors": [],
        "stats": [],
    }


def test_known_delays_come_out() -> None:
    result = summarise(noted(lip_ms=180, sound_ms=190))
    # A click waits inside its frame for 0-40 ms less than the frame's own 180.
    assert 140 <= result["mouth_to_lip_ms"]["p50"] <= 180
    assert result["mic_to_sound_ms"]["p50"] == 190
    assert abs(result["av_skew_ms"]["p50"] - 10) < 1
    assert result["frames"]["missing_percent"] == 0


def test_missing_frames_are_counted() -> None:
    result = summarise(noted(180, 180, drop=range(500, 520)))
    assert 1.0 < result["frames"]["missing_percent"] < 2.0


def test_click_that_was_never_answered_is_not_invented() -> None:
    raw = noted(180, 180)
    raw["heard"] = raw["heard"][:10]
    result = summarise(raw)
    assert result["mic_to_sound_ms"]["n"] < result["mouth_to_lip_ms"]["n"]


def test_speech_never_counts_as_a_click() -> None:
    sound = with_clicks(synthetic_speech(5), 10.0)
    probe = Probe(RATE, 25)
    probe.listen(sound)
    assert len(probe._clicks) == 6  # one a pause


def test_percentiles_of_nothing() -> None:
    assert percentiles([])["n"] == 0
    assert percentiles(np.arange(101))["p95"] == 95


def test_repeated_pictures_do_not_count_as_held() -> None:
    from benchmarks.capacity.main import _judge
    from benchmarks.viewer import Viewer

    viewer = Viewer("", "", np.zeros(1, np.float32), [k * 0.04 for k in range(250)])
    fresh = _judge([viewer], 0.0, {"a": (0, 0)}, {"a": (250, 1)})
    stale = _judge([viewer], 0.0, {"a": (0, 0)}, {"a": (250, 100)})
    assert fresh["held"] and not stale["held"]
