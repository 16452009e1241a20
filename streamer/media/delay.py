"""How much later than its sound a media time is released: as little as keeps frames on time.

Times in ticks are meant at 25 frames a second. The constants were found by trial on live lines and
have no source in the literature; docs/experiments/release-delay.md holds what each does, halved and
doubled, on eight kinds of line, and NetEq's delay manager beside the whole. Lateness is governed by
``HICCUPS`` in a ``WINDOW`` (half or twice: .5 to 1.6 % of frames late), at about 5 ms a step; all
others move the result by less than .25 % and 3 ms. ``_REGRET``, ``MOST_CALM``, ``_MOST_RETURN`` and
``_RETURN_SPARE_MS`` change averages by nothing: they keep a bad line's lulls from being taken for
its end again and again, which this file's tests specify.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 50  # ticks that are judged together
HICCUPS = 2  # separate ones within a window that call for more delay; one is a stall of the machine
MANY = 10  # late ticks within a window that do in any case
CALM = 100  # ticks without a late one before the delay may shrink
MOST_CALM = 800  # what each shrinking that was regretted doubles the calm up to
_REGRET = 250  # ticks after a shrinking within which growing again means that it was wrong
_STEP_UP_MS = 10.0
_STEP_DOWN_MS = 5.0
_SPARE_MS = 7.0  # the smallest wait in the ring that may stay
_PLENTY_MS = 30.0  # what nobody needs goes at once, whatever was regretted: a stall is over
RETURN = 10  # ticks in a row that would all have been in time before the trouble: it is over
_MOST_RETURN = 240  # what each return that was regretted doubles that up to
_RETURN_SPARE_MS = 2.0  # and this much earlier
_FORGET = 750  # ticks without a late one after which no return was ever regretted
_START_MS = 45.0
_LEAST_MS = 10.0


@dataclass(frozen=True)
class Pace:
    """How close the delay follows the slowest frame.

    Attributes:
        spare_ms: the smallest wait in the ring that may stay.
        least_ms: of the headroom.
        most_down_ms: by which it shrinks at once; sound that only slews cannot follow a leap.
    """

    spare_ms: float = _SPARE_MS
    least_ms: float = _LEAST_MS
    most_down_ms: float = float("inf")


class ReleaseDelay:
    """The delay of both outgoing tracks against media time.

    A frame can be drawn once its own sound and the look-ahead have come; that much is fixed. The
    headroom on top pays for packet jitter and drawing: it grows at once when frames come late and
    shrinks while even the slowest frame of the last seconds had to wait. What had been enough
    before the delay grew is gone back to at once when it would be enough again: a bad line that
    has become good shows within half a second of frames. RTP timestamps are media time and do not
    change; the viewer's own buffers smooth the step.

    Args:
        fps: frames per second.
        look_ahead_ms: of sound the models wait for.
        most_ms: upper bound of the headroom.
        pace: how close it follows the slowest frame.
    """

    def __init__(self, fps: int, look_ahead_ms: int, most_ms: float, pace: Pace = Pace()) -> None:
        self._pace = pace
        self._fixed_ms = 1000 / fps + look_ahead_ms
        self._most_ms = most_ms
        self.headroom_ms = min(_START_MS, most_ms)
        self._ticks = self._bad = self._hiccups = self._calm = 0
        self._calm_wanted = CALM
        self._since_shrinking = _REGRET
        self._was_on_time = True
        self._window_ticks, self._window_least_ms = 0, float("inf")
        self._least_wait_ms = float("inf")
        self._settled_ms: float | None = None  # the headroom before it grew
        self._unshrunk_ms = self.headroom_ms  # the one before it shrank last
        self._waits: deque[float] = deque(maxlen=RETURN)  # -1: late
        self._since_return = self._since_late = _FORGET

    @property
    def seconds(self) -> float:
        """The delay now."""
        return (self._fixed_ms + self.headroom_ms) / 1000

    def observe(self, *, on_time: bool, waited_ms: float) -> None:
        """Take what became of one tick: whether its own picture was there, and since when."""
        self._ticks += 1
        self._since_shrinking += 1
        self._since_return += 1
        self._waits.append(waited_ms if on_time else -1.0)
        self._since_late = self._since_late + 1 if on_time else 0
        if on_time:
            self._calm += 1
            self._least_wait_ms = min(self._least_wait_ms, waited_ms)
        else:
            self._bad += 1
            self._hiccups += self._was_on_time
            self._calm, self._least_wait_ms = 0, float("inf")
        self._was_on_time = on_time
        if not on_time and self._since_shrinking < CALM:
            self._grow(_STEP_DOWN_MS)  # it was that: no second late frame is waited for
        if self._hiccups >= HICCUPS or self._bad >= MANY:
            self._grow(_STEP_UP_MS)
        if self._ticks >= WINDOW:
            self._ticks = self._bad = self._hiccups = 0
        if self._calm >= self._calm_wanted:
            self._shrink(self._least_wait_ms - self._pace.spare_ms)
            self._calm, self._least_wait_ms = 0, float("inf")
        self._look_for_plenty(on_time, waited_ms)
        self._look_for_the_end_of_trouble()

    def _look_for_the_end_of_trouble(self) -> None:
        """Go back to where the delay was before it grew, once that would do again."""
        wanted = self._waits.maxlen or RETURN
        if wanted > RETURN and self._since_late >= _FORGET:
            self._waits = deque(self._waits, maxlen=RETURN)
        if self._settled_ms is None or len(self._waits) < wanted:
            return
        more = self.headroom_ms - self._settled_ms
        if more <= 0:
            self._settled_ms = None
        elif min(self._waits) >= more + _RETURN_SPARE_MS:
            self._unshrunk_ms = self._settled_ms
            self._change(-more)
            self._settled_ms = None
            self._since_return = self._since_shrinking = 0
            self._calm, self._least_wait_ms = 0, float("inf")
            self._waits.clear()

    def _look_for_plenty(self, on_time: bool, waited_ms: float) -> None:
        """Give back at once what no frame of a whole window came near to needing."""
        self._window_least_ms = min(self._window_least_ms, waited_ms if on_time else 0.0)
        self._window_ticks += 1
        if self._window_ticks >= WINDOW:
            if self._window_least_ms > _PLENTY_MS:
                self._shrink(self._window_least_ms - self._pace.spare_ms)
                self._calm, self._least_wait_ms = 0, float("inf")
            self._window_ticks, self._window_least_ms = 0, float("inf")

    def _grow(self, step_ms: float) -> None:
        if self._settled_ms is None:
            regrets = self._since_shrinking < _REGRET
            self._settled_ms = self._unshrunk_ms if regrets else self.headroom_ms
        if self._since_return < _REGRET:  # that was a lull
            longer = min(_MOST_RETURN, 2 * (self._waits.maxlen or RETURN))
            self._waits = deque(self._waits, maxlen=longer)
            self._since_return = _REGRET
        self._change(step_ms)
        self._ticks = WINDOW
        if self._since_shrinking < _REGRET:
            self._calm_wanted = min(MOST_CALM, 2 * self._calm_wanted)
        self._since_shrinking = _REGRET

    def _shrink(self, spare_ms: float) -> None:
        if spare_ms < 1:
            return
        self._unshrunk_ms = self.headroom_ms
        # What loading another avatar cost has to be given back soon.
        step_ms = max(min(_STEP_DOWN_MS, spare_ms), spare_ms / 2)
        self._change(-min(step_ms, self._pace.most_down_ms))
        self._since_shrinking = 0

    def _change(self, step_ms: float) -> None:
        wanted = min(self._most_ms, self.headroom_ms + step_ms)
        self.headroom_ms = max(self._pace.least_ms, wanted)
