"""``AvatarClient``: speak through an avatar from Python, over ``/api/agent``.

Needs ``websockets`` and ``numpy`` only, so that it fits beside any other framework
(``pip install --no-deps visavis``).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from visavis.streamer.errors import BadRequest, Conflict, VisavisError
from visavis.streamer.media import raw_frames
from visavis.streamer.media.picture_ring import PictureRing
from visavis.streamer.media.raw_frames import Span

_CONNECT_S: Final = 10.0
_READY_S: Final = 25.0  # an avatar may have to be loaded
_FRAME: Final = 1 << 20  # bytes of sound in one message; the server takes more
_MOST_EVENTS: Final = 1024  # that wait for whoever asks for them
_MOST_FRAMES: Final = 8
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


@dataclass(frozen=True, eq=False)
class AvatarFrame:
    """A picture and the sound of the same media time.

    Attributes:
        number: of the frame.
        media_time: seconds since the session's media began, of the first sample.
        picture: I420 ``(H * 3 // 2, W)`` uint8, BT.601 limited range.
        is_new: False if the picture is an older one: the frame's own came too late.
        sound: ``(samples,)`` mono int16 at 48 kHz.
        spans: what of the sound is speech; the rest is silence.
    """

    number: int
    media_time: float
    picture: NDArray[np.uint8]
    is_new: bool
    sound: NDArray[np.int16]
    spans: tuple[Span, ...]


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
        session: the ``pc_id`` of a session that somebody watches, as its offer was answered with.
        avatar: without a session, begin one of one's own with this avatar; "" is the newest.
        raw: take pictures and sound, uncompressed, with :meth:`frames` or :meth:`media`. The server
            must run on this machine, under the same user. A session of one's own needs it.
        size: of such a session's pictures in pixels; the server's if 0.
        mood: of such a session.
        token: of the server, if it asks for one.
        rate: of the sound that is appended, in Hz.

    Attributes:
        width: of raw pictures in pixels; 0 before there are any.
        height: likewise.
        fps: frames per second, likewise.
        lost: frames that came when nobody had taken those before.
        segment: number of the segment that the next sound belongs to.
        wanted_from: segments before this one were cleared; a little of them may still come.
    """

    def __init__(
        self,
        url: str,
        *,
        session: str = "",
        avatar: str = "",
        raw: bool = False,
        size: int = 0,
        mood: str = "neutral",
        token: str = "",
        rate: int = 24_000,
    ) -> None:
        parts = urlsplit(url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
        if scheme is None or not parts.netloc:
            raise BadRequest("The address of the server begins with http:// or https://.")
        if not session and not raw:
            raise BadRequest("Name the session to speak in, or take the pictures with raw=True.")
        query: dict[str, Any] = {"rate": rate, "raw": int(raw)}
        query |= {"session": session} if session else {"avatar": avatar, "size": size, "mood": mood}
        prefix = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._url = f"{prefix}/api/agent?{urlencode(query)}"
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._raw, self._rate = raw, rate
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._events: deque[AgentEvent] = deque(maxlen=_MOST_EVENTS)
        self._media: deque[AgentEvent | AvatarFrame] = deque()
        self._frames = 0  # of it
        self._came = asyncio.Condition()
        self._over = False
        self._ring: PictureRing | None = None
        self._last: NDArray[np.uint8] | None = None
        self.session = session
        self.width = self.height = self.fps = self.lost = 0
        self.segment = self.wanted_from = 0
        self._open = False  # whether anything of the segment was appended

    async def __aenter__(self) -> AvatarClient:
        """Connect; returns when the avatar is there.

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
        self._reader = asyncio.create_task(self._read(self._socket))
        try:
            await self.until("ready", limit_s=_READY_S)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave; what is being said breaks off."""
        await self.close()

    async def close(self) -> None:
        """Leave; may be called twice."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    # ------------------------------------------------------------------ what is said

    async def append(self, samples: NDArray[np.int16] | bytes, rate: int = 0) -> None:
        """Say something after what was appended before.

        Args:
            samples: mono int16, as an array or as little-endian bytes.
            rate: in Hz; the client's own if 0.
        """
        pcm = _pcm(samples)
        self._open = self._open or bool(pcm)
        for at in range(0, len(pcm), _FRAME):
            part = pcm[at : at + _FRAME]
            await self._send(part if rate in (0, self._rate) else _message("append", part, rate))

    async def hear(self, samples: NDArray[np.int16] | bytes, rate: int) -> None:
        """Have the avatar listen to the other side: in a session of one's own.

        Args:
            samples: mono int16, as they come; 20 ms say.
            rate: in Hz.
        """
        await self._send(_message("heard", _pcm(samples)[:_FRAME], rate))

    async def flush(self) -> None:
        """Say that what was appended is a whole: ``finished`` tells when it has been seen."""
        self._end_segment()
        await self._send(json.dumps({"type": "flush"}))

    async def clear(self) -> None:
        """Be silent at once: ``interrupted`` tells how far it came."""
        self._end_segment()
        self.wanted_from = self.segment
        await self._send(json.dumps({"type": "clear"}))

    def _end_segment(self) -> None:
        self.segment += self._open
        self._open = False

    def wanted(self, frame: AvatarFrame) -> tuple[Span, ...]:
        """Return what of a frame's sound is speech that was not cleared meanwhile."""
        return tuple(span for span in frame.spans if span.segment >= self.wanted_from)

    async def text(self, text: str) -> None:
        """Show a caption when what was appended before has been spoken."""
        await self._send(json.dumps({"type": "text", "text": text}))

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

    # ------------------------------------------------------------------ what is told

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
        self._connected()
        while await self._wait(self._events):
            yield self._events.popleft()

    async def frames(self) -> AsyncIterator[AvatarFrame]:
        """Yield every picture with its sound, as they are due, until the session ends."""
        async for item in self.media():
            if isinstance(item, AvatarFrame):
                yield item

    async def media(self) -> AsyncIterator[AvatarFrame | AgentEvent]:
        """Yield frames and events in the order of media time.

        ``finished`` comes after the last frame of its segment, ``interrupted`` after the last frame
        that is counted in its position. Who takes frames too slowly loses the oldest.
        """
        self._connected()
        while await self._wait(self._media):
            item = self._media.popleft()
            self._frames -= isinstance(item, AvatarFrame)
            yield item

    async def wait_closed(self) -> None:
        """Return when the session has ended, from whichever side."""
        async with self._came:
            await self._came.wait_for(lambda: self._over)

    async def _wait(self, queue: deque[Any]) -> bool:
        async with self._came:
            await self._came.wait_for(lambda: queue or self._over)
        return bool(queue)

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    self._take_frame(message)
                else:
                    self._take_event(message)
                async with self._came:
                    self._came.notify_all()
        except ConnectionClosed:
            pass
        finally:
            self._over = True
            async with self._came:
                self._came.notify_all()

    def _take_event(self, text: str) -> None:
        values = json.loads(text)
        event = AgentEvent(
            str(values.get("type")),
            int(values.get("segment", -1)),
            float(values.get("playback_position", 0.0)),
            float(values.get("media_time", 0.0)),
            {name: value for name, value in values.items() if name not in _KNOWN},
        )
        if event.type == "ready":
            event = self._opened(event)
        self._events.append(event)
        if self._raw:
            self._media.append(event)
            if len(self._media) > _MOST_EVENTS:
                self._frames -= isinstance(self._media.popleft(), AvatarFrame)

    def _opened(self, ready: AgentEvent) -> AgentEvent:
        """Open the pictures; return the event, or why they cannot be had."""
        self.session = str(ready.details.get("session", ""))
        given = ready.details.get("pictures")
        if not isinstance(given, dict):
            return ready
        pictures = cast(dict[str, Any], given)
        try:
            self._ring = PictureRing(Path(str(pictures["path"])))
        except BadRequest as error:
            words = f"{error} Raw pictures are for programs on the server's machine, of its user."
            return AgentEvent("error", -1, 0.0, 0.0, {"message": words, "code": error.code})
        self.width, self.height = self._ring.width, self._ring.height
        self.fps = int(pictures.get("fps", 25))
        return ready

    def _take_frame(self, message: bytes) -> None:
        if self._ring is None:
            return
        told = raw_frames.unpack(message)
        picture = self._ring.get(told.frame)
        is_new = picture is not None and told.own
        self._last = picture if picture is not None else self._last
        if self._last is None:
            return
        if self._frames >= _MOST_FRAMES:
            self._media.remove(next(m for m in self._media if isinstance(m, AvatarFrame)))
            self._frames -= 1
            self.lost += 1
        self._media.append(
            AvatarFrame(
                told.frame,
                told.position / raw_frames.RATE,
                self._last,
                is_new,
                told.sound,
                told.spans,
            )
        )
        self._frames += 1


def _pcm(samples: NDArray[np.int16] | bytes) -> bytes:
    if isinstance(samples, bytes):
        return samples
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(f"Sound must be one channel of int16, not {samples.dtype}.")
    return samples.astype("<i2").tobytes()


def _message(kind: str, pcm: bytes, rate: int) -> str:
    return json.dumps({"type": kind, "audio": base64.b64encode(pcm).decode(), "rate": rate})


def _complaint(event: AgentEvent) -> VisavisError:
    words = event.details.get("message") or event.details.get("reason")
    return BadRequest(str(words), code=str(event.details.get("code", "")))
