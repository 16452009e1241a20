"""One room: who is in it and what they may do. No network, no models: rules only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visavis.streamer.errors import AtCapacity, BadRequest, Conflict, Forbidden, NotFound
from visavis.streamer.rooms.access.limits import Allowance, RoomLimits
from visavis.streamer.rooms.access.people import Chat, Part, Person, Presence, Quality, chat_text
from visavis.streamer.rooms.access.removed import Removed
from visavis.streamer.rooms.recording.consent import Consent, Stage

Tell = Callable[[dict[str, Any], str], None]
Note = Callable[[str, str], object]
_JOINS_S = 20.0  # within which who has entered must be connected
_TOO_FAST = "That was too much at once; some of it was not passed on."
_HOST_ONLY = "Only the host of the call can do that."


class Room:
    """The state of one room, and the sentences about what cannot be.

    Args:
        name: as it stands in the address.
        title: as it is shown.
        sitting: random; a room of the same name opened later has another one.
        limits: what it may cost.
        now: monotonic seconds.
        wall: UNIX time in seconds.
        tell: sends a message to one participant, or to all for an empty id.
        note: writes ``(event, id)`` into the audit log; ids only, never a name.
    """

    def __init__(
        self,
        name: str,
        title: str,
        sitting: str,
        limits: RoomLimits,
        *,
        now: Callable[[], float],
        wall: Callable[[], float],
        tell: Tell,
        note: Note,
    ) -> None:
        self.name, self.title, self.sitting = name, title, sitting
        self.limits = limits
        self.locked = False
        self.consent = Consent()
        self.chat = Chat(limits)
        self.people: dict[str, Person] = {}
        self.empty_since = now()
        self._removed = Removed()
        self._numbers = 0
        self._now, self._wall = now, wall
        self._tell, self._note = tell, note

    # ------------------------------------------------------------------ coming and going

    def seats_taken(self) -> int:
        """Return how many seats are taken, kept ones included."""
        return sum(person.seated for person in self.people.values())

    def seated(self) -> list[Person]:
        """Return those with a seat, by its number."""
        return sorted((p for p in self.people.values() if p.seated), key=lambda p: p.number)

    @property
    def has_host(self) -> bool:
        """Whether somebody here is the host."""
        return any(person.host for person in self.people.values())

    def present(self) -> set[str]:
        """Return the ids of those with a seat."""
        return {person.id for person in self.people.values() if person.seated}

    def find(self, who: str) -> Person:
        """Return a participant.

        Raises:
            NotFound: they are not here.
        """
        if (person := self.people.get(who)) is None:
            raise NotFound("This person is not in the call any more.")
        return person

    def enter(
        self,
        who: str,
        name: str,
        part: Part,
        *,
        host: bool = False,
        agrees: bool = False,
        link: str = "",
    ) -> Person:
        """Let somebody in; one who is in already comes back to their seat.

        Args:
            who: their id.
            name: checked already.
            part: what they take part as.
            host: they opened the room, or were its host before.
            agrees: to being recorded.
            link: id of the invitation that they show.

        Raises:
            Forbidden: they were removed, or the room is locked.
            AtCapacity: all seats are taken.
            Conflict: it is being recorded and they have not agreed.
        """
        self._removed.check(who, link)
        known = self.people.get(who)
        if known is not None:
            return self._back(known, name, part)
        self._removed.check_name(name, link)
        if self.locked and not host:
            raise Forbidden(
                "The host has locked this call; nobody else can come in now.", code="room-locked"
            )
        self._check_room(part)
        if self.consent.stage is not Stage.OFF and part is not Part.WATCHER:
            if not agrees:
                raise Conflict(
                    "This call is being recorded; agree to it to come in.", code="recording"
                )
            self.consent.agree(who)
        person = self._person(who, name, part, host, link)
        self.people[who] = person
        self._note("room-join" if person.seated else "room-watch", who)
        self._tell({"type": "join", "person": person.describe()}, "")
        return person

    def closed_to(self, who: str, link: str) -> str:
        """Return why somebody, or all who come by a link, must stay out; empty if they need not."""
        try:
            self._removed.check(who, link)
        except Forbidden as error:
            return str(error)
        return ""

    def _person(self, who: str, name: str, part: Part, host: bool, link: str) -> Person:
        self._numbers += 1
        limits, now = self.limits, self._now()
        return Person(
            id=who,
            name=name,
            part=part,
            number=self._numbers,
            host=host and part is not Part.WATCHER,
            since=now,
            link=link,
            chats=Allowance(limits.chat_burst, limits.chat_per_s, now),
            actions=Allowance(limits.actions_burst, limits.actions_per_s, now),
        )

    def _check_room(self, part: Part) -> None:
        limits = self.limits
        if part is Part.WATCHER:
            watchers = len(self.people) - self.seats_taken()
            if watchers >= limits.watchers:
                raise AtCapacity(
                    f"This call has {limits.watchers} people watching already.", code="room-full"
                )
        elif self.seats_taken() >= limits.people:
            raise AtCapacity(
                f"This call is full: it has room for {limits.people} people.", code="room-full"
            )

    def _back(self, person: Person, name: str, part: Part) -> Person:
        if person.part is Part.WATCHER and part is not Part.WATCHER:
            raise Forbidden("Your invitation is for watching only.")
        person.name = name
        person.part = part
        self._changed(person)
        return person

    def leave(self, who: str, reason: str = "left") -> None:
        """Take somebody out; reason is ``left``, ``lost`` or ``removed``."""
        person = self.people.pop(who, None)
        if person is None:
            return
        if not self.people:
            self.empty_since = self._now()
        self._note("room-leave", who)
        self._tell({"type": "leave", "id": who, "name": person.name, "reason": reason}, "")
        if person.host:
            self._pass_on()
        if not any(p.part is Part.AVATAR for p in self.people.values()):
            self.stop_recording()
        else:
            self._settle()

    def _pass_on(self) -> None:
        """Make who has been here longest the host."""
        if (rest := self.seated()) and not any(p.host for p in rest):
            rest[0].host = True
            self._note("room-host", rest[0].id)
            self._changed(rest[0])

    def connected(self, who: str) -> None:
        """Note that somebody's connection is there."""
        self._presence(who, Presence.LIVE)

    def lost(self, who: str) -> None:
        """Note that somebody's connection is gone; the seat is kept for a while."""
        if (person := self.people.get(who)) is not None:
            person.speaking = False
            self._presence(who, Presence.AWAY)

    def _presence(self, who: str, presence: Presence) -> None:
        person = self.people.get(who)
        if person is not None and person.presence is not presence:
            person.presence, person.since = presence, self._now()
            self._changed(person)

    def poll(self) -> None:
        """Give up the seats of those who have been away too long."""
        now = self._now()
        for person in list(self.people.values()):
            if person.presence is Presence.LIVE:
                continue
            joins = person.presence is Presence.JOINING
            most = max(_JOINS_S, self.limits.away_s) if joins else self.limits.away_s
            if now - person.since > most:
                self.leave(person.id, "lost")

    # ------------------------------------------------------------------ what people do

    def mute(self, who: str, on: bool) -> None:
        """Note that somebody switched their microphone."""
        person = self.find(who)
        if person.muted != on:
            person.muted = on
            person.speaking = person.speaking and not on
            self._changed(person)

    def raise_hand(self, who: str, on: bool) -> None:
        """Raise a hand or take it down."""
        person = self.find(who)
        if person.hand != on and self._may(person):
            person.hand = on
            self._changed(person)

    def rate(self, who: str, value: object) -> None:
        """Note how good somebody's connection is; they measure it themselves."""
        person = self.find(who)
        quality = Quality.read(value)
        if person.quality is not quality and self._may(person):
            person.quality = quality
            self._changed(person)

    def speaks(self, who: str, on: bool) -> bool:
        """Note that somebody begins or stops to speak; return whether that is new."""
        person = self.people.get(who)
        if person is None or person.speaking == on:
            return False
        person.speaking = on
        self._tell({"type": "speaking", "id": who, "on": on}, "")
        return True

    def say(self, who: str, text: object) -> None:
        """Write to everybody.

        Raises:
            Forbidden: watchers do not write.
            BadRequest: it is empty, too long, or came too fast.
        """
        person = self.find(who)
        if not person.seated:
            raise Forbidden("Those who watch cannot write.")
        said = chat_text(text, self.limits.chat_text)
        if not person.chats.take(self._now()):
            raise BadRequest("You write too fast; this message was not sent.")
        message = self.chat.add(person, said, self._wall())
        self._tell({"type": "chat", "message": message}, "")

    def _may(self, person: Person) -> bool:
        """Whether somebody may have everybody told of one more thing just now.

        Raises:
            BadRequest: not now.
        """
        if person.actions.take(self._now()):
            return True
        raise BadRequest(_TOO_FAST)

    # ------------------------------------------------------------------ what hosts do

    def lock(self, who: str, on: bool) -> None:
        """Let nobody else in, or again."""
        self._host(who)
        if self.locked != on:
            self.locked = on
            self._note("room-lock" if on else "room-unlock", who)
            self._tell({"type": "lock", "on": on, "by": who}, "")

    def mute_other(self, who: str, other: str) -> Person:
        """Switch somebody's microphone off; they may switch it on again."""
        self._host(who)
        person = self.find(other)
        self._note("room-mute", other)
        self.mute(other, True)
        self._tell({"type": "muted", "by": who}, other)
        return person

    def remove(self, who: str, other: str) -> Person:
        """Put somebody out for as long as this sitting lasts."""
        self._host(who)
        if who == other:
            raise BadRequest("Leave the call instead of removing yourself.")
        person = self.find(other)
        self._removed.add(person)
        self._note("room-remove", other)
        self.leave(other, "removed")
        return person

    def check_host(self, who: str) -> None:
        """Check that somebody may do what only hosts may.

        Raises:
            Forbidden: they are not the host.
        """
        self._host(who)

    def _host(self, who: str) -> None:
        person = self.people.get(who)
        if person is None or not person.host:
            raise Forbidden(_HOST_ONLY)

    # ------------------------------------------------------------------ recording

    def ask_to_record(self, who: str) -> None:
        """Ask everybody whether the call may be recorded.

        Raises:
            Forbidden: a watcher asks.
            Conflict: it was asked or runs already.
        """
        person = self.find(who)
        if not person.seated:
            raise Forbidden("Those who watch cannot record.")
        if not self.consent.ask(who):
            raise Conflict("A recording has been asked for already.")
        self._note("room-record-ask", who)
        if not self._settle():
            self.tell_recording()

    def agree(self, who: str, yes: bool) -> None:
        """Answer; one no, at any time, ends it."""
        if not self.find(who).seated or self.consent.stage is Stage.OFF:
            return
        if yes:
            self.consent.agree(who)
            self._note("room-record-agree", who)
            if not self._settle():
                self.tell_recording()
        else:
            self._note("room-record-refuse", who)
            self.stop_recording(who)

    def stop_recording(self, who: str = "") -> None:
        """End a recording or the question; anybody with a seat may."""
        if self.consent.stage is not Stage.OFF:
            self.consent.end()
            self._note("room-record-stop", who or self.sitting)
            self.tell_recording(stopped_by=who)

    def _settle(self) -> bool:
        if self.consent.settle(self.present()):
            self._note("room-record-start", self.sitting)
            self.tell_recording()
            return True
        return False

    def tell_recording(self, **more: Any) -> None:
        """Tell everybody where the recording is."""
        self._tell({"type": "recording", **self.consent.describe(self.present()), **more}, "")

    # ------------------------------------------------------------------ what is told

    def describe(self, who: str = "") -> dict[str, Any]:
        """Return everything that somebody who comes needs to know."""
        return {
            "type": "room",
            "you": who,
            "name": self.name,
            "title": self.title,
            "locked": self.locked,
            "seats": self.limits.people,
            "people": [p.describe() for p in sorted(self.people.values(), key=lambda p: p.number)],
            "chat": list(self.chat.messages),
            "recording": self.consent.describe(self.present()),
            "avatar_id": self.people[who].avatar_id if who in self.people else "",
        }

    def _changed(self, person: Person) -> None:
        self._tell({"type": "person", "person": person.describe()}, "")
