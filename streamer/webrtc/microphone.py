"""The microphone's way in: RTP packets to samples on the session's media time.

aiortc's own receive path (a jitter buffer of 80 ms, a thread and two unbounded queues per track)
is taken out of one receiver at a time (``connection.tap_receiver``): its jitter buffer is replaced
by a tap that hands every packet over and keeps none. Statistics and receiver reports stay aiortc's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import av
import numpy as np
from aiortc.codecs import get_decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

from visavis.streamer.media.downmix import Downmix
from visavis.streamer.media.jitter import AudioPacket, JitterBuffer
from visavis.streamer.media.resample import StreamingResampler
from visavis.streamer.media.timeline import RATE
from visavis.streamer.webrtc.connection import payload_of

logger = logging.getLogger(__name__)
MODEL_RATE = 16_000
_HEARD_KEPT = MODEL_RATE // 5  # samples of the other side's sound that may wait


class AudioIn:
    """Decodes one microphone.

    Args:
        codecs: what was negotiated, by payload type.
        sound: told ``(source time in 48 kHz samples, mono int16 samples)``.
        now: monotonic seconds, for what decoding takes.
    """

    def __init__(
        self,
        codecs: Sequence[RTCRtpCodecParameters],
        sound: Callable[[int, NDArray[np.int16]], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.jitter = JitterBuffer()
        self.decode_s = 0.0  # what the last packet took
        self._codecs = {codec.payloadType: codec for codec in codecs}
        self._sound = sound
        self._now = now
        self._payload_type = -1
        self._decoder: Any = None
        self._resampler: StreamingResampler | None = None
        self._source_rate = 0
        self._to_mono = MonoInt16()

    def take(self, packet: RtpPacket) -> None:
        """Take one RTP packet as aiortc hands it over."""
        data = payload_of(packet)
        if not data or packet.payload_type not in self._codecs:
            return
        arrived = AudioPacket(packet.sequence_number, packet.timestamp, packet.payload_type, data)
        for ready in self.jitter.push(arrived):
            self._decode(ready)

    def _decode(self, packet: AudioPacket) -> None:
        codec = self._codecs[packet.payload_type]
        if packet.payload_type != self._payload_type:
            self._payload_type = packet.payload_type
            self._decoder = get_decoder(codec)
            self._source_rate = 0
        began = self._now()
        try:
            frames = self._decoder.decode(JitterFrame(packet.payload, packet.timestamp))
        except (av.FFmpegError, ValueError) as error:
            logger.debug("undecodable packet: %s", error)
            return
        time = packet.timestamp * RATE // codec.clockRate
        for frame in frames:
            samples = self._at_48k(self._to_mono(frame), frame.sample_rate)
            self.decode_s = self._now() - began
            self._sound(time, samples)
            time += len(samples)

    def _at_48k(self, samples: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
        if rate == RATE:
            return samples
        if rate != self._source_rate:
            self._source_rate = rate
            self._resampler = StreamingResampler(rate, RATE)
        assert self._resampler is not None
        wide = self._resampler.push(samples.astype(np.float32))
        return np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16)


class HeardSound:
    """The other side's sound, ready for the models: a short queue at 16 kHz.

    It steers nods and gaze, so it need not sit on media time to the sample: what has arrived goes
    with the microphone's next block, and of what nobody takes the oldest is forgotten.
    """

    def __init__(self) -> None:
        self._narrow = StreamingResampler(RATE, MODEL_RATE)
        self._waiting = np.zeros(0, np.int16)

    def put(self, source_time: int, samples: NDArray[np.int16]) -> None:
        """Take decoded sound, mono at 48 kHz; gaps in ``source_time`` are left out."""
        narrow = self._narrow.push(samples.astype(np.float32))
        whole = np.clip(np.rint(narrow), -32_768, 32_767).astype(np.int16)
        self._waiting = np.concatenate([self._waiting, whole])[-_HEARD_KEPT:]

    def take(self, count: int) -> NDArray[np.int16]:
        """Return up to ``count`` samples, the oldest first."""
        out, self._waiting = self._waiting[:count], self._waiting[count:]
        return out


class MonoInt16:
    """Turns the frames of one stream to mono so that no channel cancels another.

    Most stereo is mono that the codec carries twice; that comes out as it is.
    """

    def __init__(self) -> None:
        self._mix: Downmix | None = None
        self._kind = (0, 0)

    def __call__(self, frame: av.AudioFrame) -> NDArray[np.int16]:
        """Return ``(samples,)`` of a packed s16 frame."""
        channels = frame.layout.nb_channels
        planar = frame.to_ndarray().reshape(-1, channels).T
        if (channels, frame.sample_rate) != self._kind:
            self._kind, self._mix = (channels, frame.sample_rate), None
        if self._mix is None:
            if all(np.array_equal(planar[0], other) for other in planar[1:]):
                return planar[0].astype(np.int16)
            names = [channel.name for channel in frame.layout.channels]
            self._mix = Downmix(channels, frame.sample_rate, names)
        mono = self._mix.mix(planar.astype(np.float32) / np.float32(32_768))
        return np.clip(np.rint(mono * 32_768), -32_768, 32_767).astype(np.int16)
