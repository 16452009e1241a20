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
MAX_AHEAD_S: Final = 60.0  # of sound that may wait: a paragraph
MOST_SEGMENTS: Final = 256  # that wait
MOST_CAPTIONS: Final = 256
AHEAD: Final = 3 * BLOCK  # of the clock: sound may leave 50 ms before its picture, and loops stall
MAX_BEHIND: Final = 2  # blocks; what is written later than that is written for nobody

Event = dict[str, Any]


@dataclass
class Segment:
    """What is said in one go: from the first sound to ``flush``.

    Attributes:
        number: counts from 0.
        pushed: samples that it has so far, at the timeline's rate.
        seconds: the same as they were appended, before they were resampled.
        closed: whether there will be no more.
        started: whether its first sample was seen.
        runs: ``[media time, samples]`` of what went onto the timeline; several after an underrun.
    """

    number: int
    pushed: int = 0
    seconds: float = 0.0
    closed: bool = False
    started: bool = False
    runs: deque[list[int]] = field(default_factory=deque)

    def played(self, media_time: int) -> int:
        """Return how many of its samples are before a media time."""
        return sum(min(max(0, media_time - start), count) for start, count in self.runs)


class AgentVoice:
    """The queue between a program and a timeline.

    Args:
        tell: told the events: ``started``, ``finished`` and ``interrupted``.
        caption: told a text when the sound before it has been seen.

    Attributes:
        tell: see above.
        caption: see above.
        waiting: samples that are not on the timeline yet.
    """

    def __init__(
        self,
        tell: Callable[[Event], None],
        caption: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.tell, self.caption = tell, caption
        self._blocks: deque[NDArray[np.int16]] = deque()
        self._segments: deque[Segment] = deque()
        self._captions: deque[tuple[Segment | None, int, str]] = deque()
        self._count = 0
        self._widen: StreamingResampler | None = None
        self._rate = 0
        self.waiting = 0

    # ------------------------------------------------------------------ what the program says

    def append(self, samples: NDArray[np.int16], rate: int) -> None:
        """Take sound, any amount.

        Args:
            samples: mono int16.
            rate: in Hz; may change from one call to the next.

        Raises:
            AtCapacity: too much would wait; nothing of it is taken.
        """
        seconds = len(samples) / rate
        if self.waiting / RATE + seconds > MAX_AHEAD_S:
            raise AtCapacity(
                f"More than {MAX_AHEAD_S:.0f} s of sound would wait; append no faster than that.",
                code="too-far-ahead",
            )
        if rate != self._rate:
            self._drain()
            self._rate = rate
            self._widen = None if rate == RATE else StreamingResampler(rate, RATE)
        if self._widen is not None:
            wide = self._widen.push(samples.astype(np.float32))
            self._put(np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16), seconds)
        else:
            self._put(samples, seconds)

    def _put(self, samples: NDArray[np.int16], seconds: float = 0.0) -> None:
        if not len(samples):
            return
        if not self._segments or self._segments[-1].closed:
            if len(self._segments) >= MOST_SEGMENTS:
                raise AtCapacity("Too many segments wait to be spoken.", code="too-far-ahead")
            self._segments.append(Segment(self._count))
            self._count += 1
        self._segments[-1].pushed += len(samples)
        self._segments[-1].seconds += seconds
        self._blocks.append(samples)
        self.waiting += len(samples)

    def _drain(self) -> None:
        """Bring out what the resampler still holds."""
        if self._widen is not None:
            rest = np.zeros(round(self._widen.delay_s * self._rate), np.float32)
            wide = self._widen.push(rest)
            self._put(np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16))
            self._widen = StreamingResampler(self._rate, RATE)

    def flush(self) -> None:
        """Take that what was appended is a whole."""
        if self._segments and not self._segments[-1].closed:
            self._drain()
            self._segments[-1].closed = True

    def text(self, text: str) -> None:
        """Show a text when what was appended before it has been seen.

        Raises:
            AtCapacity: too many wait.
        """
        if len(self._captions) >= MOST_CAPTIONS:
            raise AtCapacity("Too many texts wait to be shown.", code="too-far-ahead")
        last = self._segments[-1] if self._segments else None
        self._captions.append((last, 0 if last is None else last.pushed, text))

    def clear(self, media_time: int) -> None:
        """Barge-in: forget everything and tell how far it came.

        Args:
            media_time: up to which sound was released.
        """
        cut = [s for s in self._segments if s.played(media_time) < s.pushed or not s.closed]
        for segment in [s for s in self._segments if s not in cut]:
            self._finish(segment, media_time)
        if cut:
            played_s = sum(min(s.seconds, s.played(media_time) / RATE) for s in cut)
            self._event("interrupted", cut[0], played_s, media_time)
        self._blocks.clear()
        self._segments.clear()
        self._captions.clear()
        self.waiting = 0
        self._rate, self._widen = 0, None

    # ------------------------------------------------------------------ what the session asks for

    def block(self) -> tuple[NDArray[np.int16], int]:
        """Return the next ``BLOCK`` samples, and how many of them are sound and not padding."""
        out, filled = np.zeros(BLOCK, np.int16), 0
        while filled < BLOCK and self._blocks:
            first = self._blocks[0]
            part = first[: BLOCK - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) < len(first):
                self._blocks[0] = first[len(part) :]
            else:
                self._blocks.popleft()
        self.waiting -= filled
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

    def shown(self, media_time: int) -> None:
        """Tell what has become true now that a media time is seen."""
        while self._captions and self._is_due(*self._captions[0][:2], media_time):
            self.caption(self._captions.popleft()[2])
        for segment in list(self._segments):
            if not segment.started and segment.runs and segment.runs[0][0] < media_time:
                segment.started = True
                self._event("started", segment, 0.0, segment.runs[0][0])
            if segment.closed and segment.played(media_time) >= segment.pushed:
                self._finish(segment, media_time)
                self._segments.remove(segment)

    def _is_due(self, segment: Segment | None, position: int, media_time: int) -> bool:
        return segment is None or segment.played(media_time) >= position

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
