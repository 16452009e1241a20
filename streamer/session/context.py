"""What the sessions of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from visavis.streamer.clock import Clock
from visavis.streamer.config import Config
from visavis.streamer.media.phases import FramePhases
from visavis.streamer.metrics import Metrics
from visavis.streamer.session.taping import Record
from visavis.streamer.trust.callers import Caller
from visavis.streamer.trust.tokens import Tokens
from visavis.streamer.webrtc.ice.sockets import Binding
from visavis.streamer.webrtc.peer import PeerSettings
from visavis.streamer.webrtc.rtp.rtcp import WallClock
from visavis.streamer.webrtc.sdp import signaling
from visavis.streamer.webrtc.sdp.signaling import Offer
from visavis.streamer.worker.edge.supervisor import Supervisor


@dataclass(frozen=True)
class Avatar:
    """What a session needs to know of an avatar."""

    id: str
    bundle: str


@dataclass(frozen=True)
class SessionContext:
    """What every session of a server shares."""

    config: Config
    clock: Clock
    wall: WallClock
    metrics: Metrics
    supervisor: Supervisor
    find_avatar: Callable[[str], Avatar]
    # Why an avatar may not serve a purpose, in a sentence; empty if its consent covers that.
    refusal: Callable[[str, str], str] = lambda avatar_id, purpose: ""
    # Takes that somebody begins to speak as an avatar; raises if their token does not allow it.
    admit: Callable[[Caller, str], None] = lambda caller, avatar_id: None
    payload: Callable[[str], str] = lambda session_id: ""  # of the watermark, hexadecimal
    binding: Binding = field(default_factory=Binding)
    phases: FramePhases = field(default_factory=FramePhases)
    tokens: Tokens | None = None
    # The id of the consent that an avatar is shown by; raises where there is none.
    consent_id: Callable[[str], str] = lambda avatar_id: ""
    record: Record | None = None  # how a session is recorded; None: not at all

    def read_offer(self, sdp: str) -> Offer:
        """Return an offer that has been checked.

        Raises:
            TooLarge, BadRequest: it cannot be used.
        """
        anywhere = self.binding.speaks_first
        return signaling.check_offer(sdp, "offer", self.config.limits, anywhere=anywhere)

    @property
    def peers(self) -> PeerSettings:
        """What every connection shares."""
        codec = self.config.media.video_codec
        return PeerSettings(self.clock, self.config.limits, self.binding, codec)
