"""A session's own ways out: its feed, and sound for a viewer without Opus."""

from __future__ import annotations

from collections.abc import Callable

from aiortc import RTCRtpTransceiver

from visavis.streamer.config import MediaConfig
from visavis.streamer.webrtc.feed import Feed, FeedClock
from visavis.streamer.webrtc.rtp import rtcp
from visavis.streamer.webrtc.rtp.tracks import RawSoundTrack, SoundRelease
from visavis.streamer.webrtc.sdp.signaling import Offer


def make_feed(
    offer: Offer, media: MediaConfig, clock: FeedClock, keyframe: Callable[[], None]
) -> Feed:
    """Return the feed, in the codec which the first picture section will have."""
    wanted = media.video_codec.upper()
    shown = [s for s in offer.served("video") if s.direction != "sendonly"]
    codecs = [name.upper() for name in shown[0].codecs] if shown else [wanted]
    codec = wanted if wanted in codecs else codecs[0]
    return Feed(codec, media.fps, clock, keyframe, media.playout_delay_max_ms)


def send_raw(
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
