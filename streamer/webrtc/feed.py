"""A session's picture and sound, encoded once, and the outgoing sections that show it.

A feed is what one session makes; a lane is one outgoing section of one connection. Any number of
lanes may show a feed, and a lane may show one feed after another without a new negotiation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiortc import RTCRtpSender

from visavis.streamer.media.packetise import Packetiser
from visavis.streamer.media.timeline import RATE
from visavis.streamer.webrtc.connection import send_packed
from visavis.streamer.webrtc.rtp import rtcp
from visavis.streamer.webrtc.rtp.tracks import VIDEO_RATE, FeedTrack, picture_track, sound_track

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeedClock:
    """What sender reports say of a feed.

    Attributes:
        media_time: seconds of media that are due now; None before there are any.
        ntp: NTP timestamp of now.
        now: monotonic seconds.
    """

    media_time: Callable[[], float | None]
    ntp: Callable[[], int]
    now: Callable[[], float]


class Tap(Protocol):
    """Who takes a feed as it is encoded, to write it down say."""

    def picture(self, frame: int, data: bytes, keyframe: bool) -> None:
        """Take an encoded picture: an access unit in Annex-B form, or a VP8 frame."""

    def sound(self, data: bytes, pts: int) -> None:
        """Take an Opus packet and the media time, in 48 kHz samples, of its first one."""


class Feed:
    """Encoded once for all.

    Args:
        codec: of the pictures, ``H264`` or ``VP8``.
        fps: frames per second.
        clock: its media time.
        keyframe: has the one encoder make a keyframe.
        playout_delay_ms: upper bound asked of a viewer's jitter buffer on a line without loss.

    Attributes:
        pictures: lanes that show the picture.
        sounds: lanes that play the sound.
        ended: whether the session is over.
        worn: ids of the avatars it has shown, in order; the last one is shown now.
    """

    def __init__(
        self,
        codec: str,
        fps: int,
        clock: FeedClock,
        keyframe: Callable[[], None],
        playout_delay_ms: int,
    ) -> None:
        self.codec = codec
        self.clock = clock
        self.playout_delay_ms = playout_delay_ms
        self.pictures: set[Lane] = set()
        self.sounds: set[Lane] = set()
        self.ended = False
        self.worn: list[str] = []
        self._taps: list[Tap] = []
        self._step = VIDEO_RATE // fps
        self._keyframe = keyframe
        self._packetiser = Packetiser(codec)

    def request_keyframe(self) -> None:
        """Want a keyframe, for a viewer that lost one or has just come."""
        if not self.ended:
            self._keyframe()

    @property
    def is_heard(self) -> bool:
        """Whether anybody wants the sound."""
        return bool(self.sounds or self._taps)

    def tap(self, sink: Tap) -> None:
        """Give everything to a sink, from the next packet on."""
        self._taps.append(sink)

    def untap(self, sink: Tap) -> None:
        """Stop giving anything to a sink."""
        if sink in self._taps:
            self._taps.remove(sink)

    def picture(self, frame: int, data: bytes, keyframe: bool) -> None:
        """Send an encoded picture on."""
        for tap in tuple(self._taps):
            self._give(tap, lambda tap: tap.picture(frame, data, keyframe))
        if self.pictures:
            payloads = self._packetiser.pack(data)
            for lane in tuple(self.pictures):
                lane.put(frame, frame * self._step, payloads, keyframe=keyframe)

    def sound(self, data: bytes, pts: int) -> None:
        """Send an Opus packet on."""
        for tap in tuple(self._taps):
            self._give(tap, lambda tap: tap.sound(data, pts))
        for lane in tuple(self.sounds):
            lane.put(pts, pts, [data])

    def _give(self, tap: Tap, give: Callable[[Tap], None]) -> None:
        """A sink that fails must not stop the picture of everybody else."""
        try:
            give(tap)
        except Exception:
            logger.exception("a tap failed and was taken off")
            self.untap(tap)

    def start_over(self) -> None:
        """Forget what waits anywhere, as a new encoder is about to start with a keyframe."""
        for lane in tuple(self.pictures):
            lane.wait_for_keyframe()

    def end(self) -> None:
        """Leave every lane."""
        self.ended = True
        self._taps.clear()
        for lane in (*self.pictures, *self.sounds):
            lane.show(None)


class Lane:
    """One outgoing section.

    Args:
        kind: ``audio`` or ``video``.
        now: monotonic seconds.
        ready: whether the connection takes packets; before, they are not queued.
        taken: told a frame's number when the sender takes it.
        bitrate: told the viewer's estimate of its line, if it is to be followed.

    Attributes:
        feed: what is shown; None for nothing.
        codec: what the section was negotiated for, in capitals.
        track: what the sender takes packets from.
    """

    def __init__(
        self,
        kind: str,
        now: Callable[[], float],
        ready: Callable[[], bool],
        *,
        taken: Callable[[int], None] = lambda frame: None,
        bitrate: Callable[[int], None] = lambda bps: None,
    ) -> None:
        self.kind = kind
        self.feed: Feed | None = None
        self.codec = ""
        self._now = now
        self._ready = ready
        self._bitrate = bitrate
        self._needs_keyframe = kind == "video"
        self.track: FeedTrack = picture_track(now, taken) if kind == "video" else sound_track(now)

    def attach(self, sender: RTCRtpSender, codec: str) -> None:
        """Send by this sender; once, before it starts."""
        self.codec = codec.upper()
        send_packed(sender)
        sender.replaceTrack(self.track)
        rtcp.install(
            sender,
            rtcp.SenderHooks(
                track=self.track,
                clock_rate=VIDEO_RATE if self.kind == "video" else RATE,
                media_time=lambda: None if self.feed is None else self.feed.clock.media_time(),
                ntp=lambda: 0 if self.feed is None else self.feed.clock.ntp(),
                keyframe=self.request_keyframe,
                bitrate=self._bitrate,
                playout_delay_ms=lambda: 0 if self.feed is None else self.feed.playout_delay_ms,
                now=self._now,
            ),
        )

    def fits(self, feed: Feed) -> bool:
        """Whether the section was negotiated for what the feed is encoded as."""
        return self.codec == (feed.codec if self.kind == "video" else "OPUS")

    def show(self, feed: Feed | None) -> None:
        """Show a feed from its next keyframe on; None stops."""
        old = self.feed
        if feed is old:
            return
        if old is not None:
            (old.pictures if self.kind == "video" else old.sounds).discard(self)
            self.track.change()
        self.feed = feed
        if feed is not None:
            (feed.pictures if self.kind == "video" else feed.sounds).add(self)
            self.wait_for_keyframe()
            self.request_keyframe()

    def request_keyframe(self) -> None:
        """Have the feed make a keyframe."""
        if self.feed is not None and self.kind == "video" and self._ready():
            self.feed.request_keyframe()

    def wait_for_keyframe(self) -> None:
        """Forget what waits for the sender."""
        self.track.clear()
        self._needs_keyframe = self.kind == "video"

    def put(self, number: int, pts: int, payloads: list[bytes], *, keyframe: bool = False) -> None:
        """Queue a packet; pictures are dropped up to the next keyframe when the sender stalls."""
        if not self._ready():
            return
        if self.kind == "video":
            if self._needs_keyframe and not keyframe:
                return
            self._needs_keyframe = False
            if self.track.stalled:
                self.track.clear()
                if not keyframe:
                    self._needs_keyframe = True
                    self.request_keyframe()
                    return
        self.track.put(number, pts, payloads)

    def end(self) -> None:
        """Stop for good."""
        self.show(None)
        self.track.stop()
