"""The data channels of one session, told apart by their labels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiortc import RTCDataChannel

from visavis.streamer.clock import Clock
from visavis.streamer.errors import VisavisError
from visavis.streamer.integrations import rtvi
from visavis.streamer.session.channels import motion_channel
from visavis.streamer.session.channels.chat import ChatChannel
from visavis.streamer.session.channels.control import Command, ControlChannel
from visavis.streamer.session.channels.motion_channel import MotionChannel
from visavis.streamer.webrtc.sections import Missing, Stream

_FLUSH_S = 0.2


class Channels:
    """Whatever channels the viewer opened.

    Args:
        commands: what both channels of messages take; by type.
        more: what ``control`` takes besides, or instead.
        clock: monotonic time.
        hang_up: ends the session.
        share_motion: told when somebody begins or stops to want coefficients.

    Attributes:
        control: the product's own messages.
        chat: the same in RTVI's words.
        motion: coefficients.
    """

    def __init__(
        self,
        commands: Mapping[str, Command],
        more: Mapping[str, Command],
        clock: Clock,
        hang_up: Callable[[], None],
        share_motion: Callable[[bool], None],
    ) -> None:
        self.control = ControlChannel({**commands, **more}, clock)
        self.chat = ChatChannel(commands, clock, hang_up)
        self.motion = MotionChannel()
        self._share_motion = share_motion

    def attach(self, channel: RTCDataChannel) -> None:
        """Take a channel that is known by its label; leave others alone."""
        if channel.label == "control":
            self.control.attach(channel)
        elif channel.label == rtvi.LABEL:
            self.chat.attach(channel)
        elif channel.label == motion_channel.LABEL:
            self.motion.attach(channel)
            self._share_motion(True)
            channel.on("close", lambda: self._motion_closed(channel))

    def _motion_closed(self, channel: RTCDataChannel) -> None:
        self.motion.detach(channel)
        self._share_motion(self.motion.attached)

    @property
    def silent_s(self) -> float:
        """Seconds since the viewer last said anything; 0 for one that has no channel to say it."""
        channels = [c for c in (self.control, self.chat) if c.attached.is_set()]
        return min((c.silent_s for c in channels), default=0.0)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell an event on whatever channel the viewer has."""
        self.control.send(message)
        self.chat.event(message)

    def error(self, error: VisavisError) -> None:
        """Send a sentence for the user and its code, likewise."""
        self.control.error(error)
        self.chat.error(error)

    def streams(self, streams: list[Stream], missing: Missing) -> None:
        """Tell the viewer in which sections others are shown."""
        self.control.send(
            {
                "type": "streams",
                "streams": [stream._asdict() for stream in streams],
                "missing": missing._asdict(),
            }
        )

    async def bye(self, reason: str, cause: str) -> None:
        """Tell why this ends, and wait until it has left, but not for long."""
        self.control.send({"type": "ended", "reason": reason, "cause": cause})
        self.chat.bye(reason, cause)
        await asyncio.gather(self.control.flush(_FLUSH_S), self.chat.flush(_FLUSH_S))

    def detach(self) -> None:
        """Forget them all."""
        self.control.detach()
        self.chat.detach()
        self.motion.detach()
