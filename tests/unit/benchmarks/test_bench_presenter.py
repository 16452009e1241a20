"""The presenter's bench: what it reads of pictures and sound, and what it makes of it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from visavis.benchmarks.latency.sound import words
from visavis.benchmarks.presenter.devices import ExactMicrophone, ExactOutput, SeeingCamera
from visavis.benchmarks.presenter.sound import RATE, onsets
from visavis.benchmarks.presenter.summary import against, following, summarise
from visavis.streamer.media.encoder import to_i420
from visavis.streamer.worker.probe import Probe


def test_the_camera_reads_the_stamp_that_the_worker_burns() -> None:
    probe, camera = Probe(16_000, 25), SeeingCamera(640, 360, 3)
    sound = np.zeros(16_000, np.float32)
    sound[7 * 640 + 160] = 0.9  # 10 ms into frame 7
    probe.listen(sound)
    for frame in (6, 7, 8):
        picture = np.full((360, 640, 3), 90, np.uint8)
        probe.stamp(picture, frame)
        camera.send(to_i420(picture))
    assert camera.stamps.tolist() == [[240, -1], [280, 10], [320, -1]]
    assert len(camera.sent) == 3 and camera.grids.shape == (3, 32, 32)


def test_a_click_is_found_once_also_across_blocks() -> None:
    sound = np.zeros(4800, np.int16)
    sound[2395:2500] = 20_000
    found: list[float] = []
    for at in range(0, 4800, 480):
        found += onsets(sound[at : at + 480], 10.0 + (at + 480) / RATE, found)
    assert found == [pytest.approx(10.0 + 2395 / RATE)]


def test_effects_follow_their_causes() -> None:
    got = following(np.array([1.0, 2.0, 3.0]), np.array([1.1, 3.05, 9.0]))
    assert np.allclose(got[[0, 2]], [1.1, 3.05]) and np.isnan(got[1])


class Run(dict):
    """Pictures 90 ms after their frame's beginning, sound 95 ms after, a click a second."""

    def __init__(self) -> None:
        frames = np.arange(40 * 25)
        into = np.arange(1, 39) + 0.013
        stamps = np.stack([frames * 40, np.full(len(frames), -1)], 1)
        for click in into:
            frame = int(click / 0.04)
            stamps[frame, 1] = round(1000 * (click - frame * 0.04))
        grids = np.full((len(frames), 32, 32), 50, np.uint8)
        for click in into:
            first = int((click + 0.12) / 0.04)
            grids[first : first + 8, 20:23, 14:18] = 120
        super().__init__(
            sent=100 + frames * 0.04 + 0.09,
            stamps=stamps,
            grids=grids,
            draw_ms=np.full(500, 12.0),
            watched=np.stack(
                [np.arange(30.0), np.arange(30) * 0.6, np.full(30, 400.0), np.full(30, 95.0)], 1
            ),
        )
        self.into = 100 + into


def test_figures_are_what_was_put_in() -> None:
    run = Run()
    result = summarise(run, run.into, run.into + 0.095, 5.0)
    # A click 12-13 ms into its frame is seen that much sooner than 90 ms after.
    place = (run.into - 100) % 0.04
    expected = np.median(90 - 1000 * place[run.into > 105.09])
    assert result["mic_to_camera_ms"]["p50"] == pytest.approx(expected, abs=1.0)
    assert result["mic_to_sound_ms"]["p50"] == pytest.approx(95.0)
    assert result["av_skew_ms"]["p50"] == pytest.approx(5.0, abs=1.0)
    assert result["av_skew_ms"]["within_20"] == 1.0
    assert result["cores"]["p50"] == pytest.approx(0.6)
    assert 60 < result["mouth_seen_moving_ms"]["p50"] < 230
    asked = against({**result, "late_share": 0.004}, 40, "1280x720")
    assert asked["late < 1 %"] == "0.40 %" and len(asked) == 5
    assert against(result, 40, "512x512") == {}


def test_the_exact_devices_keep_time() -> None:
    arrived = threading.Event()
    sound = (words(np.ones(48_000, np.float32), 2.0) * 32_767).astype(np.int16)
    microphone = ExactMicrophone(sound, arrived)
    blocks: list[np.ndarray] = []
    while len(blocks) < len(sound) // 480:
        assert arrived.wait(5), "blocks must keep coming"
        arrived.clear()
        blocks += [block.samples for block in microphone.take(0.0)]
    assert np.array_equal(np.concatenate(blocks), sound[: len(blocks) * 480])
    output = ExactOutput()
    for block in blocks[-130:]:
        output.write(block)
    microphone.close()
    assert len(microphone.clicks) == 1 and len(output.clicks) <= 1
