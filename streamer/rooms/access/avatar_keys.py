"""What erases an avatar that somebody made on the way into a call; theirs alone to keep."""

from __future__ import annotations

from visavis.streamer.errors import Forbidden
from visavis.streamer.rooms.access.tickets import Purpose, TicketOffice

_LASTS_S = 400 * 86_400.0


class AvatarKeys:
    """Issues and checks them.

    Args:
        office: issues and reads tickets.
    """

    def __init__(self, office: TicketOffice) -> None:
        self._office = office

    def to(self, avatar_id: str) -> str:
        """Return the key of an avatar."""
        return self._office.issue(Purpose.AVATAR, "", "", _LASTS_S, holder=avatar_id)

    def check(self, avatar_id: str, text: str) -> None:
        """Check that this is the key of that avatar; the call itself may be over.

        Raises:
            Forbidden: it is not.
        """
        if self._office.read(text, Purpose.AVATAR).holder != avatar_id:
            raise Forbidden("This is the key of another avatar.", code="ticket")
