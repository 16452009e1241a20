"""All sessions of a server: offers in, endings out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from visavis.streamer.errors import AtCapacity, BadRequest, Conflict, NotFound, VisavisError
from visavis.streamer.session.admission import Admission
from visavis.streamer.session.channels.guest import Guest
from visavis.streamer.session.context import SessionContext
from visavis.streamer.session.figures.trace import MAX_SECONDS
from visavis.streamer.session.options import Wishes
from visavis.streamer.session.quotas import Meter
from visavis.streamer.session.session import Session
from visavis.streamer.session.viewer import Viewer
from visavis.streamer.trust.callers import CALLER
from visavis.streamer.webrtc.feed import Feed
from visavis.streamer.webrtc.peer import Peer
from visavis.streamer.webrtc.sdp import signaling
from visavis.streamer.webrtc.sdp.signaling import Offer

_ID_BYTES = 12
_HOLD_S = 5.0  # that somebody who comes too early waits for a session to begin
_REMEMBERED = 256  # ended sessions whose viewer may still hang up


@dataclass(frozen=True)
class OfferRequest:
    """What ``POST /api/offer`` asks for; only the SDP in it is still to be believed.

    Attributes:
        sdp: the offer.
        pc_id: the connection that it goes on with, if any.
        restart_pc: start that session over instead.
        avatar_id: who is to be shown; the newest if empty.
        size: width and height in pixels; the server's if 0.
        probe: burn measuring marks into the picture.
        watch: view id of a session to be watched instead of beginning one.
        wishes: look-ahead, mood and style.
    """

    sdp: str
    pc_id: str = ""
    restart_pc: bool = False
    avatar_id: str = ""
    size: int = 0
    probe: bool = False
    watch: str | None = None
    wishes: Wishes = field(default_factory=Wishes)


def _unwritten(event: str, avatar_id: str, session_id: str) -> None:
    """Keep no journal."""


class SessionManager:
    """Owns the sessions.

    Args:
        context: what sessions share.
        admission: who gets in.
        journal: told ``(event, avatar id, session id)`` of every start and end; must not block.
        meter: of quotas.
    """

    def __init__(
        self,
        context: SessionContext,
        admission: Admission,
        journal: Callable[[str, str, str], object] = _unwritten,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._context = context
        self._journal = journal
        self.admission = admission  # rooms ask it before they give a seat
        self._sessions: dict[str, Session] = {}
        self._inherited: set[str] = set()  # sessions whose place goes to who started over
        self._views: dict[str, Session] = {}
        self._stages: dict[str, Session] = {}
        self._viewers: dict[str, Viewer] = {}
        self._gone: deque[str] = deque(maxlen=_REMEMBERED)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    @property
    def viewers(self) -> int:
        """How many watch somebody's session now."""
        return len(self._viewers)

    def __len__(self) -> int:
        return len(self._sessions)

    async def offer(self, request: OfferRequest) -> dict[str, Any]:
        """Begin a session, or go on with one; return ``sdp``, ``type``, ``pc_id`` and more.

        An offer of a known ``pc_id`` is answered in place: sections may have been added, ICE may
        restart. With ``restart_pc``, or from another connection of the client's, it begins anew.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        offer = self._context.read_offer(request.sdp)
        known = self._peer(request.pc_id)
        if known is not None and not request.restart_pc and known.same_client(offer):
            return _answered(known, await known.answer(offer))
        if request.watch is not None:
            return _answered(*await self._watch(request.watch, offer))
        signaling.need(offer, "audio", "video")
        return _answered(*await self._begin(request, offer))

    async def publish(self, request: OfferRequest) -> tuple[Session, str]:
        """Begin a session whose client only speaks (WHIP); return it and the answer.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        offer = self._context.read_offer(request.sdp)
        signaling.need(offer, "audio")
        return await self._begin(request, offer)

    async def join(self, request: OfferRequest, guest: Guest) -> tuple[Session, dict[str, Any]]:
        """Begin a session for a participant of a room; return it and what :meth:`offer` returns.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        offer = self._context.read_offer(request.sdp)
        signaling.need(offer, "audio")  # a microphone; not everybody wants to see themselves
        session, answer = await self._begin(request, offer, guest)
        return session, _answered(session, answer)

    async def begin_headless(
        self, avatar_id: str, size: int, wishes: Wishes, prepare: Callable[[Session], None]
    ) -> Session:
        """Begin a session that nobody connects to: a program takes its pictures.

        Args:
            avatar_id: who is to be shown; the newest if empty.
            size: width and height in pixels; the server's if 0.
            wishes: mood and the like.
            prepare: done to the session before anything is drawn.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        request = OfferRequest("", avatar_id=avatar_id, size=size, wishes=wishes)
        session = await self._make(request)
        try:
            prepare(session)
            await session.begin_headless()
        except BaseException as error:
            words = str(error) if isinstance(error, VisavisError) else "It could not begin."
            await session.end(words, "refused")
            raise
        return session

    def peer(self, peer_id: str) -> Peer:
        """Return a session or viewer by the id that controls it.

        Raises:
            NotFound: there is none.
        """
        return self._peer(peer_id) or self._get(peer_id)

    async def _begin(
        self, request: OfferRequest, offer: Offer, guest: Guest | None = None
    ) -> tuple[Session, str]:
        session = await self._make(request, guest)
        try:
            return session, await session.answer(offer)
        except BaseException:
            await session.end("The offer could not be answered.", "refused")
            raise

    async def _make(self, request: OfferRequest, guest: Guest | None = None) -> Session:
        size = request.size or self._context.config.media.size
        caller = CALLER.get()
        avatar = self._context.find_avatar(request.avatar_id or caller.avatar)
        self._meter.check(caller, self, besides=request.pc_id)
        self._context.admit(caller, avatar.id)
        await self._enter(request.pc_id, size)
        session = Session(
            secrets.token_urlsafe(_ID_BYTES),
            self._context,
            avatar,
            self._ended,
            size=size,
            probe=request.probe,
            wishes=request.wishes,
            guest=guest,
        )
        self._sessions[session.id] = self._views[session.view_id] = session
        if session.stage:
            self._stages[session.stage] = session  # the newest one has the stage
        self._context.metrics.started.inc()
        self._journal("session-start", avatar.id, session.id)
        return session

    async def _enter(self, ghost_id: str, size: int) -> None:
        """Take a place; who starts over has its own again, whoever else is waiting for one."""
        ghost = self._sessions.get(ghost_id)
        if ghost is None:
            self.admission.enter(size)
            return
        self._inherited.add(ghost.id)
        try:
            await ghost.end("The viewer started over.", "restart")
        finally:
            self._inherited.discard(ghost.id)
            self.admission.leave(ghost.size)
        self.admission.enter(size)  # nothing else runs since it was left

    def viewed(self, view_id: str) -> Session:
        """Return the session of a view id or of a stage.

        Raises:
            NotFound: there is none.
        """
        session = self._views.get(view_id) or self._stages.get(view_id)
        if session is None:
            raise NotFound("There is no such session to watch.", code="unknown-session")
        return session

    async def watch(self, view_id: str, sdp: str) -> tuple[Viewer, str]:
        """Let somebody watch a session; return the viewer and the answer.

        A session that has not begun yet is waited for.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        offer = self._context.read_offer(sdp)
        return await self._watch(view_id, offer)

    async def _watch(self, view_id: str, offer: Offer) -> tuple[Viewer, str]:
        session = self.viewed(view_id)
        CALLER.get().check_watches(session.avatar.id)
        if session.headless:
            raise Conflict("This session gives its pictures to a program and to nobody else.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(session.begun.wait(), _HOLD_S)
        if session.feed is None or not session.live:
            raise AtCapacity(
                "This session has not begun yet; try again in a moment.", 1, code="not-live"
            )
        most = self._context.config.limits.max_viewers
        if len(session.viewers) >= most:
            raise AtCapacity(f"This session has {most} watchers already.", code="session-full")
        return await self.add_viewer(offer, session.feed, session.viewers)

    async def add_viewer(
        self, offer: Offer, feed: Feed | None = None, among: set[Viewer] | None = None
    ) -> tuple[Viewer, str]:
        """Let somebody in who needs no place in the worker; return the viewer and the answer.

        Args:
            offer: checked.
            feed: what is watched; None for one who is shown others' feeds later.
            among: gets the viewer, and loses it at its end.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        others: set[Viewer] = set() if among is None else among

        def ended(viewer: Viewer) -> None:
            others.discard(viewer)
            self._viewers.pop(viewer.id, None)
            self._gone.append(viewer.id)
            self._context.metrics.viewers.set(len(self._viewers))

        viewer = Viewer(secrets.token_urlsafe(_ID_BYTES), self._context, feed, ended)
        self._viewers[viewer.id] = viewer
        others.add(viewer)
        self._context.metrics.viewers.set(len(self._viewers))
        try:
            return viewer, await viewer.answer(offer)
        except BaseException:
            await viewer.end("The offer could not be answered.", "refused")
            raise

    def session(self, session_id: str) -> Session:
        """Return a session by the id that controls it.

        Raises:
            NotFound: there is none.
        """
        return self._get(session_id)

    def _peer(self, peer_id: str) -> Peer | None:
        return self._sessions.get(peer_id) or self._viewers.get(peer_id)

    async def add_candidates(self, session_id: str, candidates: list[Any]) -> None:
        """Hand trickled candidates to a session.

        Raises:
            NotFound: there is no such session.
        """
        await self.peer(session_id).add_candidates(candidates)

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
        if (peer := self._peer(session_id)) is not None:
            await peer.end(reason, cause)
        elif session_id not in self._gone:
            self._get(session_id)

    async def end_avatar(
        self, avatar_id: str, reason: str = "This avatar was deleted.", cause: str = "deleted"
    ) -> None:
        """End every session that shows an avatar which may not be shown, or is about to."""
        showing = [s for s in self._sessions.values() if avatar_id in s.shows()]
        await self._end_all(showing, reason, cause)

    async def end_erased(
        self, missing: Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
    ) -> None:
        """End every session whose avatar has gone, by whatever process and at whatever moment.

        Args:
            missing: tells which of some avatars nobody may be shown as any more, and why.
        """
        shown = {avatar_id for s in self._sessions.values() for avatar_id in s.shows()}
        if shown:
            for avatar_id, why in (await missing(shown)).items():
                cause = "consent" if "consent" in why else "deleted"
                await self.end_avatar(avatar_id, why, cause)

    async def end_revoked(self, ended: Callable[[str], str]) -> None:
        """End what came by a token that holds no more; ``ended`` tells why one does not."""
        sessions, viewers = list(self._sessions.values()), list(self._viewers.values())
        asked = {one.caller.id for one in (*sessions, *viewers)}
        asked |= {session.agent_token for session in sessions}
        why = {token: words for token in asked - {""} if (words := ended(token))}
        for session in sessions:
            if session.agent_token in why:
                session.dismiss_agent(why[session.agent_token])
        out = [one for one in (*sessions, *viewers) if one.caller.id in why]
        await asyncio.gather(*(one.end(why[one.caller.id], "token") for one in out))

    async def close(self) -> None:
        """End all sessions."""
        await self._end_all(list(self._sessions.values()), "The server is stopping.", "shutdown")

    def describe(self) -> list[dict[str, Any]]:
        """Return every session as ``/api/sessions`` lists it."""
        return [session.describe() for session in self._sessions.values()]

    async def _end_all(self, sessions: list[Session], reason: str, cause: str) -> None:
        await asyncio.gather(*(session.end(reason, cause) for session in sessions))

    def _get(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise NotFound("There is no such session.", code="unknown-session")
        return session

    def _ended(self, session: Session) -> None:
        self._views.pop(session.view_id, None)
        if self._stages.get(session.stage) is session:
            del self._stages[session.stage]
        if self._sessions.pop(session.id, None) is not None:
            self._gone.append(session.id)
            self._meter.ended(session)
            self._journal("session-end", session.avatar.id, session.id)
            if session.id not in self._inherited:
                self.admission.leave(session.size)


def _answered(peer: Peer, sdp: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"sdp": sdp, "type": "answer", "pc_id": peer.id}
    if isinstance(peer, Session):
        answer["view_id"] = peer.view_id
        answer["streams"] = [stream._asdict() for stream in peer.streams]
    return answer
