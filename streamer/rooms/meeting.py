"""A room with its people's connections: who sees whom, who hears whom, who looks where."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from visavis.streamer.errors import Conflict, VisavisError, message_of
from visavis.streamer.rooms.access.people import Person
from visavis.streamer.rooms.attention.floor import Floor
from visavis.streamer.rooms.attention.sound import RoomSound
from visavis.streamer.rooms.member import Connection, Member
from visavis.streamer.rooms.recording.consent import Stage
from visavis.streamer.rooms.recording.recording import Recording
from visavis.streamer.rooms.room import Room

if TYPE_CHECKING:
    from visavis.streamer.webrtc.feed import Feed

logger = logging.getLogger(__name__)
_NO_DISK = "The recording could not be begun: the disk does not take it."
_LOOK_EVERY_S = 0.5  # whether everybody may still be here: what is withdrawn ends within a second
_TELL_EVERY_S = 1.0  # how long and how large a recording is


class Meeting:
    """The running side of a room.

    Args:
        make_room: makes its rules, given who sends messages.
        now: monotonic seconds.
        record: begins a recording of a room.
        ended: told once, when it was ended for all.
        refusal: why an avatar may not serve a purpose, in a sentence; empty if it may.
        unfit: why somebody may not stay, in a sentence, and as a word; both empty if they may.
    """

    def __init__(
        self,
        make_room: Callable[[Callable[[dict[str, Any], str], None]], Room],
        *,
        now: Callable[[], float],
        record: Callable[[Meeting], Recording],
        ended: Callable[[Meeting], None],
        refusal: Callable[[str, str], str] = lambda avatar_id, purpose: "",
        unfit: Callable[[Person], tuple[str, str]] = lambda person: ("", ""),
    ) -> None:
        self._unfit, self._looked_at = unfit, now()
        self.members: dict[str, Member] = {}
        self.sound = RoomSound()
        self.floor = Floor()
        self.recording: Recording | None = None
        self.over = False
        self.room = make_room(self._tell)
        self._now = now
        self._record = record
        self._ended = ended
        self._refusal = refusal
        self._tasks: set[asyncio.Task[None]] = set()
        self._told_at = 0.0

    # ------------------------------------------------------------------ people

    def member(self, person: Person) -> Member:
        """Return the member of somebody who is in the room."""
        if person.id not in self.members:
            self.members[person.id] = Member(self, person)
        return self.members[person.id]

    async def connect(self, member: Member, connection: Connection) -> None:
        """Use a connection for somebody; an older one of theirs ends."""
        old, member.connection = member.connection, connection
        if old is not None and old is not connection:
            await old.end("You have joined again from elsewhere.", "replaced")

    def connected(self, member: Member) -> None:
        """Take that somebody's media may flow."""
        self.room.connected(member.id)
        self.refresh()

    def lost(self, member: Member) -> None:
        """Take that somebody's connection is gone."""
        self.sound.left(member.id)
        self.floor.left(member.id)
        self.room.lost(member.id)
        self.refresh()

    async def leave(self, who: str) -> None:
        """Take somebody out who wants to go."""
        connection = self._forget(who)
        self.room.leave(who)
        self.refresh()
        if connection is not None:
            await connection.end("You have left the call.", "hangup")

    def mute_other(self, who: str, other: str) -> None:
        """Switch somebody's microphone off, as the host."""
        self.room.mute_other(who, other)
        if (member := self.members.get(other)) is not None:
            member.hush()
            self.speaks(other, False)

    def remove(self, who: str, other: str) -> None:
        """Put somebody out, as the host."""
        self.room.remove(who, other)
        connection = self._forget(other)
        self.refresh()
        if connection is not None:
            self._later(connection.end("The host has removed you.", "removed"))

    def end_by(self, who: str) -> None:
        """End the call for everybody, as the host."""
        self.room.check_host(who)
        self._later(self.end("The host has ended the call.", cause="room-ended"))

    async def end(self, reason: str, *, cause: str) -> None:
        """End the call for everybody."""
        if self.over:
            return
        self.over = True
        self._stop_recording()
        connections = [self._forget(who) for who in list(self.members)]
        for who in list(self.room.people):
            self.room.leave(who)
        self._ended(self)
        await asyncio.gather(
            *(c.end(reason, cause) for c in connections if c is not None),
            return_exceptions=True,
        )

    def _forget(self, who: str) -> Connection | None:
        member = self.members.pop(who, None)
        self.sound.left(who)
        self.floor.left(who)
        if member is None:
            return None
        connection, member.connection = member.connection, None
        return connection

    # ------------------------------------------------------------------ who sees whom

    def refresh(self) -> None:
        """Show everybody's feed to everybody else, the speaker's first."""
        feeds = self._feeds()
        for member in self.members.values():
            if member.connection is not None:
                others = {who: feed for who, feed in feeds.items() if who != member.id}
                member.connection.show(others)
        if self.recording is not None:
            self.recording.follow(self._recordable(feeds))

    def _recordable(self, feeds: dict[str, Feed]) -> dict[str, Feed]:
        """Return the feeds of those whose avatar's consent covers recordings."""
        worn = {person.id: person.avatar_id for person in self.room.seated()}
        return {
            who: feed
            for who, feed in feeds.items()
            if not self._refusal(worn.get(who, ""), "record")
        }

    def _feeds(self) -> dict[str, Feed]:
        order = sorted(self.room.seated(), key=lambda p: (p.id != self.floor.holder, p.number))
        feeds: dict[str, Feed] = {}
        for person in order:
            member = self.members.get(person.id)
            connection = member.connection if member is not None else None
            if connection is not None and connection.feed is not None:
                feeds[person.id] = connection.feed
        return feeds

    def speaks(self, who: str, on: bool) -> None:
        """Take that somebody begins or stops to speak."""
        if self.room.speaks(who, on):
            self.floor.speaks(who, on, self._now())
            self._settle_floor()

    def _settle_floor(self) -> None:
        if self.floor.settle(self._now()):
            for member in self.members.values():
                member.turn_to(self.floor.holder)

    def poll(self) -> None:
        """Look after seats, the floor and the recording; called a few times a second."""
        before = set(self.room.people)
        self.room.poll()
        for who in before - set(self.room.people):
            if (connection := self._forget(who)) is not None:
                self._later(connection.end("You were away for too long.", "idle"))
        if self._now() - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = self._now()
            self._dismiss_unfit()
        self._settle_floor()
        self._look_after_recording()

    def _dismiss_unfit(self) -> None:
        """Take those out whose token or consent does not hold any more."""
        for person in list(self.room.people.values()):
            why, cause = self._unfit(person)
            if not why:
                continue
            connection = self._forget(person.id)
            self.room.leave(person.id, "removed")
            self.refresh()
            if connection is not None:
                self._later(connection.end(why, cause))

    # ------------------------------------------------------------------ recording

    def _look_after_recording(self) -> None:
        recording, now = self.recording, self._now()
        if recording is None or now - self._told_at < _TELL_EVERY_S:
            return
        self._told_at = now
        recording.follow(self._recordable(self._feeds()))
        if recording.problem:
            self._tell(message_of(Conflict(recording.problem, code="recording-stopped")), "")
            self.room.stop_recording()
        else:
            self._tell({"type": "recorded", **recording.describe()}, "")

    def _begin_recording(self) -> None:
        try:
            self.recording = self._record(self)
        except (OSError, VisavisError) as error:
            logger.error("a recording could not be begun: %s", error)
            words = str(error) if isinstance(error, VisavisError) else _NO_DISK
            self._tell(message_of(Conflict(words, code="recording-failed")), "")
            asyncio.get_running_loop().call_soon(self.room.stop_recording)
            return
        self.refresh()

    def _stop_recording(self) -> None:
        recording, self.recording = self.recording, None
        if recording is not None:
            self._later(recording.end())

    # ------------------------------------------------------------------ messages

    def _tell(self, message: dict[str, Any], to: str) -> None:
        """Send to one, or to all; act on what changes the media."""
        if to:
            if (member := self.members.get(to)) is not None:
                member.send(message)
            return
        if message["type"] == "recording":
            running = message["stage"] == Stage.RUNNING
            if running and self.recording is None and not self.over:
                self._begin_recording()
            elif not running and self.recording is not None:
                message = {**message, "recorded": self.recording.describe()}
                self._stop_recording()
        for member in list(self.members.values()):
            member.send(message)

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("room %s: something failed", self.room.sitting, exc_info=error)

    async def settled(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
