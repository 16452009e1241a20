"""What gives way when the machine cannot keep up: every second picture, then new sessions."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

_WINDOW_S = 2.0
_TOO_MANY = 0.06  # of a window's ticks stale: a twentieth that is missing is seen
_HALVE_ABOVE = 0.3  # half rate costs half of the pictures: only what is worse than that earns it
_FEW = 0.05  # a window of one session has 50 ticks: one or two stale ones are any machine's noise
_PATIENCE = 2  # such windows in a row; one is an avatar being loaded or a stall of the machine
_HOLD_S = 10.0  # of calm before the step back; doubles each time that was too early
_MOST_HOLD_S = 40.0


class Effort(IntEnum):
    """How much is done for a session's pictures."""

    FULL = 0
    HALF_RATE = 1  # every second frame is drawn, the others repeat it


class OverloadGuard:
    """Halves the rate of all sessions alike while too many ticks have no new picture.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.effort = Effort.FULL  # what every session gets now
        self._began = now()
        self._ticks = self._stale = self._bad = self._dire = 0
        self._calm_since = self._changed_at = now()
        self._hold_s = _HOLD_S
        self._rose = False

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to give but the rate, so that nobody may be added."""
        return self.effort is Effort.HALF_RATE or self._bad >= _PATIENCE

    def rest(self) -> None:
        """Take that nobody is left: what was too much has gone with them, and the next may come."""
        now = self._now()
        self.effort, self._rose = Effort.FULL, False
        self._began, self._ticks, self._stale = now, 0, 0
        self._bad = self._dire = 0
        self._calm_since = self._changed_at = now

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
        if self.effort is Effort.FULL and self._dire >= _PATIENCE:
            self._halve(now)
            return True
        calm_s = now - max(self._calm_since, self._changed_at)
        if self.effort is Effort.HALF_RATE and calm_s >= self._hold_s:
            self.effort, self._rose = Effort.FULL, True
            self._changed_at = self._calm_since = now
            return True
        return False

    def _halve(self, now: float) -> None:
        if self._rose:
            self._hold_s = min(_MOST_HOLD_S, 2 * self._hold_s)
        self.effort, self._changed_at = Effort.HALF_RATE, now
        self._bad = self._dire = 0
