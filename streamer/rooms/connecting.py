"""From an offer to a connection in a room: a session with an avatar, or a way to watch."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from visavis.streamer.errors import Conflict, NotFound
from visavis.streamer.rooms.access.people import Part, Person
from visavis.streamer.rooms.audience import Audience
from visavis.streamer.rooms.meeting import Meeting
from visavis.streamer.rooms.member import Member
from visavis.streamer.rooms.places import check_place, giving_back
from visavis.streamer.session.context import SessionContext
from visavis.streamer.session.manager import OfferRequest, SessionManager
from visavis.streamer.webrtc.sdp.signaling import Offer

_ID_BYTES = 12
UNSEEN = "This person is not to be seen just now."


class Connector:
    """Connects members.

    Args:
        context: what sessions share.
        sessions: makes and keeps those who have an avatar.

    Attributes:
        audience: the connections of those who have none, by id.
        watching: stock players that watch somebody, by id, and what tells why one may not any more.
    """

    def __init__(self, context: SessionContext, sessions: SessionManager) -> None:
        self.audience: dict[str, Audience] = {}
        self.watching: dict[str, Callable[[], str]] = {}
        self._context = context
        self._sessions = sessions

    def check_place(self, meeting: Meeting, who: str, part: Part) -> None:
        """Check that there is a place for a face; see :func:`check_place`."""
        check_place(self._sessions.admission, meeting, who, part)

    async def offer(
        self, meeting: Meeting, member: Member, request: OfferRequest
    ) -> dict[str, Any]:
        """Connect a member, or go on with their connection in place; one offer at a time.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        async with member.offering:
            person, present = meeting.room.find(member.id), member.connection
            if present is not None and request.pc_id == present.id:
                return _answer(present.id, await present.answer(self._checked(request)))
            if request.pc_id:
                raise Conflict("This connection is over; begin another one.")
            if present is not None:  # its place must be free before the new one asks for one
                await present.end("You have joined again from elsewhere.", "replaced")
            if person.part is Part.AVATAR:
                return await self._with_avatar(meeting, member, person, request)
            return await self._without(meeting, member, request)

    def _checked(self, request: OfferRequest) -> Offer:
        return self._context.read_offer(request.sdp)

    async def _with_avatar(
        self, meeting: Meeting, member: Member, person: Person, request: OfferRequest
    ) -> dict[str, Any]:
        async with giving_back(meeting, person):
            session, answer = await self._sessions.join(request, member)
        await meeting.connect(member, session)
        session.set_muted(person.muted)
        person.avatar_id = session.avatar.id
        return answer

    async def _without(
        self, meeting: Meeting, member: Member, request: OfferRequest
    ) -> dict[str, Any]:
        offer = self._checked(request)

        def ended(peer: Audience) -> None:
            self.audience.pop(peer.id, None)

        peer = Audience(secrets.token_urlsafe(_ID_BYTES), self._context, member, ended)
        self.audience[peer.id] = peer
        await meeting.connect(member, peer)
        try:
            return _answer(peer.id, await peer.answer(offer))
        except BaseException:
            await peer.end("The offer could not be answered.", "refused")
            raise

    async def watch(self, member: Member, sdp: str, unfit: Callable[[], str]) -> dict[str, Any]:
        """Let a stock player watch a member.

        Args:
            member: who is to be seen.
            sdp: the offer.
            unfit: why it may not watch any more, in a sentence; empty if it may.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        if not (view := getattr(member.connection, "view_id", "")):
            raise NotFound(UNSEEN)
        viewer, answer = await self._sessions.watch(view, sdp)
        self.watching[viewer.id] = unfit
        return _answer(viewer.id, answer)

    def put_out(self) -> None:
        """Begin to end what is watched by what does not hold any more; called often."""
        for viewer_id, unfit in list(self.watching.items()):
            try:
                viewer = self._sessions.peer(viewer_id)
            except NotFound:
                del self.watching[viewer_id]
                continue
            if why := unfit():
                viewer.end_soon(why, "token")

    async def stop_watching(self, pc_id: str) -> None:
        """End what :meth:`watch` began.

        Raises:
            NotFound: there is no such viewer.
        """
        await self._sessions.end(pc_id, "The viewer hung up.")


def _answer(pc_id: str, sdp: str) -> dict[str, Any]:
    return {"sdp": sdp, "type": "answer", "pc_id": pc_id}
