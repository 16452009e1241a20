"""What is sent: a feed's packets, encoded and packetised once, on as many tracks as show it."""

# PyAV's packets are generic, and its methods name them without what they are of.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from visavis.streamer.clock import Clock
from visavis.streamer.media.timeline import RATE

VIDEO_RATE = 90_000
AUDIO_BLOCK = RATE // 100  # 10 ms
_AUDIO_KBPS = 48
_AUDIO_BASE = Fraction(1, RATE)
_QUEUE_PICTURES = 8  # that wait for the sender; beyond, it has stalled
_QUEUE_BLOCKS = 20  # of sound that wait for the sender, 200 ms
_CATCH_UP = RATE // 10  # sound later than this is skipped


@dataclass(frozen=True)
class Packed:
    """RTP payloads that leave together.

    Attributes:
        payloads: in order; the marker goes on the last.
        timestamp: in ticks of the codec's clock, before the sender's random origin.
    """

    payloads: list[bytes]
    timestamp: int


class FeedTrack(MediaStreamTrack):
    """Packets of one feed after another, on one RTP source.

    RTP time goes on without a jump when the feed changes: it advances by the time that has passed.

    Args:
        rate: RTP ticks a second.
        most: packets that wait for the sender.
        now: monotonic seconds.
        taken: told a frame's number when the sender takes it.

    Attributes:
        last_pts: the feed's own time of the packet that was sent last; None after a change.
    """

    def __init__(
        self,
        kind: str,
        rate: int,
        most: int,
        now: Callable[[], float],
        taken: Callable[[int], None] = lambda frame: None,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.last_pts: int | None = None
        self._rate = rate
        self._most = most
        self._now = now
        self._taken = taken
        self._queue: deque[tuple[int, int, list[bytes]]] = deque()
        self._arrived = asyncio.Event()
        self._offset: int | None = 0  # from the feed's time to the track's; None after a change
        self._last = (0, 0.0)  # the track's time of the last packet, and when it left

    @property
    def waiting(self) -> int:
        """How many packets wait for the sender."""
        return len(self._queue)

    @property
    def stalled(self) -> bool:
        """Whether the sender has not taken what there is for too long."""
        return len(self._queue) >= self._most

    def put(self, number: int, pts: int, payloads: list[bytes]) -> None:
        """Queue a packet; the oldest goes when the sender stalls."""
        if self.stalled:
            self._queue.popleft()
        self._queue.append((number, pts, payloads))
        self._arrived.set()

    def clear(self) -> None:
        """Forget what waits."""
        self._queue.clear()

    def change(self) -> None:
        """Forget the feed's time, as another one is about to come."""
        self._queue.clear()
        if self._last[1]:
            self._offset = None
        self.last_pts = None

    async def recv(self) -> Packed:  # type: ignore[override]
        """Return the next packet."""
        while not self._queue:
            if self.readyState != "live":
                raise MediaStreamError
            self._arrived.clear()
            await self._arrived.wait()
        number, pts, payloads = self._queue.popleft()
        now = self._now()
        if self._offset is None:
            last, at = self._last
            self._offset = last + max(1, round((now - at) * self._rate)) - pts
        timestamp = pts + self._offset
        self.last_pts, self._last = pts, (timestamp, now)
        self._taken(number)
        return Packed(payloads, timestamp)

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._queue.clear()
        self._arrived.set()


def picture_track(
    now: Callable[[], float], taken: Callable[[int], None] = lambda frame: None
) -> FeedTrack:
    """Return a track for pictures."""
    return FeedTrack("video", VIDEO_RATE, _QUEUE_PICTURES, now, taken)


def sound_track(now: Callable[[], float]) -> FeedTrack:
    """Return a track for Opus sound."""
    return FeedTrack("audio", RATE, _QUEUE_BLOCKS, now)


class SoundRelease:
    """Blocks of a session's sound, each at the tick at which the picture of its time is due.

    Args:
        clock: says when a block is due.
        read: returns ``count`` samples of a media time, mono int16.
        release: returns the monotonic time at which a media time (samples) is due.
        block: samples at a time.

    Attributes:
        position: media time of the next block.
        skipped: samples left out to catch up.
        sent_at: monotonic time at which the last block left.
        sent_position: and its media time.
    """

    def __init__(
        self,
        clock: Clock,
        read: Callable[[int, int], NDArray[np.int16]],
        release: Callable[[int], float],
        block: int = AUDIO_BLOCK,
    ) -> None:
        self.position = 0
        self.skipped = 0
        self.sent_at = 0.0
        self.sent_position = 0
        self._clock = clock
        self._read = read
        self._release = release
        self._block = block

    async def next(self) -> tuple[int, NDArray[np.int16]]:
        """Return the next block's media time and samples at its tick."""
        await self._clock.sleep_until(self._release(self.position))
        behind = round((self._clock.now() - self._release(self.position)) * RATE)
        if behind > _CATCH_UP:
            blocks = behind // self._block
            self.position += blocks * self._block
            self.skipped += blocks * self._block
        samples = self._read(self.position, self._block)
        self.sent_position = self.position
        self.position += self._block
        self.sent_at = self._clock.now()
        return self.sent_position, samples


class RawSoundTrack(MediaStreamTrack):
    """A session's sound as frames, for a viewer without Opus; aiortc encodes them.

    Args:
        release: gives the blocks, of 20 ms.
    """

    kind = "audio"

    def __init__(self, release: SoundRelease) -> None:
        super().__init__()
        self._release = release
        self.last_pts: int | None = None

    async def recv(self) -> av.AudioFrame:
        """Return the next block at its tick."""
        if self.readyState != "live":
            raise MediaStreamError
        pts, samples = await self._release.next()
        if self.readyState != "live":
            raise MediaStreamError
        self.last_pts = pts
        return _frame(samples, pts)


class SoundSink(Protocol):
    """Who takes encoded sound."""

    def __call__(self, data: bytes, pts: int) -> None:
        """Take an Opus packet and the media time, in samples, at which its decoding begins."""


async def release_opus(release: SoundRelease, wanted: Callable[[], bool], sink: SoundSink) -> None:
    """Encode a session's sound once, for ever; silent while nobody wants it."""
    encoder = OpusEncoder()
    while True:
        position, samples = await release.next()
        if wanted():
            data = encoder.encode(samples)
            # The decoder gives a sample out this much later than it went in: say so.
            sink(data, position - encoder.look_ahead)


class OpusEncoder:
    """Mono 48 kHz speech in 10 ms packets, with in-band redundancy against loss."""

    look_ahead = 312  # samples, libopus in its voice mode

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, av.AudioCodecContext)
        context.format = "s16"
        context.layout = "mono"
        context.sample_rate = RATE
        context.bit_rate = _AUDIO_KBPS * 1000
        context.time_base = _AUDIO_BASE
        context.options = {
            "application": "voip",
            "frame_duration": "10",
            "fec": "1",
            "packet_loss": "5",
            "compression_level": "6",
        }
        context.open()
        self._context = context
        self._pts = 0

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """Return the packet of exactly 480 samples."""
        packets = self._context.encode(_frame(samples, self._pts))
        self._pts += len(samples)
        return b"".join(bytes(packet) for packet in packets)


def _frame(samples: NDArray[np.int16], pts: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
    frame.sample_rate = RATE
    frame.pts = pts
    frame.time_base = _AUDIO_BASE
    return frame
