"""What each avatar hears: the others' microphones, summed in the server.

Every session writes its microphone where it belongs on the clock that all share, and reads what the
others said at the moment of its own sound. So a mix is in step whoever joined when, and costs one
sum over small arrays a frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
_KEPT = RATE  # samples of each that are kept, one second
_BEHIND = RATE * 80 // 1000  # samples that a listener is behind, so that slower lines are in it
_SNAP = RATE * 20 // 1000  # a clock that follows the microphone's moves by less


class _Voice:
    """The last second of one microphone on the shared clock."""

    def __init__(self) -> None:
        self.end = 0  # clock time, in samples, after the last sample written
        self._ring = np.zeros(_KEPT, np.int16)

    def write(self, start: int, samples: NDArray[np.int16]) -> None:
        if self.end and abs(start - self.end) <= _SNAP:
            start = self.end
        samples = samples[-_KEPT:]
        begin = max(start, self.end)
        samples = samples[begin - start :] if begin > start else samples
        if not len(samples):
            return
        if begin - self.end >= _KEPT:
            self._ring[:] = 0
        elif begin > self.end:
            for there, _ in _places(self.end, begin - self.end):
                self._ring[there] = 0
        for there, here in _places(begin, len(samples)):
            self._ring[there] = samples[here]
        self.end = begin + len(samples)

    def add_to(self, total: NDArray[np.int32], start: int) -> None:
        first = max(start, self.end - _KEPT)
        last = min(start + len(total), self.end)
        if last > first:
            part = total[first - start : last - start]
            for there, here in _places(first, last - first):
                part[here] += self._ring[there]


def _places(start: int, count: int) -> list[tuple[slice, slice]]:
    """Return where a stretch of at most ``_KEPT`` samples lies in a ring, and which of it: slices.

    An array of indices costs ten times as much as these.
    """
    at = start % _KEPT
    first = min(count, _KEPT - at)
    found = [(slice(at, at + first), slice(0, first))]
    return found if first == count else [*found, (slice(0, count - first), slice(first, count))]


class RoomSound:
    """The microphones of one room."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}

    def spoke(self, who: str, at: float, samples: NDArray[np.int16]) -> None:
        """Take a microphone's sound.

        Args:
            who: id of the participant.
            at: when the first sample was said, in seconds of the machine's monotonic clock.
            samples: mono int16 at 16 kHz.
        """
        self._voices.setdefault(who, _Voice()).write(round(at * RATE), samples)

    def heard(self, who: str, at: float, count: int) -> NDArray[np.int16] | None:
        """Return what the others said, as a listener hears it.

        Args:
            who: id of the listener, whose own voice is left out.
            at: when the first sample is heard, as in :meth:`spoke`.
            count: of samples.

        Returns:
            ``(count,)`` int16, clipped; None for silence.
        """
        total = np.zeros(count, np.int32)
        for name, voice in self._voices.items():
            if name != who:
                voice.add_to(total, round(at * RATE) - _BEHIND)
        if not total.any():
            return None
        return np.clip(total, -32_768, 32_767).astype(np.int16)

    def left(self, who: str) -> None:
        """Forget a microphone."""
        self._voices.pop(who, None)
