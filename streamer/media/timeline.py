"""Media time: one count of 48 kHz samples since the session began, kept at the pace of the clock.

What the microphone sends is written where its RTP timestamps say. Where nothing comes (loss, mute,
a dead microphone, DTX) concealment and then silence are written, so the count never stands still.
The microphone's own clock is neither ours nor the browser's: media time follows it, so that no
sample is ever stretched. When packets drift against our clock, the monotonic time of sample 0 is
moved, by at most 2 % of what was heard meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
KEEP = 4 * RATE  # samples that can still be read
GRACE = RATE * 80 // 1000  # how late sound may come before it is concealed
DEAD_LAG = RATE // 100  # what silence stays behind the clock once nothing comes at all
MAX_AHEAD = RATE // 5  # of the clock; beyond, timestamps are not to be believed
CONCEAL = RATE * 30 // 1000  # the last block is repeated and faded out over this
_GRID = RATE // 25  # packets that divide a frame are placed so that they end where frames do
_PERIOD = RATE // 100  # block that is repeated
_RAMP = RATE // 400  # fade back in, 2.5 ms
_WINDOW_S = 1.0  # over which the smallest lateness is taken as the path's own
_TOLERANCE = RATE * 2 // 1000  # lateness that is left alone
_MAX_SLEW = 0.02
_CUT = RATE * 40 // 1000  # sound that is ahead by more than this for good is cut, not shrunk
_LATE_WINDOWS = 8  # whose latest packet counts
_MAX_REFUSED = RATE // 5  # sound refused in a row before the source is placed anew


class Timeline:
    """The sound of one session on its media time.

    Args:
        start: monotonic seconds of sample 0; moves with the microphone's clock.
        prefer: of several starts a packet apart that are all the same to this session, returns the
            index of the best; asked once, when the first sound comes.

    Attributes:
        written: samples so far; the next one has this media time.
        concealed: samples made up where sound was missing, silence excluded.
        refused: samples that came too late and were thrown away.
    """

    def __init__(
        self, start: float, prefer: Callable[[Sequence[float]], int] = lambda starts: 0
    ) -> None:
        self.start = start
        self._prefer = prefer
        self.written = 0
        self.concealed = 0
        self.refused = 0
        self._ring = np.zeros(KEEP, np.int16)
        self._placed = False
        self._offset: int | None = None  # media time minus the source's time
        self._heard_at: float | None = None
        self._gap = CONCEAL  # samples made up since the last real one
        self._refused_in_a_row = 0
        self._least_late: int | None = None
        self._window_from = start
        self._most_late = 0
        self._latest: deque[int] = deque(maxlen=_LATE_WINDOWS)
        self._owed = 0  # samples by which the clock is to be set back
        self._applied = 0  # of these, since the source was placed
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=512)

    def due(self, now: float) -> int:
        """Return the media time that the clock has reached, in samples."""
        return round((now - self.start) * RATE)

    @property
    def lateness_s(self) -> float:
        """How late the latest sound of the last seconds came against the clock."""
        return max(self._most_late, *self._latest, 0) / RATE

    def _place(self, source_time: int, length: int, due: int) -> int:
        """Put the source where its sound ends now; return the media time of ``source_time``.

        Packets that divide a frame are put on a grid: if the one that holds a frame's last sample
        ended anywhere else, every frame would wait up to a packet for it.
        """
        position = max(self.written, due - length)
        if length and _GRID % length == 0:
            position = -(-position // length) * length
            if self._offset is None and not self._placed:  # nothing is due yet: start at once
                early = max(0, position + length - due)
                shifts = range(early, early + _GRID, length)
                place = self._prefer([self.start - shift / RATE for shift in shifts])
                self.start -= shifts[place] / RATE
                position += place * length
        self._placed = True
        self._offset = position - source_time
        self._owed = self._applied = self._refused_in_a_row = 0
        self._least_late = None
        return position

    def change_source(self) -> None:
        """Take that what comes next has a clock of its own: it is placed anew."""
        self._offset = None
        self._owed = self._applied = 0
        self._least_late = None

    def pass_over(self, position: int) -> None:
        """Make up everything before a media time: what came there now would never be heard."""
        if position > self.written:
            self._conceal(position - self.written)

    def extend(self, samples: NDArray[np.int16], now: float) -> None:
        """Write sound that has no clock of its own after what is there; nothing of it is refused.

        Args:
            samples: mono int16 at 48 kHz.
            now: monotonic seconds.
        """
        self._heard_at = now
        self._append(samples)
        self._arrivals.append((self.written, now))

    def push(self, source_time: int, samples: NDArray[np.int16], now: float) -> None:
        """Write sound.

        Args:
            source_time: the source's own time of the first sample, in 48 kHz samples, unwrapped.
            samples: mono int16 at 48 kHz.
            now: monotonic seconds of its arrival.
        """
        self._heard_at = now
        due, length = self.due(now), len(samples)
        if self._offset is None:
            self._place(source_time, length, due)
            due = self.due(now)  # the first sound may have moved the clock
        position = source_time + (self._offset or 0)
        if position + length > due + MAX_AHEAD or position < self.written - KEEP:
            position = self._place(source_time, length, due)
            if position + length > due + MAX_AHEAD:  # a flood: nothing of it can be real time
                self.refused += length
                return
        self._observe(due - position - length, now)
        if position > self.written:
            self._conceal(position - self.written)
        elif position < self.written:
            late = min(length, self.written - position)
            samples = samples[late:]
            self.refused += late
            self._refused_in_a_row += late
            if self._refused_in_a_row > _MAX_REFUSED:  # the path has become longer for good
                self._offset = None
        if len(samples):
            self._refused_in_a_row = 0
            self._slew(len(samples))
            self._append(samples)
            self._arrivals.append((self.written, now))

    def fill(self, now: float) -> None:
        """Make up what is missing at this time."""
        silent = self._heard_at is None or (now - self._heard_at) * RATE > GRACE
        target = self.due(now) - (DEAD_LAG if silent else GRACE)
        if target > self.written:
            self._conceal(target - self.written)
            self._arrivals.append((self.written, now))

    def read(self, position: int, count: int) -> NDArray[np.int16]:
        """Return ``count`` samples from a media time on; zeros where nothing is kept or written."""
        out = np.zeros(count, np.int16)
        first = max(position, self.written - KEEP, 0)
        last = min(position + count, self.written)
        if last > first:
            index = np.arange(first, last) % KEEP
            out[first - position : last - position] = self._ring[index]
        return out

    def hush(self, position: int) -> None:
        """Barge-in: silence everything from a media time on that has been written already."""
        position = max(position, self.written - KEEP, 0)
        count = self.written - position
        if count > 0:
            index = np.arange(position, self.written) % KEEP
            fade = np.clip(1 - np.arange(count) / _RAMP, 0, 1)
            self._ring[index] = (self._ring[index] * fade).astype(np.int16)
        self._gap = CONCEAL

    def arrival(self, position: int) -> float | None:
        """Return when the sample at a media time had arrived, in monotonic seconds."""
        found = None
        for end, at in reversed(self._arrivals):
            if end <= position:
                break
            found = at
        return found

    def _observe(self, lateness: int, now: float) -> None:
        """Follow the smallest lateness of a window: jitter passes, drift and path stay."""
        original = lateness + self._applied
        least = self._least_late
        self._least_late = original if least is None else min(least, original)
        self._most_late = max(self._most_late, lateness)
        if now - self._window_from < _WINDOW_S:
            return
        left = self._least_late - self._applied
        self._window_from, self._least_late = now, None
        self._latest.append(self._most_late)
        self._most_late = 0
        if left < -_CUT and self._offset is not None:
            # A burst placed the source too far ahead: what overlaps is refused, once.
            left = -(-left // _PERIOD) * _PERIOD  # and stays on its grid
            self._offset += left
            self._refused_in_a_row = left
        elif abs(left) > _TOLERANCE:
            self._owed = left

    def _slew(self, heard: int) -> None:
        """Let the clock follow the microphone's, by a share of the samples heard."""
        most = int(heard * _MAX_SLEW)
        change = max(-most, min(most, self._owed))
        self._owed -= change
        self._applied += change
        self.start += change / RATE

    def _append(self, samples: NDArray[np.int16]) -> None:
        if self._gap:
            ramp = np.ones(len(samples), np.float32)
            ramp[:_RAMP] = np.linspace(0, 1, _RAMP, dtype=np.float32)[: len(samples)]
            samples = (samples * ramp).astype(np.int16)
            self._gap = 0
        self._write(samples)

    def _conceal(self, count: int) -> None:
        if count > KEEP:
            self.written += count - KEEP
            count = KEEP
        audible = max(0, min(count, CONCEAL - self._gap))
        made = np.zeros(count, np.int16)
        if audible:
            base = self.written - _PERIOD - self._gap
            phase = (self._gap + np.arange(audible)) % _PERIOD
            last = self.read(base, _PERIOD).astype(np.float32)
            fade = 1 - (self._gap + np.arange(audible)) / CONCEAL
            made[:audible] = (last[phase] * fade).astype(np.int16)
            self.concealed += audible
        self._gap = min(CONCEAL, self._gap + count)
        self._write(made)

    def _write(self, samples: NDArray[np.int16]) -> None:
        index = np.arange(self.written, self.written + len(samples)) % KEEP
        self._ring[index] = samples
        self.written += len(samples)
