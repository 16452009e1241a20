"""How many sessions this machine holds, and who gets in."""

from __future__ import annotations

from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import AtCapacity
from visavis.streamer.metrics import Metrics
from visavis.streamer.worker.edge.supervisor import Supervisor
from visavis.streamer.worker.pipeline.cores import compute_threads

_FIXED = 0.5  # of a 512 px frame's cost that a larger or smaller picture does not change by area
_FULL_SIZE = 512
SLOTS = 16  # places in a worker when the number is measured
USABLE = 0.85  # of a frame period that models may fill before lateness shows
RETRY_AFTER_S = 5


def lanes(cores: int, compute: int = 0) -> float:
    """Return how many sessions' models run side by side, for what capacity is worth.

    Each thread beyond the first draws about half of what that one does.

    Args:
        cores: processors of this machine.
        compute: the number of threads if it was given by hand.
    """
    threads = min(compute or compute_threads(cores), max(1, cores // 2))
    return 1.0 + 0.5 * (threads - 1)


def slots(limits: LimitsConfig) -> int:
    """Return the number of places a worker is started with."""
    return limits.max_sessions or SLOTS


def relative_cost(size: int, than: int) -> float:
    """Return what a frame of one size costs over one of another.

    Motion and geometry cost the same at any size; measured, a 256 px frame costs half of a 512 px
    one with a quarter of its pixels.
    """

    def cost(pixels: int) -> float:
        return _FIXED + (pixels / _FULL_SIZE) ** 2

    return cost(size) / cost(than)


class Admission:
    """Counts sessions against the capacity.

    A session of another size than the usual one counts as what it costs.

    Args:
        limits: ``max_sessions`` fixes the capacity; 0 takes what was measured.
        fps: frames per second.
        supervisor: knows what a frame costs.
        metrics: shows both.
        size: the usual width and height in pixels, which costs were measured at.
        lanes: sessions that are drawn at the same time.
    """

    def __init__(
        self,
        limits: LimitsConfig,
        fps: int,
        supervisor: Supervisor,
        metrics: Metrics,
        *,
        size: int = _FULL_SIZE,
        lanes: float = 1.0,
    ) -> None:
        self._limits = limits
        self._fps = fps
        self._supervisor = supervisor
        self._metrics = metrics
        self._size = size
        self._lanes = lanes
        self._held = 0
        self._load = 0.0  # sessions of the usual size that cost as much

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
        measured = 1 if not cost else int(self._lanes * USABLE * 1000 / self._fps / cost)
        return max(1, min(SLOTS, measured))

    def enter(self, size: int = 0) -> None:
        """Let one in.

        Args:
            size: width and height in pixels; 0 is the usual.

        Raises:
            AtCapacity: the models are not running, or as :meth:`check`.
        """
        if not self._supervisor.up:
            raise AtCapacity(
                "The avatar engine is restarting; try again in a moment.", 2, code="restarting"
            )
        self.check(size)
        self._held += 1
        self._load += relative_cost(size or self._size, self._size)
        self._metrics.sessions.set(self._held)

    def check(self, size: int = 0) -> None:
        """Check that there is room for one more; nothing is taken, and a restart is not asked for.

        Args:
            size: width and height in pixels; 0 is the usual.

        Raises:
            AtCapacity: it is full, or cannot keep up as it is.
        """
        capacity = self.capacity
        self._metrics.capacity.set(capacity)
        if self._held and self._supervisor.exhausted:
            raise AtCapacity(
                "The server is overloaded and takes no more sessions for now.",
                RETRY_AFTER_S,
                code="overloaded",
            )
        cost = relative_cost(size or self._size, self._size)
        # The first always fits: a machine too slow for it shows it late rather than never.
        most = self._limits.max_sessions or SLOTS
        if self._held >= most or (self._held and self._load + cost > self._most(capacity)):
            noun = "session" if capacity == 1 else "sessions"
            raise AtCapacity(
                f"The server is full: it holds {capacity} {noun} at a time.", RETRY_AFTER_S
            )

    def _most(self, capacity: int) -> float:
        """Return what all may cost together; a number given by hand counts heads only."""
        return float("inf") if self._limits.max_sessions else capacity + 1e-6

    def leave(self, size: int = 0) -> None:
        """Let one out that came in with this size."""
        self._held -= 1
        self._load = max(0.0, self._load - relative_cost(size or self._size, self._size))
        self._metrics.sessions.set(self._held)
