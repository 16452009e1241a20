"""Signed tickets: an invitation, a seat, a recording to fetch. Each opens one thing for a while.

A ticket says what it is for, and the key it is signed with is derived from that, so that one kind
can never be used as another. It names the *sitting* of a room, a random word made when the room is
opened: when the room has ended, all its tickets are void, also if somebody opens one of the same
name again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path

from itsdangerous import BadData, URLSafeSerializer

from visavis.streamer.errors import Forbidden
from visavis.streamer.rooms.access.bound import UNBOUND, Bound
from visavis.streamer.trust.key_file import KEY_BYTES, kept_key

MOST = 1024  # characters of a ticket that is looked at


class Purpose(StrEnum):
    """What a ticket is for."""

    JOIN = "join"  # to take a seat in a room
    WATCH = "watch"  # to see and hear a room
    SEAT = "seat"  # to be who one was
    FILE = "file"  # to fetch one recording
    AVATAR = "avatar"  # to erase the avatar that one made on the way in


@dataclass(frozen=True)
class Ticket:
    """What a ticket says.

    Attributes:
        purpose: what it is for.
        room: the room's name.
        sitting: of that room.
        expires: UNIX time in seconds.
        holder: the participant's id, or the file, that it is about.
        host: whether the holder was the host.
        bound: to which avatar, consent and token.
    """

    purpose: Purpose
    room: str
    sitting: str
    expires: float
    holder: str = ""
    host: bool = False
    bound: Bound = UNBOUND


class TicketOffice:
    """Issues tickets and reads them.

    Args:
        key: the server's secret.
        now: UNIX time in seconds.
    """

    def __init__(self, key: bytes, now: Callable[[], float]) -> None:
        self._now = now
        self._signers = {
            purpose: URLSafeSerializer(key, salt=f"visavis.rooms.{purpose}") for purpose in Purpose
        }

    def issue(
        self,
        purpose: Purpose,
        room: str,
        sitting: str,
        lasts_s: float,
        *,
        holder: str = "",
        host: bool = False,
        bound: Bound = UNBOUND,
    ) -> str:
        """Return a ticket, made of characters that may stand in an address."""
        more = () if bound == UNBOUND else astuple(bound)
        until = round(self._now() + lasts_s, 3)
        text = self._signers[purpose].dumps([room, sitting, until, holder, int(host), *more])
        return text if isinstance(text, str) else text.decode()

    def read(self, text: object, *purposes: Purpose) -> Ticket:
        """Return what a ticket says.

        Args:
            text: as it was sent.
            purposes: what it may be for.

        Raises:
            Forbidden: it is forged, of another purpose, or has expired.
        """
        noun = _NOUNS[purposes[0]]
        for purpose in purposes:
            try:
                if not isinstance(text, str) or len(text) > MOST:
                    break
                room, sitting, expires, holder, host, *more = self._signers[purpose].loads(text)
                ticket = Ticket(
                    purpose,
                    str(room),
                    str(sitting),
                    float(expires),
                    str(holder),
                    bool(host),
                    Bound(*map(str, more)),
                )
            except (BadData, ValueError, TypeError):
                continue
            if ticket.expires <= self._now():
                raise Forbidden(f"{noun} has expired; ask for a new one.", code="ticket-expired")
            return ticket
        raise Forbidden(f"{noun} is not valid; ask for a new one.", code="ticket")


_NOUNS = {
    Purpose.JOIN: "This invitation",
    Purpose.WATCH: "This invitation",
    Purpose.SEAT: "Your place in this call",
    Purpose.FILE: "This link",
    Purpose.AVATAR: "The key of this avatar",
}


def load_key(path: Path) -> bytes:
    """Return the secret kept at ``path``; make one if there is none.

    Raises:
        BadRequest: it cannot be read or written.
    """
    # Tickets do not live long: those of a damaged key are lost, and nothing else is.
    with contextlib.suppress(OSError):  # which is told when the key is read
        if path.stat().st_size != KEY_BYTES:
            path.unlink()
    return kept_key(path, "The key of invitations")
