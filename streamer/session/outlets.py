"""A session's own sections: who speaks and is heard on the way in, its feed on the way out."""

from __future__ import annotations

from collections.abc import Callable

from aiortc import RTCRtpTransceiver

from visavis.streamer.clock import Clock
from visavis.streamer.config import MediaConfig
from visavis.streamer.session.speech.sound import SessionSound
from visavis.streamer.webrtc.connection import codecs_of, tap_receiver
from visavis.streamer.webrtc.feed import Feed, FeedClock, Lane
from visavis.streamer.webrtc.microphone import AudioIn, HeardSound
from visavis.streamer.webrtc.rtp import rtcp
from visavis.streamer.webrtc.rtp.tracks import AUDIO_BLOCK, RawSoundTrack, SoundRelease
from visavis.streamer.webrtc.sdp.signaling import Offer, Section
from visavis.streamer.webrtc.sections import Role


def make_feed(
    offer: Offer, media: MediaConfig, clock: FeedClock, keyframe: Callable[[], None]
) -> Feed:
    """Return the feed, in the codec which the first picture section will have."""
    wanted = media.video_codec.upper()
    shown = [s for s in offer.served("video") if s.direction != "sendonly"]
    codecs = [name.upper() for name in shown[0].codecs] if shown else [wanted]
    codec = wanted if wanted in codecs else codecs[0]
    return Feed(codec, media.fps, clock, keyframe, media.playout_delay_max_ms)


class OwnSections:
    """The sections of the session's own connection that carry its picture and sound.

    Args:
        sound: takes what comes in, and has what goes out to a viewer without Opus.
        clock: monotonic time.
        feed_clock: the feed's.
        live: whether the connection takes packets.
        taken: told a frame's number when the sender takes it.
        bitrate: told the viewer's estimate of its line.
    """

    def __init__(
        self,
        sound: SessionSound,
        clock: Clock,
        feed_clock: FeedClock,
        live: Callable[[], bool],
        *,
        taken: Callable[[int], None],
        bitrate: Callable[[int], None],
    ) -> None:
        self._sound, self._clock, self._feed_clock = sound, clock, feed_clock
        self._live, self._taken, self._bitrate = live, taken, bitrate
        self._microphone: AudioIn | None = None

    @property
    def decode_s(self) -> float:
        """Seconds that decoding the microphone's last packet took."""
        return 0.0 if self._microphone is None else self._microphone.decode_s

    def role_of(self, section: Section, nth: int) -> Role:
        """The first of each kind is the session's own; others' feeds get the rest.

        A second audio section that the viewer only sends in is the other side's sound. A camera
        is of no use.
        """
        if section.kind == "video" and section.direction == "sendonly":
            return Role.DROPPED
        if nth == 0:
            return Role.OWN
        if section.direction == "sendonly":
            heard = section.kind == "audio" and self._sound.heard is None
            return Role.HEARD if heard else Role.DROPPED
        return Role.FREE

    def place(self, section: Section, role: Role, transceiver: RTCRtpTransceiver) -> Lane | None:
        """Fill one of them; None where nothing goes out of it as a lane."""
        codecs, receiver = codecs_of(transceiver), transceiver.receiver
        if role is Role.HEARD:
            heard = self._sound.heard = HeardSound()
            tap_receiver(receiver, AudioIn(codecs, heard.put).take)
            return None
        if section.kind == "audio":
            self._microphone = AudioIn(codecs, self._sound.spoken, self._clock.now)
            tap_receiver(receiver, self._microphone.take)
            if codecs[0].name.lower() != "opus":
                path = self._sound.path
                sound = SoundRelease(self._clock, path.read, path.release_sound, 2 * AUDIO_BLOCK)
                _send_raw(transceiver, codecs[0].clockRate, sound, self._feed_clock)
                return None
        lane = Lane(
            section.kind, self._clock.now, self._live, taken=self._taken, bitrate=self._bitrate
        )
        lane.attach(transceiver.sender, codecs[0].name)
        return lane


def _send_raw(
    transceiver: RTCRtpTransceiver, clock_rate: int, sound: SoundRelease, clock: FeedClock
) -> None:
    """Send sound to a viewer that has no Opus."""
    track = RawSoundTrack(sound)
    transceiver.sender.replaceTrack(track)
    hooks = rtcp.SenderHooks(
        track=track,
        clock_rate=clock_rate,
        media_time=clock.media_time,
        ntp=clock.ntp,
        now=clock.now,
    )
    rtcp.install(transceiver.sender, hooks)
