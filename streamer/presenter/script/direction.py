"""What a presenter is told beside the sound: a mood, where to look, to be idle."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.models.coefficients import INDEX
from visavis.streamer.worker.pipeline.pipeline import Boxes, Drawer, Pipeline

LOOKS: dict[str, tuple[float, float]] = {
    "ahead": (0.0, 0.0),
    "camera": (0.0, 0.0),
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -0.6),
    "down": (0.0, 0.7),
}
"""Where to look, as the viewer sees it: right and down are positive."""
_HEAD = 0.14  # radians that the head turns, the eyes go before
_EYES = 0.20  # radians of gaze beyond the head
_SETTLE_S = 0.35  # time constant with which a look is taken and given up
_EYES_SETTLE_S = 0.10


@dataclass
class _Look:
    wanted: NDArray[np.float32]
    head: NDArray[np.float32]
    eyes: NDArray[np.float32]


class DirectedPipeline:
    """A pipeline whose head and eyes can be told where to look.

    Args:
        pipeline: what hears and draws.
        fps: frames per second.
    """

    def __init__(self, pipeline: Pipeline, fps: int, style: float = 1.0) -> None:
        self._pipeline = pipeline
        self._style = style
        self._head_share = np.float32(1 - np.exp(-1 / (fps * _SETTLE_S)))
        self._eyes_share = np.float32(1 - np.exp(-1 / (fps * _EYES_SETTLE_S)))
        zero = np.zeros(2, np.float32)
        self._look = _Look(zero, zero.copy(), zero.copy())
        self._mood: str | None = None
        self._lock = threading.Lock()

    def look(self, where: str) -> None:
        """Look somewhere from the next frame on; one of ``LOOKS``."""
        with self._lock:
            self._look.wanted = np.array(LOOKS[where], np.float32)

    def mood(self, name: str) -> None:
        """Go on in another mood from the next sound on."""
        with self._lock:
            self._mood = name

    def push(
        self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Take sound; return coefficients with the look added."""
        with self._lock:
            mood, self._mood = self._mood, None
        if mood is not None:
            self._pipeline.set_mood(mood, self._style)
        frames = self._pipeline.push(pcm) if heard is None else self._pipeline.push(pcm, heard)
        for row in frames:
            self._turn(row)
        return frames

    def _turn(self, row: NDArray[np.float32]) -> None:
        look = self._look
        look.head = look.head + self._head_share * (look.wanted - look.head)
        look.eyes = look.eyes + self._eyes_share * (look.wanted - look.eyes)
        if not np.abs(look.head).max() + np.abs(look.eyes).max() > 1e-3 or len(row) < len(INDEX):
            return
        row[INDEX["headYaw"]] += _HEAD * look.head[0]
        row[INDEX["headPitch"]] += _HEAD * look.head[1]
        row[INDEX["gazeYaw"]] += _EYES * look.eyes[0]
        row[INDEX["gazePitch"]] += _EYES * look.eyes[1]

    @property
    def changed(self) -> Boxes | None:
        """The parts of the last frame that differ from the one before; None says nothing."""
        return self._pipeline.changed

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Draw one frame."""
        return self._pipeline.render(coefficients)

    def reset(self, shown: NDArray[np.float32] | None = None) -> None:
        """Forget the sound so far."""
        self._pipeline.reset(shown)

    def show(self, drawer: Drawer) -> None:
        """Draw another avatar, or the same otherwise framed, from now on."""
        self._pipeline.show(drawer)

    def set_mood(self, name: str, style: float = 1.0) -> None:
        """Go on in another mood at once, and as strongly as this style says."""
        self._style = style
        self._pipeline.set_mood(name, style)
