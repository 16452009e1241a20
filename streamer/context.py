"""What the sessions of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.config import Config
from streamer.media.phases import FramePhases
from streamer.media.rtcp import WallClock
from streamer.metrics import Metrics
from streamer.worker.supervisor import Supervisor


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
    phases: FramePhases = field(default_factory=FramePhases)
