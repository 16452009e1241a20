"""The two outgoing tracks: packets that are already encoded, and sound delayed by as much."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction

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
_VIDEO_BASE = Fraction(1, VIDEO_RATE)
_AUDIO_BASE = Fraction(1, RATE)
_QUEUE_PACKETS = 8  # of pictures that wait for the sender; beyond, it has stalled
_QUEUE_BLOCKS = 20  # of sound that wait for a watcher's sender, 200 ms
_CATCH_UP = RATE // 10  # sound later than this is skipped


class _PacketTrack(MediaStreamTrack):
    """Encoded packets that wait for the sender."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self._queue: deque[tuple[int, bytes]] = deque(maxlen=most)
        self._arrived = asyncio.Event()
        self.last_pts: int | None = None

    def _add(self, number: int, data: bytes) -> None:
        self._queue.append((number, data))
        self._arrived.set()

    async def _next(self) -> tuple[int, bytes]:
        while not self._queue:
            if self.readyState != "live":
                raise MediaStreamError
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._queue.clear()
        self._arrived.set()


class AvatarVideoTrack(_PacketTrack):
    """Encoded pictures; their timestamps are their frame numbers.

    Args:
        fps: frames per second.
        stalled: called when packets had to be thrown away, so that a keyframe can be asked for.
        taken: told a frame's number when the sender takes it.
    """

    kind = "video"

    def __init__(
        self,
        fps: int,
        stalled: Callable[[], None],
        taken: Callable[[int], None] = lambda frame: None,
    ) -> None:
        super().__init__()
        self._taken = taken
        self._step = VIDEO_RATE // fps
        self._stalled = stalled
        self._needs_keyframe = False

    def put(self, frame: int, data: bytes, keyframe: bool) -> None:
        """Queue a packet for the sender; drops up to the next keyframe when it stalls."""
        if self._needs_keyframe and not keyframe:
            return
        self._needs_keyframe = False
        if len(self._queue) >= _QUEUE_PACKETS:
            self._queue.clear()
            if not keyframe:
                self._needs_keyframe = True
                self._stalled()
                return
        self._add(frame, data)

    def clear(self) -> None:
        """Forget what waits, as a new encoder is about to start with a keyframe."""
        self._queue.clear()
        self._needs_keyframe = True

    async def recv(self) -> av.Packet:
        """Return the next packet."""
        frame, data = await self._next()
        packet = av.Packet(data)
        packet.pts = self.last_pts = frame * self._step
        packet.time_base = _VIDEO_BASE
        self._taken(frame)
        return packet


class AvatarAudioTrack(MediaStreamTrack):
    """The incoming sound again, each media time at the tick at which the picture has it.

    Args:
        clock: says when a block is due.
        read: returns ``count`` samples of a media time, mono int16.
        release: returns the monotonic time at which a media time (samples) is due.
        encoded: own Opus packets; otherwise frames for aiortc's encoder of another codec.
        copy: told every Opus packet and its timestamp, for those who watch.
    """

    kind = "audio"

    def __init__(
        self,
        clock: Clock,
        read: Callable[[int, int], NDArray[np.int16]],
        release: Callable[[int], float],
        *,
        encoded: bool,
        copy: Callable[[bytes, int], None] = lambda data, pts: None,
    ) -> None:
        super().__init__()
        self._encoded = copy
        self._clock = clock
        self._read = read
        self._release = release
        self._opus = OpusEncoder() if encoded else None
        self._block = AUDIO_BLOCK if encoded else 2 * AUDIO_BLOCK
        self.position = 0  # media time of the next block
        self.skipped = 0
        self.last_pts: int | None = None
        self.sent_at: float = 0.0  # monotonic time at which the last block left
        self.sent_position = 0  # and its media time

    def stop(self) -> None:
        """End the track; the encoder's filter threads go now, not when memory is next tidied."""
        super().stop()
        self._opus = None

    async def recv(self) -> av.Packet | av.AudioFrame:
        """Return the next block at its tick."""
        if self.readyState != "live":
            raise MediaStreamError
        await self._clock.sleep_until(self._release(self.position))
        if self.readyState != "live":
            raise MediaStreamError
        behind = round((self._clock.now() - self._release(self.position)) * RATE)
        if behind > _CATCH_UP:
            blocks = behind // self._block
            self.position += blocks * self._block
            self.skipped += blocks * self._block
        samples = self._read(self.position, self._block)
        pts = self.sent_position = self.position
        self.position += self._block
        self.sent_at = self._clock.now()
        if self._opus is None:
            return _frame(samples, pts)
        data = self._opus.encode(samples)
        packet = av.Packet(data)
        # The decoder gives a sample out this much later than it went in: say so.
        packet.pts = self.last_pts = pts - self._opus.look_ahead
        self._encoded(data, packet.pts)
        packet.time_base = _AUDIO_BASE
        return packet


class PacketAudioTrack(_PacketTrack):
    """Sound that another track has encoded and timed."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__(_QUEUE_BLOCKS)

    def put(self, data: bytes, pts: int) -> None:
        """Queue a packet; the oldest goes when the sender stalls."""
        self._add(pts, data)

    async def recv(self) -> av.Packet:
        """Return the next packet."""
        pts, data = await self._next()
        packet = av.Packet(data)
        packet.pts = self.last_pts = pts
        packet.time_base = _AUDIO_BASE
        return packet


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
