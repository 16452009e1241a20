"""The receive jitter buffer: in order at once, two packets of patience, never more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from visavis.streamer.media.jitter import AudioPacket, JitterBuffer


def packet(sequence: int, timestamp: int | None = None) -> AudioPacket:
    time = sequence * 480 if timestamp is None else timestamp
    return AudioPacket(sequence & 0xFFFF, time & 0xFFFFFFFF, 111, b"x")


def feed(buffer: JitterBuffer, *sequences: int) -> list[list[int]]:
    return [[p.sequence for p in buffer.push(packet(s))] for s in sequences]


def test_in_order_leaves_at_once() -> None:
    assert feed(JitterBuffer(), 5, 6, 7) == [[5], [6], [7]]


def test_disorder_of_one_is_repaired() -> None:
    buffer = JitterBuffer()
    assert feed(buffer, 1, 3, 2, 4) == [[1], [], [2, 3], [4]]
    assert buffer.lost == 0


def test_a_hole_is_given_up_after_two_later_packets() -> None:
    buffer = JitterBuffer()
    assert feed(buffer, 1, 3, 4, 2, 5) == [[1], [], [3, 4], [], [5]]
    assert (buffer.lost, buffer.late) == (1, 1)


def test_several_holes() -> None:
    buffer = JitterBuffer()
    assert feed(buffer, 1, 4, 7, 8) == [[1], [], [4], [7, 8]]
    assert buffer.lost == 4


def test_duplicates_are_dropped() -> None:
    buffer = JitterBuffer()
    assert feed(buffer, 1, 1, 3, 3, 2) == [[1], [], [], [], [2, 3]]


def test_sequence_and_timestamp_wrap() -> None:
    buffer = JitterBuffer()
    times = []
    for i in range(6):
        out = buffer.push(packet(65_533 + i, (1 << 32) - 960 + i * 480))
        times += [p.timestamp for p in out]
    assert times == [(1 << 32) - 960 + i * 480 for i in range(6)]


def test_a_sender_that_starts_over_is_followed() -> None:
    buffer = JitterBuffer()
    assert feed(buffer, 1, 2, 30_000, 30_001, 100) == [[1], [2], [30_000], [30_001], [100]]


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)), max_size=300))
def test_anything_goes_and_little_is_kept(packets: list[tuple[int, int]]) -> None:
    buffer = JitterBuffer()
    out = 0
    for sequence, timestamp in packets:
        out += len(buffer.push(packet(sequence, timestamp)))
        assert len(buffer._waiting) <= 1
    assert out + buffer.late <= len(packets)


@given(st.lists(st.integers(0, 200), unique=True, min_size=1, max_size=200))
def test_what_leaves_is_in_order(sequences: list[int]) -> None:
    near = sorted(sequences, key=lambda s: s + (s % 3))  # jitters by up to two places
    buffer = JitterBuffer()
    left = [p.timestamp for s in near for p in buffer.push(packet(s))]
    assert left == sorted(left)
