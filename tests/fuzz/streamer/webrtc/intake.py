"""RTP and RTCP as they come in, down to decoded sound: one packet cannot stop the next."""

from __future__ import annotations

import contextlib

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import HeaderExtensionsMap, RtcpPacket, RtpPacket

from visavis.streamer.webrtc.microphone import AudioIn

CODECS = [
    RTCRtpCodecParameters("audio/opus", 48_000, 2, 111),
    RTCRtpCodecParameters("audio/G722", 8_000, 1, 9),
    RTCRtpCodecParameters("audio/PCMU", 8_000, 1, 0),
    RTCRtpCodecParameters("audio/PCMA", 8_000, 1, 8),
]


def target(data: bytes) -> None:
    """Read datagrams, each behind its length in two bytes."""
    heard = 0

    def sound(position: int, samples: object) -> None:
        nonlocal heard
        heard += 1

    microphone = AudioIn(CODECS, sound)
    extensions = HeaderExtensionsMap()
    while len(data) > 2:
        length = int.from_bytes(data[:2], "big") % 1500
        packet, data = data[2 : 2 + length], data[2 + length :]
        with contextlib.suppress(ValueError):  # all that aiortc's reader raises
            RtcpPacket.parse(packet)
        try:
            parsed = RtpPacket.parse(packet, extensions)
        except ValueError:
            continue
        microphone.take(parsed)
