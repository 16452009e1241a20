"""A session's pictures and sound for a program on this machine, uncompressed, in media time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.media.picture_ring import create
from visavis.streamer.media.raw_frames import RATE, FrameSound, Span

Spoken = Callable[[int, int], list[tuple[int, int, int]]]


class Sound(Protocol):
    """Reads a timeline."""

    def __call__(self, position: int, count: int) -> NDArray[np.int16]:
        """Return ``count`` samples from a media time on."""
        ...


class RawOutput:
    """The shared memory of one session, and what is said of every frame in it.

    Args:
        size: width and height of the pictures in pixels.
        fps: frames per second.
        read: the session's sound.
        give: takes the message of a frame; must not block.
        folder: where the memory's file lies; the system's shared memory if None.

    Attributes:
        path: of the file.
        position: media time up to which sound was given, in samples at 48 kHz.
        begun: set with the first frame.

    Raises:
        BadRequest: pictures of this size cannot be given, or there is no room.
    """

    def __init__(
        self,
        size: tuple[int, int],
        fps: int,
        read: Sound,
        give: Callable[[bytes], None],
        folder: Path | None = None,
    ) -> None:
        self.position = 0
        self.begun = asyncio.Event()
        self._size, self._fps = size, fps
        self._read, self._give = read, give
        self._last = -1
        self._late = 0
        self.path = create(*size, folder)

    def describe(self) -> dict[str, Any]:
        """Return what the program has to know."""
        return {
            "path": str(self.path),
            "width": self._size[0],
            "height": self._size[1],
            "fps": self._fps,
            "rate": RATE,
        }

    def frame(self, number: int, spoken: Spoken, *, repeated: bool, late: int) -> None:
        """Give the sound of a frame whose picture is in the memory now.

        If frames were left out, because this process stood still, their sound goes with this one.

        Args:
            number: of the frame.
            spoken: tells what of a stretch of media time is speech.
            repeated: the picture is the one before.
            late: pictures that came after their frame, so far.
        """
        own, self._late = not repeated and late <= self._late, late
        if number <= self._last:
            return
        start, end = (round(n * RATE / self._fps) for n in (number, number + 1))
        if self._last >= 0 and end - self.position <= RATE:
            start = self.position
        self._last, self.position = number, end
        self.begun.set()
        spans = tuple(Span(s, first - start, count) for s, first, count in spoken(start, end))
        sound = self._read(start, end - start)
        self._give(FrameSound(number, start, sound, spans, own).pack())

    def end(self) -> None:
        """Remove the file; who has it open may go on looking at the last pictures."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
