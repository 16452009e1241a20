"""What a program is told of a picture in shared memory: its frame, its sound, what is speech.

One binary message a frame, little-endian::

    u64  frame     number; media time is frame / fps seconds, the picture lies in the PictureRing
    u64  position  media time of the first sample, in samples at 48 kHz
    u16  spans     stretches of speech, each: u32 segment, u32 first sample, u32 samples
    u16  flags     1: the picture is not the frame's own, which was not drawn in time
    ...  sound     mono int16 at 48 kHz, up to the frame's end

Positions have no gaps while messages are read in time; who is too slow loses whole messages.
This file imports little, as other people's programs use it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 48_000
_HEAD: Final = struct.Struct("<QQHH")
_SPAN: Final = struct.Struct("<III")
_MOST_SPANS: Final = 256


@dataclass(frozen=True)
class Span:
    """A stretch of speech in a frame's sound.

    Attributes:
        segment: of which it is part, as in the events.
        first: sample in the frame's sound.
        count: samples.
    """

    segment: int
    first: int
    count: int


@dataclass(frozen=True)
class FrameSound:
    """One message.

    Attributes:
        frame: number of the frame.
        position: media time of the first sample, at 48 kHz.
        sound: ``(samples,)`` mono int16.
        spans: what of it was appended by the agent; the rest is silence.
        own: whether the picture is the frame's own, not an older one.
    """

    frame: int
    position: int
    sound: NDArray[np.int16]
    spans: tuple[Span, ...] = ()
    own: bool = True

    def pack(self) -> bytes:
        """Return the message."""
        spans = self.spans[:_MOST_SPANS]
        parts = [_HEAD.pack(self.frame, self.position, len(spans), int(not self.own))]
        parts += [_SPAN.pack(span.segment, span.first, span.count) for span in spans]
        return b"".join([*parts, self.sound.astype("<i2").tobytes()])


def unpack(message: bytes) -> FrameSound:
    """Return what a message says.

    Raises:
        ValueError: it is none.
    """
    try:
        frame, position, count, flags = _HEAD.unpack_from(message)
        ends = _HEAD.size + count * _SPAN.size
        spans = tuple(Span(*values) for values in _SPAN.iter_unpack(message[_HEAD.size : ends]))
        sound = np.frombuffer(message[ends:], "<i2")
    except struct.error as error:
        raise ValueError("The message of a frame is malformed.") from error
    if len(spans) != count or any(span.first + span.count > len(sound) for span in spans):
        raise ValueError("The message of a frame is malformed.")
    return FrameSound(frame, position, sound.astype(np.int16), spans, not flags & 1)
