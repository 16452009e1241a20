"""aiortc's peer connection as this server needs it, and the one list of what we know of its inside.

Everything in aiortc and aioice that is not part of their interface is touched in this folder only.
:func:`self_test` says at start-up whether the installed versions are those it was written for.
"""

# This folder is where aiortc's private names are known.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

from aioice import Connection
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
)
from aiortc.codecs.base import Encoder
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpRouter
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters
from aiortc.rtp import RtpPacket

from visavis.streamer.webrtc.dtls import Certificate, DtlsTransport
from visavis.streamer.webrtc.ice.agent import IceAgent
from visavis.streamer.webrtc.ice.sockets import Binding

logger = logging.getLogger(__name__)
MADE_FOR = {"aiortc": "1.16", "aioice": "0.13"}
CLOSE_LIMIT_S = 2.0
UNFIT = (
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    AssertionError,
    ConnectionError,
    TimeoutError,
    InternalError,
    InvalidStateError,
    InvalidAccessError,
    OperationError,
)  # what aiortc raises on offers that are strange in some way


class MediaConnection(RTCPeerConnection):
    """A peer connection which asks nobody for its address and whose ICE can restart.

    Every section has a transport of its own until the offer's bundle has put them together, so
    that sections may come in any order and an offer without a bundle is served as it is.

    Args:
        binding: where media sockets are bound.
    """

    def __init__(self, binding: Binding) -> None:
        super().__init__(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
        self._binding = binding
        self._RTCPeerConnection__certificates = [Certificate.generateCertificate()]

    def _RTCPeerConnection__createDtlsTransport(self) -> DtlsTransport:
        """Make a transport; aiortc calls this for every section."""
        private: Any = self
        others = self.agents
        name, password = (
            (others[0].local_username, others[0].local_password) if others else (None, None)
        )
        gatherer = RTCIceGatherer(iceServers=[])
        gatherer._connection = IceAgent(self._binding, name, password)  # type: ignore[assignment]
        gatherer.on("statechange", private._RTCPeerConnection__updateIceGatheringState)
        ice = RTCIceTransport(gatherer)
        ice.on("statechange", private._RTCPeerConnection__updateIceConnectionState)
        ice.on("statechange", private._RTCPeerConnection__updateConnectionState)
        private._RTCPeerConnection__iceTransports.add(ice)
        dtls = DtlsTransport(ice, private._RTCPeerConnection__certificates)
        dtls.on("statechange", private._RTCPeerConnection__updateConnectionState)
        private._RTCPeerConnection__dtlsTransports.add(dtls)
        private._RTCPeerConnection__updateIceGatheringState()
        private._RTCPeerConnection__updateIceConnectionState()
        private._RTCPeerConnection__updateConnectionState()
        return dtls

    @property
    def agents(self) -> list[IceAgent]:
        """The ICE agents: one, when everything is bundled."""
        private: Any = self
        return [ice._connection for ice in private._RTCPeerConnection__iceTransports]

    def agent_of(self, mid: str) -> IceAgent | None:
        """Return the agent that carries a section."""
        for transceiver in self.getTransceivers():
            if transceiver.mid == mid:
                return transceiver.receiver.transport.transport._connection  # type: ignore[return-value]
        if self.sctp is not None and self.sctp.mid == mid:
            return self.sctp.transport.transport._connection  # type: ignore[return-value]
        return None

    def forget_unplaced(self) -> None:
        """Take out transceivers of an offer that was refused half-way."""
        kept: list[RTCRtpTransceiver] = self._RTCPeerConnection__transceivers  # type: ignore[attr-defined]
        kept[:] = [transceiver for transceiver in kept if transceiver.mid is not None]

    async def shut(self, limit_s: float = CLOSE_LIMIT_S) -> bool:
        """Close; whatever is broken or hangs in there, the sockets are closed after the limit.

        Returns:
            Whether it closed by itself.
        """
        self.remove_all_listeners()
        try:
            async with asyncio.timeout(limit_s):
                await self.close()
            return True
        except TimeoutError:
            logger.warning("a connection did not close within %g s and was cut off", limit_s)
        except Exception:
            logger.exception("a connection did not close cleanly")
        self._abort()
        return False

    def _abort(self) -> None:
        """Cancel aiortc's tasks and close its sockets without waiting for any of them."""
        private: Any = self
        for transceiver in self.getTransceivers():
            sender: Any = transceiver.sender
            receiver: Any = transceiver.receiver
            for task in (
                sender._RTCRtpSender__rtp_task,
                sender._RTCRtpSender__rtcp_task,
                receiver._RTCRtpReceiver__rtcp_task,
            ):
                if task is not None:
                    task.cancel()
            receiver._RTCRtpReceiver__decoder_queue.put(None)
            if sender.track is not None:
                sender.track.stop()
        for dtls in private._RTCPeerConnection__dtlsTransports:
            if dtls._task is not None:
                dtls._task.cancel()
        for agent in self.agents:
            agent.abort()
        closed = private._RTCPeerConnection__isClosed
        if closed is not None and not closed.done():
            closed.set_result(True)


# ------------------------------------------------------------------ transceivers


def codecs_of(transceiver: RTCRtpTransceiver) -> list[RTCRtpCodecParameters]:
    """Return what was negotiated for a section, the one that is sent first."""
    return list(transceiver._codecs)


def accept_extension(transceiver: RTCRtpTransceiver, number: int, uri: str) -> None:
    """Accept a header extension that aiortc does not know, before the answer is made."""
    transceiver._headerExtensions.append(RTCRtpHeaderExtensionParameters(id=number, uri=uri))


def prefer(transceiver: RTCRtpTransceiver, codec: str, *, nothing_else: bool = False) -> None:
    """Send as this codec if the offer has it, whatever the offer puts first.

    H.264 costs two thirds (512 px) to half (256 px) of what VP8 does, and its encoder takes a new
    bitrate without a keyframe. Sound is encoded once as Opus for all who can take it.
    """
    codecs = RTCRtpSender.getCapabilities(transceiver.kind).codecs
    name = f"{transceiver.kind}/{codec}".lower()
    wanted = [c for c in codecs if c.mimeType.lower() == name]
    rest = [c for c in codecs if c not in wanted]
    if nothing_else:
        rest = [c for c in rest if c.mimeType.lower() == "video/rtx"]
    transceiver.setCodecPreferences(wanted + rest)


class _Tap:
    """Stands where aiortc's jitter buffer was."""

    def __init__(self, take: Callable[[RtpPacket], None]) -> None:
        self._take = take

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        self._take(packet)
        return False, None


def tap_receiver(receiver: RTCRtpReceiver, take: Callable[[RtpPacket], None]) -> None:
    """Hand every packet of one receiver to ``take``; nothing is queued or decoded by aiortc."""
    receiver._RTCRtpReceiver__jitter_buffer = _Tap(take)  # type: ignore[attr-defined]


def payload_of(packet: RtpPacket) -> bytes:
    """Return what a tapped packet carries."""
    return bytes(getattr(packet, "_data", b""))


def drain_receiver(receiver: RTCRtpReceiver) -> None:
    """Throw away whatever a receiver gets that nobody asked for.

    Of a line that carries nothing nothing need be estimated: for that aiortc keeps 1000 objects a
    picture's section, which are most of what a connection leaves to the garbage collector.
    """
    tap_receiver(receiver, lambda packet: None)
    receiver._RTCRtpReceiver__remote_bitrate_estimator = None  # type: ignore[attr-defined]


class _Packed(Encoder):
    """aiortc's encoder for tracks that give payloads."""

    def encode(self, frame: Any, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        raise NotImplementedError("This track gives packets, not frames.")

    def pack(self, packet: Any) -> tuple[list[bytes], int]:
        return packet.payloads, packet.timestamp


def send_packed(sender: RTCRtpSender) -> None:
    """Let a sender's track give :class:`~.tracks.Packed` instead of frames."""
    sender._RTCRtpSender__encoder = _Packed()  # type: ignore[attr-defined]


# ------------------------------------------------------------------ the self-test

_NAMES: dict[Any, tuple[str, ...]] = {
    RTCPeerConnection: (
        *("createDtlsTransport", "updateIceGatheringState", "updateIceConnectionState"),
        *("updateConnectionState", "iceTransports", "dtlsTransports", "certificates"),
        *("transceivers", "isClosed"),
    ),
    RTCRtpSender: (
        *("rtp_task", "rtcp_task", "encoder", "rtp_header_extensions_map", "rtp_timestamp"),
        *("packet_count", "lsr"),
    ),
    RTCRtpReceiver: (
        *("rtcp_task", "decoder_queue", "jitter_buffer", "remote_streams", "active_ssrc"),
        *("lsr", "lsr_time", "remote_bitrate_estimator"),
    ),
}
_OPEN_NAMES = {
    RTCRtpTransceiver: ("_codecs", "_offerDirection", "_headerExtensions"),
    RTCIceGatherer: ("_connection",),
    RTCIceTransport: ("_connection", "_recv", "_send"),
    Connection: (
        *("_protocols", "_check_list", "_early_checks", "_nominated", "_query_consent_task"),
        *("_closing", "_closed"),
    ),
    RTCDtlsTransport: ("_rtp_router", "_rx_srtp", "_ssl", "_task", "_role", "__rx_packets"),
    RtpRouter: ("mid_table", "ssrc_table", "payload_type_table"),
}


def self_test() -> str:
    """Return "" if the installed libraries are as this folder expects, else one sentence."""
    wanted = " and ".join(f"{name} {version}" for name, version in MADE_FOR.items())
    for name, version in MADE_FOR.items():
        found = importlib.metadata.version(name)
        if not found.startswith(f"{version}."):
            return f"The WebRTC side was made for {wanted}, but {name} {found} is installed."
    for missing in _missing():
        return f"The WebRTC side was made for {wanted}, and {missing} is not there any more."
    return ""


def _missing() -> Iterator[str]:
    for owner, names in _NAMES.items():
        text = inspect.getsource(owner)
        for name in names:
            if f"self.__{name}" not in text and f"def __{name}" not in text:
                yield f"{owner.__name__}.__{name}"
    for owner, names in _OPEN_NAMES.items():
        text = inspect.getsource(owner)
        yield from (f"{owner.__name__}.{name}" for name in names if name not in text)
