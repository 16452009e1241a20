"""From an offer to a connection in a room: a session with an avatar, or a way to watch."""

from __future__ import annotations

import secrets
from typing import Any

from visavis.streamer.errors import Conflict
from visavis.streamer.rooms.access.people import Part, Person
from visavis.streamer.rooms.audience import Audience
from visavis.streamer.rooms.meeting import Meeting
from visavis.streamer.rooms.member import Member
from visavis.streamer.session.context import SessionContext
from visavis.streamer.session.manager import OfferRequest, SessionManager
from visavis.streamer.webrtc.sdp.signaling import Offer

_ID_BYTES = 12


class Connector:
    """Connects members.

    Args:
        context: what sessions share.
        sessions: makes and keeps those who have an avatar.

    Attributes:
        audience: the connections of those who have none, by id.
    """

    def __init__(self, context: SessionContext, sessions: SessionManager) -> None:
        self.audience: dict[str, Audience] = {}
        self._context = context
        self._sessions = sessions

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

    async def watch(self, member: Member | None, sdp: str) -> dict[str, Any] | None:
        """Let a stock player watch a member; None if they are not to be seen.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        view = getattr(member.connection, "view_id", "") if member is not None else ""
        if not view:
            return None
        viewer, answer = await self._sessions.watch(view, sdp)
        return _answer(viewer.id, answer)

    async def stop_watching(self, pc_id: str) -> None:
        """End what :meth:`watch` began.

        Raises:
            NotFound: there is no such viewer.
        """
        await self._sessions.end(pc_id, "The viewer hung up.")


def _answer(pc_id: str, sdp: str) -> dict[str, Any]:
    return {"sdp": sdp, "type": "answer", "pc_id": pc_id}
