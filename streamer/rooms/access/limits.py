"""What a room and those in it may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RoomLimits:
    """Limits of every room of a server.

    Attributes:
        people: seats in one room; those who only watch take none.
        watchers: who may watch one room besides.
        rooms: that are open at the same time.
        name: characters of a participant's or a room's name.
        chat_text: characters of one message.
        chat_kept: messages that those who come later can read.
        chat_burst: messages that may come at once.
        chat_per_s: messages a second after that.
        actions_burst: everything else that all others are told (hand, mute, tiles), at once.
        actions_per_s: and a second.
        invitation_s: how long an invitation can be used.
        invitation_most_s: the longest that may be asked for.
        seat_s: how long somebody who was in may come back.
        away_s: how long a seat is kept for somebody whose connection is gone.
        empty_s: how long a room without people is kept.
    """

    people: int = 8
    watchers: int = 8
    rooms: int = 32
    name: int = 60
    chat_text: int = 1000
    chat_kept: int = 100
    chat_burst: int = 5
    chat_per_s: float = 1.0
    actions_burst: int = 20
    actions_per_s: float = 5.0
    invitation_s: float = 3600.0
    invitation_most_s: float = 7 * 86_400.0
    seat_s: float = 12 * 3600.0
    away_s: float = 20.0
    empty_s: float = 600.0


class Allowance:
    """A token bucket: a burst, and then so many a second.

    Args:
        burst: how many may come at once.
        per_s: how fast the bucket fills.
        now: monotonic seconds.
    """

    def __init__(self, burst: int, per_s: float, now: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one, if there is one left."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
