"""What aiortc's sender leaves out: honest reports, requests by the viewer, ``playout-delay``.

A sender report pairs an RTP timestamp with wall-clock time. aiortc pairs the last packet with the
moment it was sent, which hides any skew of the pipeline. Ours pairs, for both tracks alike, the
media time that is due now with now; so the viewer can line the tracks up whatever happened on the
way.
"""

# This folder is where aiortc's private names are known.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aiortc import RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    pack_header_extensions,
    unpack_header_extensions,
    unpack_remb_fci,
)

PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
LOSSY = 0.02  # of the packets lost, from which on the viewer may wait for what is sent again
LOSSY_DELAY_MS = 200  # and this long
_FORGIVEN_S = 10.0  # after a report of loss, within which a NACK says that it goes on
_NACK_S = 0.5  # without one until pictures are shown as they come again
_REPORT_S = 3.0  # the same without a report of loss, for a viewer that sends no NACK
_NTP_EPOCH = 2_208_988_800  # seconds between 1900 and 1970


class WallClock:
    """NTP time for reports: the machine's wall clock read once, then carried by the monotonic one.

    A step of the wall clock during a call must not look like skew between the tracks.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._base = time.time() + _NTP_EPOCH - now

    def ntp(self, now: float) -> int:
        """Return the 64-bit NTP timestamp of a monotonic time."""
        return int((self._base + now) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


class _Track(Protocol):
    last_pts: int | None


@dataclass
class SenderHooks:
    """What a session wants to hear from, and tell, one sender.

    Attributes:
        track: the track that is sent; its ``last_pts`` is in units of ``clock_rate``.
        clock_rate: RTP ticks a second.
        media_time: seconds of media that are due now; None before there are any.
        ntp: NTP timestamp of now.
        keyframe: the viewer asks for a keyframe (PLI or FIR).
        bitrate: the viewer estimates its line at this many bit/s (REMB).
        playout_delay_ms: says the upper bound asked of the viewer's jitter buffer on a line
            without loss.
        now: monotonic seconds.
    """

    track: _Track
    clock_rate: int
    media_time: Callable[[], float | None]
    ntp: Callable[[], int]
    keyframe: Callable[[], None] = lambda: None
    bitrate: Callable[[int], None] = lambda bps: None
    playout_delay_ms: Callable[[], int] = lambda: 0
    now: Callable[[], float] = time.monotonic


def sender_report(
    packet: RtcpSrPacket, origin: int, media_time: float, clock_rate: int, ntp: int
) -> RtcpSrPacket:
    """Return the report with its clock pair replaced: ``media_time`` is due at ``ntp``."""
    info = packet.sender_info
    return RtcpSrPacket(
        ssrc=packet.ssrc,
        sender_info=RtcpSenderInfo(
            ntp_timestamp=ntp,
            rtp_timestamp=(origin + round(media_time * clock_rate)) & 0xFFFFFFFF,
            packet_count=info.packet_count,
            octet_count=info.octet_count,
        ),
        reports=packet.reports,
    )


class PlayoutDelayMap(HeaderExtensionsMap):
    """aiortc's extension writer that also writes ``playout-delay``.

    Args:
        minimum_ms: lower bound of the viewer's delay.
        maximum_ms: says the upper bound of it; both are sent in units of 10 ms.
    """

    def __init__(self, minimum_ms: int, maximum_ms: Callable[[], int]) -> None:
        super().__init__()
        self._minimum_ms = minimum_ms
        self._maximum_ms = maximum_ms
        self._id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        """Learn the negotiated ids."""
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == PLAYOUT_DELAY_URI:
                self._id = extension.id

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        """Return profile and bytes of a packet's extensions."""
        profile, packed = super().set(values)
        if self._id is None:
            return profile, packed
        maximum = min(self._maximum_ms() // 10, 0xFFF)
        value = struct.pack("!I", min(self._minimum_ms // 10, 0xFFF) << 12 | maximum)[1:]
        return pack_header_extensions(
            [*unpack_header_extensions(profile, packed), (self._id, value)]
        )


class LossyLink:
    """Decides how long a viewer may hold pictures back.

    At 0 a browser shows every picture as it comes, and one that misses a packet stands until the
    packet has been sent again. On a line that loses packets a little room is the smaller evil.
    Reports say how much is lost, but a second late; that a loss has ended shows sooner, by the
    viewer asking for nothing again.

    Args:
        usual_ms: says the bound on a line without loss.
        now: monotonic seconds.
    """

    def __init__(self, usual_ms: Callable[[], int], now: Callable[[], float]) -> None:
        self._usual_ms = usual_ms
        self._now = now
        self._lost_at = self._nacked_at = float("-inf")

    def report(self, fraction_lost: float) -> None:
        """Take a receiver report."""
        if fraction_lost >= LOSSY:
            self._lost_at = self._now()

    def nack(self) -> None:
        """Take that the viewer asks for packets again."""
        self._nacked_at = self._now()

    @property
    def bound_ms(self) -> int:
        """How long from now on."""
        now = self._now()
        since_loss, since_nack = now - self._lost_at, now - self._nacked_at
        if since_nack < _FORGIVEN_S:
            lossy = since_loss < _FORGIVEN_S and since_nack < _NACK_S
        else:
            lossy = since_loss < _REPORT_S
        usual_ms = self._usual_ms()
        return max(usual_ms, LOSSY_DELAY_MS) if lossy else usual_ms


def install(sender: RTCRtpSender, hooks: SenderHooks) -> None:
    """Attach the hooks to one sender, before it starts."""
    private: Any = sender
    link = LossyLink(hooks.playout_delay_ms, hooks.now)
    extensions = PlayoutDelayMap(0, lambda: link.bound_ms)
    if sender.kind == "video":
        private._RTCRtpSender__rtp_header_extensions_map = extensions
    handle, send = sender._handle_rtcp_packet, sender._send_rtcp

    async def handle_rtcp(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            if (bps := _estimate(packet, sender._ssrc)) is not None:
                hooks.bitrate(bps)
            return
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:
                    link.report(report.fraction_lost / 256)
        elif _asks_again(packet, sender._ssrc):
            link.nack()
        await handle(packet)

    async def send_rtcp(packets: list[AnyRtcpPacket]) -> None:
        if packets and isinstance(packets[0], RtcpSrPacket):
            media_time, pts = hooks.media_time(), hooks.track.last_pts
            if media_time is None or pts is None or not private._RTCRtpSender__packet_count:
                return  # nothing honest can be said yet
            # No task switch lies between the track's return and the packet on the wire, so these
            # two always belong together.
            origin = private._RTCRtpSender__rtp_timestamp - pts
            ntp = hooks.ntp()
            report = sender_report(packets[0], origin, media_time, hooks.clock_rate, ntp)
            packets = [report, *packets[1:]]
            private._RTCRtpSender__lsr = (ntp >> 16) & 0xFFFFFFFF  # for the round trip
        await send(packets)

    private._handle_rtcp_packet = handle_rtcp
    private._send_rtcp = send_rtcp
    private._send_keyframe = hooks.keyframe


def _asks_again(packet: AnyRtcpPacket, ssrc: int) -> bool:
    if not isinstance(packet, RtcpRtpfbPacket) or packet.fmt != RTCP_RTPFB_NACK:
        return False
    return packet.media_ssrc == ssrc


def _estimate(packet: RtcpPsfbPacket, ssrc: int) -> int | None:
    try:
        bitrate, ssrcs = unpack_remb_fci(packet.fci)
    except (ValueError, struct.error, IndexError):
        return None
    return bitrate if ssrc in ssrcs else None
