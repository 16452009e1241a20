"""The way of those who watch or listen: the others' feeds, the channel ``control``, no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiortc import RTCDataChannel, RTCRtpTransceiver

from visavis.streamer.session.channels.control import ControlChannel
from visavis.streamer.session.channels.guest import Guest
from visavis.streamer.session.context import SessionContext
from visavis.streamer.webrtc.feed import Feed, Lane
from visavis.streamer.webrtc.peer import Peer
from visavis.streamer.webrtc.sdp.signaling import Section
from visavis.streamer.webrtc.sections import Missing, Role, Stream

_FLUSH_S = 0.2


class Audience(Peer):
    """One connection without an avatar, and so without a slot in the worker.

    Args:
        peer_id: made by the server.
        context: what sessions share.
        guest: the participant whose connection it is.
        ended: told once, when everything is given back.
    """

    feed: Feed | None = None

    def __init__(
        self,
        peer_id: str,
        context: SessionContext,
        guest: Guest,
        ended: Callable[[Audience], None],
    ) -> None:
        super().__init__(peer_id, context.peers)
        self._context = context
        self._guest = guest
        self._ended = ended
        self._control = ControlChannel(guest.commands, self._clock)

    def role_of(self, section: Section, nth: int) -> Role:
        """Every section they receive in is for others' feeds."""
        return Role.DROPPED if section.direction == "sendonly" else Role.FREE

    def place(self, section: Section, role: Role, transceiver: RTCRtpTransceiver) -> Lane | None:
        """Nothing is their own."""
        return None

    def connected(self) -> None:
        """Tell the room."""
        self._guest.live()

    def channel(self, channel: RTCDataChannel) -> None:
        """Take the control channel."""
        if channel.label == "control":
            self._control.attach(channel)
            self._guest.opened()
            self.streams_changed(self.streams, self.missing)

    def streams_changed(self, streams: list[Stream], missing: Missing) -> None:
        """Tell in which sections the others are."""
        self.send(
            {
                "type": "streams",
                "streams": [stream._asdict() for stream in streams],
                "missing": missing._asdict(),
            }
        )

    def send(self, message: dict[str, Any]) -> None:
        """Send on the channel ``control``."""
        self._control.send(message)

    def turn(self, yaw: float, pitch: float) -> None:
        """There is nobody who could look anywhere."""

    def set_muted(self, on: bool) -> None:
        """There is no microphone."""

    def look(self, age_s: float) -> None:
        """End when they have gone silent."""
        if self._control.silent_s > self._context.config.limits.idle_timeout_s:
            self.end_soon("The viewer has gone silent.", "idle")

    async def farewell(self, reason: str, cause: str) -> None:
        """Tell why this ends."""
        self.send({"type": "ended", "reason": reason, "cause": cause})
        await self._control.flush(_FLUSH_S)

    def release(self, cause: str) -> None:
        """Give the place back."""
        try:
            self._control.detach()
            self._guest.gone(self)
        finally:
            self._ended(self)
