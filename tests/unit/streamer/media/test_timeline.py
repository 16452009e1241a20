"""Media time keeps the clock's pace whatever the microphone does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from visavis.streamer.media.timeline import DEAD_LAG, GRACE, MAX_AHEAD, RATE, Timeline

BLOCK = 480


def tone(start: int, count: int) -> NDArray[np.int16]:
    t = np.arange(start, start + count) / RATE
    return (8000 * np.sin(2 * np.pi * 300 * t)).astype(np.int16)


def play(
    timeline: Timeline,
    seconds: float,
    *,
    rate: float = 1.0,
    delay_s: float = 0.0,
    lost: tuple[int, ...] = (),
    start: int = 0,
) -> None:
    """Push 10 ms blocks as a source whose clock runs at ``rate`` would send them."""
    for i in range(start, start + round(seconds * 100 * rate)):
        now = (i + 1) * 0.01 / rate + delay_s
        timeline.fill(now)
        if i not in lost:
            timeline.push(10_000 + i * BLOCK, tone(i * BLOCK, BLOCK), now)


def test_sound_is_written_as_it_comes() -> None:
    timeline = Timeline(0.0)
    play(timeline, 1.0)
    assert timeline.written == RATE
    assert timeline.concealed == timeline.refused == 0
    np.testing.assert_array_equal(timeline.read(BLOCK, RATE - BLOCK), tone(BLOCK, RATE - BLOCK))


def test_nothing_at_all_is_silence_at_the_clocks_pace() -> None:
    timeline = Timeline(5.0)
    for i in range(1, 301):
        timeline.fill(5.0 + i * 0.01)
        assert timeline.due(5.0 + i * 0.01) - timeline.written == DEAD_LAG
    assert not timeline.read(0, timeline.written).any()


def test_a_lost_packet_is_concealed_and_the_count_goes_on() -> None:
    timeline = Timeline(0.0)
    play(timeline, 1.0, lost=(50,))
    assert timeline.written == RATE
    assert timeline.concealed == BLOCK
    gap = timeline.read(50 * BLOCK, BLOCK).astype(float)
    assert 500 < np.sqrt((gap**2).mean()) < 6000, "the hole holds faded sound, not silence"


def test_a_long_hole_fades_to_silence() -> None:
    timeline = Timeline(0.0)
    play(timeline, 1.0, lost=tuple(range(40, 80)))
    assert timeline.written == RATE
    assert not timeline.read(50 * BLOCK, 20 * BLOCK).any()
    steps = np.abs(np.diff(timeline.read(0, RATE).astype(int)))
    assert steps.max() < 2500, "no click at either end"


def test_a_dead_microphone_costs_one_grace_only() -> None:
    timeline = Timeline(0.0)
    play(timeline, 0.5)
    for i in range(51, 100):
        now = i * 0.01
        timeline.fill(now)
        behind = timeline.due(now) - timeline.written
        assert behind <= GRACE + BLOCK
    assert timeline.due(0.99) - timeline.written == DEAD_LAG


@pytest.mark.parametrize("ppm", [-300, 300])
def test_a_drifting_microphone_is_followed(ppm: int) -> None:
    timeline = Timeline(0.0)
    play(timeline, 120, rate=1 + ppm * 1e-6)
    behind = timeline.due(120) - timeline.written
    assert abs(behind) < 0.014 * RATE, "a packet and a bit; the drift of two minutes is 36 ms"
    assert timeline.refused + timeline.concealed < 0.01 * RATE


@pytest.mark.parametrize("phase_ms", [0.0, 3.0, 6.5, 9.9])
@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_packets_end_where_frames_do_whatever_their_phase(phase_ms: float, ppm: int) -> None:
    timeline = Timeline(0.0)
    play(timeline, 60, delay_s=0.02 + phase_ms / 1000, rate=1 + ppm * 1e-6)
    assert timeline.written % BLOCK == 0
    last = timeline.written - 1
    arrived = timeline.arrival(last)
    assert arrived is not None
    late = timeline.due(arrived) - timeline.written
    assert abs(late) < 0.0045 * RATE, "its packet is what a sample waits for, and no clock"


def test_the_first_sound_starts_the_clock_with_its_packet() -> None:
    timeline = Timeline(0.0)
    for i in range(1, 4):
        timeline.fill(i * 0.01)
    timeline.push(0, tone(0, BLOCK), 0.0337)
    assert timeline.written % BLOCK == 0
    assert timeline.due(0.0337) == timeline.written


def test_a_path_that_becomes_longer_is_followed_without_losing_sound() -> None:
    timeline = Timeline(0.0)
    play(timeline, 1.0)
    play(timeline, 9.0, delay_s=0.06, start=100)
    assert abs(timeline.due(10.06) - timeline.written) < 0.006 * RATE
    assert timeline.refused == 0


def test_a_path_that_becomes_much_longer_is_taken_up_again() -> None:
    timeline = Timeline(0.0)
    play(timeline, 1.0)
    play(timeline, 4.0, delay_s=0.5, start=100)
    late = timeline.read(timeline.written - RATE // 2, RATE // 2).astype(float)
    assert np.sqrt((late**2).mean()) > 4000, "sound is heard again"
    assert timeline.due(5.5) - timeline.written < GRACE


def test_a_burst_does_not_leave_delay_behind() -> None:
    timeline = Timeline(0.0)
    for i in range(15):  # a stalled network delivers 150 ms at once
        timeline.push(i * BLOCK, tone(i * BLOCK, BLOCK), 0.15)
    assert timeline.written <= timeline.due(0.15) + MAX_AHEAD
    play_from = 15
    for i in range(play_from, 400):
        now = (i + 1) * 0.01
        timeline.fill(now)
        timeline.push(i * BLOCK, tone(i * BLOCK, BLOCK), now)
    assert abs(timeline.due(4.0) - timeline.written) < 0.006 * RATE


def test_a_flood_is_refused() -> None:
    timeline = Timeline(0.0)
    for i in range(1000):
        timeline.push(i * BLOCK, tone(0, BLOCK), 0.1)
    assert timeline.written <= timeline.due(0.1) + MAX_AHEAD + BLOCK
    assert timeline.refused > 0


def test_hush_silences_what_was_written() -> None:
    timeline = Timeline(0.0)
    play(timeline, 1.0)
    timeline.hush(RATE // 2)
    assert timeline.read(RATE // 2 - BLOCK, BLOCK).any()
    assert not timeline.read(RATE // 2 + BLOCK, RATE // 2 - BLOCK).any()
    assert timeline.written == RATE


def test_arrival_of_a_media_time() -> None:
    timeline = Timeline(0.0)
    play(timeline, 0.2)
    assert timeline.arrival(10 * BLOCK + 5) == pytest.approx(0.11)
    assert timeline.arrival(timeline.written) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),  # ms until the next event
            st.one_of(st.none(), st.integers(-(2**33), 2**33), st.just(-1)),
            st.integers(1, 3000),
        ),
        max_size=120,
    )
)
def test_whatever_comes_the_count_stays_with_the_clock(
    events: list[tuple[int, int | None, int]],
) -> None:
    timeline, now, sequel = Timeline(0.0), 0.0, 0
    for wait_ms, source, length in events:
        now += wait_ms / 1000
        before = timeline.written
        if source is None:
            timeline.fill(now)
        else:
            at = sequel if source == -1 else source
            timeline.push(at, np.ones(length, np.int16), now)
            sequel = at + length
        assert before <= timeline.written <= timeline.due(now) + MAX_AHEAD * 1.05 + 3000
        timeline.fill(now)
        assert timeline.due(now) - timeline.written <= GRACE
