"""Stand-ins that know the time: a camera that reads its pictures, a microphone, a sound output."""

from __future__ import annotations

import threading
import time
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.presenter.sound import RATE, onsets
from visavis.streamer.presenter.script.sources import BLOCK, Block
from visavis.streamer.worker.probe import BLOCKS

GRID = 32  # cells to a side that a picture is kept as
_HELD_S = 0.020  # what the sound output holds, as much as PulseAudio is asked to


class SeeingCamera:
    """Notes when each picture was sent, what its stamp says, and the grey of its middle.

    Args:
        width: of the pictures in pixels.
        height: likewise.
        most: pictures that are noted. Their room is taken at once, so that what grows later is
            the presenter's.
    """

    name = "benchmark"

    def __init__(self, width: int, height: int, most: int) -> None:
        self._block = width // BLOCKS
        self._height = height
        left = max(0, (width - height) // 2)
        self._middle = np.s_[2 * self._block : height, left : width - left]
        self._count = 0
        self._sent = np.full(most, -1.0)
        self._stamps = np.full((most, 2), -1, np.int64)
        self._grids = np.full((most, GRID, GRID), 1, np.uint8)  # zeros would take no memory yet

    @property
    def sent(self) -> NDArray[np.float64]:
        """When each picture came, seconds of the monotonic clock."""
        return self._sent[: self._count]

    @property
    def stamps(self) -> NDArray[np.int64]:
        """``(pictures, 2)``: media time in ms; the click's place in it in ms, -1 for none."""
        return self._stamps[: self._count]

    @property
    def grids(self) -> NDArray[np.uint8]:
        """``(pictures, GRID, GRID)`` grey of the middle."""
        return self._grids[: self._count]

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Take an I420 picture ``(H * 3 // 2, W)``."""
        at = self._count
        if at == len(self._sent):
            return
        self._sent[at] = time.monotonic()
        rows = [self._bits(picture, row) for row in (0, 1)]
        click, parity = _number(rows[1][1:9]) if rows[1][0] else -1, rows[1][9]
        if int(rows[0].sum()) % 2 != parity:
            raise RuntimeError("the picture's stamp cannot be read")
        self._stamps[at] = _number(rows[0]), click
        luma = picture[: self._height][self._middle]
        cv2.resize(luma, (GRID, GRID), self._grids[at], interpolation=cv2.INTER_AREA)
        self._count = at + 1

    def _bits(self, picture: NDArray[np.uint8], row: int) -> NDArray[np.bool_]:
        middle = row * self._block + self._block // 2
        return np.asarray(picture[middle, self._block // 2 :: self._block][:BLOCKS] > 128)

    def close(self) -> None:
        """Nothing to give back."""


def _number(bits: NDArray[np.bool_]) -> int:
    return int("".join("1" if bit else "0" for bit in bits), 2)


class ExactMicrophone:
    """Delivers a block of 10 ms at the moment its last sample would have been heard.

    Args:
        sound: what is said, int16 at 48 kHz, once.
        arrived: set whenever a block has come.
    """

    def __init__(self, sound: NDArray[np.int16], arrived: threading.Event) -> None:
        self.problem = ""
        self.paused = self.ended = False
        self.clicks: list[float] = []  # when each reached the microphone
        self._sound, self._arrived = sound, arrived
        self._blocks: deque[NDArray[np.int16]] = deque(maxlen=100)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._hear, name="microphone", daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        start = time.monotonic()
        for at in range(0, len(self._sound) - BLOCK + 1, BLOCK):
            end = start + (at + BLOCK) / RATE
            if self._ending.wait(max(0.0, end - time.monotonic())):
                return
            block = self._sound[at : at + BLOCK]
            self.clicks += onsets(block, end, self.clicks)
            self._blocks.append(block)
            self._arrived.set()

    def take(self, now: float) -> list[Block]:
        """Return what has come."""
        blocks = []
        while self._blocks:
            blocks.append(Block(self._blocks.popleft()))
        return blocks

    def close(self) -> None:
        """Stop."""
        self._ending.set()
        self._thread.join(5)


class ExactOutput:
    """A sound output that holds 20 ms and knows when each click is heard."""

    def __init__(self) -> None:
        self.clicks: list[float] = []
        self._free_at = time.monotonic()  # when what was written so far has been heard

    @property
    def latency_s(self) -> float:
        """How much later the next sample that is written is heard."""
        return max(0.0, self._free_at - time.monotonic())

    def write(self, samples: NDArray[np.int16]) -> None:
        """Take mono int16; waits until there is room."""
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + len(samples) / RATE
        self.clicks += onsets(samples, self._free_at, self.clicks)
        if self._free_at - now > _HELD_S:
            time.sleep(self._free_at - now - _HELD_S)

    def close(self) -> None:
        """Nothing to give back."""
