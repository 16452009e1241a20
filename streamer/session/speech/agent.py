"""Sound from a program instead of a microphone: at any pace in, in real time on the timeline.

A speech engine hands over a sentence at once. Here it waits, goes onto the session's timeline as if
it were spoken now, and the program is told when what it said begins to be seen, when it is over,
and, if it is interrupted, how far it came. All of that counts samples: media time, not arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.errors import AtCapacity
from visavis.streamer.media.resample import StreamingResampler

RATE: Final = 48_000  # of the timeline
BLOCK: Final = RATE // 50  # two to a frame, so that frames end where blocks do
_CONVERT_S: Final = 0.1  # of sound that is resampled at a time: a paragraph at once takes 0.6 s
MAX_AHEAD_S: Final = 60.0  # of sound that may wait: a paragraph
MOST_SEGMENTS: Final = 256  # that wait
MOST_PARTS: Final = 8192  # that wait; of 10 ms each they were more than a minute
MOST_CAPTIONS: Final = 256
AHEAD: Final = 5 * BLOCK
"""How far speech is written before the clock: a frame, the usual look-ahead and a block.

So the first picture's sound is with the models at once, and a loop that stalls for less than this
leaves no gap. Silence is written with the clock, as speech begins behind it.
"""

Event = dict[str, Any]


@dataclass
class Segment:
    """What is said in one go: from the first sound to ``flush``.

    Attributes:
        number: counts from 0.
        seconds: of sound that were appended.
        pushed: samples at the timeline's rate that were made of it so far.
        closed: whether there will be no more.
        whole: whether all of it has been made, too.
        started: whether its first sample was seen.
        runs: ``[media time, samples]`` of what went onto the timeline; several after an underrun.
    """

    number: int
    seconds: float = 0.0
    pushed: int = 0
    closed: bool = False
    whole: bool = False
    started: bool = False
    runs: deque[list[int]] = field(default_factory=deque[list[int]])

    def played(self, media_time: int) -> int:
        """Return how many of its samples are before a media time."""
        return sum(min(max(0, media_time - start), count) for start, count in self.runs)

    def over(self, media_time: int) -> bool:
        """Return whether all of it was seen."""
        return self.whole and self.played(media_time) >= self.pushed


@dataclass
class _Waiting:
    """Sound as it was appended; with no samples left, the end of its segment."""

    segment: Segment
    samples: NDArray[np.int16]
    rate: int


class AgentVoice:
    """The queue between a program and a timeline.

    Args:
        tell: told the events: ``started``, ``finished`` and ``interrupted``.
        caption: told a text when the sound before it has been seen.
        came: told that there is sound to be asked for.

    Attributes:
        tell: see above.
        caption: see above.
        came: see above.
        waiting_s: seconds of what was appended that are not on the timeline yet.
    """

    def __init__(
        self,
        tell: Callable[[Event], None],
        caption: Callable[[str], None] = lambda text: None,
        came: Callable[[], None] = lambda: None,
    ) -> None:
        self.tell, self.caption, self.came = tell, caption, came
        self._waiting: deque[_Waiting] = deque()
        self._blocks: deque[NDArray[np.int16]] = deque()
        self._segments: deque[Segment] = deque()
        self._captions: deque[tuple[Segment | None, float, str]] = deque()
        self._count = 0
        self._widen: StreamingResampler | None = None
        self._rate: int = 0
        self._raw_s = 0.0
        self._made = 0  # samples in blocks

    @property
    def waiting_s(self) -> float:
        """See above."""
        return self._raw_s + self._made / RATE

    # ------------------------------------------------------------------ what the program says

    def append(self, samples: NDArray[np.int16], rate: int) -> None:
        """Take sound, any amount; what it costs does not depend on how much it is.

        Args:
            samples: mono int16; not copied.
            rate: in Hz; may change from one call to the next.

        Raises:
            AtCapacity: too much would wait; nothing of it is taken.
        """
        if not len(samples):
            return
        seconds = len(samples) / rate
        if self.waiting_s + seconds > MAX_AHEAD_S or len(self._waiting) >= MOST_PARTS:
            raise AtCapacity(
                f"More than {MAX_AHEAD_S:.0f} s of sound would wait; append no faster than that.",
                code="too-far-ahead",
            )
        if not self._segments or self._segments[-1].closed:
            if len(self._segments) >= MOST_SEGMENTS:
                raise AtCapacity("Too many segments wait to be spoken.", code="too-far-ahead")
            self._segments.append(Segment(self._count))
            self._count += 1
        segment = self._segments[-1]
        segment.seconds += seconds
        self._raw_s += seconds
        self._waiting.append(_Waiting(segment, samples, rate))
        self.came()

    def flush(self) -> None:
        """Take that what was appended is a whole."""
        if self._segments and not self._segments[-1].closed:
            self._segments[-1].closed = True
            self._waiting.append(_Waiting(self._segments[-1], np.zeros(0, np.int16), 0))

    def _convert(self) -> None:
        """Bring a little of what waits to the timeline's rate."""
        part = self._waiting[0]
        if part.rate != self._rate:  # another sound, or the end of one
            self._drain(part.segment)
            self._rate = part.rate
            plain = part.rate in (0, RATE)
            self._widen = None if plain else StreamingResampler(part.rate, RATE)
        count = max(1, int(_CONVERT_S * part.rate))
        samples, part.samples = part.samples[:count], part.samples[count:]
        if len(samples):
            self._raw_s -= len(samples) / part.rate
            self._put(part.segment, samples)
        if not len(part.samples):
            part.segment.whole = not part.rate
            self._waiting.popleft()
        if not self._waiting:
            self._raw_s = 0.0  # no sum of fractions stays behind

    def _put(self, segment: Segment, samples: NDArray[np.int16]) -> None:
        if self._widen is not None:
            wide = self._widen.push(samples.astype(np.float32))
            samples = np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16)
        segment.pushed += len(samples)
        self._blocks.append(samples)
        self._made += len(samples)

    def _drain(self, segment: Segment) -> None:
        """Bring out what the resampler still holds."""
        if self._widen is not None:
            self._put(segment, np.zeros(round(self._widen.delay_s * self._rate), np.int16))

    def text(self, text: str) -> None:
        """Show a text when what was appended before it has been seen.

        Raises:
            AtCapacity: too many wait.
        """
        if len(self._captions) >= MOST_CAPTIONS:
            raise AtCapacity("Too many texts wait to be shown.", code="too-far-ahead")
        last = self._segments[-1] if self._segments else None
        self._captions.append((last, 0.0 if last is None else last.seconds, text))

    def clear(self, media_time: int) -> None:
        """Barge-in: forget everything and tell how far it came.

        Args:
            media_time: up to which sound was released.
        """
        cut = [s for s in self._segments if not s.over(media_time)]
        for segment in [s for s in self._segments if s not in cut]:
            self._finish(segment, media_time)
        if cut:
            played_s = sum(min(s.seconds, s.played(media_time) / RATE) for s in cut)
            self._event("interrupted", cut[0], played_s, media_time)
        for queue in (self._waiting, self._blocks, self._segments, self._captions):
            queue.clear()
        self._raw_s, self._made = 0.0, 0
        self._rate, self._widen = 0, None

    # ------------------------------------------------------------------ what the session asks for

    def block(self) -> tuple[NDArray[np.int16], int]:
        """Return the next ``BLOCK`` samples, and how many of them are sound and not padding."""
        out, filled = np.zeros(BLOCK, np.int16), 0
        while filled < BLOCK and (self._blocks or self._waiting):
            if not self._blocks:
                self._convert()
                continue
            first = self._blocks[0]
            part = first[: BLOCK - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) < len(first):
                self._blocks[0] = first[len(part) :]
            else:
                self._blocks.popleft()
        self._made -= filled
        return out, filled

    def placed(self, media_time: int, count: int) -> None:
        """Take where on the timeline the sound of a block begins."""
        for segment in self._segments:
            placed = sum(run[1] for run in segment.runs)
            part = min(count, segment.pushed - placed)
            if part <= 0:
                continue
            if segment.runs and sum(segment.runs[-1]) == media_time:
                segment.runs[-1][1] += part
            else:
                segment.runs.append([media_time, part])
            media_time, count = media_time + part, count - part

    def spoken(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """Return ``(segment, first, count)`` of speech within a stretch of media time, in order."""
        found: list[tuple[int, int, int]] = []
        for segment in self._segments:
            for begin, count in segment.runs:
                first, last = max(begin, start), min(begin + count, end)
                if last > first:
                    found.append((segment.number, first, last - first))
        return sorted(found, key=lambda span: span[1])

    def shown(self, media_time: int) -> None:
        """Tell what has become true now that a media time is seen."""
        while self._captions and self._is_due(*self._captions[0][:2], media_time):
            self.caption(self._captions.popleft()[2])
        for segment in list(self._segments):
            if not segment.started and segment.runs and segment.runs[0][0] < media_time:
                segment.started = True
                self._event("started", segment, 0.0, segment.runs[0][0])
            if segment.over(media_time):
                self._finish(segment, media_time)
                self._segments.remove(segment)

    def _is_due(self, segment: Segment | None, seconds: float, media_time: int) -> bool:
        if segment is None or segment.over(media_time):
            return True
        return segment.played(media_time) >= round(seconds * RATE)

    def _finish(self, segment: Segment, media_time: int) -> None:
        if segment.runs:
            media_time = min(media_time, sum(segment.runs[-1]))
        self._event("finished", segment, segment.seconds, media_time)

    def _event(self, kind: str, segment: Segment, played_s: float, media_time: int) -> None:
        self.tell(
            {
                "type": kind,
                "segment": segment.number,
                "playback_position": round(played_s, 4),
                "media_time": round(media_time / RATE, 4),
            }
        )
