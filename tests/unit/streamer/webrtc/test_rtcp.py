"""Sender reports from the media clock, header extensions, and the resampler's known delay."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    HeaderExtensions,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    pack_remb_fci,
    unpack_header_extensions,
)

from visavis.streamer.media.resample import StreamingResampler
from visavis.streamer.webrtc.rtp.rtcp import (
    PLAYOUT_DELAY_URI,
    PlayoutDelayMap,
    SenderHooks,
    WallClock,
    install,
    sender_report,
)


def report() -> RtcpSrPacket:
    return RtcpSrPacket(ssrc=7, sender_info=RtcpSenderInfo(1, 2, 3, 4))


def test_both_tracks_say_the_same_time_for_the_same_media() -> None:
    wall = WallClock(100.0)
    ntp = wall.ntp(105.0)
    video = sender_report(report(), 4_294_900_000, 12.0, 90_000, ntp).sender_info
    audio = sender_report(report(), 17, 12.0, 48_000, ntp).sender_info
    assert video.ntp_timestamp == audio.ntp_timestamp == ntp
    assert video.rtp_timestamp == (4_294_900_000 + 12 * 90_000) % 2**32
    assert audio.rtp_timestamp == 17 + 12 * 48_000
    assert (video.packet_count, video.octet_count) == (3, 4)


def test_the_wall_clock_follows_the_monotonic_one() -> None:
    wall = WallClock(0.0)
    assert (wall.ntp(10.5) - wall.ntp(10.0)) / 2**32 == pytest.approx(0.5, abs=1e-6)


class FakeSender:
    """The private state that the hooks rely on, as aiortc 1.13-1.16 name it."""

    kind = "video"
    _ssrc = 7

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self._RTCRtpSender__rtp_header_extensions_map = None
        self._RTCRtpSender__rtp_timestamp = 0
        self._RTCRtpSender__packet_count = 0
        self._RTCRtpSender__lsr = None

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        self.sent.append(packet)

    async def _send_rtcp(self, packets: list[Any]) -> None:
        self.sent += packets


async def test_reports_wait_until_there_is_something_true_to_say() -> None:
    sender: Any = FakeSender()
    track = SimpleNamespace(last_pts=None)
    times: list[float | None] = [None]
    install(sender, SenderHooks(track, 90_000, lambda: times[0], lambda: 5 << 32))
    await sender._send_rtcp([report()])
    assert sender.sent == []
    times[0], track.last_pts = 2.0, 90_000
    sender._RTCRtpSender__rtp_timestamp, sender._RTCRtpSender__packet_count = 91_000, 1
    await sender._send_rtcp([report()])
    info = sender.sent[0].sender_info
    assert info.rtp_timestamp == 1000 + 180_000 and info.ntp_timestamp == 5 << 32
    assert sender._RTCRtpSender__lsr == 5 << 16, "round trips are measured against what was sent"


async def test_requests_of_the_viewer_are_heard() -> None:
    sender: Any = FakeSender()
    estimates: list[int] = []
    keyframes: list[bool] = []
    hooks = SenderHooks(
        SimpleNamespace(last_pts=0),
        90_000,
        lambda: 0.0,
        lambda: 0,
        keyframe=lambda: keyframes.append(True),
        bitrate=estimates.append,
    )
    install(sender, hooks)

    async def receive(fmt: int, fci: bytes) -> None:
        packet = RtcpPsfbPacket(fmt=fmt, ssrc=1, media_ssrc=7, fci=fci)
        await sender._handle_rtcp_packet(packet)

    await receive(RTCP_PSFB_APP, pack_remb_fci(512_000, [7]))
    await receive(RTCP_PSFB_APP, pack_remb_fci(900_000, [8]))  # another source's
    for nonsense in (b"", b"REMB", b"REMB\xff\0\0\0", b"other-app"):
        await receive(RTCP_PSFB_APP, nonsense)
    assert estimates == [512_000]
    await receive(RTCP_PSFB_PLI, b"")
    assert sender.sent[-1].fmt == RTCP_PSFB_PLI, "aiortc's part stays aiortc's"
    sender._send_keyframe()
    assert keyframes == [True]


def configured(minimum_ms: int, maximum_ms: int, uri: str) -> PlayoutDelayMap:
    extensions = PlayoutDelayMap(minimum_ms, lambda: maximum_ms)
    extensions.configure(
        RTCRtpParameters(
            headerExtensions=[
                RTCRtpHeaderExtensionParameters(1, "urn:ietf:params:rtp-hdrext:sdes:mid"),
                RTCRtpHeaderExtensionParameters(6, uri),
            ]
        )
    )
    return extensions


def test_playout_delay_is_written_beside_the_others() -> None:
    profile, data = configured(0, 200, PLAYOUT_DELAY_URI).set(HeaderExtensions(mid="0"))
    found = dict(unpack_header_extensions(profile, data))
    assert found[1] == b"0"
    bounds = struct.unpack("!I", b"\0" + found[6])[0]
    assert (bounds >> 12, bounds & 0xFFF) == (0, 20), "in units of 10 ms"


async def test_a_line_that_loses_packets_gets_room_and_loses_it_again() -> None:
    sender: Any = FakeSender()
    now = 50.0
    hooks = SenderHooks(
        SimpleNamespace(last_pts=0), 90_000, lambda: 0.0, lambda: 0, now=lambda: now
    )
    install(sender, hooks)
    extensions = sender._RTCRtpSender__rtp_header_extensions_map
    parameters = [RTCRtpHeaderExtensionParameters(6, PLAYOUT_DELAY_URI)]
    extensions.configure(RTCRtpParameters(headerExtensions=parameters))

    def bound_ms() -> int:
        found = dict(unpack_header_extensions(*extensions.set(HeaderExtensions())))
        return 10 * (struct.unpack("!I", b"\0" + found[6])[0] & 0xFFF)

    async def nack(ssrc: int = 7) -> None:
        packet = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=ssrc, lost=[5])
        await sender._handle_rtcp_packet(packet)

    async def most_ms(lost: int, ssrc: int = 7) -> int:
        info = RtcpReceiverInfo(
            ssrc=ssrc, fraction_lost=lost, packets_lost=0, highest_sequence=0, jitter=0, lsr=0,
            dlsr=0,
        )  # fmt: skip
        await sender._handle_rtcp_packet(RtcpRrPacket(ssrc=1, reports=[info]))
        return bound_ms()

    assert await most_ms(0) == 0
    assert await most_ms(200, ssrc=8) == 0, "another track's loss"
    assert await most_ms(13) == 200, "5 % of the packets"
    now += 2
    assert await most_ms(0) == 200, "this viewer sends no NACK: a report may have been lost"
    now += 2
    assert bound_ms() == 0
    await nack()
    assert bound_ms() == 200, "what is asked for again soon after says that it goes on"
    now += 0.4
    await nack(ssrc=8)
    now += 0.2
    assert bound_ms() == 0, "half a second without: over, whatever the last report will say"
    assert await most_ms(13) == 0
    await nack()
    assert bound_ms() == 200
    now += 11
    await nack()
    assert bound_ms() == 0, "one packet lost on a good line is no bad line"
    assert len(sender.sent) == 9, "aiortc gets all of it as well"


def test_playout_delay_that_was_not_negotiated_is_not_sent() -> None:
    profile, data = configured(0, 0, "urn:other").set(HeaderExtensions(mid="0"))
    assert [i for i, _ in unpack_header_extensions(profile, data)] == [1]


@pytest.mark.parametrize(
    ("source", "target"), [(48_000, 16_000), (8_000, 48_000), (16_000, 48_000)]
)
def test_resampling_has_a_known_delay_and_no_memory_of_chunks(source: int, target: int) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(source) / source).astype(np.float32)
    whole = StreamingResampler(source, target)
    expected = whole.push(tone)
    assert len(expected) == target
    parts, resampler, at = [], StreamingResampler(source, target), 0
    rng = np.random.default_rng(0)
    while at < source:
        step = int(rng.integers(1, 900))
        parts.append(resampler.push(tone[at : at + step]))
        at += step
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    time = np.arange(target) / target - whole.delay_s
    reference = np.sin(2 * np.pi * 1000 * time)
    np.testing.assert_allclose(expected[target // 10 :], reference[target // 10 :], atol=0.002)


def test_resampling_keeps_high_tones_from_folding_down() -> None:
    tone = np.sin(2 * np.pi * 11_000 * np.arange(48_000) / 48_000).astype(np.float32)
    out = StreamingResampler(48_000, 16_000).push(tone)
    assert np.abs(out[1000:]).max() < 0.01
