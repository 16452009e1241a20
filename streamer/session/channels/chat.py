"""The data channel ``chat`` of Pipecat's clients: the control channel in RTVI's words."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.clock import Clock
from visavis.streamer.errors import VisavisError
from visavis.streamer.integrations import rtvi
from visavis.streamer.integrations.speaking import RATE, Speaking
from visavis.streamer.session.channels.control import Command, ControlChannel

_MOST_CHANGES = 64  # that wait for their picture


class ChatChannel(ControlChannel):
    """Reads RTVI, and tells who speaks.

    The client's sound is heard when it comes (``user-…-speaking``) and seen on the avatar's lips
    when its picture is released (``bot-…-speaking``).

    Args:
        commands: what to do, as for the control channel.
        clock: monotonic time.
        hang_up: ends the session.
    """

    def __init__(
        self, commands: Mapping[str, Command], clock: Clock, hang_up: Callable[[], None]
    ) -> None:
        super().__init__(commands, clock)
        self._hang_up = hang_up
        self._speaking = Speaking()
        self._changes: deque[tuple[int, bool]] = deque(maxlen=_MOST_CHANGES)
        self._bot_on = False

    def take(self, text: object) -> None:
        """Act on one message."""
        for action in rtvi.read(text):
            if isinstance(action, rtvi.Send):
                self.send(action.message)
            elif isinstance(action, rtvi.Mute):
                self.act("mute", {"on": action.on})
            elif isinstance(action, rtvi.HangUp):
                self._hang_up()
            elif (wrong := self.act(action.command["type"], action.command)) is None:
                self.send(rtvi.done(action))
            else:
                self.send(rtvi.refusal(action.id, wrong))

    def sound(self, position: int, samples: NDArray[np.int16], *, user: bool = True) -> None:
        """Take sound at 16 kHz, after the models have it.

        Args:
            position: media time of the first sample.
            samples: mono.
            user: it is the client's own, not an agent's.
        """
        if not self.attached.is_set():
            return
        for change in self._speaking.push(position, samples):
            if user:
                self.send(rtvi.speaking("user", change[1]))
            self._changes.append(change)

    def shown(self, media_s: float | None) -> None:
        """Take that the picture of a media time is released."""
        while self._changes and media_s is not None and self._changes[0][0] <= media_s * RATE:
            self._bot(self._changes.popleft()[1])

    def hushed(self) -> None:
        """Take that what was on its way to the lips was dropped."""
        self._changes.clear()
        self._bot(False)
        if self._speaking.on:
            self._changes.append((self._speaking.position, True))

    def _bot(self, on: bool) -> None:
        if on != self._bot_on:
            self._bot_on = on
            self.send(rtvi.speaking("bot", on))

    def event(self, message: dict[str, Any]) -> None:
        """Tell an event of the control channel."""
        self.send(rtvi.server_message(message))

    def error(self, error: VisavisError) -> None:
        """Send a sentence for the user, with its code for programs."""
        self.send(rtvi.error(str(error), error.code))

    def bye(self, reason: str, cause: str) -> None:
        """Tell that this is the end; why, if the client has not asked for it.

        An error that is fatal would have the client hang up before it reads that the avatar left.
        """
        if cause != "hangup":
            self.send(rtvi.error(reason, cause))
        self.send(rtvi.left())
