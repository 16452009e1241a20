"""Frame boundaries of sessions lie apart, and no session pays for it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes.fake_clock import FakeClock
from tests.fakes.kept import kept
from visavis.streamer.config import MediaConfig
from visavis.streamer.media.path import MediaPath
from visavis.streamer.media.phases import FramePhases
from visavis.streamer.media.timeline import RATE

PERIOD = 0.040


def test_the_roomiest_start_is_taken_and_the_first_if_all_are_alike() -> None:
    phases = FramePhases()
    starts = [100.0, 100.01, 100.02, 100.03]
    assert phases.prefer("a", starts, PERIOD) == 0
    phases.join("a", lambda: 100.0)
    assert phases.prefer("a", starts, PERIOD) == 0, "nobody is in one's own way"
    assert phases.prefer("b", starts, PERIOD) == 2
    phases.join("b", lambda: 55.02)
    assert phases.prefer("c", starts, PERIOD) == 1
    phases.leave("a")
    assert phases.prefer("c", starts, PERIOD) == 0


@pytest.mark.parametrize("packet_ms", [10, 20])
async def test_sessions_share_the_period_among_them(packet_ms: int) -> None:
    clock, phases, paths = FakeClock(), FramePhases(), []
    samples = np.zeros(packet_ms * RATE // 1000, np.int16)
    for _ in range(40 // packet_ms):
        path = MediaPath(MediaConfig(), clock, lambda position, pcm: None, phases)
        path.begin()
        await clock.advance(0.0801)  # every microphone's packets at nearly the same phase
        path.fill()
        path.sound(0, samples)
        assert path.timeline.due(clock.now()) == path.timeline.written, "nothing is waited for"
        paths.append(path)
    marks = sorted(path.timeline.start % PERIOD for path in paths)
    gaps = np.diff([*marks, marks[0] + PERIOD])
    assert gaps.min() > 0.7 * packet_ms / 1000
    for path in paths:
        path.end()
    assert kept(phases) == kept(FramePhases())
