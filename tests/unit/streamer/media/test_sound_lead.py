from __future__ import annotations

import math

import numpy as np
import pytest

from visavis.streamer.media.lead import HELD_MS, SoundLead
from visavis.streamer.media.timeline import RATE, Timeline

DELAY_S = 0.15


class Viewer:
    """A lead asked every 10 ms of a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 5.0
        self.lead = SoundLead(50, lambda: self.now)

    def after(self, seconds: float, *, delay_s: float = DELAY_S, lateness_s: float = 0.0) -> float:
        value = 0.0
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            value = self.lead.seconds(delay_s, lateness_s)
        return value


def test_a_viewer_that_says_nothing_has_the_configured_lead() -> None:
    assert Viewer().after(60) == 0.05


def test_sound_that_is_held_longer_leaves_earlier_by_as_much() -> None:
    viewer = Viewer()
    viewer.lead.held(HELD_MS + 40)
    assert 0.06 < viewer.after(1) < 0.08, "at a rate that time-stretching hides"
    assert viewer.after(2) == pytest.approx(0.09)


def test_coming_back_is_slower_than_a_buffer_forgets_jitter() -> None:
    viewer = Viewer()
    viewer.lead.held(HELD_MS + 40)
    viewer.after(3)
    viewer.lead.held(HELD_MS - 20)
    assert 0.085 < viewer.after(2) < 0.0875
    assert viewer.after(30) == pytest.approx(0.05), "never less than configured"


def test_sound_does_not_leave_before_it_is_here() -> None:
    viewer = Viewer()
    viewer.lead.held(HELD_MS + 200)
    assert viewer.after(20, lateness_s=0.03) == pytest.approx(DELAY_S - 0.03 - 0.018)
    assert viewer.after(0.01, delay_s=0.13, lateness_s=0.03) == pytest.approx(0.082)
    assert viewer.after(1, lateness_s=0.2) == 0.05, "a stall takes nothing from what was configured"


@pytest.mark.parametrize("wrong", [-1.0, 1e9, math.nan, math.inf])
def test_what_no_buffer_holds_is_refused(wrong: float) -> None:
    viewer = Viewer()
    with pytest.raises(ValueError, match="A buffer holds sound"):
        viewer.lead.held(wrong)
    assert viewer.after(5) == 0.05


def test_the_timeline_knows_its_latest_sound_for_some_seconds() -> None:
    timeline = Timeline(0.0)
    block = np.ones(RATE // 100, np.int16)
    for number in range(3000):
        late = 0.04 if number == 500 else 0.0
        timeline.push(number * len(block), block, (number + 1) / 100 + late)
        if number == 700:
            assert timeline.lateness_s == pytest.approx(0.04, abs=1e-3)
    assert timeline.lateness_s == pytest.approx(0.0, abs=1e-3)
