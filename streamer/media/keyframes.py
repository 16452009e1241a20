"""Keyframes on request, but never a storm of them."""

from __future__ import annotations

from collections.abc import Callable

LEAST_S = 0.3  # between two; a keyframe is many packets, and its loss asks for the next


class KeyframeGate:
    """Passes requests on, the first at once and the rest together a little later.

    A viewer that loses packets asks with every one of them, and every viewer asks on its own; a
    large picture for each would be the next loss.

    Args:
        ask: has the encoder make one.
        now: monotonic seconds.
    """

    def __init__(self, ask: Callable[[], None], now: Callable[[], float]) -> None:
        self._ask = ask
        self._now = now
        self._asked_at = float("-inf")
        self._wanted = False

    def request(self) -> None:
        """Want a keyframe."""
        self._wanted = True
        self.poll()

    def poll(self) -> None:
        """Ask for what was held back, once its time has come; to be called now and then."""
        now = self._now()
        if self._wanted and now - self._asked_at >= LEAST_S:
            self._wanted, self._asked_at = False, now
            self._ask()
