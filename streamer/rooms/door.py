"""What is said at the door of a room, and what somebody is given who comes in."""

from __future__ import annotations

from typing import Any

from visavis.streamer.rooms.access.credentials import Credentials
from visavis.streamer.rooms.access.people import Person
from visavis.streamer.rooms.access.tickets import Purpose, TicketOffice
from visavis.streamer.rooms.recording.consent import Stage
from visavis.streamer.rooms.room import Room


def describe_door(name: str, room: Room | None, shown: Credentials, seats: int) -> dict[str, Any]:
    """Return what somebody may know who stands before the door.

    Args:
        name: of the room.
        room: that is open; None if there is none of this name.
        shown: by them.
        seats: of every room.
    """
    return {
        "name": name,
        "title": room.title if room is not None else name,
        "open": room is not None,
        "people": [person.name for person in room.seated()] if room is not None else [],
        "seats": seats,
        "locked": room is not None and room.locked,
        "recording": room is not None and room.consent.stage is Stage.RUNNING,
        "watch_only": shown.watches_only,
        "owner": shown.owner,
    }


def seat_in(room: Room, person: Person, office: TicketOffice, lasts_s: float) -> str:
    """Return the ticket of somebody's seat."""
    return office.issue(
        Purpose.SEAT,
        room.name,
        room.sitting,
        lasts_s,
        holder=person.id,
        host=person.host,
        bound=person.bound,
    )
