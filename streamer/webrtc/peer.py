"""What every peer connection of the server has in common: making it, answering, candidates."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError

from visavis.streamer.errors import BadRequest, VisavisError
from visavis.streamer.webrtc import ice, signaling
from visavis.streamer.webrtc.signaling import Offer

logger = logging.getLogger(__name__)
_UNFIT = (
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    AssertionError,
    InvalidStateError,
    InvalidAccessError,
    OperationError,
)  # what aiortc raises on offers that are strange in some way


def new_peer() -> RTCPeerConnection:
    """Return a connection that asks no server on the internet for its address."""
    return RTCPeerConnection(
        RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    )


def prefer(video: RTCRtpTransceiver, codec: str, *, nothing_else: bool = False) -> None:
    """Send video as this codec if the offer has it, whatever the offer puts first.

    H.264 costs two thirds (512 px) to half (256 px) of what VP8 does, and its encoder takes a new
    bitrate without a keyframe.
    """
    codecs = RTCRtpSender.getCapabilities("video").codecs
    wanted = [c for c in codecs if c.mimeType.lower() == f"video/{codec}".lower()]
    rest = [c for c in codecs if c not in wanted]
    if nothing_else:
        rest = [c for c in rest if c.mimeType.lower() == "video/rtx"]
    video.setCodecPreferences(wanted + rest)


async def answer(peer: RTCPeerConnection, offer: Offer, place: Callable[[], None]) -> str:
    """Take an offer; return the answer's SDP.

    Args:
        peer: with its transceivers added.
        offer: checked.
        place: fills the sections once they are known.

    Raises:
        BadRequest: the offer cannot be served.
    """
    try:
        await peer.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        place()
        signaling.negotiate_extensions(peer, offer)
        made = await peer.createAnswer()
        for connection in ice.connections(peer):
            ice.harden(connection)
        await peer.setLocalDescription(made)
    except VisavisError:
        raise
    except _UNFIT as error:
        logger.info("offer refused: %r", error)
        raise BadRequest("The offer cannot be answered: it does not fit this server.") from None
    return signaling.finish_answer(peer.localDescription.sdp)


async def close(peer: RTCPeerConnection) -> None:
    """Close a connection; whatever is broken in there, its place becomes free."""
    peer.remove_all_listeners()
    try:
        await peer.close()
    except Exception:
        logger.exception("peer connection did not close cleanly")


class Candidates:
    """Trickled candidates of one connection.

    Args:
        peer: gets those that may be contacted.
        limit: how many may come.
    """

    def __init__(self, peer: RTCPeerConnection, limit: int) -> None:
        self._peer = peer
        self._limit = limit
        self._came = 0

    async def add(self, candidates: list[Any]) -> None:
        """Take candidates; those that may not be contacted are left out.

        Raises:
            BadRequest: there are too many.
        """
        self._came += len(candidates)
        if self._came > self._limit:
            raise BadRequest(f"A session may have no more than {self._limit} further candidates.")
        first = self._peer.getTransceivers()[0]
        for entry in candidates:
            text = entry.get("candidate") if isinstance(entry, dict) else None
            candidate = signaling.parse_candidate(text)
            if candidate is not None:
                candidate.sdpMid = first.mid  # everything is bundled
                with contextlib.suppress(ValueError, InvalidStateError):
                    await self._peer.addIceCandidate(candidate)
