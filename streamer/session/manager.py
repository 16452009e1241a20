"""All sessions of a server: offers in, endings out."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from visavis.streamer.errors import AtCapacity, BadRequest, Conflict, NotFound
from visavis.streamer.session.admission import Admission
from visavis.streamer.session.context import SessionContext
from visavis.streamer.session.options import Wishes
from visavis.streamer.session.session import Session
from visavis.streamer.session.trace import MAX_SECONDS
from visavis.streamer.session.viewer import Watcher
from visavis.streamer.webrtc import signaling

_ID_BYTES = 12
_REMEMBERED = 256  # ended sessions whose viewer may still hang up


@dataclass(frozen=True)
class OfferRequest:
    """What ``POST /api/offer`` asks for; only the SDP in it is still to be believed.

    Attributes:
        sdp: the offer.
        pc_id: the session that it starts over, if any.
        avatar_id: who is to be shown; the newest if empty.
        size: width and height in pixels; the server's if 0.
        probe: burn measuring marks into the picture.
        watch: a session to be watched instead of beginning one.
        wishes: look-ahead, mood and style.
    """

    sdp: str
    pc_id: str = ""
    avatar_id: str = ""
    size: int = 0
    probe: bool = False
    watch: str | None = None
    wishes: Wishes = field(default_factory=Wishes)


class SessionManager:
    """Owns the sessions.

    Args:
        context: what sessions share.
        admission: who gets in.
        journal: told ``(event, avatar id, session id)`` of every start and end; must not block.
    """

    def __init__(
        self,
        context: SessionContext,
        admission: Admission,
        journal: Callable[[str, str, str], object] = lambda *_: None,
    ) -> None:
        self._context = context
        self._journal = journal
        self._admission = admission
        self._sessions: dict[str, Session] = {}
        self._watchers: dict[str, Watcher] = {}
        self._gone: deque[str] = deque(maxlen=_REMEMBERED)
        self._closing = False

    def __len__(self) -> int:
        return len(self._sessions)

    async def offer(self, request: OfferRequest) -> dict[str, str]:
        """Begin a session; return ``sdp``, ``type`` and ``pc_id``.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        config = self._context.config
        if request.watch is not None:
            return await self.watch(request.watch, request.sdp, "offer")
        offer = signaling.check_offer(request.sdp, "offer", config.limits)
        size = request.size or config.media.size
        avatar = self._context.find_avatar(request.avatar_id)
        if request.pc_id in self._sessions:
            await self.end(request.pc_id, "The viewer started over.", cause="restart")
        self._admission.enter(size)
        session = Session(
            secrets.token_urlsafe(_ID_BYTES),
            self._context,
            avatar,
            self._ended,
            size=size,
            probe=request.probe,
            wishes=request.wishes,
        )
        self._sessions[session.id] = session
        self._context.metrics.started.inc()
        self._journal("session-start", avatar.id, session.id)
        try:
            sdp = await session.answer(offer)
        except BaseException:
            await session.end("The offer could not be answered.", cause="refused")
            raise
        return {"sdp": sdp, "type": "answer", "pc_id": session.id}

    async def watch(self, session_id: str, sdp: str, kind: str) -> dict[str, str]:
        """Let somebody watch a session; return ``sdp``, ``type`` and ``pc_id``.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        limits = self._context.config.limits
        offer = signaling.check_offer(sdp, kind, limits)
        session = self._sessions.get(session_id)
        if session is None:
            raise NotFound("There is no such session to watch.", code="unknown-session")
        if session.state != "live":
            raise Conflict(
                "This session has not begun yet; try again in a moment.", code="not-live"
            )
        if len(session.watchers) >= limits.max_viewers:
            raise AtCapacity(
                f"This session has {limits.max_viewers} watchers already.", code="session-full"
            )

        def ended(watcher: Watcher) -> None:
            session.watchers.discard(watcher)
            self._watchers.pop(watcher.id, None)
            self._gone.append(watcher.id)
            self._context.metrics.viewers.set(len(self._watchers))

        watcher = Watcher(secrets.token_urlsafe(_ID_BYTES), self._context, session, ended)
        self._watchers[watcher.id] = watcher
        session.watchers.add(watcher)
        self._context.metrics.viewers.set(len(self._watchers))
        try:
            answer = await watcher.answer(offer)
        except BaseException:
            await watcher.end("The offer could not be answered.")
            raise
        return {"sdp": answer, "type": "answer", "pc_id": watcher.id}

    async def add_candidates(self, session_id: str, candidates: list[Any]) -> None:
        """Hand trickled candidates to a session.

        Raises:
            NotFound: there is no such session.
        """
        watcher = self._watchers.get(session_id)
        await (watcher or self._get(session_id)).add_candidates(candidates)

    async def record(self, session_id: str, seconds: float) -> str:
        """Record the frames of a session as a Chrome trace.

        Raises:
            NotFound: there is no such session.
            BadRequest: the time is out of range.
            Conflict: it is being recorded already.
        """
        if not 0 < seconds <= MAX_SECONDS:
            raise BadRequest(f"A trace may last up to {MAX_SECONDS} seconds.")
        return await self._get(session_id).record(seconds)

    async def end(self, session_id: str, reason: str, *, cause: str = "hangup") -> None:
        """End a session; one that has just ended by itself is none to complain about.

        Raises:
            NotFound: there is no such session.
        """
        if (watcher := self._watchers.get(session_id)) is not None:
            await watcher.end(reason)
        elif session_id not in self._gone:
            await self._get(session_id).end(reason, cause=cause)

    async def end_avatar(self, avatar_id: str) -> None:
        """End every session that shows an avatar which is being erased, or is about to."""
        await self._end_all(
            [s for s in self._sessions.values() if avatar_id in s.shows()],
            "This avatar was deleted.",
            "deleted",
        )

    async def end_erased(
        self, missing: Callable[[Collection[str]], Awaitable[Collection[str]]]
    ) -> None:
        """End every session whose avatar has gone, by whatever process and at whatever moment.

        Args:
            missing: tells which of some avatars nobody may be shown as any more.
        """
        shown = {avatar_id for s in self._sessions.values() for avatar_id in s.shows()}
        if shown:
            for avatar_id in await missing(shown):
                await self.end_avatar(avatar_id)

    async def close(self) -> None:
        """End all sessions."""
        await self._end_all(list(self._sessions.values()), "The server is stopping.", "shutdown")

    def describe(self) -> list[dict[str, Any]]:
        """Return every session as ``/api/sessions`` lists it."""
        return [session.describe() for session in self._sessions.values()]

    async def _end_all(self, sessions: list[Session], reason: str, cause: str) -> None:
        await asyncio.gather(*(session.end(reason, cause=cause) for session in sessions))

    def _get(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise NotFound("There is no such session.", code="unknown-session")
        return session

    def _ended(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is not None:
            self._gone.append(session.id)
            self._journal("session-end", session.avatar.id, session.id)
            self._admission.leave(session.size)
