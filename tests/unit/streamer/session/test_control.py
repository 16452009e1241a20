"""The data channel ``control``: what is wrong is a sentence for people and a code for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fake_clock import FakeClock
from visavis.streamer.errors import NotFound
from visavis.streamer.session.channels.chat import ChatChannel
from visavis.streamer.session.channels.control import MAX_MESSAGE, ControlChannel

ROOT = Path(__file__).resolve().parents[4]


class Channel:
    readyState = "open"
    bufferedAmount = 0

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def on(self, event: str, handler: object) -> None:
        pass

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))


def _missing(message: dict[str, Any]) -> None:
    raise NotFound("There is no such avatar.", code="unknown-avatar")


def _broken(message: dict[str, Any]) -> None:
    raise RuntimeError("a fault of ours")


COMMANDS = {"avatar": _missing, "broken": _broken, "number": lambda message: float(message["x"])}


def control(channel: Channel) -> ControlChannel:
    made = ControlChannel(COMMANDS, FakeClock())
    made.attach(channel)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not-json"),
        (b"{}", "not-json"),
        ("[1]", "not-json"),
        ('{"type": 1}', "not-json"),
        ("x" * (MAX_MESSAGE + 1), "not-json"),
        ('{"type": "nothing"}', "unknown-message"),
        ('{"type": "ping", "t": "now"}', "bad-request"),
        ('{"type": "number", "x": []}', "bad-request"),
        (f'{{"type": "number", "x": {"9" * 400}}}', "bad-request"),
        ('{"type": "avatar"}', "unknown-avatar"),
        ('{"type": "broken"}', "internal"),
    ],
)
def test_every_error_has_a_code(text: object, code: str) -> None:
    channel = Channel()
    control(channel).receive(text)
    (told,) = channel.sent
    assert (told["type"], told["code"]) == ("error", code)
    assert told["message"].endswith(".") and "Traceback" not in told["message"]


def test_too_many_messages_are_told_once() -> None:
    channel = Channel()
    flooded = control(channel)
    for _ in range(120):
        flooded.receive('{"type": "ping", "t": 1}')
    assert [told["code"] for told in channel.sent if told["type"] == "error"] == ["too-many"]


def test_the_same_codes_in_rtvi() -> None:
    channel = Channel()
    chat = ChatChannel(COMMANDS, FakeClock(), lambda: None)
    chat.attach(channel)  # type: ignore[arg-type]
    asked = {"t": "avatar", "d": {}}
    for kind, data in (("client-message", asked), ("no-such", {})):
        message = {"label": "rtvi-ai", "type": kind, "id": "a", "data": data}
        chat.receive(json.dumps(message))
    chat.error(NotFound("There is none."))
    codes = [told["data"]["code"] for told in channel.sent]
    assert codes == ["unknown-avatar", "unknown-message", "not-found"]


def test_errors_are_told_in_one_way_only() -> None:
    """Whoever writes the message by hand forgets the code."""
    found = [
        path.name
        for path in sorted((ROOT / "streamer").rglob("*.py"))
        if '"type": "error"' in path.read_text("utf-8")
    ]
    assert found == ["errors.py"]
