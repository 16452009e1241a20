"""Messages between the edge process and a worker: framed, versioned, bounded.

A message is a header ``(version u8, kind u8, slot u16, epoch u32, length u32)``, big-endian, and
its payload. The epoch says which opening of the slot is meant: what is on its way for a session
that has ended never reaches the next one in its place, in neither direction.
PCM and packets are binary because there are hundreds a second; everything else is a JSON object.
Frames never cross: sound and control go in, encoded packets with their frame number come out.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

VERSION = 2
MAX_PAYLOAD = 4 << 20  # bytes; a keyframe at 8 Mb/s is far below
_HEADER = struct.Struct("!BBHII")
_PCM = struct.Struct("!q")  # media time of the first sample, 16 kHz
_TICK = struct.Struct("!q")  # frame number
_PACKET = struct.Struct("!qB3I7fd")


class Kind(IntEnum):
    """What a message says. Below 64: edge to worker; from 64: worker to edge."""

    OPEN = 1
    CLOSE = 2
    PCM = 3
    TICK = 4
    KEYFRAME = 5
    BITRATE = 6
    INTERRUPT = 7
    AVATAR = 8
    CALIBRATE = 9
    PING = 10
    SHUTDOWN = 11
    MOTION = 12
    HEARD = 13
    MANNER = 14
    PICTURES = 15

    READY = 64
    OPENED = 65
    PACKET = 66
    AVATAR_STATE = 67
    SLOT_FAILED = 68
    CALIBRATED = 69
    PONG = 70
    FAILED = 71
    COEFFICIENTS = 72
    DRAWN = 73


class ProtocolError(ValueError):
    """The other side sent something that is no message of this version."""


@dataclass(frozen=True)
class Message:
    """One framed message."""

    kind: Kind
    slot: int = 0
    payload: bytes = b""
    epoch: int = 0

    def of(self, epoch: int) -> Message:
        """Return the same message for an opening of its slot."""
        return Message(self.kind, self.slot, self.payload, epoch)

    def encode(self) -> bytes:
        """Return header and payload."""
        if len(self.payload) > MAX_PAYLOAD:
            raise ProtocolError("The message is too large.")
        return (
            _HEADER.pack(VERSION, self.kind, self.slot, self.epoch, len(self.payload))
            + self.payload
        )

    def json(self) -> dict[str, Any]:
        """Return the payload as a JSON object.

        Raises:
            ProtocolError: it is none.
        """
        try:
            value = json.loads(self.payload or b"{}")
        except (ValueError, RecursionError) as error:
            raise ProtocolError("The message is not JSON.") from error
        if not isinstance(value, dict):
            raise ProtocolError("The message is not a JSON object.")
        return cast(dict[str, Any], value)


def control(kind: Kind, slot: int = 0, **fields: Any) -> Message:
    """Return a message whose payload is a JSON object."""
    return Message(kind, slot, json.dumps(fields).encode() if fields else b"")


class Decoder:
    """Cuts a byte stream into messages; holds at most one incomplete message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes and yield the messages that are complete.

        Raises:
            ProtocolError: version, kind or length do not fit; the stream cannot be resumed.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            version, kind, slot, epoch, length = _HEADER.unpack_from(self._buffer)
            if version != VERSION:
                raise ProtocolError(f"Protocol version {version} is not {VERSION}.")
            if length > MAX_PAYLOAD:
                raise ProtocolError("The message is too large.")
            try:
                known = Kind(kind)
            except ValueError as error:
                raise ProtocolError(f"There is no message kind {kind}.") from error
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield Message(known, slot, payload, epoch)


def pcm_message(
    slot: int, position: int, samples: NDArray[np.int16], kind: Kind = Kind.PCM
) -> Message:
    """Return sound for a slot: mono int16 at 16 kHz whose first sample is at ``position``.

    ``Kind.HEARD`` is the same for the other side's sound.
    """
    return Message(kind, slot, _PCM.pack(position) + samples.astype("<i2").tobytes())


