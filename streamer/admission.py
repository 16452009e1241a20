"""How many sessions this machine holds, and who gets in."""

from __future__ import annotations

from streamer.config import LimitsConfig
from streamer.errors import AtCapacity
from streamer.metrics import Metrics
from streamer.worker.supervisor import Supervisor

SLOTS = 16  # places in a worker when the number is measured
USABLE = 0.85  # of a frame period that models may fill before lateness shows
RETRY_AFTER_S = 5


def slots(limits: LimitsConfig) -> int:
    """Return the number of places a worker is started with."""
    return limits.max_sessions or SLOTS


class Admission:
    """Counts sessions against the capacity.

    Args:
        limits: ``max_sessions`` fixes the capacity; 0 takes what was measured.
        fps: frames per second.
        supervisor: knows what a frame costs.
        metrics: shows both.
    """

    def __init__(
        self, limits: LimitsConfig, fps: int, supervisor: Supervisor, metrics: Metrics
    ) -> None:
        self._limits = limits
        self._fps = fps
        self._supervisor = supervisor
        self._metrics = metrics
        self._held = 0

    @property
    def held(self) -> int:
        """Sessions that are in."""
        return self._held

    @property
    def capacity(self) -> int:
        """Sessions that may be in: at least one."""
        if self._limits.max_sessions:
            return self._limits.max_sessions
        cost = self._supervisor.frame_ms or self._supervisor.live_frame_ms
        measured = 1 if not cost else int(USABLE * 1000 / self._fps / cost)
        return max(1, min(SLOTS, measured))

    def enter(self) -> None:
        """Let one in.

        Raises:
            AtCapacity: it is full, or the models are not running.
        """
        capacity = self.capacity
        self._metrics.capacity.set(capacity)
        if not self._supervisor.up:
            raise AtCapacity("The avatar engine is restarting; try again in a moment.", 2)
        if self._held >= capacity:
            noun = "session" if capacity == 1 else "sessions"
            raise AtCapacity(
                f"The server is full: it holds {capacity} {noun} at a time.", RETRY_AFTER_S
            )
        self._held += 1
        self._metrics.sessions.set(self._held)

    def leave(self) -> None:
        """Let one out."""
        self._held -= 1
        self._metrics.sessions.set(self._held)
