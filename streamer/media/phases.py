"""Which sessions draw when: frame boundaries of different sessions kept apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class FramePhases:
    """Spreads the frame boundaries of sessions over the frame period.

    Every session's frame becomes ready at its own boundary. If two share it, one waits while the
    other is drawn and later both processors idle. Where media time begins is free up to whole
    packets, so it is chosen such that the boundaries lie far apart.
    """

    def __init__(self) -> None:
        self._starts: dict[object, Callable[[], float]] = {}

    def join(self, key: object, start: Callable[[], float]) -> None:
        """Take part; ``start`` returns the monotonic time of media time zero."""
        self._starts[key] = start

    def leave(self, key: object) -> None:
        """Take part no longer."""
        self._starts.pop(key, None)

    def prefer(self, key: object, candidates: Sequence[float], period_s: float) -> int:
        """Return the index of the start that lies farthest from everybody else's boundaries."""
        others = [start() for other, start in list(self._starts.items()) if other is not key]

        def room(candidate: float) -> float:
            gaps = ((candidate - other) % period_s for other in others)
            return min((min(gap, period_s - gap) for gap in gaps), default=0.0)

        return max(range(len(candidates)), key=lambda i: (round(room(candidates[i]), 4), -i))