def read_pcm(message: Message) -> tuple[int, NDArray[np.int16]]:
    """Return ``(position, samples)`` of a PCM message.

    Raises:
        ProtocolError: it is malformed.
    """
    body = message.payload[_PCM.size :]
    if len(message.payload) < _PCM.size or len(body) % 2:
        raise ProtocolError("The PCM message is malformed.")
    return _PCM.unpack_from(message.payload)[0], np.frombuffer(body, "<i2")


def coefficients_message(slot: int, frame: int, values: NDArray[np.float32]) -> Message:
    """Return the coefficients of a frame."""
    return Message(Kind.COEFFICIENTS, slot, _TICK.pack(frame) + values.astype("<f4").tobytes())


def read_coefficients(message: Message) -> tuple[int, NDArray[np.float32]]:
    """Return ``(frame, values)`` of a COEFFICIENTS message.

    Raises:
        ProtocolError: it is malformed.
    """
    body = message.payload[_TICK.size :]
    if len(message.payload) < _TICK.size or len(body) % 4:
        raise ProtocolError("The coefficients are malformed.")
    return int(_TICK.unpack_from(message.payload)[0]), np.frombuffer(body, "<f4")


def drawn_message(slot: int, frame: int) -> Message:
    """Return the news that the picture of frame number ``frame`` waits for its tick."""
    return Message(Kind.DRAWN, slot, _TICK.pack(frame))


def tick_message(slot: int, frame: int) -> Message:
    """Return the order to release frame number ``frame`` now."""
    return Message(Kind.TICK, slot, _TICK.pack(frame))


def read_tick(message: Message) -> int:
    """Return the frame number of a TICK or DRAWN message.

    Raises:
        ProtocolError: it is malformed.
    """
    if len(message.payload) != _TICK.size:
        raise ProtocolError("The frame number is malformed.")
    return int(_TICK.unpack(message.payload)[0])


@dataclass(frozen=True)
class Packet:
    """One encoded picture and what became of it on its way.

    Attributes:
        frame: the tick it was encoded for, and so its media time.
        keyframe: it can be decoded on its own.
        repeated: no new picture was there, the last one was sent again.
        late: pictures shown after their own tick, so far.
        repeats: ticks that had no new picture, so far.
        dropped: pictures that were never shown, so far.
        motion_ms: sound complete to coefficients known.
        render_ms: coefficients known to picture drawn.
        ring_ms: picture drawn to its tick: what the release delay has in hand.
        encode_ms: tick to packet.
        busy_ms: processor time this frame cost in motion, rendering and encoding.
        data: the bitstream.
        push_ms: of ``motion_ms``, what the models took; the rest is waiting for them.
        draw_ms: of ``render_ms``, what drawing took.
        tick_at: monotonic seconds of the tick, on the clock that all processes share.
    """

    frame: int
    keyframe: bool
    repeated: bool
    late: int
    repeats: int
    dropped: int
    motion_ms: float
    render_ms: float
    ring_ms: float
    encode_ms: float
    busy_ms: float
    data: bytes
    push_ms: float = 0.0
    draw_ms: float = 0.0
    tick_at: float = 0.0

    def message(self, slot: int) -> Message:
        """Return it framed."""
        head = _PACKET.pack(
            self.frame,
            self.keyframe | self.repeated << 1,
            self.late,
            self.repeats,
            self.dropped,
            self.motion_ms,
            self.render_ms,
            self.ring_ms,
            self.encode_ms,
            self.busy_ms,
            self.push_ms,
            self.draw_ms,
            self.tick_at,
        )
        return Message(Kind.PACKET, slot, head + self.data)


def read_packet(message: Message) -> Packet:
    """Return the packet of a PACKET message.

    Raises:
        ProtocolError: it is malformed.
    """
    if len(message.payload) < _PACKET.size:
        raise ProtocolError("The packet is malformed.")
    fields: tuple[Any, ...] = _PACKET.unpack_from(message.payload)
    frame, flags, data = fields[0], fields[1], message.payload[_PACKET.size :]
    values: list[Any] = [*fields[2:10], data, *fields[10:]]
    return Packet(frame, bool(flags & 1), bool(flags & 2), *values)
