"""What somebody shows and says who stands before the door of a room."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.streamer.errors import Forbidden, NotFound
from visavis.streamer.rooms.access.names import is_room_name
from visavis.streamer.rooms.access.people import Part
from visavis.streamer.rooms.access.tickets import Purpose, Ticket
from visavis.streamer.trust.callers import Caller


@dataclass(frozen=True)
class Credentials:
    """What a request shows.

    Attributes:
        owner: it may do whatever the server does: it knows the access token, or there is none.
        ticket: the invitation or the seat that it carries, if any.
        caller: the holder of a token to watch or to speak, if that is what it carries.
    """

    owner: bool
    ticket: Ticket | None = None
    caller: Caller | None = None

    @property
    def watches_only(self) -> bool:
        """Whether it opens watching and nothing else."""
        by_token = self.caller is not None and self.caller.scope == "watch"
        return by_token or self.is_for(Purpose.WATCH)

    def is_for(self, purpose: Purpose) -> bool:
        """Whether it carries a ticket for this."""
        return self.ticket is not None and self.ticket.purpose is purpose

    def check_room(self, name: str) -> None:
        """Check that a request has something to do with this room.

        Raises:
            NotFound: the address names no room.
            Forbidden: it is for another room, or shows nothing.
        """
        if not is_room_name(name):
            raise NotFound("There is no call at this address.", code="unknown-room")
        if self.ticket is not None:
            if self.ticket.room != name:
                raise Forbidden("This invitation is for another call.")
        elif not self.owner and self.caller is None:
            raise Forbidden(
                "You need an invitation to this call; ask its host for a link.",
                code="invitation-needed",
            )


@dataclass(frozen=True)
class Entry:
    """What somebody says who wants to come in.

    Attributes:
        name: how they are called.
        part: with an avatar, or only listening.
        agrees: to being recorded.
        seat: the ticket of a seat that they had.
    """

    name: str
    part: Part
    agrees: bool = False
    seat: str = ""
