"""How much earlier than its picture sound leaves, so that both reach eye and ear together."""

from __future__ import annotations

import math
from collections.abc import Callable

# What Chromium's jitter buffer holds on a good line; the configured lead is for that.
HELD_MS = 35.0
MOST_HELD_MS = 1000.0  # a viewer that says more is not to be believed
_SOONER = 0.02  # of the time passed: the viewer's buffer plays a little faster, nobody hears it
_LATER = 0.002  # slower than a buffer forgets, or it would take the change for jitter and grow
_SHARE = 0.02  # of the newest picture in the mean: 2 s at 25 a second
_MARGIN_S = 0.018  # sound must be here before it can leave: a block of 10 ms and a little


class SoundLead:
    """The lead of the sound over its picture, corrected by what the viewer's buffer says it holds.

    After loss or jitter a browser holds sound back longer for a minute or more and pictures do not
    wait. Sent earlier by as much, sound is heard as early as before, as long as it is here in time.

    Args:
        configured_ms: the lead while the viewer holds ``HELD_MS`` or says nothing.
        now: monotonic seconds.
    """

    def __init__(self, configured_ms: float, now: Callable[[], float]) -> None:
        self._now = now
        self._least = configured_ms / 1000
        self._wanted = self._value = self._least
        self._sooner = 0.0
        self._at = now()

    @property
    def sooner_s(self) -> float:
        """How much sooner than their nominal time pictures leave, on average of late."""
        return self._sooner

    def pictures(self, sooner_s: float) -> None:
        """Take how much sooner than its nominal time a picture left; the sound follows slowly."""
        self._sooner += _SHARE * (sooner_s - self._sooner)

    def held(self, milliseconds: float) -> None:
        """Take how long the viewer's jitter buffer held sound of late.

        Raises:
            ValueError: it is no duration that a buffer could have.
        """
        if not (math.isfinite(milliseconds) and 0 <= milliseconds <= MOST_HELD_MS):
            raise ValueError(f"A buffer holds sound for 0 to {MOST_HELD_MS:.0f} ms.")
        self._wanted = self._least + max(0.0, milliseconds - HELD_MS) / 1000

    def seconds(self, delay_s: float, lateness_s: float) -> float:
        """Return the lead now.

        Args:
            delay_s: of the picture against media time.
            lateness_s: of the latest sound that came in the last seconds.
        """
        passed = max(0.0, self._now() - self._at)
        self._at += passed
        step = self._wanted + self._sooner - self._value
        self._value += max(-_LATER * passed, min(_SOONER * passed, step))
        self._value = min(self._value, max(self._least, delay_s - lateness_s - _MARGIN_S))
        return self._value
