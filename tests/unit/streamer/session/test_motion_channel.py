"""The data channel ``motion``: its layout, its bounds, and where its frames come from."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.fake_pipeline import FakePipeline, FakePipelines
from tests.fakes.kept import kept
from visavis.models.coefficients import COEFFICIENTS, COUNT, INDEX
from visavis.streamer.session.channels.motion_channel import (
    KEPT,
    MAX_UNSENT,
    MotionChannel,
    MotionFrame,
    decode,
    encode,
)
from visavis.streamer.webrtc.microphone import HeardSound
from visavis.streamer.worker import protocol
from visavis.streamer.worker.pipeline.pipeline import RATE, SlotSpec
from visavis.streamer.worker.slot import Slot

STEP = RATE // 25


class Pipe:
    """A data channel that takes a given number of bytes."""

    readyState = "open"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.bufferedAmount = 0

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.bufferedAmount += len(data)


def test_layout_as_documented() -> None:
    values = np.zeros(COUNT, np.float32)
    values[INDEX["jawOpen"]], values[INDEX["headYaw"]] = 0.5, -0.25
    data = encode(MotionFrame(258, 25.0, values, dropped=3))
    assert data[:4] == b"VM\x01" + bytes([COUNT])
    assert struct.unpack_from("<IfI", data, 4) == (258, 25.0, 3)
    assert len(data) == 16 + 2 * COUNT
    jaw = struct.unpack_from("<h", data, 16 + 2 * COEFFICIENTS.index("jawOpen"))[0]
    yaw = struct.unpack_from("<h", data, 16 + 2 * COEFFICIENTS.index("headYaw"))[0]
    assert (jaw, yaw) == (4096, -2048)
    assert decode(data).media_time == pytest.approx(10.32)


def test_a_look_to_the_side_is_there_for_rigs_that_know_arkit_only() -> None:
    values = np.zeros(COUNT, np.float32)
    values[INDEX["gazeYaw"]] = np.pi / 12
    got = decode(encode(MotionFrame(0, 25.0, values))).values
    assert got[INDEX["eyeLookOutLeft"]] == pytest.approx(0.5, abs=1e-3)
    assert got[INDEX["eyeLookInLeft"]] == 0


@given(
    st.lists(st.floats(-3.875, 3.875, width=32), min_size=1, max_size=60), st.integers(0, 2**32 - 1)
)
def test_what_goes_in_comes_out(values: list[float], number: int) -> None:
    got = decode(encode(MotionFrame(number, 30.0, np.array(values, np.float32))))
    assert got.frame == number
    np.testing.assert_allclose(got.values, values, atol=1 / 16_384 + 1e-6)


def test_wild_values_are_clipped_not_wrapped() -> None:
    got = decode(encode(MotionFrame(0, 25.0, np.array([9.0, -9.0, np.nan], np.float32))))
    np.testing.assert_allclose(got.values, [4.0, -4.0, 0.0], atol=1e-3)


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="motion message"):
        decode(data)


def test_a_full_channel_loses_the_oldest_and_says_so() -> None:
    channel, pipe = MotionChannel(), Pipe()
    channel.put(MotionFrame(0, 25.0, np.zeros(3, np.float32)))
    assert channel.dropped == 0  # nobody listens, nothing is lost
    channel.attach(pipe)  # type: ignore[arg-type]
    pipe.bufferedAmount = MAX_UNSENT
    for number in range(KEPT + 7):
        channel.put(MotionFrame(number, 25.0, np.zeros(3, np.float32)))
    assert pipe.sent == []
    pipe.bufferedAmount = 0
    channel.put(MotionFrame(KEPT + 7, 25.0, np.zeros(3, np.float32)))
    got = [decode(data) for data in pipe.sent]
    assert [f.frame for f in got] == list(range(8, KEPT + 8))
    assert got[-1].dropped == 8


def make(tmp_path: Path) -> tuple[Slot, FakePipeline]:
    bundle = tmp_path / "anna.vav"
    bundle.write_bytes(b"")
    spec = SlotSpec(str(bundle), size=256)
    pipeline = FakePipelines().open(spec)
    return Slot(spec, pipeline), pipeline


def run(slot: Slot, start: int, count: int, level: int = 0) -> None:
    slot.feed(start, np.full(count, level, np.int16))
    while slot.deadline() is not None:
        slot.work()


def test_a_slot_keeps_no_coefficients_before_it_is_asked(tmp_path: Path) -> None:
    slot, _ = make(tmp_path)
    run(slot, 0, 6 * STEP)
    assert slot.take_motion(100) == []
    slot.share_motion(True)
    run(slot, 6 * STEP, 3 * STEP, level=16_384)
    taken = slot.take_motion(5)
    assert [number for number, _ in taken] == [4, 5]
    assert [number for number, _ in slot.take_motion(99)] == [6]
    assert slot.take_motion(99) == []
    assert taken[0][1][0] == 0  # frame 4 lies before the loud part, that begins with frame 6
    slot.share_motion(False)
    run(slot, 9 * STEP, 3 * STEP)
    assert slot.take_motion(99) == []


def test_what_nobody_takes_is_bounded_and_barge_in_forgets_it(tmp_path: Path) -> None:
    slot, _ = make(tmp_path)
    slot.share_motion(True)
    for block in range(10):
        run(slot, block * 10 * STEP, 10 * STEP)
    assert [n for n, _ in slot.take_motion(10_000)] == list(range(73, 98))
    run(slot, 100 * STEP, 10 * STEP)
    slot.interrupt()
    assert slot.take_motion(10_000) == []


def test_the_other_side_is_heard_with_the_next_sound(tmp_path: Path) -> None:
    slot, pipeline = make(tmp_path)
    run(slot, 0, STEP)
    assert pipeline.heard is None
    slot.hear_other(np.full(STEP // 2, 16_384, np.int16))
    run(slot, STEP, STEP)
    assert pipeline.heard is not None
    np.testing.assert_array_equal(pipeline.heard[: STEP // 2], 0)
    np.testing.assert_array_equal(pipeline.heard[STEP // 2 :], 0.5)
    run(slot, 2 * STEP, STEP)
    assert pipeline.heard is None
    before = kept(slot)
    for _ in range(100):
        slot.hear_other(np.zeros(1600, np.int16))
    assert kept(slot) - before <= 0.3 * RATE + 1600


def test_heard_sound_is_narrowed_and_bounded() -> None:
    heard = HeardSound()
    time = np.arange(48_000) / 48_000
    heard.put(0, (8000 * np.sin(2 * np.pi * 300 * time)).astype(np.int16))
    got = heard.take(100_000)
    assert len(got) == 3200
    spectrum = np.abs(np.fft.rfft(got))
    assert np.argmax(spectrum) == pytest.approx(300 * len(got) / 16_000, abs=1)
    assert len(heard.take(5)) == 0


def test_coefficients_cross_the_socket_whole() -> None:
    values = np.linspace(-1, 1, COUNT).astype(np.float32)
    message = protocol.coefficients_message(3, 77, values)
    (got,) = protocol.Decoder().feed(message.encode())
    frame, back = protocol.read_coefficients(got)
    assert (got.slot, frame) == (3, 77)
    np.testing.assert_array_equal(back, values)
    for payload in (b"", b"\0" * 7, b"\0" * 10):
        with pytest.raises(protocol.ProtocolError):
            protocol.read_coefficients(protocol.Message(protocol.Kind.COEFFICIENTS, 0, payload))
