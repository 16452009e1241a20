"""What gives way when the machine cannot keep up, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

_WINDOW_S = 2.0
_TOO_MANY = 0.06  # of a window's ticks stale: a twentieth that is missing is seen
_HALVE_ABOVE = 0.3  # half rate costs half of the pictures: only what is worse than that earns it
_FEW = 0.05  # a window of one session has 50 ticks: one or two stale ones are any machine's noise
_PATIENCE = 2  # such windows in a row; one is an avatar being loaded or a stall of the machine
_HOLD_S = 10.0  # of calm before a step back; doubles each time that was too early
_MOST_HOLD_S = 40.0


class Effort(IntEnum):
    """How much is done for a frame, the most first. Beyond the last, new sessions are refused."""

    FULL = 0
    ONE_STEP = 1  # the refiner runs once instead of several times
    WARP_ONLY = 2  # and then not at all
    HALF_RATE = 3  # every second frame is drawn, the others repeat it


class OverloadGuard:
    """Lowers the effort of all sessions alike while too many ticks have no new picture.

    Args:
        now: monotonic seconds.
        steps: the efforts that make a difference here, the highest first.
    """

    def __init__(
        self, now: Callable[[], float], steps: Sequence[Effort] = (Effort.FULL, Effort.HALF_RATE)
    ) -> None:
        self._now = now
        self._steps = tuple(steps)
        self._place = 0
        self._began = now()
        self._ticks = self._stale = self._bad = self._dire = 0
        self._calm_since = self._changed_at = now()
        self._rose = False
        self._hold_s = _HOLD_S

    @property
    def effort(self) -> Effort:
        """What every session gets now."""
        return self._steps[self._place]

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to give but the rate, so that nobody may be added."""
        return self._last or (self._halving and self._bad >= _PATIENCE)

    @property
    def _last(self) -> bool:
        return self._place == len(self._steps) - 1

    @property
    def _halving(self) -> bool:
        return not self._last and self._steps[self._place + 1] is Effort.HALF_RATE

    def tick(self, stale: bool) -> bool:
        """Take one tick of any session; return whether the effort has changed.

        Args:
            stale: no new picture was there, or it was that of an earlier tick.
        """
        self._ticks += 1
        self._stale += stale
        now = self._now()
        if now - self._began < _WINDOW_S:
            return False
        share = self._stale / self._ticks
        self._began, self._ticks, self._stale = now, 0, 0
        if share > _FEW:
            self._calm_since = now
        self._bad = self._bad + 1 if share > _TOO_MANY else 0
        self._dire = self._dire + 1 if share > _HALVE_ABOVE else 0
        if (self._dire if self._halving else self._bad) >= _PATIENCE and not self._last:
            return self._lower(now)
        if self._place and now - max(self._calm_since, self._changed_at) >= self._hold_s:
            return self._raise(now)
        return False

    def _lower(self, now: float) -> bool:
        if self._rose:
            self._hold_s = min(_MOST_HOLD_S, 2 * self._hold_s)
        self._rose, self._bad, self._dire, self._changed_at = False, 0, 0, now
        self._place += 1
        return True

    def _raise(self, now: float) -> bool:
        self._rose, self._changed_at = True, now
        self._place -= 1
        if not self._place:
            self._calm_since = now
        return True
