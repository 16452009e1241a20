"""Somebody who watches another's session: the same packets, a connection of their own."""

from __future__ import annotations

from collections.abc import Callable

from aiortc import RTCDataChannel, RTCRtpTransceiver

from visavis.streamer.errors import BadRequest
from visavis.streamer.session.channels.control import ControlChannel
from visavis.streamer.session.context import SessionContext
from visavis.streamer.trust.callers import CALLER
from visavis.streamer.webrtc.feed import Feed, Lane
from visavis.streamer.webrtc.peer import Peer
from visavis.streamer.webrtc.sdp.signaling import KINDS, Offer, Section
from visavis.streamer.webrtc.sections import Role

_FLUSH_S = 0.2


class Viewer(Peer):
    """From the offer to the end, without a slot in the worker.

    What it is sent was encoded once for all; a slow line loses pictures up to the next keyframe
    and costs nobody else anything. Its estimate of the line does not lower the others' bitrate.

    Args:
        viewer_id: made by the server.
        context: what sessions share.
        feed: what is watched; None for one who is shown others' feeds later (``show``).
        ended: told once, when everything is given back.

    Attributes:
        caller: by which token they came.
    """

    def __init__(
        self,
        viewer_id: str,
        context: SessionContext,
        feed: Feed | None,
        ended: Callable[[Viewer], None],
    ) -> None:
        super().__init__(viewer_id, context.peers)
        self.caller = CALLER.get()
        self._context = context
        self._feed = feed
        self._ended = ended
        self._control = ControlChannel({}, self._clock)

    async def answer(self, offer: Offer) -> str:
        """Take an offer; return the answer's SDP.

        Raises:
            BadRequest: the offer cannot be served, or has not the session's codecs.
        """
        if self._feed is not None:
            _insist(offer, self._feed)
        sdp = await super().answer(offer)
        if self._feed is not None:
            self.show({"": self._feed})
        return sdp

    def role_of(self, section: Section, nth: int) -> Role:
        """Every section that the viewer receives in is for the feed."""
        return Role.FREE

    def place(self, section: Section, role: Role, transceiver: RTCRtpTransceiver) -> Lane | None:
        """Nothing is the viewer's own."""
        return None

    def channel(self, channel: RTCDataChannel) -> None:
        """Take the control channel."""
        if channel.label == "control":
            self._control.attach(channel)

    def look(self, age_s: float) -> None:
        """End when the viewer has gone silent or the session is over."""
        if self._control.silent_s > self._context.config.limits.idle_timeout_s:
            self.end_soon("The viewer has gone silent.", "idle")

    async def farewell(self, reason: str, cause: str) -> None:
        """Tell the viewer why this ends."""
        told = cause if cause == "token" else "watch"
        self._control.send({"type": "ended", "reason": reason, "cause": told})
        await self._control.flush(_FLUSH_S)

    def release(self, cause: str) -> None:
        """Give the place back."""
        try:
            self._control.detach()
        finally:
            self._ended(self)


def _insist(offer: Offer, feed: Feed) -> None:
    """Refuse an offer that has no section for the feed, or none in its codecs."""
    codecs = {"audio": "opus", "video": feed.codec.lower()}
    served = [section for section in offer.sections if section.served and section.kind in KINDS]
    fitting = {section.kind for section in served if codecs[section.kind] in section.codecs}
    for section in served:
        if section.kind not in fitting:
            name = "Opus" if section.kind == "audio" else feed.codec
            raise BadRequest(
                f"This session's {section.kind} is sent as {name}, which the offer has not.",
                code="no-common-codec",
            )
    if not fitting:
        reasons = [section.problem for section in offer.sections if section.problem]
        raise BadRequest(
            reasons[0] if reasons else "The offer has no audio or video section to watch in."
        )
