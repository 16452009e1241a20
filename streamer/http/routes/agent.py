"""``/api/agent``: a program, say a speech engine behind a language model, speaks in a session.

A WebSocket, opened with ``?session=<pc_id>&rate=24000``. In: binary frames of mono 16-bit PCM, or
JSON (``append``, ``flush``, ``clear``, ``text``). Out: JSON (``ready``, ``started``, ``finished``,
``interrupted``, ``error``, ``ended``). Picture and sound go to whoever watches the session.

With ``raw=1`` a program on the same machine gets them uncompressed: ``ready`` names the shared
memory (``media.picture_ring``) and a binary message tells of every frame (``media.raw_frames``).
With ``avatar`` in place of ``session`` it needs no viewer at all: a session of its own begins.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Annotated, Any, Final, cast, get_args

import numpy as np
from fastapi import APIRouter, WebSocket
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.websockets import WebSocketDisconnect

from visavis.models.motion.flow import MANNERS
from visavis.streamer.errors import BadRequest, VisavisError, message_of
from visavis.streamer.http.bodies.schemas import Incoming
from visavis.streamer.http.routes.services import Services
from visavis.streamer.sentences import sentence
from visavis.streamer.session.options import Wishes
from visavis.streamer.session.session import Session
from visavis.streamer.session.speech.agent import MAX_AHEAD_S, AgentVoice, Event
from visavis.streamer.values import Size

logger = logging.getLogger(__name__)
router = APIRouter()
LOWEST_RATE, HIGHEST_RATE = 8_000, 48_000
SIZES: Final[tuple[int, ...]] = get_args(get_args(Size)[0])
_MOST_TEXT: Final = 4_000  # characters of a caption
_MOST_UNSENT: Final = 512  # events that a client has not read
_MOST_FRAMES: Final = 6  # messages of frames that it has not read; what they tell of is gone soon
_MOST_FAULTS: Final = 50  # messages that cannot be used; then it is a flood
_GONE: Final = (WebSocketDisconnect, RuntimeError)  # what Starlette raises once it has left
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


class Heard(Incoming):
    """What the other side says meanwhile, so that the avatar listens; in a session of one's own."""

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


_Message = Append | Heard | Flush | Clear | Text
_MESSAGES: Final[dict[str, type[_Message]]] = {
    "append": Append,
    "heard": Heard,
    "flush": Flush,
    "clear": Clear,
    "text": Text,
}


def read(text: str) -> _Message:
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
        self._unsent: deque[Event | bytes] = deque()
        self._counts = {False: 0, True: 0}  # of it: events, and frames
        self._more = asyncio.Event()
        self._faults = 0
        self.interrupt: Callable[[], None] = lambda: None
        self.hear: Callable[[NDArray[np.int16], int], None] = _not_heard

    def tell(self, event: Event) -> None:
        """Send an event; one who reads none is not waited for."""
        if self._counts[False] < _MOST_UNSENT:
            self._put(event)

    def lead(self, event: Event) -> None:
        """Send an event before everything else."""
        self._unsent.appendleft(event)
        self._counts[False] += 1
        self._more.set()

    def give(self, frame: bytes) -> None:
        """Send the message of a frame, in order with the events; the oldest goes if unread."""
        if self._counts[True] >= _MOST_FRAMES:
            self._unsent.remove(next(m for m in self._unsent if isinstance(m, bytes)))
            self._counts[True] -= 1
        self._put(frame)

    def _put(self, message: Event | bytes) -> None:
        self._unsent.append(message)
        self._counts[isinstance(message, bytes)] += 1
        self._more.set()

    async def send(self) -> None:
        """Send events and frames until the session ends."""
        while True:
            while not self._unsent:
                self._more.clear()
                await self._more.wait()
            message = self._unsent.popleft()
            self._counts[isinstance(message, bytes)] -= 1
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
                continue
            await self._socket.send_json(message)
            if message["type"] == "ended":
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
        elif isinstance(message, Heard):
            self.hear(_samples(message.audio), message.rate or self._rate)
        elif isinstance(message, Flush):
            self.voice.flush()
        elif isinstance(message, Clear):
            self.interrupt()
        else:
            self.voice.text(message.text)

    def _append(self, pcm: bytes, rate: int) -> None:
        self.voice.append(_samples(pcm), rate)


def _samples(pcm: bytes) -> NDArray[np.int16]:
    if len(pcm) % 2:
        raise BadRequest("PCM of 16 bit has an even number of bytes.", code="odd-length")
    return np.frombuffer(pcm, "<i2").astype(np.int16)


def _not_heard(samples: NDArray[np.int16], rate: int) -> None:
    raise BadRequest("In this session the viewer is who is heard.", code="not-heard")


def _rate(socket: WebSocket) -> int:
    given = socket.query_params.get("rate", "24000")
    if given.isascii() and given.isdigit() and LOWEST_RATE <= int(given[:6]) <= HIGHEST_RATE:
        return int(given)
    raise BadRequest(f"The rate is a number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}.")


def _wishes(socket: WebSocket) -> tuple[str, int, Wishes]:
    """Return avatar, size and mood of a session that is to begin."""
    query = socket.query_params
    size, mood = query.get("size", "0"), query.get("mood", "neutral")
    if size not in ("0", *map(str, SIZES)):
        raise BadRequest(f"The size is one of {', '.join(map(str, SIZES))} pixels.")
    if mood not in MANNERS:
        raise BadRequest(f"The mood must be one of {', '.join(MANNERS)}.")
    return query.get("avatar", ""), int(size), Wishes(mood=mood)


async def _joined(socket: WebSocket, services: Services, connection: Agent) -> Session:
    """Join a session, or begin one without a viewer; say so.

    Raises:
        VisavisError: whatever is wrong, in one sentence.
    """
    query = socket.query_params
    said: dict[str, Any] = {"max_ahead_s": MAX_AHEAD_S}

    def join(session: Session) -> None:
        session.join_agent(connection.voice)
        connection.interrupt = session.interrupt
        if "avatar" in query:
            connection.hear = session.hear
        if query.get("raw", "0") not in ("", "0"):
            try:
                said["pictures"] = session.give_pictures(connection.give)
            except VisavisError:
                session.leave_agent(connection.voice)
                raise

    if "avatar" in query:
        if query.get("raw", "0") in ("", "0"):
            raise BadRequest("A session without a viewer needs raw=1, or nobody would see it.")
        session = await services.sessions.begin_headless(*_wishes(socket), join)
    else:
        session = services.sessions.session(query.get("session", ""))
        join(session)
    connection.lead({"type": "ready", "session": session.id, **said})
    return session


@router.websocket("/api/agent")
async def agent(socket: WebSocket) -> None:
    """Let a program speak in a session in place of its viewer's microphone."""
    services: Services = socket.app.state.services
    await socket.accept()
    try:
        connection = Agent(socket, _rate(socket))
        session = await _joined(socket, services, connection)
    except VisavisError as error:
        await _refuse(socket, error)
        return
    try:
        await _until_one_ends(socket, connection)
    finally:
        session.leave_agent(connection.voice)
        if session.headless:
            await session.end("The agent has left.", "hangup")


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
        if isinstance(result, Exception) and not isinstance(result, _GONE):
            logger.error("an agent's connection failed", exc_info=result)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it may have left already
        await socket.close(_NORMAL)


async def _refuse(socket: WebSocket, error: VisavisError) -> None:
    reason = str(error).encode()[:_REASON_BYTES].decode("utf-8", "ignore")
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_json(message_of(error))
        await socket.close(_POLICY_VIOLATION, reason)
