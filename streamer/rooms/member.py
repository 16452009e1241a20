"""One participant's connection: what its page says, what it is told, what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.errors import BadRequest
from visavis.streamer.rooms.access.people import Part, Person
from visavis.streamer.rooms.attention.floor import Floor
from visavis.streamer.rooms.attention.looking import AHEAD, Look, Place, look_at, read_tiles
from visavis.streamer.rooms.attention.sound import RoomSound
from visavis.streamer.rooms.attention.speaking import SpeakingDetector
from visavis.streamer.rooms.room import Room
from visavis.streamer.session.channels.control import Command

if TYPE_CHECKING:
    from visavis.streamer.webrtc.feed import Feed
    from visavis.streamer.webrtc.sdp.signaling import Offer


class Connection(Protocol):
    """What a member needs of its session, or of its way to watch and listen."""

    id: str
    over: bool

    @property
    def feed(self) -> Feed | None:
        """What it shows to others, if anything."""

    def show(self, feeds: Mapping[str, Feed]) -> None:
        """Show these and no others."""

    def send(self, message: dict[str, Any]) -> None:
        """Send on the channel ``control``."""

    def turn(self, yaw: float, pitch: float) -> None:
        """Turn the avatar's eyes and head, in degrees."""

    def set_muted(self, on: bool) -> None:
        """Take silence instead of the microphone."""

    async def answer(self, offer: Offer) -> str:
        """Take an offer in place; return the answer's SDP."""
        ...

    async def add_candidates(self, candidates: list[Any]) -> None:
        """Take trickled candidates."""

    async def end(self, reason: str, cause: str) -> None:
        """Hang up."""


class Gathering(Protocol):
    """What a member needs of the meeting they are in."""

    room: Room
    sound: RoomSound
    floor: Floor

    def connected(self, member: Member) -> None:
        """Take that somebody's media may flow."""

    def lost(self, member: Member) -> None:
        """Take that somebody's connection is gone."""

    def speaks(self, who: str, on: bool) -> None:
        """Take that somebody begins or stops to speak."""

    def mute_other(self, who: str, other: str) -> None:
        """Switch somebody's microphone off, as the host."""

    def remove(self, who: str, other: str) -> None:
        """Put somebody out, as the host."""

    def end_by(self, who: str) -> None:
        """End the call for everybody, as the host."""


class Member:
    """A participant as the network sees them; a session's ``guest``.

    Args:
        meeting: where they are.
        person: who they are.

    Attributes:
        offering: held while an offer of theirs is answered.
        tiles: where their page shows the others.
    """

    def __init__(self, meeting: Gathering, person: Person) -> None:
        self.id = person.id
        self.connection: Connection | None = None
        self.offering = asyncio.Lock()
        self.tiles: dict[str, Place] = {}
        self._meeting = meeting
        self._person = person
        self._detector = SpeakingDetector()
        self._look = AHEAD
        self.commands: Mapping[str, Command] = self._actions()

    def _actions(self) -> dict[str, Command]:
        room = self._meeting.room
        return {
            "mute": lambda m: self._mute(m.get("on") is True),
            "hand": lambda m: room.raise_hand(self.id, m.get("on") is True),
            "chat": lambda m: room.say(self.id, m.get("text")),
            "quality": lambda m: room.rate(self.id, m.get("value")),
            "tiles": self._place_tiles,
            "lock": lambda m: room.lock(self.id, m.get("on") is True),
            "mute-other": lambda m: self._meeting.mute_other(self.id, str(m.get("id", ""))),
            "remove": lambda m: self._meeting.remove(self.id, str(m.get("id", ""))),
            "end-call": lambda m: self._meeting.end_by(self.id),
            "record": lambda m: room.ask_to_record(self.id),
            "record-answer": lambda m: room.agree(self.id, m.get("yes") is True),
        }

    # ------------------------------------------------------------------ what the session says

    def opened(self) -> None:
        """Tell everything, as the page's channel is open."""
        self.send(self._meeting.room.describe(self.id))

    def live(self) -> None:
        """Take that media may flow."""
        if self.connection is not None:
            self._meeting.connected(self)

    def gone(self, connection: object) -> None:
        """Take that the connection has ended; an old one's end says nothing of a newer one."""
        if connection is self.connection:
            self.connection = None
            self._detector.hush()
            self._meeting.lost(self)

    def hears(self, at: float, count: int) -> NDArray[np.int16] | None:
        """Return what the others say; see :meth:`RoomSound.heard`."""
        return self._meeting.sound.heard(self.id, at, count)

    def spoke(self, at: float, samples: NDArray[np.int16]) -> None:
        """Take our own microphone; see :meth:`RoomSound.spoke`."""
        if self.connection is None:  # they have left, and the session is about to end
            return
        self._meeting.sound.spoke(self.id, at, samples)
        on = self._detector.hear(samples) and not self._person.muted
        if on != self._person.speaking:
            self._meeting.speaks(self.id, on)

    def wears(self, avatar_id: str) -> None:
        """Take that another avatar is shown."""
        self._person.avatar_id = avatar_id

    # ------------------------------------------------------------------ what it is told

    def send(self, message: dict[str, Any]) -> None:
        """Send to the page, if it is there."""
        if self.connection is not None:
            self.connection.send(message)

    def turn_to(self, speaker: str) -> None:
        """Look at whoever has the floor; straight ahead if that is nobody, or us."""
        look: Look = AHEAD
        if speaker and speaker != self.id and self._person.part is Part.AVATAR:
            others = [p.id for p in self._meeting.room.seated() if p.id != self.id]
            look = look_at(speaker, others, self.tiles)
        if look != self._look and self.connection is not None:
            self._look = look
            self.connection.turn(look.yaw, look.pitch)

    def hush(self) -> None:
        """Switch the microphone off from here."""
        self._detector.hush()
        if self.connection is not None:
            self.connection.set_muted(True)

    # ------------------------------------------------------------------ what the page says

    def _mute(self, on: bool) -> None:
        if self.connection is not None:
            self.connection.set_muted(on)
        if on:
            self._detector.hush()
            self._meeting.speaks(self.id, False)
        self._meeting.room.mute(self.id, on)

    def _place_tiles(self, message: dict[str, Any]) -> None:
        tiles = read_tiles(message.get("tiles"))
        if tiles is None:
            raise BadRequest("The tiles are not places by participant.")
        self.tiles = tiles
        self.turn_to(self._meeting.floor.holder)
