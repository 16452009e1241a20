"""The bounded ring between renderer and encoder, and its policy.

A picture belongs to a frame number. At the tick of frame *k* the newest picture up to *k* leaves:
on time it is *k*'s own. Full: the oldest picture goes, never the sound. Nothing new at the tick:
the last picture is repeated. Behind by more than the capacity: skip to now. So latency cannot
grow, and every departure from plain order is counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

PictureT = TypeVar("PictureT")


@dataclass
class RingCounters:
    """What happened so far.

    Attributes:
        late: pictures that left at a later tick than their own.
        repeated: ticks at which the last picture was sent again.
        dropped: pictures that never left.
    """

    late: int = 0
    repeated: int = 0
    dropped: int = 0


class FrameRing(Generic[PictureT]):
    """Pictures that wait for their tick.

    Args:
        capacity_ms: how much media time may wait; also how late a picture may still be shown.
        fps: frames per second.
    """

    def __init__(self, capacity_ms: int, fps: int) -> None:
        self.capacity = max(1, capacity_ms * fps // 1000)
        self.counters = RingCounters()
        self._waiting: deque[tuple[int, PictureT]] = deque()
        self._newest = -1
        self._last_tick = -1
        self._shown: PictureT | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def shown(self) -> PictureT | None:
        """The picture that was released last."""
        return self._shown

    @property
    def last_tick(self) -> int:
        """The last frame number that was released; -1 before the first."""
        return self._last_tick

    def has(self, frame: int) -> bool:
        """Whether the picture of this frame, or of a later one, waits here."""
        return bool(self._waiting) and self._waiting[-1][0] >= frame

    def push(self, frame: int, picture: PictureT) -> bool:
        """Put the picture of a frame in; False if it came too late to be of use."""
        if frame <= self._newest or frame <= self._last_tick - self.capacity:
            self.counters.dropped += 1
            return False
        self._newest = frame
        self._waiting.append((frame, picture))
        if len(self._waiting) > self.capacity:
            self._waiting.popleft()
            self.counters.dropped += 1
        return True

    def holds(self, frame: int) -> bool:
        """Whether there is room for this frame: one that is further ahead would push others out."""
        return self._last_tick < 0 or frame <= self._last_tick + self.capacity

    def skips(self, frame: int) -> bool:
        """Whether drawing this frame is not worth it any more: skip to now."""
        return frame <= self._last_tick - self.capacity

    def skip(self, frames: int = 1) -> None:
        """Count pictures that were given up before they were drawn."""
        self.counters.dropped += frames

    def release(self, tick: int, *, due: bool = True) -> tuple[PictureT | None, bool]:
        """Return ``(picture, is_new)`` for the tick of a frame number.

        The picture is None only if none was ever drawn. If none is ``due`` at this tick, a repeat
        is what was meant and is not counted.
        """
        self._last_tick = max(self._last_tick, tick)
        chosen: tuple[int, PictureT] | None = None
        while self._waiting and self._waiting[0][0] <= tick:
            if chosen is not None:
                self.counters.dropped += 1
            chosen = self._waiting.popleft()
        if chosen is None:
            if self._shown is not None and due:
                self.counters.repeated += 1
            return self._shown, False
        if chosen[0] < tick:
            self.counters.late += 1
        self._shown = chosen[1]
        return self._shown, True

    def clear(self) -> None:
        """Barge-in: forget what waits; the last picture stays as what a repeat would show.

        Pictures of frames that were dropped here may come again.
        """
        self._waiting.clear()
        self._newest = min(self._newest, self._last_tick)
