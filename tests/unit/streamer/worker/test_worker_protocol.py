"""The frames between edge and worker: whole, versioned, bounded, and no crash on nonsense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.streamer.worker import protocol
from visavis.streamer.worker.protocol import Decoder, Kind, Message, Packet, ProtocolError, control

messages = st.builds(
    Message,
    st.sampled_from(list(Kind)),
    st.integers(0, 0xFFFF),
    st.binary(max_size=300),
    st.integers(0, 0xFFFFFFFF),
)


@given(st.lists(messages, max_size=20), st.integers(1, 50))
def test_any_chunking_gives_the_same_messages(sent: list[Message], chunk: int) -> None:
    stream = b"".join(m.encode() for m in sent)
    decoder = Decoder()
    got = [m for at in range(0, len(stream), chunk) for m in decoder.feed(stream[at : at + chunk])]
    assert got == sent


@given(st.binary(max_size=400))
def test_nonsense_is_refused_or_waited_for(data: bytes) -> None:
    decoder = Decoder()
    try:
        for message in decoder.feed(data):
            for read in (Message.json, protocol.read_pcm, protocol.read_packet, protocol.read_tick):
                try:
                    read(message)
                except ProtocolError:
                    continue
    except ProtocolError:
        return


def test_another_version_is_refused() -> None:
    data = bytearray(Message(Kind.PING).encode())
    data[0] = protocol.VERSION + 1
    with pytest.raises(ProtocolError, match="version"):
        list(Decoder().feed(bytes(data)))


def test_a_length_that_nobody_may_send_is_refused_before_it_is_read() -> None:
    head = bytes([protocol.VERSION, Kind.PCM, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF])
    with pytest.raises(ProtocolError, match="large"):
        list(Decoder().feed(head))
    with pytest.raises(ProtocolError, match="large"):
        Message(Kind.PCM, 0, bytes(protocol.MAX_PAYLOAD + 1)).encode()


@given(st.integers(-(2**40), 2**40), st.lists(st.integers(-32_768, 32_767), max_size=500))
def test_sound_survives(position: int, samples: list[int]) -> None:
    pcm = np.asarray(samples, np.int16)
    got_position, got = protocol.read_pcm(protocol.pcm_message(3, position, pcm))
    assert got_position == position
    np.testing.assert_array_equal(got, pcm)


def test_packets_survive() -> None:
    packet = Packet(123_456, True, False, 1, 2, 3, 1.5, 2.5, 3.5, 4.5, 5.5, b"data", 0.5, 1.0, 9.1)
    assert protocol.read_packet(packet.message(4)) == packet
    assert protocol.read_tick(protocol.tick_message(1, 77)) == 77


def test_control_fields() -> None:
    assert control(Kind.BITRATE, 2, kbps=300).json() == {"kbps": 300}
    with pytest.raises(ProtocolError):
        Message(Kind.BITRATE, 0, b"[1]").json()
