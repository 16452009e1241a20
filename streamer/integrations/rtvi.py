"""RTVI, which Pipecat's clients speak over their data channel: text in, actions out.

Messages are ``{"label": "rtvi-ai", "type", "id", "data"}``; beside them there are ``signalling``
messages of Pipecat's SmallWebRTC transport, and ``ping: <ms>`` once a second, which is no JSON.
This file knows no channel, no clock and no session.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, cast

from visavis.streamer import __version__
from visavis.streamer.errors import BadRequest, VisavisError
from visavis.streamer.messages import read_message

LABEL: Final = "chat"  # of the data channel
VERSION: Final = "2.2.0"  # of the protocol
MAX_MESSAGE: Final = 65_536  # characters; Pipecat's clients take this for the limit as well
_NAME: Final = "rtvi-ai"
_MAX_ID: Final = 256
_MAJOR_1: Final = re.compile(r"1\.\d{1,6}\.\d{1,6}")
_COMMANDS: Final = ("interrupt", "avatar", "mute")  # of a client-message
_NO_TEXT: Final = ("send-text", "dtmf", "append-to-context")
_NO_MESSAGE: Final = "The message is not a JSON object of at most 64 KB with a type."
_HEARS_ONLY: Final = "This server speaks what it hears; it takes no text."
_NO_ANSWER: Final = ("ui-event", "ui-snapshot", "ui-cancel-job-group")

Message = dict[str, Any]


@dataclass(frozen=True)
class Send:
    """Answer with this message."""

    message: Message


@dataclass(frozen=True)
class Mute:
    """The client's microphone was switched off or on again."""

    on: bool


@dataclass(frozen=True)
class Command:
    """Do what a ``control`` channel would be asked for, and answer under the same id."""

    command: Message
    id: str


@dataclass(frozen=True)
class HangUp:
    """The client wants no bot any more."""


Action = Send | Mute | Command | HangUp


def read(text: object) -> list[Action]:
    """Return what one message asks for; what cannot be understood is answered with a sentence."""
    if isinstance(text, str) and text.startswith("ping"):
        return []
    message = read_message(text, MAX_MESSAGE)
    if message is None:
        return [Send(error(_NO_MESSAGE, "not-json"))]
    if message["type"] == "signalling":
        return _signalling(message.get("message"))
    return _rtvi(message)


def _signalling(message: object) -> list[Action]:
    """Take the state of the microphone; the camera and the screen are of no use."""
    found = cast(Message, message) if isinstance(message, dict) else {}
    if found.get("type") != "trackStatus":
        return []
    index, enabled = found.get("receiver_index"), found.get("enabled")
    if isinstance(index, bool) or index != 0 or not isinstance(enabled, bool):
        return []
    return [Mute(not enabled)]


def _rtvi(message: Message) -> list[Action]:
    kind, data = message["type"], message.get("data")
    given = message.get("id")
    reply = given if isinstance(given, str) and len(given) <= _MAX_ID else ""
    fields = cast(Message, data) if isinstance(data, dict) else {}
    if kind == "client-ready":
        return [Send(_ready(reply, fields.get("version")))]
    if kind == "disconnect-bot":
        return [HangUp()]
    if kind == "client-message":
        return [_command(reply, fields)]
    if kind in _NO_ANSWER:
        return []
    if kind in _NO_TEXT:
        return [Send(refusal(reply, BadRequest(_HEARS_ONLY, code="unknown-message")))]
    no_such = BadRequest("There is no message of this type.", code="unknown-message")
    return [Send(refusal(reply, no_such))]


def _ready(reply: str, version: object) -> Message:
    """Answer in the client's own version if it is one of the first generation."""
    old = isinstance(version, str) and _MAJOR_1.fullmatch(version)
    about = {"library": "visavis", "library_version": __version__}
    return _message("bot-ready", {"version": version if old else VERSION, "about": about}, reply)


def _command(reply: str, fields: Message) -> Action:
    name, values = fields.get("t"), fields.get("d")
    if name not in _COMMANDS:
        names = ", ".join(_COMMANDS)
        return Send(refusal(reply, BadRequest(f"A client-message asks for one of {names}.")))
    return Command({**(values if isinstance(values, dict) else {}), "type": name}, reply)


def done(command: Command) -> Message:
    """Return the answer to a command that was carried out."""
    name = command.command["type"]
    return _message("server-response", {"t": name, "d": {"status": "success"}}, command.id)


def refusal(reply: str, wrong: VisavisError) -> Message:
    """Return the answer to a message that cannot be carried out."""
    return _message("error-response", {"error": str(wrong), "code": wrong.code}, reply)


def error(sentence: str, code: str) -> Message:
    """Return an error that is no answer to anything."""
    told = {"error": sentence, "message": sentence, "code": code, "fatal": False}
    return _message("error", told)


def speaking(who: str, on: bool) -> Message:
    """Return that ``user`` or ``bot`` has started or stopped speaking."""
    return _message(f"{who}-{'started' if on else 'stopped'}-speaking")


def server_message(data: Message) -> Message:
    """Return one of our own events, for ``onServerMessage``."""
    return _message("server-message", data)


def left() -> Message:
    """Return that the avatar has gone."""
    return {"type": "signalling", "message": {"type": "peerLeft"}}


def _message(kind: str, data: Message | None = None, reply: str = "") -> Message:
    message: Message = {"label": _NAME, "type": kind}
    if reply:
        message["id"] = reply
    if data is not None:
        message["data"] = data
    return message
