"""The frame ring's policy and the release delay that lives off it."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from visavis.streamer.media.delay import CALM, RETURN, Pace, ReleaseDelay
from visavis.streamer.media.ring import FrameRing


def ring(capacity_ms: int = 120) -> FrameRing[str]:
    return FrameRing(capacity_ms, 25)


def test_on_time_is_its_own_picture() -> None:
    r = ring()
    r.push(0, "a")
    r.push(1, "b")
    assert r.release(0) == ("a", True)
    assert r.release(1) == ("b", True)
    assert (r.counters.late, r.counters.repeated, r.counters.dropped) == (0, 0, 0)


def test_empty_at_the_deadline_repeats_the_last() -> None:
    r = ring()
    assert r.release(0) == (None, False)
    assert r.counters.repeated == 0, "nothing was there to repeat"
    r.push(1, "b")
    r.release(1)
    assert r.release(2) == ("b", False)
    assert r.counters.repeated == 1


def test_a_late_picture_is_shown_if_nothing_newer_is_there() -> None:
    r = ring()
    r.push(0, "a")
    r.release(0)
    r.release(1)
    r.push(1, "b")
    assert r.release(2) == ("b", True)
    assert r.counters.late == 1


def test_the_newest_due_picture_wins() -> None:
    r = ring()
    for i, picture in enumerate("abc"):
        r.push(i, picture)
    assert r.release(2) == ("c", True)
    assert r.counters.dropped == 2


def test_full_drops_the_oldest() -> None:
    r = ring(120)  # three frames
    for i, picture in enumerate("abcd"):
        r.push(i, picture)
    assert len(r) == 3 and r.counters.dropped == 1
    assert r.release(0) == (None, False), "the picture of frame 0 is gone"
    assert r.release(1) == ("b", True)


def test_later_than_the_capacity_is_skipped() -> None:
    r = ring(120)
    r.push(0, "a")
    r.release(0)
    for tick in range(1, 6):
        r.release(tick)
    assert r.skips(2) and not r.skips(3)
    assert not r.push(2, "c")
    assert r.counters.dropped == 1


def test_barge_in_clears_what_waits_and_keeps_what_is_shown() -> None:
    r = ring()
    r.push(0, "a")
    r.release(0)
    r.push(1, "b")
    r.clear()
    assert r.release(1) == ("a", False)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=200))
def test_the_ring_is_bounded_and_never_goes_back(steps: list[tuple[bool, int]]) -> None:
    r: FrameRing[int] = FrameRing(120, 25)
    shown, pushed, accepted, new = -1, 0, 0, 0
    for is_push, number in steps:
        if is_push:
            pushed += 1
            accepted += r.push(number, number)
        else:
            picture, is_new = r.release(number)
            if is_new:
                assert picture is not None and shown < picture <= number
                shown, new = picture, new + 1
        assert len(r) <= r.capacity
    assert pushed == new + r.counters.dropped + len(r)


def ticks(delay: ReleaseDelay, count: int, waited_ms: float = 20.0) -> None:
    for _ in range(count):
        delay.observe(on_time=True, waited_ms=waited_ms)


def test_one_hiccup_changes_nothing() -> None:
    delay = ReleaseDelay(25, 80, 120)
    before = delay.seconds
    for _ in range(3):
        delay.observe(on_time=False, waited_ms=0)
    ticks(delay, 40)
    assert delay.seconds == before
    assert before == (40 + 80 + 45) / 1000


def test_hiccups_again_and_again_cost_delay_up_to_a_bound() -> None:
    delay = ReleaseDelay(25, 80, 120)
    for _ in range(40):
        delay.observe(on_time=False, waited_ms=0)
        ticks(delay, 5)
    assert delay.headroom_ms == 120


def test_a_renderer_that_is_too_slow_costs_delay_too() -> None:
    delay = ReleaseDelay(25, 80, 120)
    for _ in range(10):
        delay.observe(on_time=False, waited_ms=0)
    assert delay.headroom_ms == 55


def test_calm_and_waiting_frames_bring_it_down_again() -> None:
    delay = ReleaseDelay(25, 80, 120)
    ticks(delay, CALM, waited_ms=30)
    assert delay.headroom_ms == 33.5, "half of what the slowest frame had to wait too long"
    ticks(delay, CALM, waited_ms=10)
    assert delay.headroom_ms == 30.5
    ticks(delay, CALM * 3, waited_ms=5)
    assert delay.headroom_ms == 30.5, "frames that hardly wait leave nothing to take away"


def test_the_first_late_frame_after_a_shrinking_takes_it_back() -> None:
    delay = ReleaseDelay(25, 80, 120)
    ticks(delay, CALM, waited_ms=14)
    assert delay.headroom_ms == 40
    ticks(delay, 30, waited_ms=9)
    delay.observe(on_time=False, waited_ms=0)
    assert delay.headroom_ms == 45
    ticks(delay, CALM, waited_ms=14)
    assert delay.headroom_ms == 45, "and the next is waited for longer"


def test_after_a_bad_line_latency_is_back_within_seconds() -> None:
    delay = ReleaseDelay(25, 80, 120)
    ticks(delay, CALM * 4, waited_ms=8)
    before = delay.headroom_ms
    for _ in range(30):  # jitter and loss: late again and again
        delay.observe(on_time=False, waited_ms=0)
        ticks(delay, 4, waited_ms=2)
    assert delay.headroom_ms == 120
    for _ in range(150):  # six seconds without; a frame waits for what nobody needs any more
        delay.observe(on_time=True, waited_ms=8 + delay.headroom_ms - before)
    assert delay.headroom_ms - before < 30


def bad_line(delay: ReleaseDelay, count: int) -> None:
    for _ in range(count):
        delay.observe(on_time=False, waited_ms=0)
        ticks(delay, 4, waited_ms=2)


def test_a_line_that_is_good_again_costs_nothing_after_half_a_second() -> None:
    delay = ReleaseDelay(25, 80, 120)
    ticks(delay, CALM * 4, waited_ms=7)
    before = delay.headroom_ms
    ticks(delay, CALM * 4, waited_ms=7)
    assert delay.headroom_ms == before, "settled"
    bad_line(delay, 6)
    extra = delay.headroom_ms - before
    assert 10 <= extra <= 30, "too little to be plenty"
    ticks(delay, RETURN - 1, waited_ms=8 + extra)
    assert delay.headroom_ms == before + extra
    ticks(delay, 1, waited_ms=8 + extra)
    assert delay.headroom_ms == before


def test_a_machine_that_has_become_slower_keeps_what_it_needs() -> None:
    delay = ReleaseDelay(25, 80, 120)
    before = delay.headroom_ms
    bad_line(delay, 6)
    ticks(delay, RETURN * 4, waited_ms=8)
    assert delay.headroom_ms > before + 9


def test_lulls_of_a_bad_line_are_not_taken_for_its_end_again_and_again() -> None:
    delay, returns = ReleaseDelay(25, 80, 120), 0
    settled = delay.headroom_ms
    for _ in range(60):  # a second and a half of trouble, one and a half of calm
        bad_line(delay, 7)
        extra = delay.headroom_ms - settled
        ticks(delay, 38, waited_ms=5 + extra)
        returns += delay.headroom_ms < settled + extra - 4
    assert returns <= 4


def test_what_was_taken_away_too_early_is_waited_for_longer() -> None:
    delay, waits = ReleaseDelay(25, 80, 120), []
    for _ in range(4):
        before, count = delay.headroom_ms, 0
        while delay.headroom_ms >= before:
            ticks(delay, 1, waited_ms=20)
            count += 1
        waits.append(count)
        for _ in range(2):
            delay.observe(on_time=False, waited_ms=0)
            ticks(delay, 3)
    assert waits[0] == CALM
    assert all(late >= 1.8 * early for early, late in itertools.pairwise(waits))


def test_a_closer_pace_keeps_less_and_shrinks_in_small_steps() -> None:
    """Sound that only slews cannot follow a leap, so the presenter's delay makes none."""
    close, wide = (ReleaseDelay(25, 40, 120, pace) for pace in (Pace(3.0, 2.0, 3.0), Pace()))
    for delay in (close, wide):
        delay.headroom_ms = 60.0
    least = []
    for delay in (close, wide):
        steps, before = [], delay.headroom_ms
        for _ in range(8000):
            delay.observe(on_time=True, waited_ms=delay.headroom_ms - 4.0)
            steps.append(before - delay.headroom_ms)
            before = delay.headroom_ms
        least.append((delay.headroom_ms, max(steps)))
    assert least[0][1] <= 3.0 < least[1][1]
    assert least[0][0] <= 8.0 < 10.0 <= least[1][0]


def test_a_picture_that_waits_is_known() -> None:
    r = ring()
    assert not r.has(0)
    r.push(3, "d")
    assert r.has(2) and r.has(3) and not r.has(4)
    r.release(3)
    assert not r.has(3)
