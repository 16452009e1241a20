"""A live microphone in stereo: whatever its phase, the voice is heard."""

from __future__ import annotations

import av
import numpy as np
import pytest
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from tests.unit.streamer.media.files.odd_sounds import frames_of, tone
from visavis.streamer.webrtc.microphone import AudioIn, MonoInt16

OPUS = RTCRtpCodecParameters(
    mimeType="audio/opus", clockRate=48_000, channels=2, payloadType=96, parameters={}
)


def live(stereo: np.ndarray) -> np.ndarray:
    """Send ``(2, samples)`` as Opus packets through a microphone's way in."""
    got: list[np.ndarray] = []
    incoming = AudioIn([OPUS], lambda at, samples: got.append(samples))
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
    encoder.bit_rate = 128_000
    number = 0
    for frame in [*frames_of(stereo, 48_000, "stereo", "s16"), None]:
        for packet in encoder.encode(frame):
            rtp = RtpPacket(payload_type=96, sequence_number=number, timestamp=960 * number)
            rtp._data = bytes(packet)
            incoming.take(rtp)
            number += 1
    return np.concatenate(got).astype(np.float32) / 32_768


@pytest.mark.parametrize(
    ("left", "right"), [(1.0, -1.0), (1.0, -0.6), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
)
def test_a_voice_is_heard_whatever_its_channels(left: float, right: float) -> None:
    voice = tone(440.0, 1.0, 48_000)[0]
    mono = live(np.stack([left * voice, right * voice]))
    assert abs(len(mono) - 48_000) < 3000
    steady = mono[12_000:40_000]
    assert np.percentile(np.abs(steady), 95) == pytest.approx(0.4, rel=0.25)
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady))))
    assert spectrum.argmax() * 48_000 / len(steady) == pytest.approx(440.0, abs=2.0)


def test_mono_carried_twice_comes_out_bit_by_bit() -> None:
    noise = np.random.default_rng(0).integers(-32_768, 32_768, 960).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(noise, 2)[None], "s16", "stereo")
    frame.sample_rate = 48_000
    np.testing.assert_array_equal(MonoInt16()(frame), noise)
