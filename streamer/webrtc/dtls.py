"""DTLS and SRTP for clients that aiortc does not have in mind.

Certificates of other clients may be RSA (GStreamer's are); the first hello may leave before the
other side listens (ffmpeg's does); and a stranger who has connected may name as many RTP sources as
he likes, each of which aiortc and libsrtp would keep for ever, until its reports no longer fit a
packet and its report task dies of that.
"""

# This folder is where aiortc's private names are known.
# pyright: reportPrivateUsage=false, reportAttributeAccessIssue=false, reportUnnecessaryComparison=false
from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from typing import Any

import pylibsrtp
from aiortc import RTCRtpReceiver
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsTransport,
    RtpReceiver,
    RtpRouter,
    SRTPProtectionProfile,
)
from aiortc.rtp import RtpPacket
from OpenSSL import SSL

MAX_SOURCES = 8  # RTP sources that one receiver keeps; the longest silent goes
MAX_STREAMS = 64  # that the decryption of one connection keeps, RTCP's included
_AGAIN_S = (0.05, 0.1, 0.2, 0.4)  # after which a first hello without an answer leaves once more
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:"
    b"ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA"
)


class Certificate(RTCCertificate):
    """aiortc's certificate, willing to talk to those who have an RSA one."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(_CIPHERS)
        return context


class BoundedRouter(RtpRouter):
    """Routes RTP, by the section's ``mid`` where it is sent, and keeps few sources a receiver."""

    def __init__(self) -> None:
        super().__init__()
        self._sources: OrderedDict[int, RtpReceiver] = OrderedDict()

    def route_rtp(self, packet: RtpPacket) -> RtpReceiver | None:
        """Return who takes a packet."""
        receiver = super().route_rtp(packet)
        mid = packet.extensions.mid
        if receiver is None and mid is not None and packet.ssrc not in self.ssrc_table:
            receiver = self.mid_table.get(mid)
            if receiver in self.payload_type_table.get(packet.payload_type, ()):
                assert receiver is not None
                self.ssrc_table[packet.ssrc] = receiver
            else:
                receiver = None
        if receiver is not None:
            self._keep(packet.ssrc, receiver)
        return receiver

    def _keep(self, ssrc: int, receiver: RtpReceiver) -> None:
        if ssrc in self._sources:
            self._sources.move_to_end(ssrc)
            return
        self._sources[ssrc] = receiver
        mine = [known for known, owner in self._sources.items() if owner is receiver]
        for old in mine[:-MAX_SOURCES]:
            del self._sources[old]
            self.ssrc_table.pop(old, None)
            _forget(receiver, old)

    def unregister_receiver(self, receiver: RtpReceiver) -> None:
        """Forget a receiver."""
        super().unregister_receiver(receiver)
        for ssrc in [known for known, owner in self._sources.items() if owner is receiver]:
            del self._sources[ssrc]


def _forget(receiver: Any, ssrc: int) -> None:
    if isinstance(receiver, RTCRtpReceiver):
        private: Any = receiver
        for name in ("remote_streams", "active_ssrc", "lsr", "lsr_time"):
            getattr(private, f"_RTCRtpReceiver__{name}").pop(ssrc, None)


class BoundedSrtp:
    """A decryption session that forgets the sources which have been silent longest.

    Args:
        session: libsrtp's.
    """

    def __init__(self, session: pylibsrtp.Session) -> None:
        self._session = session
        self._streams: OrderedDict[bytes, None] = OrderedDict()

    def unprotect(self, packet: bytes) -> bytes:
        """Decrypt RTP."""
        return self._keep(packet[8:12], self._session.unprotect(packet))

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Decrypt RTCP."""
        return self._keep(packet[4:8], self._session.unprotect_rtcp(packet))

    def _keep(self, ssrc: bytes, plain: bytes) -> bytes:
        if ssrc in self._streams:
            self._streams.move_to_end(ssrc)
            return plain
        self._streams[ssrc] = None
        if len(self._streams) > MAX_STREAMS:
            old, _ = self._streams.popitem(last=False)
            with contextlib.suppress(pylibsrtp.Error):
                self._session.remove_stream(int.from_bytes(old, "big"))
        return plain


class DtlsTransport(RTCDtlsTransport):
    """aiortc's transport with the bounds above and an impatient first hello."""

    def __init__(self, transport: Any, certificates: list[RTCCertificate]) -> None:
        super().__init__(transport, certificates)
        self._rtp_router = BoundedRouter()
        self._hello: bytes | None = None

    async def _do_handshake(self) -> None:
        again = asyncio.ensure_future(self._say_again())
        try:
            await super()._do_handshake()
        finally:
            again.cancel()

    async def _send_data(self, data: bytes) -> None:
        """Drop data when it is over: aiortc's SCTP sends from tasks that nobody asks after."""
        with contextlib.suppress(ConnectionError):
            await super()._send_data(data)

    async def _write_ssl(self) -> None:
        try:
            data = self._ssl.bio_read(1500)
        except SSL.Error:
            return
        if data:
            self._hello = self._hello or data
            await self.transport._send(data)

    async def _say_again(self) -> None:
        """Repeat the first flight until something comes back.

        The same record twice is dropped by whoever has the first one (RFC 6347, 4.1.2.6).
        """
        private: Any = self
        for wait_s in _AGAIN_S:
            await asyncio.sleep(wait_s)
            if private._RTCDtlsTransport__rx_packets or self._role != "client":
                return
            if self._hello is not None:
                with contextlib.suppress(ConnectionError):
                    await self.transport._send(self._hello)

    def _setup_srtp(self) -> None:
        super()._setup_srtp()
        if self._rx_srtp is not None:
            self._rx_srtp = BoundedSrtp(self._rx_srtp)
