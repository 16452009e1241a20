"""Messages on the data channel: answered with a sentence, never with the end of the call."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.fake_clock import FakeClock
from visavis.streamer.errors import BadRequest
from visavis.streamer.session.channels.control import ControlChannel


class Channel:
    """What the control channel needs of a data channel."""

    readyState = "open"
    bufferedAmount = 0

    def __init__(self) -> None:
        self.sent: list[str] = []

    def on(self, event: str, handler: object) -> None:
        pass

    def send(self, text: str) -> None:
        self.sent.append(text)


def _number(message: dict[str, Any]) -> None:
    if not 0 <= float(message.get("value", 0)) < 1e6:
        raise BadRequest("The value is out of range.")


def target(data: bytes) -> None:
    """Receive messages, one a line, as text and as bytes."""
    channel = Channel()
    commands = {"interrupt": lambda message: None, "playout": _number, "avatar": _number}
    control = ControlChannel(commands, FakeClock())
    control.attach(channel)  # type: ignore[arg-type]
    for line in data.split(b"\n")[:100]:
        control.receive(line)
        control.receive(line.decode("utf-8", "surrogateescape"))
    for text in channel.sent:
        told = json.loads(text)
        assert told["type"] != "error" or (told["code"] and told["message"].endswith("."))
