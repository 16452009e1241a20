"""All rooms of a server: who may come in, and how offers find their way to a person's seat."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visavis.streamer.errors import AtCapacity, Forbidden, NotFound
from visavis.streamer.rooms.access.avatar_keys import AvatarKeys
from visavis.streamer.rooms.access.credentials import Credentials, Entry
from visavis.streamer.rooms.access.ended import Ended
from visavis.streamer.rooms.access.limits import RoomLimits
from visavis.streamer.rooms.access.names import room_name, shown_name
from visavis.streamer.rooms.access.people import Part
from visavis.streamer.rooms.access.standing import Standing, check_may_join
from visavis.streamer.rooms.access.tickets import Purpose, Ticket, TicketOffice
from visavis.streamer.rooms.archive import Archive
from visavis.streamer.rooms.connecting import UNSEEN, Connector
from visavis.streamer.rooms.door import describe_door, seat_in
from visavis.streamer.rooms.meeting import Meeting
from visavis.streamer.rooms.member import Member
from visavis.streamer.rooms.recording.opened import Opened
from visavis.streamer.rooms.room import Room
from visavis.streamer.session.context import SessionContext
from visavis.streamer.session.manager import OfferRequest, SessionManager
from visavis.streamer.trust.callers import CALLER, Caller

logger = logging.getLogger(__name__)
_POLL_S = 0.25
_ID_BYTES = 9
_WATCHER = "w."  # begins the ids of watchers, so that their seats are never more than that
_OVER = "This call has ended."
_AT_THE_DOOR = (Purpose.JOIN, Purpose.WATCH, Purpose.SEAT)


class Rooms:
    """Owns the rooms.

    Args:
        context: what sessions share.
        sessions: makes and keeps those who have an avatar.
        office: issues and reads tickets.
        archive: keeps recordings.
        data_dir: where it is noted which calls have ended.
        limits: of every room.
        wall: UNIX time in seconds.
        note: writes ``(event, id)`` into the audit log; must not block.
    """

    def __init__(
        self,
        context: SessionContext,
        sessions: SessionManager,
        office: TicketOffice,
        archive: Archive,
        data_dir: Path,
        *,
        limits: RoomLimits,
        wall: Callable[[], float],
        note: Callable[[str, str], object],
    ) -> None:
        self.limits = limits
        self._context = context
        self._connector = Connector(context, sessions)
        self._archive = archive
        self._office = office
        self.keys = AvatarKeys(office)
        self._standing = Standing(context, note, wall)
        self._wall = wall
        self._note = note
        self._clock = context.clock
        self.meetings: dict[str, Meeting] = {}  # calls that are open, by name
        self._ended = Ended(data_dir / "rooms.ended")
        self._watch: asyncio.Task[None] | None = None
        self._closing = False

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Begin to look after the rooms."""
        self._watch = asyncio.create_task(self._look_after())

    async def close(self) -> None:
        """End every call for now."""
        self._closing = True
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        for meeting in list(self.meetings.values()):
            await meeting.end("The server is stopping.", cause="shutdown")
            await meeting.settled()

    async def _look_after(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now() + _POLL_S)
            self._connector.put_out()
            for name, meeting in list(self.meetings.items()):
                try:
                    meeting.poll()
                except Exception:
                    logger.exception("room %s could not be looked after", meeting.room.sitting)
                idle = self._clock.now() - meeting.room.empty_since
                if not meeting.room.people and idle > self.limits.empty_s:
                    self._note("room-close", meeting.room.sitting)
                    del self.meetings[name]

    # ------------------------------------------------------------------ rooms and tickets

    def credentials(self, owner: bool, text: str, caller: Caller | None = None) -> Credentials:
        """Read what a request carries.

        Args:
            owner: it knows the access token, or there is none.
            text: a ticket, or empty.
            caller: the holder of a token, if it carries one.

        Raises:
            Forbidden: the ticket is not valid.
        """
        if caller is not None or not text:
            return Credentials(owner, caller=caller)
        return Credentials(False, self._office.read(text, *_AT_THE_DOOR))

    def _open_to(self, name: str, shown: Credentials) -> Meeting | None:
        """Return the room if it is open, for a request that has something to do with it.

        Raises:
            Forbidden: its ticket is for a call that has ended; see ``Credentials.check_room``.
        """
        shown.check_room(name)
        meeting, ticket = self.meetings.get(name), shown.ticket
        if ticket is not None:
            if ticket.sitting in self._ended:
                raise Forbidden(_OVER, code="room-ended")
            if meeting is not None and ticket.sitting != meeting.room.sitting:
                raise Forbidden("This invitation is for a call that has ended.")
        return meeting

    def info(self, name: str, shown: Credentials) -> dict[str, Any]:
        """Return what somebody may know who stands before the door.

        Raises:
            VisavisError: they may not even know that.
        """
        meeting = self._open_to(name, shown)
        return describe_door(name, meeting and meeting.room, shown, self.limits.people)

    def check_owner(self, shown: Credentials) -> None:
        """Check that a request may do what the server's owner may.

        Raises:
            Forbidden: it may not.
        """
        if not shown.owner:
            raise Forbidden("Only who has this server's access token can open a call.")

    def check_may_join(
        self, name: str, shown: Credentials, avatar_id: str = "", *, makes: bool = False
    ) -> None:
        """Check that a request may take a seat in a call, or has one.

        Raises:
            VisavisError: it may not.
        """
        self._open_to(name, shown)
        check_may_join(shown, avatar_id, makes=makes)
        ticket = shown.ticket
        link = ticket.bound.link or ticket.holder if ticket is not None else ""
        if not shown.owner:  # whose quota counts
            CALLER.set(Caller("", "speak", link=link))

    def create(self, title: str) -> dict[str, Any]:
        """Open a room; one of that name that is open already is that room.

        Raises:
            BadRequest: the title cannot be a room's.
            AtCapacity: there are too many.
        """
        shown = shown_name(title, self.limits.name, "The room's name")
        meeting = self._open(room_name(shown), shown)
        return {"name": meeting.room.name, "title": meeting.room.title}

    def _open(self, name: str, title: str, sitting: str = "") -> Meeting:
        if (meeting := self.meetings.get(name)) is not None:
            return meeting
        if len(self.meetings) >= self.limits.rooms:
            raise AtCapacity("There are too many calls on this server; end one first.")
        made = sitting or secrets.token_urlsafe(_ID_BYTES)
        now = self._clock.now

        def make_room(tell: Callable[[dict[str, Any], str], None]) -> Room:
            return Room(
                name, title, made, self.limits, now=now, wall=self._wall, tell=tell, note=self._note
            )

        meeting = Meeting(
            make_room,
            now=now,
            record=self._archive.begin,
            ended=self._end_sitting,
            refusal=self._context.refusal,
            unfit=self._standing.ended,
        )
        self.meetings[name] = meeting
        self._note("room-open", made)
        return meeting

    def _end_sitting(self, meeting: Meeting) -> None:
        if not self._closing:  # after a restart people come back to their seats
            self._ended.add(meeting.room.sitting)
        self._note("room-end", meeting.room.sitting)
        if self.meetings.get(meeting.room.name) is meeting:
            del self.meetings[meeting.room.name]

    def _meeting_for(self, name: str, shown: Credentials) -> Meeting:
        """Return the room, opened if this request may; a restart of the server forgot it."""
        if (meeting := self._open_to(name, shown)) is not None:
            return meeting
        if shown.caller is not None:
            raise NotFound("There is no call at this address.", code="unknown-room")
        return self._open(name, name, shown.ticket.sitting if shown.ticket is not None else "")

    def invite(
        self, name: str, shown: Credentials, purpose: Purpose, lasts_s: float, avatar_id: str = ""
    ) -> dict[str, Any]:
        """Return an invitation, made by somebody who has a seat, or by the server's owner.

        One to join may be bound to an avatar, and is then to the consent it is shown by.

        Raises:
            VisavisError: they may not.
        """
        meeting = self._meeting_for(name, shown)
        ticket = shown.ticket
        if not shown.owner and not shown.is_for(Purpose.SEAT):
            raise Forbidden("Only those who are in the call can invite others.")
        if ticket is not None and not meeting.room.find(ticket.holder).seated:
            raise Forbidden("Those who watch cannot invite others.")
        bound = self._standing.invitation(shown, avatar_id if purpose is Purpose.JOIN else "")
        lasts = min(lasts_s, self.limits.invitation_most_s)
        sitting = meeting.room.sitting
        self._note(f"room-invite-{purpose}", sitting)
        return {
            "ticket": self._office.issue(
                purpose,
                name,
                sitting,
                lasts,
                holder=secrets.token_urlsafe(_ID_BYTES),
                bound=bound,
            ),
            "expires": round(self._wall() + lasts, 3),
        }

    # ------------------------------------------------------------------ people

    def enter(self, name: str, shown: Credentials, entry: Entry) -> dict[str, Any]:
        """Give somebody a seat, or the one back that they had.

        Raises:
            VisavisError: they cannot come in; the sentence says why.
        """
        called = shown_name(entry.name, self.limits.name, "Your name")
        old = self._old_seat(name, entry.seat)
        meeting = self._meeting_for(name, Credentials(False, old) if old else shown)
        room = meeting.room
        watches = old.holder.startswith(_WATCHER) if old else shown.watches_only
        part = Part.WATCHER if watches else entry.part
        link = shown.ticket.holder if shown.ticket is not None and old is None else ""
        who = old.holder if old else (_WATCHER * watches) + secrets.token_urlsafe(_ID_BYTES)
        self._connector.check_place(meeting, who, part)  # before a token is used up
        bound = old.bound if old is not None else self._standing.enters(shown, link)
        host = (old.host if old is not None else shown.owner) and not room.has_host
        person = room.enter(who, called, part, host=host, agrees=entry.agrees, link=link)
        person.bound = bound
        if (why := self._standing.ended(person))[0]:
            room.leave(who, "removed")
            raise Forbidden(why[0], code=why[1])
        meeting.member(person)
        return {
            "id": person.id,
            "seat": seat_in(room, person, self._office, self.limits.seat_s),
            "host": person.host,
            "part": person.part,
            "title": room.title,
        }

    def _old_seat(self, name: str, text: str) -> Ticket | None:
        """Return the seat that somebody had here, if it still counts for anything."""
        if not text:
            return None
        with contextlib.suppress(Forbidden):
            ticket = self._office.read(text, Purpose.SEAT)
            meeting = self.meetings.get(name)
            here = meeting is None or meeting.room.sitting == ticket.sitting
            if ticket.room == name and here and ticket.sitting not in self._ended:
                return ticket
        return None

    def _seated(self, name: str, shown: Credentials) -> tuple[Meeting, Member]:
        """Return who a request comes from.

        Raises:
            Forbidden: it shows no seat.
            NotFound: the call, or the person, is not there any more.
        """
        shown.check_room(name)
        ticket, meeting = shown.ticket, self.meetings.get(name)
        if ticket is None or not shown.is_for(Purpose.SEAT):
            raise Forbidden("Join the call first.")
        if meeting is None or meeting.room.sitting != ticket.sitting:
            raise NotFound("There is no such call any more.", code="unknown-room")
        return meeting, meeting.member(meeting.room.find(ticket.holder))

    async def leave(self, name: str, shown: Credentials) -> None:
        """Take somebody out who leaves for good."""
        meeting, member = self._seated(name, shown)
        await meeting.leave(member.id)

    async def away(self, name: str, shown: Credentials) -> None:
        """Hang up for somebody whose page goes, and may be back in a moment."""
        _, member = self._seated(name, shown)
        if member.connection is not None:
            await member.connection.end("The page was closed.", "hangup")

    # ------------------------------------------------------------------ offers

    async def offer(self, name: str, shown: Credentials, request: OfferRequest) -> dict[str, Any]:
        """Connect somebody, or go on with their connection in place.

        Raises:
            VisavisError: whatever is wrong, in one sentence.
        """
        meeting, member = self._seated(name, shown)
        CALLER.set(self._standing.caller(meeting.room.find(member.id)))
        answer = await self._connector.offer(meeting, member, request)
        meeting.refresh()
        return answer

    async def add_candidates(
        self, name: str, shown: Credentials, pc_id: str, candidates: list[Any]
    ) -> None:
        """Take trickled candidates of one's own connection.

        Raises:
            NotFound: it is over.
        """
        _, member = self._seated(name, shown)
        peer = member.connection
        if peer is None or peer.id != pc_id:
            raise NotFound("There is no such session.")
        await peer.add_candidates(candidates)

    async def watch(self, name: str, shown: Credentials, who: str, sdp: str) -> dict[str, Any]:
        """Let a stock player watch somebody by WHEP; return ``sdp`` and ``pc_id``.

        Raises:
            VisavisError: it may not, or they are not to be seen.
        """
        meeting = self._open_to(name, shown)
        member = meeting.members.get(who) if meeting is not None else None
        if meeting is None or member is None:
            raise NotFound(UNSEEN)
        if shown.caller is not None:
            shown.caller.check_watches(meeting.room.find(member.id).avatar_id)
            self._standing.enters(shown, "")
            CALLER.set(shown.caller)
        unfit = self._standing.watching(shown, meeting.room.closed_to)
        return await self._connector.watch(member, sdp, unfit)

    async def stop_watching(self, pc_id: str) -> None:
        """End what :meth:`watch` began.

        Raises:
            NotFound: there is no such viewer.
        """
        await self._connector.stop_watching(pc_id)

    # ------------------------------------------------------------------ recordings

    def recorded(self, name: str, shown: Credentials) -> list[dict[str, Any]]:
        """Return the recordings of a room that somebody may fetch."""
        shown.check_room(name)
        return self._archive.of(name, shown)

    def file(self, name: str, shown: Credentials, recording_id: str, file: str) -> Opened:
        """Return how a recorded file is read; raises as :meth:`Archive.file`."""
        shown.check_room(name)
        return self._archive.file(name, shown, recording_id, file)

    def erase(self, name: str, shown: Credentials, recording_id: str) -> None:
        """Erase a recording; raises as :meth:`Archive.erase`."""
        shown.check_room(name)
        self._archive.erase(name, shown, recording_id)
