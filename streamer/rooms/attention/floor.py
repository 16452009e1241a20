"""Who has the floor: the one speaker that layouts show large and the others look at."""

from __future__ import annotations

_KEEPS_S = 2.0  # after the last word, so that a pause for breath is no change


class Floor:
    """Follows who speaks; somebody who goes on speaking keeps it."""

    def __init__(self) -> None:
        self.holder = ""
        self._speaking: dict[str, float] = {}  # since when, in the order in which they began
        self._stopped_at = 0.0

    def speaks(self, who: str, on: bool, now: float) -> None:
        """Take that somebody begins or stops; ``now`` in monotonic seconds."""
        if on:
            self._speaking.setdefault(who, now)
        else:
            self._speaking.pop(who, None)
            if who == self.holder:
                self._stopped_at = now

    def left(self, who: str) -> None:
        """Forget somebody."""
        self._speaking.pop(who, None)
        if self.holder == who:
            self.holder = ""

    def settle(self, now: float) -> bool:
        """Decide who has it; return whether that has changed."""
        before = self.holder
        if self.holder not in self._speaking:
            if self._speaking:
                self.holder = next(iter(self._speaking))
            elif now - self._stopped_at > _KEEPS_S:
                self.holder = ""
        return self.holder != before
