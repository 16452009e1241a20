"""The data channel ``control``: small JSON messages, checked before anything acts on them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from visavis.streamer.clock import Clock
from visavis.streamer.errors import BadRequest, VisavisError, message_of
from visavis.streamer.messages import read_message

logger = logging.getLogger(__name__)
MAX_MESSAGE = 16_384  # characters
MAX_PER_SECOND = 50
MAX_UNSENT = 64 * 1024  # bytes; statistics nobody takes are not worth keeping
_NO_MESSAGE = "The message is not a JSON object of at most 16 KB with a type."
_FLUSH_STEP_S = 0.005
_MOST_OPEN = 8  # channels of one name that are remembered
Command = Callable[[dict[str, Any]], None]


class ControlChannel:
    """Reads commands and answers pings.

    Args:
        commands: what to do, by message type.
        clock: monotonic time.
    """

    def __init__(self, commands: Mapping[str, Command], clock: Clock) -> None:
        self._commands = dict(commands)
        self._clock = clock
        self.attached = asyncio.Event()
        self._channel: RTCDataChannel | None = None
        self._channels: list[RTCDataChannel] = []
        self._heard_at: float | None = None
        self._second = 0.0
        self._in_second = 0

    def add(self, commands: Mapping[str, Command]) -> None:
        """Understand further messages, by type."""
        self._commands.update(commands)

    @property
    def silent_s(self) -> float:
        """Seconds since the last message; 0 for a viewer that never opened the channel."""
        return 0.0 if self._heard_at is None else self._clock.now() - self._heard_at

    def attach(self, channel: RTCDataChannel) -> None:
        """Use a channel that the viewer opened; the one it spoke on last counts.

        A client that reconnects may open another one before it gives up the first: an answer goes
        to where the question came from.
        """
        self._channel = channel
        self._channels = [c for c in self._channels if c.readyState != "closed"][-_MOST_OPEN:]
        self._channels.append(channel)
        self._heard_at = self._clock.now()

        def heard(text: object) -> None:
            self._heard_on(channel, text)

        channel.on("message", heard)
        self.attached.set()

    def _heard_on(self, channel: RTCDataChannel, text: object) -> None:
        if self._channel is not None:
            self._channel = channel
        self.receive(text)

    def detach(self) -> None:
        """Forget the channel."""
        for channel in self._channels:
            channel.remove_all_listeners()
        self._channels.clear()
        self._channel = None

    def receive(self, text: object) -> None:
        """Act on one message; what cannot be understood is answered with a sentence."""
        now = self._clock.now()
        self._heard_at = now
        if now - self._second >= 1.0:
            self._second, self._in_second = now, 0
        self._in_second += 1
        if self._in_second > MAX_PER_SECOND:
            if self._in_second == MAX_PER_SECOND + 1:
                self.error(BadRequest("Too many messages; some were not read.", code="too-many"))
            return
        self.take(text)

    def take(self, text: object) -> None:
        """Act on one message that is not one too many."""
        message = read_message(text, MAX_MESSAGE)
        if message is None:
            self.error(BadRequest(_NO_MESSAGE, code="not-json"))
        elif message["type"] == "ping":
            self._pong(message.get("t"))
        elif (wrong := self.act(message["type"], message)) is not None:
            self.error(wrong)

    def act(self, kind: str, message: dict[str, Any]) -> VisavisError | None:
        """Run a command; return what is wrong with it.

        Whatever it raises would end the whole connection.
        """
        command = self._commands.get(kind)
        if command is None:
            return BadRequest("There is no message of this type.", code="unknown-message")
        try:
            command(message)
        except VisavisError as error:
            return error
        except (ArithmeticError, ValueError, TypeError):
            return BadRequest("The message has a value that cannot be used.")
        except Exception:
            logger.exception("a control message could not be handled")
            return VisavisError("Something went wrong with this message.")
        return None

    def _pong(self, stamp: object) -> None:
        number = isinstance(stamp, int | float) and not isinstance(stamp, bool)
        if number and abs(stamp) < 1e15:  # type: ignore[arg-type]
            self.send({"type": "pong", "t": stamp})
        else:
            self.error(BadRequest("A ping needs a number t."))

    def send(self, message: dict[str, Any]) -> None:
        """Send if the channel is open and takes it."""
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount > MAX_UNSENT:
            return
        try:
            channel.send(json.dumps(message, separators=(",", ":"), allow_nan=False))
        except (InvalidStateError, ConnectionError, ValueError) as error:
            logger.debug("control message not sent: %s", error)

    async def flush(self, limit_s: float) -> None:
        """Wait until what was sent has left, or the limit."""
        deadline = self._clock.now() + limit_s
        while self._channel is not None and self._channel.bufferedAmount:
            if self._channel.readyState != "open" or self._clock.now() >= deadline:
                return
            await self._clock.sleep_until(self._clock.now() + _FLUSH_STEP_S)
        await asyncio.sleep(0)

    def error(self, error: VisavisError) -> None:
        """Send a sentence for the user, with its code for programs."""
        self.send(message_of(error))
