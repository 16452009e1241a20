"""``AvatarClient``: speak through an avatar from Python, over ``/api/agent``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from visavis.streamer.errors import BadRequest, Conflict, VisavisError

_CONNECT_S: Final = 10.0
_FRAME: Final = 1 << 20  # bytes of sound in one message; the server takes a little more
_KNOWN: Final = ("type", "segment", "playback_position", "media_time")


@dataclass(frozen=True)
class AgentEvent:
    """What the server tells.

    Attributes:
        type: ``ready``, ``started``, ``finished``, ``interrupted``, ``error`` or ``ended``.
        segment: which one, counted from 0 by ``flush``; -1 where it is about none.
        playback_position: seconds of what was appended that were heard.
        media_time: seconds since the session's media began.
        details: everything else.
    """

    type: str
    segment: int
    playback_position: float
    media_time: float
    details: dict[str, Any]


class AvatarClient:
    """One agent in one session.

    Example::

        async with AvatarClient("http://127.0.0.1:8080", session=pc_id) as avatar:
            await avatar.append(pcm)  # a sentence at once is normal
            await avatar.flush()
            event = await avatar.until("finished", "interrupted")
            print(event.playback_position)

    Args:
        url: of the server, with its path prefix if it has one.
        session: the ``pc_id`` of the session, as its offer was answered with.
        token: of the server, if it asks for one.
        rate: of the sound in Hz.
    """

    def __init__(self, url: str, *, session: str, token: str = "", rate: int = 24_000) -> None:
        parts = urlsplit(url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
        if scheme is None or not parts.netloc:
            raise BadRequest("The address of the server begins with http:// or https://.")
        query = urlencode({"session": session, "rate": rate})
        self._url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/api/agent?{query}"
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> AvatarClient:
        """Connect.

        Raises:
            BadRequest: the server refuses; the sentence is its own.
            ConnectionError: it cannot be reached.
        """
        try:
            self._socket = await connect(
                self._url,
                additional_headers=self._headers,
                open_timeout=_CONNECT_S,
                compression=None,  # sound does not get smaller, and a sentence would wait for it
                proxy=None,
            )
        except InvalidHandshake as error:
            raise BadRequest(f"The server lets no agent in: {error}") from None
        except (OSError, TimeoutError) as error:
            raise ConnectionError(f"The server cannot be reached: {error}") from None
        await self.until("ready")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave; what is being said breaks off."""
        if self._socket is not None:
            await self._socket.close()

    async def append(self, samples: NDArray[np.int16] | bytes) -> None:
        """Say something after what was appended before.

        Args:
            samples: mono int16, as an array or as little-endian bytes.
        """
        if isinstance(samples, np.ndarray):
            if samples.dtype != np.int16 or samples.ndim != 1:
                raise ValueError(f"Sound must be one channel of int16, not {samples.dtype}.")
            samples = samples.astype("<i2").tobytes()
        for at in range(0, len(samples), _FRAME):
            await self._send(samples[at : at + _FRAME])

    async def flush(self) -> None:
        """Say that what was appended is a whole: ``finished`` tells when it has been seen."""
        await self._send(json.dumps({"type": "flush"}))

    async def clear(self) -> None:
        """Be silent at once: ``interrupted`` tells how far it came."""
        await self._send(json.dumps({"type": "clear"}))

    async def text(self, text: str) -> None:
        """Show a caption when what was appended before has been spoken."""
        await self._send(json.dumps({"type": "text", "text": text}))

    async def until(self, *types: str, limit_s: float | None = None) -> AgentEvent:
        """Return the next event of one of some types; others are left out.

        Raises:
            BadRequest: the server could not use what was sent, or has ended the session.
            TimeoutError: nothing of it came in time.
        """
        async with asyncio.timeout(limit_s):
            async for event in self:
                if event.type in types:
                    return event
                if event.type in ("error", "ended"):
                    raise _complaint(event)
        raise Conflict("The session has ended.")

    async def __aiter__(self) -> AsyncIterator[AgentEvent]:
        """Yield every event until the session ends."""
        try:
            async for text in self._connected():
                values = json.loads(text)
                yield AgentEvent(
                    str(values.get("type")),
                    int(values.get("segment", -1)),
                    float(values.get("playback_position", 0.0)),
                    float(values.get("media_time", 0.0)),
                    {name: value for name, value in values.items() if name not in _KNOWN},
                )
        except ConnectionClosed:
            return

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._connected().send(message)
        except ConnectionClosed as error:
            reason = error.rcvd.reason if error.rcvd is not None else ""
            raise Conflict(reason or "The session has ended.") from None

    def _connected(self) -> ClientConnection:
        if self._socket is None:
            raise Conflict("The client is not connected; use it in an async with.")
        return self._socket


def _complaint(event: AgentEvent) -> VisavisError:
    words = event.details.get("message") or event.details.get("reason")
    return BadRequest(str(words), code=str(event.details.get("code", "")))
