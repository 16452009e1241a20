"""How much later than its sound a media time is released: as little as keeps frames on time."""

from __future__ import annotations

WINDOW = 50  # ticks that are judged together
HICCUPS = 2  # separate ones within a window that call for more delay; one is a stall of the machine
MANY = 10  # late ticks within a window that do in any case
CALM = 125  # ticks without a late one before the delay may shrink
_STEP_UP_MS = 10.0
_STEP_DOWN_MS = 5.0
_SPARE_MS = 14.0  # the smallest wait in the ring that calls for less delay
_START_MS = 45.0
_LEAST_MS = 15.0


class ReleaseDelay:
    """The delay of both outgoing tracks against media time.

    A frame can be drawn once its own sound and the look-ahead have come; that much is fixed. The
    headroom on top pays for packet jitter and drawing: it grows at once when frames come late,
    shrinks slowly when every frame had to wait. RTP timestamps are media time and do not change;
    the viewer's own buffers smooth the step.

    Args:
        fps: frames per second.
        look_ahead_ms: of sound the models wait for.
        most_ms: upper bound of the headroom.
    """

    def __init__(self, fps: int, look_ahead_ms: int, most_ms: float) -> None:
        self._fixed_ms = 1000 / fps + look_ahead_ms
        self._most_ms = most_ms
        self.headroom_ms = min(_START_MS, most_ms)
        self._ticks = self._bad = self._hiccups = self._calm = 0
        self._was_on_time = True
        self._least_wait_ms = float("inf")

    @property
    def seconds(self) -> float:
        """The delay now."""
        return (self._fixed_ms + self.headroom_ms) / 1000

    def observe(self, *, on_time: bool, waited_ms: float) -> None:
        """Take what became of one tick: whether its own picture was there, and since when."""
        self._ticks += 1
        if on_time:
            self._calm += 1
            self._least_wait_ms = min(self._least_wait_ms, waited_ms)
        else:
            self._bad += 1
            self._hiccups += self._was_on_time
            self._calm, self._least_wait_ms = 0, float("inf")
        self._was_on_time = on_time
        if self._hiccups >= HICCUPS or self._bad >= MANY:
            self._change(_STEP_UP_MS)
            self._ticks = WINDOW
        if self._ticks >= WINDOW:
            self._ticks = self._bad = self._hiccups = 0
        if self._calm >= CALM:
            if self._least_wait_ms > _SPARE_MS:
                self._change(-_STEP_DOWN_MS)
            self._calm, self._least_wait_ms = 0, float("inf")

    def _change(self, step_ms: float) -> None:
        self.headroom_ms = max(_LEAST_MS, min(self._most_ms, self.headroom_ms + step_ms))
