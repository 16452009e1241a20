"""A place in the worker before a seat in the room: who waits for one holds none of the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from visavis.streamer.errors import AtCapacity
from visavis.streamer.rooms.access.people import Part, Person, Presence
from visavis.streamer.rooms.meeting import Meeting
from visavis.streamer.session.admission import Admission

_SIZE = 256  # pixels of a face in a call, if its page asks for nothing else


def check_place(admission: Admission, meeting: Meeting, who: str, part: Part) -> None:
    """Check that there is a place for a face before its person takes a seat.

    Who has to wait for one holds no seat meanwhile, and nobody is told that they have come.

    Args:
        admission: knows.
        meeting: they want to come into.
        who: their id.
        part: what they take part as.

    Raises:
        AtCapacity: not now.
    """
    room, member = meeting.room, meeting.members.get(who)
    if part is not Part.AVATAR or (member is not None and member.connection is not None):
        return  # their old place is free before they need the new one
    if who not in room.people and (room.locked or room.seats_taken() >= room.limits.people):
        return  # the room says no itself, and nobody waits for what would not let them in
    admission.check(_SIZE)


@asynccontextmanager
async def giving_back(meeting: Meeting, person: Person) -> AsyncGenerator[None, None]:
    """Give the seat back of who is refused all the same; who comes back keeps theirs for a while.

    Somebody else was faster, or the face is a larger one.
    """
    try:
        yield
    except AtCapacity:
        if person.presence is Presence.JOINING:
            await meeting.leave(person.id)
        raise
