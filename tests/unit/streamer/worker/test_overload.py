"""What gives way under overload, who gets in, and that a failing session stays alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fakes.fake_pipeline import FakePipeline, FakePipelines
from visavis.models.motion.stream import eager_ms
from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import AtCapacity
from visavis.streamer.metrics import Metrics
from visavis.streamer.session.admission import Admission, lanes, relative_cost
from visavis.streamer.worker.overload import Effort, OverloadGuard
from visavis.streamer.worker.pipeline.cores import compute_threads
from visavis.streamer.worker.pipeline.pipeline import RATE, SlotSpec
from visavis.streamer.worker.slot import Slot

STEP = RATE // 25
AHEAD = (80 - eager_ms(25, 80)) * RATE // 1000


class Machine:
    """Ticks at 25 fps, of which a fraction is stale."""

    def __init__(self) -> None:
        self.now = 100.0
        self.guard = OverloadGuard(lambda: self.now)
        self.seen: list[Effort] = []

    def run(self, seconds: float, stale: float) -> None:
        for i in range(round(seconds * 25)):
            self.now += 0.04
            hit = int((i + 1) * stale) > int(i * stale)
            if self.guard.tick(hit):
                self.seen.append(self.guard.effort)


def test_under_overload_nobody_gets_in_and_then_every_second_picture_goes() -> None:
    machine = Machine()
    machine.run(20, stale=0.2)
    assert machine.seen == [], "what is missing is less than half rate would cost"
    assert machine.guard.exhausted
    machine.run(20, stale=0.4)
    assert machine.seen == [Effort.HALF_RATE]
    assert machine.guard.exhausted


def test_refused_sessions_are_let_in_again_after_calm() -> None:
    machine = Machine()
    machine.run(8, stale=0.2)
    assert machine.guard.exhausted
    machine.run(3, stale=0.0)
    assert not machine.guard.exhausted
    assert machine.seen == []


def test_what_was_too_much_goes_with_the_last() -> None:
    machine = Machine()
    machine.run(20, stale=0.4)
    assert machine.guard.exhausted
    machine.guard.rest()
    assert machine.guard.effort is Effort.FULL and not machine.guard.exhausted
    machine.run(3, stale=0.4)
    assert not machine.guard.exhausted, "the next are judged by what they cost"


def test_a_stall_takes_nothing_away() -> None:
    machine = Machine()
    for _ in range(5):
        machine.run(1.5, stale=0.5)
        machine.run(4.5, stale=0.0)
    assert machine.seen == []


def test_effort_comes_back_after_calm_and_more_slowly_when_that_was_wrong() -> None:
    machine = Machine()
    waits = []
    for _ in range(3):
        while machine.guard.effort is Effort.FULL:
            machine.run(1, stale=0.5)
        began = machine.now
        while machine.guard.exhausted:
            machine.run(1, stale=0.0)
        waits.append(machine.now - began)
    assert waits[0] < 15
    assert waits[1] > 1.5 * waits[0] and waits[2] > 1.5 * waits[1]


def test_a_stale_frame_now_and_then_does_not_keep_the_effort_down() -> None:
    machine = Machine()
    machine.run(10, stale=0.5)
    assert machine.guard.effort is Effort.HALF_RATE
    machine.run(60, stale=0.015)
    assert machine.guard.effort is Effort.FULL
    assert not machine.guard.exhausted


# ------------------------------------------------------------------ in a slot


@pytest.fixture
def pipeline(tmp_path: Path) -> FakePipeline:
    (tmp_path / "anna.vav").write_bytes(b"")
    return FakePipelines().open(SlotSpec(str(tmp_path / "anna.vav"), size=256))


@pytest.fixture
def slot(tmp_path: Path, pipeline: FakePipeline) -> Slot:
    return Slot(SlotSpec(str(tmp_path / "anna.vav"), size=256), pipeline)


def drain(slot: Slot) -> None:
    while slot.deadline() is not None:
        slot.work()


def test_at_half_rate_every_second_frame_is_drawn_and_no_repeat_counts_as_late(
    slot: Slot, pipeline: FakePipeline
) -> None:
    slot.ease(Effort.HALF_RATE)
    slot.feed(0, np.zeros(STEP + AHEAD, np.int16))
    packets = []
    for frame in range(20):
        drain(slot)
        packets.append(slot.tick(frame))
        slot.feed((frame + 1) * STEP + AHEAD, np.zeros(STEP, np.int16))
    shown = [p for p in packets if p is not None]
    assert len(shown) == 20
    assert [p.repeated for p in shown] == [False, True] * 10
    assert pipeline.drawer.drawn <= 11
    assert slot.stale == 0 and shown[-1].dropped == 0
    slot.ease(Effort.FULL)
    drain(slot)
    again = [slot.tick(20)]
    slot.feed(21 * STEP + AHEAD, np.zeros(STEP, np.int16))
    drain(slot)
    again.append(slot.tick(21))
    assert not any(p.repeated for p in again if p is not None)


def test_at_half_rate_a_frame_gives_way_only_to_one_that_is_drawn(slot: Slot) -> None:
    slot.ease(Effort.HALF_RATE)
    slot.feed(0, np.zeros(STEP + AHEAD, np.int16))
    drain(slot)
    slot.tick(0)
    slot.feed(STEP + AHEAD, np.zeros(3 * STEP, np.int16))  # frames 1, 2, 3, when 3 is due
    slot.tick(3)
    drain(slot)
    late = slot.tick(4)
    assert late is not None and not late.repeated, "frame 2 is shown late, not dropped for 3"


# ------------------------------------------------------------------ who gets in


class Kept:
    """Stands for the supervisor."""

    up = True
    exhausted = False
    frame_ms: float | None = 14.0
    live_frame_ms: float | None = None


def admission(kept: Kept, most: int = 0, size: int = 512, width: float = 1.0) -> Admission:
    limits = LimitsConfig(max_sessions=most)
    return Admission(limits, 25, kept, Metrics(), size=size, lanes=width)  # type: ignore[arg-type]


def test_what_a_frame_costs_decides_how_many_get_in() -> None:
    kept = Kept()
    gate = admission(kept)
    gate.enter()
    gate.enter()
    with pytest.raises(AtCapacity, match="holds 2 sessions"):
        gate.enter()
    kept.frame_ms = 7.0
    assert gate.capacity == 4
    assert admission(kept, width=1.6).capacity == 7
    kept.frame_ms = 500.0
    assert gate.capacity == 1, "at least one"


def test_smaller_pictures_leave_room_for_more() -> None:
    gate = admission(Kept())
    for _ in range(4):
        gate.enter(256)
    with pytest.raises(AtCapacity):
        gate.enter(256)
    gate.leave(256)
    with pytest.raises(AtCapacity):
        gate.enter(512)
    gate.leave(256)
    gate.enter(512)
    assert relative_cost(256, 512) == pytest.approx(0.5)


def test_a_number_given_by_hand_counts_heads() -> None:
    gate = admission(Kept(), most=3, size=256)
    for _ in range(3):
        gate.enter(512)
    with pytest.raises(AtCapacity, match="holds 3 sessions"):
        gate.enter(256)


def test_nobody_is_added_while_nothing_is_left_to_give() -> None:
    kept = Kept()
    kept.exhausted = True
    gate = admission(kept)
    gate.enter()
    with pytest.raises(AtCapacity, match="overloaded"):
        gate.enter()
    kept.exhausted = False
    gate.enter()


@pytest.mark.parametrize(
    ("cores", "threads", "width"), [(1, 1, 1.0), (2, 1, 1.0), (4, 2, 1.5), (64, 4, 2.5)]
)
def test_cores_become_threads_and_room(cores: int, threads: int, width: float) -> None:
    assert compute_threads(cores) == threads
    assert lanes(cores) == pytest.approx(width)
