"""Marks burnt into the picture, so that a viewer's clock can be held against media time.

Only sessions that ask for it (``request_data.probe``) are marked; the latency benchmark does.
The strip is two rows of 32 blocks, each a 32nd of the picture wide, black or white so that they
survive any bitrate: row 0 is the frame's media time in milliseconds (32 bits, most significant
first); row 1 holds a click flag, the click's place within the frame in milliseconds (8 bits) and
the parity of row 0.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

BLOCKS = 32
CLICK_LEVEL = 0.5  # full scale; the benchmark keeps its speech well below
_REST_S = 0.25  # a click is followed by quiet; everything within is the same click
_OFFSET_BITS = 8
_KEPT_CLICKS = 64


class Probe:
    """Finds clicks in the sound and marks the frames they belong to.

    Args:
        rate: samples per second of what is listened to.
        fps: frames per second.
    """

    def __init__(self, rate: int, fps: int) -> None:
        self._rate = rate
        self._fps = fps
        self._heard = 0
        self._last_loud = -rate
        self._clicks: deque[int] = deque(maxlen=_KEPT_CLICKS)

    def listen(self, pcm: NDArray[np.float32]) -> None:
        """Take the next samples of the session, mono float32 in [-1, 1]."""
        for place in np.flatnonzero(np.abs(pcm) > CLICK_LEVEL):
            sample = self._heard + int(place)
            if sample - self._last_loud >= _REST_S * self._rate:
                self._clicks.append(sample)
            self._last_loud = sample
        self._heard += len(pcm)

    def stamp(self, picture: NDArray[np.uint8], frame: int, first_frame: int = 0) -> None:
        """Draw a frame's strip into ``(H, W, 3)`` uint8, in place.

        Args:
            picture: what the frame shows.
            frame: its number in the session, which its media time is.
            first_frame: the number of the frame at which listening began.
        """
        size = picture.shape[1] // BLOCKS
        for row, bits in enumerate(self._bits(frame, first_frame)):
            strip = np.repeat(np.asarray(bits, np.uint8) * 255, size)
            picture[row * size : (row + 1) * size, : BLOCKS * size] = strip[None, :, None]

    def _bits(self, frame: int, first_frame: int) -> tuple[list[int], list[int]]:
        begin = first_frame * self._rate // self._fps
        start, end = (k * self._rate // self._fps - begin for k in (frame, frame + 1))
        click = next((c for c in self._clicks if start <= c < end), None)
        offset = 0 if click is None else (click - start) * 1000 // self._rate
        time_bits = _binary(frame * 1000 // self._fps, BLOCKS)
        mark = [int(click is not None), *_binary(offset, _OFFSET_BITS), sum(time_bits) % 2]
        return time_bits, mark + [0] * (BLOCKS - len(mark))


def _binary(value: int, bits: int) -> list[int]:
    return [(value >> shift) & 1 for shift in range(bits - 1, -1, -1)]
