"""When pictures leave: as soon as they are drawn, never far from their time, never in a bunch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.fakes.fake_clock import FakeClock
from visavis.streamer.config import MediaConfig
from visavis.streamer.media.path import LEEWAY, MediaPath
from visavis.streamer.session.pacing import Pacing

FRAME_S = 0.040


class Rig:
    """Pacing over a real media path, a clock that is set by hand and a slot that keeps ticks."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ticks: list[tuple[int, float]] = []
        self.path = MediaPath(
            MediaConfig(look_ahead_ms=40), self.clock, lambda at, pcm: None, leeway=LEEWAY
        )
        self.path.begin()
        sound = SimpleNamespace(path=self.path, speak=lambda: None)
        chat = SimpleNamespace(shown=lambda at: None)
        slot = SimpleNamespace(tick=lambda frame: self.ticks.append((frame, self.clock.now())))
        self.pacing = Pacing(
            cast(Any, sound), cast(Any, chat), cast(Any, None), self.clock, 1200,
            lambda: cast(Any, slot),
        )  # fmt: skip

    def nominal(self, frame: int) -> float:
        return self.path.release(self.path.start_of(frame))

    def at(self, seconds: float) -> Rig:
        self.clock.set(seconds)
        return self


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_drawn_picture_leaves_before_its_time(rig: Rig) -> None:
    rig.at(rig.nominal(0) - 0.015).pacing.drawn(0)
    assert rig.ticks == [(0, pytest.approx(rig.nominal(0) - 0.015))]


def test_but_no_more_than_the_leeway(rig: Rig) -> None:
    rig.at(rig.nominal(0) - 0.035).pacing.drawn(0)
    assert not rig.ticks
    assert rig.pacing.next_release == pytest.approx(rig.nominal(0) - LEEWAY.sooner_s)
    rig.at(rig.pacing.next_release + 1e-4).pacing.look()
    assert [frame for frame, _ in rig.ticks] == [0]


def test_one_that_is_not_drawn_is_waited_for_and_then_given_up(rig: Rig) -> None:
    rig.at(rig.nominal(0) + LEEWAY.later_s - 0.001).pacing.look()
    assert not rig.ticks
    assert rig.pacing.next_release == pytest.approx(rig.nominal(0) + LEEWAY.later_s)
    rig.at(rig.pacing.next_release).pacing.look()
    assert [frame for frame, _ in rig.ticks] == [0], "the worker says then that it had none"


def test_two_never_leave_in_a_bunch(rig: Rig) -> None:
    rig.at(rig.nominal(0) + LEEWAY.later_s).pacing.look()
    rig.at(rig.nominal(1) - LEEWAY.sooner_s).pacing.drawn(1)
    assert len(rig.ticks) == 1
    rig.at(rig.pacing.next_release + 1e-4).pacing.look()
    (_, first), (frame, second) = rig.ticks
    assert frame == 1 and second - first >= LEEWAY.apart_s


def test_after_an_interruption_what_was_drawn_counts_no_more(rig: Rig) -> None:
    rig.at(rig.nominal(0) - 0.035).pacing.drawn(0)
    rig.pacing.forget()
    rig.at(rig.nominal(0)).pacing.look()
    assert not rig.ticks, "it is being made again"


def test_frames_that_were_missed_are_not_made_up_for(rig: Rig) -> None:
    rig.at(rig.nominal(7) + LEEWAY.later_s + 0.001).pacing.look()
    assert [frame for frame, _ in rig.ticks] == [7]


def test_sound_follows_pictures_that_leave_sooner(rig: Rig) -> None:
    before = rig.path.lead_s
    for _ in range(300):
        rig.at(rig.clock.now() + FRAME_S)
        rig.path.lead.pictures(0.012)
        _ = rig.path.lead_s
    assert rig.path.lead_s - before == pytest.approx(0.012, abs=0.001)
    assert rig.path.lead.sooner_s == pytest.approx(0.012, abs=0.001)
