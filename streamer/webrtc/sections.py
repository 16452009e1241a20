"""The media sections of one connection, and whose feeds are in them."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aiortc import RTCRtpTransceiver

from visavis.streamer.webrtc.feed import Feed, Lane


class Role(enum.Enum):
    """What a media section is for."""

    OWN = "own"  # the session's own picture or sound, and the microphone
    HEARD = "heard"  # the other side's sound, only received
    FREE = "free"  # for others' feeds
    DROPPED = "dropped"  # of no use


class Stream(NamedTuple):
    """Whose picture and sound are in which sections; None while there is none."""

    id: str
    audio: str | None
    video: str | None


class Missing(NamedTuple):
    """How many sections the client would have to add for everybody to be shown."""

    audio: int
    video: int


@dataclass
class MediaSection:
    """One media section.

    Attributes:
        mid: its identification.
        role: what it is for.
        transceiver: aiortc's part of it.
        lane: what is sent in it; None if nothing ever is.
        shows: the id of whose feed is in it; None for nobody's.
    """

    mid: str
    role: Role
    transceiver: RTCRtpTransceiver
    lane: Lane | None = None
    shows: str | None = None

    @property
    def sends(self) -> bool:
        """Whether something may be sent in it, as was last negotiated."""
        return self.transceiver.currentDirection in ("sendonly", "sendrecv")


class Sections:
    """All of a connection, and the feeds that are wished in them."""

    def __init__(self) -> None:
        self._all: dict[str, MediaSection] = {}
        self._feeds: dict[str, Feed] = {}
        self._told: tuple[list[Stream], Missing] = ([], Missing(0, 0))

    def __iter__(self) -> Iterator[MediaSection]:
        return iter(tuple(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    @property
    def first_mid(self) -> str:
        """The section that carries the bundle."""
        return next(iter(self._all), "0")

    def add(self, section: MediaSection) -> None:
        """Take a section that has just been negotiated."""
        self._all[section.mid] = section

    def wish(self, feeds: Mapping[str, Feed]) -> None:
        """Want these feeds and no others, the most wished first."""
        self._feeds = dict(feeds)

    @property
    def streams(self) -> list[Stream]:
        """Who is wished, and in which sections each is shown."""
        where = {(s.shows, s.transceiver.kind): s.mid for s in self if s.shows is not None}
        return [
            Stream(name, where.get((name, "audio")), where.get((name, "video")))
            for name in self._feeds
        ]

    @property
    def missing(self) -> Missing:
        """Sections that would have to be added."""
        streams = self.streams
        return Missing(
            sum(stream.audio is None for stream in streams),
            sum(stream.video is None for stream in streams),
        )

    def assign(self, own: Feed | None) -> bool:
        """Bring sections and wishes together, moving nobody who is shown already.

        Args:
            own: what the connection's own sections show.

        Returns:
            Whether there is something new to tell the client.
        """
        for section in self:
            if section.role is Role.OWN and section.lane is not None:
                section.lane.show(own if section.sends else None)
        self._feeds = {name: feed for name, feed in self._feeds.items() if not feed.ended}
        shown = self._give_back()
        for name, feed in self._feeds.items():
            for section, lane in self._free():
                key = (name, lane.kind)
                usable = section.shows is None and section.sends and lane.fits(feed)
                if key not in shown and usable:
                    section.shows = name
                    lane.show(feed)
                    shown.add(key)
        told = (self.streams, self.missing)
        if told == self._told:
            return False
        self._told = told
        return True

    def _free(self) -> list[tuple[MediaSection, Lane]]:
        return [(s, s.lane) for s in self if s.role is Role.FREE and s.lane is not None]

    def _give_back(self) -> set[tuple[str, str]]:
        """Empty the sections whose feed is not wished, or that may not send; return who stays."""
        shown: set[tuple[str, str]] = set()
        for section, lane in self._free():
            name = section.shows
            if name is None:
                continue
            if section.sends and self._feeds.get(name) is lane.feed:
                shown.add((name, lane.kind))
            else:
                section.shows = None
                lane.show(None)
        return shown
