"""Those who are in a room, and what they said."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from visavis.streamer.errors import BadRequest
from visavis.streamer.rooms.access.bound import UNBOUND, Bound
from visavis.streamer.rooms.access.limits import Allowance, RoomLimits


class Part(StrEnum):
    """What somebody takes part as."""

    AVATAR = "avatar"  # seen and heard
    LISTENER = "listener"  # has a seat, without picture and sound of their own
    WATCHER = "watcher"  # came by a link that only watches


class Presence(StrEnum):
    """Whether somebody's connection is there."""

    JOINING = "joining"
    LIVE = "live"
    AWAY = "away"  # a tab that reloads, a line that broke: the seat is kept for a while


class Quality(StrEnum):
    """A connection in words."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"

    @classmethod
    def read(cls, value: object) -> Quality:
        """Return what a page says of its connection.

        Raises:
            BadRequest: it is none of these.
        """
        try:
            return cls(str(value))
        except ValueError:
            raise BadRequest("The quality must be good, fair or poor.") from None


@dataclass
class Person:
    """One participant; the id stays over reconnects and reloads.

    Attributes:
        id: random; also the order in which everybody sees everybody, by ``number``.
        name: as they wrote it.
        part: what they take part as.
        number: of their seat.
        host: may lock, mute, remove and end.
        avatar_id: whose face they wear.
        muted: their microphone is off.
        hand: they raised it.
        speaking: just now.
        quality: of their connection.
        presence: of their connection.
        since: monotonic seconds of the last change of presence.
        link: id of the invitation by which they came.
        bound: to which avatar, consent and token their seat is bound.
        chats: how much they may still write.
        actions: how much else they may still have everybody told.
    """

    id: str
    name: str
    part: Part
    number: int
    host: bool
    since: float
    chats: Allowance
    actions: Allowance
    link: str = ""
    bound: Bound = UNBOUND
    avatar_id: str = ""
    muted: bool = False
    hand: bool = False
    speaking: bool = False
    quality: Quality = Quality.GOOD
    presence: Presence = Presence.JOINING

    @property
    def seated(self) -> bool:
        """Whether they take one of the room's seats."""
        return self.part is not Part.WATCHER

    def describe(self) -> dict[str, Any]:
        """Return what everybody in the room may know.

        Not the avatar's id: whoever knows it can wear that face.
        """
        return {
            "id": self.id,
            "name": self.name,
            "part": self.part,
            "number": self.number,
            "host": self.host,
            "muted": self.muted,
            "hand": self.hand,
            "speaking": self.speaking,
            "quality": self.quality,
            "presence": self.presence,
        }


@dataclass
class Chat:
    """The last messages of a room; gone with it, never written to the disk."""

    limits: RoomLimits
    number: int = 0
    messages: deque[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.messages = deque(maxlen=self.limits.chat_kept)

    def add(self, person: Person, text: str, at: float) -> dict[str, Any]:
        """Keep one message and return it as everybody gets it; ``at`` is UNIX time."""
        self.number += 1
        message = {
            "number": self.number,
            "id": person.id,
            "name": person.name,
            "text": text,
            "at": round(at, 3),
        }
        self.messages.append(message)
        return message


def chat_text(text: object, most: int) -> str:
    """Return what somebody wrote without control characters; line breaks stay.

    Raises:
        BadRequest: it is empty, or longer than ``most``, which is not ours to cut.
    """
    if isinstance(text, str) and len(text) > most:
        raise BadRequest(f"A message has at most {most} characters; this one was not sent.")
    lines = text.splitlines() if isinstance(text, str) else []
    said = "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines).strip()
    if not said:
        raise BadRequest("The message is empty.")
    return said
