"""The data channel ``motion``: every frame's coefficients, for whoever drives a 3D character.

The viewer opens a channel labelled ``motion`` (unordered, no retransmissions: a late frame is of no
use) and gets one binary message per video frame, at the tick at which its picture is sent. Nothing
is computed or sent before somebody opens it.

Layout, little-endian, 16 bytes and then two per coefficient::

    offset  type      what
    0       u8 u8     0x56 0x4D, "VM"
    2       u8        version, 1
    3       u8        count of coefficients
    4       u32       frame number: frame n is the sound of [n / fps, (n + 1) / fps) seconds
    8       f32       frames per second
    12      u32       messages dropped so far because the channel was full
    16      i16 ...   coefficients in the order of ``visavis.models.coefficients``, times 8192

The media time of a frame is ``frame / fps``; sound and picture count from the same moment. Values
below -4 and above 4 (none occur: faces are 0-1, angles in radians) are clipped. Gaze is also
written as ARKit's ``eyeLook`` coefficients, so that a rig needs the first 52 only.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError
from numpy.typing import NDArray

from visavis.models.coefficients import COUNT
from visavis.models.motion.behaviour import with_eye_look

logger = logging.getLogger(__name__)
LABEL = "motion"
VERSION = 1
SCALE = 8192
MAX_UNSENT = 4096  # bytes in the channel, about a second's worth; more would only be late
KEPT = 25  # messages of ours that wait for the channel
_MAGIC = b"VM"
_HEAD = struct.Struct("<2sBBIfI")


@dataclass(frozen=True)
class MotionFrame:
    """One message.

    Attributes:
        frame: its number since the session began.
        fps: frames per second of media time.
        values: ``(count,)`` float32.
        dropped: messages lost to a full channel before this one.
    """

    frame: int
    fps: float
    values: NDArray[np.float32]
    dropped: int = 0

    @property
    def media_time(self) -> float:
        """Start of the frame in seconds of media time."""
        return self.frame / self.fps


def encode(frame: MotionFrame) -> bytes:
    """Return one message; the eyeLook coefficients are filled in from the gaze."""
    values = np.nan_to_num(frame.values, nan=0.0)
    if len(values) == COUNT:
        values = with_eye_look(values)
    whole = np.clip(np.rint(values * SCALE), -32_768, 32_767).astype("<i2")
    number, dropped = frame.frame & 0xFFFFFFFF, min(frame.dropped, 0xFFFFFFFF)
    head = _HEAD.pack(_MAGIC, VERSION, len(whole), number, frame.fps, dropped)
    return head + whole.tobytes()


def decode(data: bytes) -> MotionFrame:
    """Read one message.

    Raises:
        ValueError: it is none of this version.
    """
    if len(data) < _HEAD.size:
        raise ValueError("The motion message is cut off.")
    magic, version, count, frame, fps, dropped = _HEAD.unpack_from(data)
    if magic != _MAGIC or version != VERSION:
        raise ValueError("This is no motion message of version 1.")
    if len(data) != _HEAD.size + 2 * count:
        raise ValueError("The motion message is cut off.")
    values = np.frombuffer(data, "<i2", offset=_HEAD.size).astype(np.float32) / SCALE
    return MotionFrame(frame, fps, values, dropped)


class MotionChannel:
    """Sends frames of one session to its viewer, the newest first kept.

    What the channel does not take waits here; when more than ``KEPT`` wait, the oldest goes and is
    counted in the next message.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._channel: RTCDataChannel | None = None
        self._waiting: deque[MotionFrame] = deque()

    @property
    def open(self) -> bool:
        """Whether somebody listens."""
        return self._channel is not None and self._channel.readyState == "open"

    @property
    def attached(self) -> bool:
        """Whether the viewer opened a channel."""
        return self._channel is not None

    def attach(self, channel: RTCDataChannel) -> None:
        """Use a channel that the viewer opened; the newest one counts."""
        self.detach()
        self._channel = channel

    def detach(self, channel: RTCDataChannel | None = None) -> None:
        """Forget the channel and what waits for it.

        Args:
            channel: only if it is this one; a newer one stays when an older one closes.
        """
        if channel is None or channel is self._channel:
            self._channel = None
            self._waiting.clear()

    def put(self, frame: MotionFrame) -> None:
        """Send a frame, after those that wait."""
        if not self.open:
            return
        if len(self._waiting) == KEPT:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(frame)
        channel = self._channel
        assert channel is not None
        try:
            while self._waiting and channel.bufferedAmount < MAX_UNSENT:
                channel.send(encode(replace(self._waiting[0], dropped=self.dropped)))
                self._waiting.popleft()
        except (InvalidStateError, ConnectionError, ValueError) as error:
            logger.debug("motion message not sent: %s", error)
