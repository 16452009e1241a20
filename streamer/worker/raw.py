"""Raw pictures with their sound, for programs that take both in process.

Sound goes in at any pace, pictures come out in order with exactly the sound that belongs to them,
as many as are complete. There is no thread and no clock in here: whoever asks for frames draws
them, and its own output paces it. For real time with bounded lateness there is
:class:`~visavis.streamer.worker.slot.Slot`, which hands out the same pictures by ticks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.errors import AtCapacity
from visavis.streamer.media.resample import StreamingResampler
from visavis.streamer.trust.marks.mark import MARKED, Marker, Marking
from visavis.streamer.worker.frames import RawForm
from visavis.streamer.worker.pipeline.pipeline import RATE, Pipeline

MAX_AHEAD_S = 60.0  # of sound that may wait for its frames: a paragraph of a speech engine
_MAX_HEARD_S = 0.3  # of the other side's sound that waits


@dataclass(frozen=True)
class RawFrame:
    """One picture with the sound of the same media time.

    Attributes:
        number: media time is ``number / fps`` seconds.
        picture: RGB ``(H, W, 3)``, twice as wide with the opacity on the right if the canvas is
            transparent, or I420 ``(H * 3 // 2, W)``; never written to again.
        sound: ``(samples,)`` int16 at the source's rate.
        ends_segment: the last frame with sound of what ``end_segment`` closed.
    """

    number: int
    picture: NDArray[np.uint8]
    sound: NDArray[np.int16]
    ends_segment: bool


class RawAvatar:
    """One avatar that turns sound into frames, as fast as it is asked to.

    Args:
        pipeline: its models, as ``Pipelines.open`` makes them.
        fps: frames per second, as the pipeline was opened with.
        look_ahead_ms: likewise.
        rate: of the sound that is pushed, in Hz.
        form: of the pictures.
        marking: what every picture carries; a program with a data folder gives it the watermark of
            its deployment by ``marked_as``.
        transparent: pictures carry their opacity on the right.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        fps: int = 25,
        look_ahead_ms: int = 80,
        rate: int = 48_000,
        form: RawForm = "rgb",
        marking: Marking = MARKED,
        transparent: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._marker = Marker(replace(marking, fps=fps), transparent=transparent)
        self._fps, self._rate, self._form = fps, rate, form
        self._ahead = look_ahead_ms * rate // 1000
        self._narrow = StreamingResampler(rate, RATE)
        self._sound = np.zeros(0, np.int16)  # not yet handed out
        self._start = 0  # media time of its first sample
        self._pushed = 0
        self._number = 0  # of the next frame
        self._ready: deque[NDArray[np.float32]] = deque()
        self._ends: deque[int] = deque()  # media times at which segments end
        self._heard = np.zeros(0, np.float32)

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that have not come out with a frame."""
        return len(self._sound) / self._rate

    def push(self, samples: NDArray[np.int16]) -> None:
        """Take mono int16 sound, any number of samples.

        Raises:
            AtCapacity: more than ``MAX_AHEAD_S`` would wait; take frames first.
            ValueError: it is not one channel of int16.
        """
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise ValueError(f"Sound must be one channel of int16, not {samples.dtype}.")
        if self.waiting_s + len(samples) / self._rate > MAX_AHEAD_S:
            raise AtCapacity(f"More than {MAX_AHEAD_S:.0f} s of sound would wait for pictures.")
        self._sound = np.concatenate([self._sound, samples])
        self._pushed += len(samples)
        narrow = self._narrow.push(samples.astype(np.float32) / 32_768.0)
        heard, self._heard = self._heard[: len(narrow)], self._heard[len(narrow) :]
        if len(heard):
            other = np.pad(heard, (len(narrow) - len(heard), 0))
            rows = self._pipeline.push(narrow, other)
        else:
            rows = self._pipeline.push(narrow)
        self._ready.extend(row.copy() for row in rows)

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Take what the other side says, mono float32 at 16 kHz; it goes with the next sound."""
        most = int(_MAX_HEARD_S * RATE)
        self._heard = np.concatenate([self._heard, samples])[-most:]

    def idle(self, frames: int) -> None:
        """Push so many frames of silence, so that the person goes on living."""
        self.push(np.zeros(frames * self._rate // self._fps, np.int16))

    def end_segment(self) -> None:
        """Say that what was pushed is a whole; silence brings its last frames out."""
        self._ends.append(self._pushed)
        missing = self._end_of(self._frame_of(max(0, self._pushed - 1))) - self._pushed
        # One sample more at 16 kHz than enough: the resampler's grid may lie a little behind.
        self.push(np.zeros(missing + self._ahead + 2 * self._rate // RATE, np.int16))

    def clear(self) -> int:
        """Barge-in: drop what waits and ease the face; return the samples that were dropped.

        What comes out goes on with the next number. The models had heard a little of the future
        (the look-ahead and a started frame); as much silence takes its place.
        """
        dropped = len(self._sound)
        owed = max(0, self._pushed - self._end_of(self._number + len(self._ready) - 1))
        self._start = self._end_of(self._number - 1)
        self._pushed = self._start + owed
        self._sound = np.zeros(owed, np.int16)
        self._ready.clear()
        self._ends.clear()
        self._heard = np.zeros(0, np.float32)
        self._pipeline.reset()
        return dropped

    def frames(self) -> Iterator[RawFrame]:
        """Draw and yield every frame that is complete."""
        while self._ready:
            picture = self._pipeline.render(self._ready.popleft())
            mark = self._marker.i420 if self._form == "i420" else self._marker.rgb
            image = mark(picture, self._number)
            end = self._end_of(self._number)
            count = end - self._start
            sound, self._sound = self._sound[:count], self._sound[count:]
            self._start = end
            last = bool(self._ends) and self._ends[0] <= end
            while self._ends and self._ends[0] <= end:
                self._ends.popleft()
            self._number += 1
            yield RawFrame(self._number - 1, image, sound, last)

    def _end_of(self, frame: int) -> int:
        return round((frame + 1) * self._rate / self._fps)

    def _frame_of(self, position: int) -> int:
        frame = position * self._fps // self._rate
        while self._end_of(frame) <= position:
            frame += 1
        return frame
