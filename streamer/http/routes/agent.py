"""``/api/agent``: a program, say a speech engine behind a language model, speaks in a session.

A WebSocket, opened with ``?session=<pc_id>&rate=24000``. In: binary frames of mono 16-bit PCM, or
JSON (``append``, ``flush``, ``clear``, ``text``). Out: JSON (``ready``, ``started``, ``finished``,
``interrupted``, ``error``, ``ended``). Picture and sound go to whoever watches the session.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import Annotated, Any, Final, cast

import numpy as np
from fastapi import APIRouter, WebSocket
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.websockets import WebSocketDisconnect

from visavis.streamer.errors import BadRequest, VisavisError, message_of
from visavis.streamer.http.bodies.schemas import Incoming
from visavis.streamer.http.routes.services import Services
from visavis.streamer.sentences import sentence
from visavis.streamer.session.agent import MAX_AHEAD_S, AgentVoice, Event

router = APIRouter()
LOWEST_RATE, HIGHEST_RATE = 8_000, 48_000
_MOST_TEXT: Final = 4_000  # characters of a caption
_MOST_UNSENT: Final = 512  # events that a client has not read
_MOST_FAULTS: Final = 50  # messages that cannot be used; then it is a flood
_POLICY_VIOLATION, _NORMAL = 1008, 1000  # RFC 6455, 7.4.1
_REASON_BYTES: Final = 120  # RFC 6455 allows 123

Rate = Annotated[int, Field(strict=True, ge=LOWEST_RATE, le=HIGHEST_RATE)]


def _decoded(value: object) -> bytes:
    """Read base64, of which pydantic's own type would leave out what is none."""
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except ValueError:
        pass
    raise PydanticCustomError("base64", "it is not base64")


class Append(Incoming):
    """Sound to be spoken after what was appended before."""

    audio: Annotated[bytes, BeforeValidator(_decoded)]
    """Mono, 16 bit, little-endian, as base64."""
    rate: Rate | None = Field(None, description="In Hz; the connection's if left out.")


class Flush(Incoming):
    """What was appended is a whole; ``finished`` tells when it has been seen."""


class Clear(Incoming):
    """Barge-in: be silent at once; ``interrupted`` tells how far it came."""


class Text(Incoming):
    """A caption, shown when what was appended before it has been spoken."""

    text: str = Field(max_length=_MOST_TEXT)


_MESSAGES: Final[dict[str, type[Append | Flush | Clear | Text]]] = {
    "append": Append,
    "flush": Flush,
    "clear": Clear,
    "text": Text,
}


def read(text: str) -> Append | Flush | Clear | Text:
    """Return one message of an agent.

    Raises:
        BadRequest: it cannot be used; the sentence says why.
    """
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest("The message is not valid JSON.", code="not-json") from None
    kind: Any = cast(dict[str, Any], values).get("type") if isinstance(values, dict) else None
    model = _MESSAGES.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise BadRequest(f"The type of a message is one of {', '.join(_MESSAGES)}.")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadRequest(
            sentence(first["type"], tuple(first["loc"]), first["msg"], model, "field")
        ) from None


class Agent:
    """One connection: what comes in acts on the voice, what happens goes out.

    Args:
        socket: accepted.
        rate: of binary frames and of messages that name none.
    """

    def __init__(self, socket: WebSocket, rate: int) -> None:
        self.voice = AgentVoice(self.tell)
        self._socket, self._rate = socket, rate
        self._events: asyncio.Queue[Event] = asyncio.Queue(_MOST_UNSENT)
        self._faults = 0
        self.interrupt = lambda: None

    def tell(self, event: Event) -> None:
        """Send an event; one who reads none is not waited for."""
        with contextlib.suppress(asyncio.QueueFull):
            self._events.put_nowait(event)

    async def send(self) -> None:
        """Send events until the session ends."""
        while True:
            event = await self._events.get()
            await self._socket.send_json(event)
            if event["type"] == "ended":
                return

    async def receive(self) -> None:
        """Act on messages until the client leaves.

        Raises:
            BadRequest: too many of them could not be used.
        """
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                self._act(message.get("bytes"), message.get("text"))
            except VisavisError as error:
                self._faults += 1
                self.tell(message_of(error))
                if self._faults >= _MOST_FAULTS:
                    raise BadRequest("Too many messages could not be used.") from None
            await asyncio.sleep(0)  # a flood must not keep the loop from the pictures

    def _act(self, pcm: bytes | None, text: str | None) -> None:
        if pcm is not None:
            self._append(pcm, self._rate)
            return
        message = read(text or "")
        if isinstance(message, Append):
            self._append(message.audio, message.rate or self._rate)
        elif isinstance(message, Flush):
            self.voice.flush()
        elif isinstance(message, Clear):
            self.interrupt()
        else:
            self.voice.text(message.text)

    def _append(self, pcm: bytes, rate: int) -> None:
        if len(pcm) % 2:
            raise BadRequest("PCM of 16 bit has an even number of bytes.", code="odd-length")
        self.voice.append(np.frombuffer(pcm, "<i2").astype(np.int16), rate)


def _rate(socket: WebSocket) -> int:
    given = socket.query_params.get("rate", "24000")
    if given.isascii() and given.isdigit() and LOWEST_RATE <= int(given[:6]) <= HIGHEST_RATE:
        return int(given)
    raise BadRequest(f"The rate is a number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}.")


@router.websocket("/api/agent")
async def agent(socket: WebSocket) -> None:
    """Let a program speak in a session in place of its viewer's microphone."""
    services: Services = socket.app.state.services
    await socket.accept()
    try:
        connection = Agent(socket, _rate(socket))
        session = services.sessions.session(socket.query_params.get("session", ""))
        session.join_agent(connection.voice)
    except VisavisError as error:
        await _refuse(socket, error)
        return
    connection.interrupt = session.interrupt
    connection.tell({"type": "ready", "session": session.id, "max_ahead_s": MAX_AHEAD_S})
    try:
        await _until_one_ends(socket, connection)
    finally:
        session.leave_agent(connection.voice)


async def _until_one_ends(socket: WebSocket, connection: Agent) -> None:
    tasks = [asyncio.create_task(connection.receive()), asyncio.create_task(connection.send())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, VisavisError):
            await _refuse(socket, result)
            return
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it may have left already
        await socket.close(_NORMAL)


async def _refuse(socket: WebSocket, error: VisavisError) -> None:
    reason = str(error).encode()[:_REASON_BYTES].decode("utf-8", "ignore")
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_json(message_of(error))
        await socket.close(_POLICY_VIOLATION, reason)
