"""The eyes' refiner of a call: both crops through the network at once, and back into the frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.renderer.refiner import Box, EyePlace, Places, Refinement, RefinerInput
from visavis.models.renderer.relight.crop import CHANNELS, GATE, WARPED
from visavis.models.renderer.training.relight.eyes import EYE_SIDE, changes, eye_box, pack_eye
from visavis.models.renderer.training.relight.runtime import Graph, endpoints

Floats = NDArray[np.float32]

_BOTH = 2  # eyes of a batch, whether one changes or two: every run of the graph is alike
_LEAST = 1 / 255  # of the gate: below, nothing would reach a step of colour


class EyeRefiner:
    """Repairs the eyes of one session; keeps nothing between frames.

    Eyes as the photo has them run no network and keep every bit. It takes its place in a renderer
    inside ``Refiners``.
    """

    def __init__(self, graph: Graph) -> None:
        """Use a loaded graph, which sessions may share.

        Args:
            graph: maps ``x`` (2, CHANNELS, EYE_SIDE, EYE_SIDE) to ``residual`` and ``alpha``.
        """
        self._graph = graph
        self._eyes: tuple[EyePlace, ...] = ()
        self._boxes: tuple[Box | None, ...] = ()
        self._unit = 1.0
        self._x = np.zeros((_BOTH, CHANNELS, EYE_SIDE, EYE_SIDE), np.float32)

    def eye_boxes(self, size: int, places: Places) -> tuple[Box | None, ...]:
        """Choose the square of every eye that differs from the photo's."""
        self._eyes, self._unit = places.eyes, places.unit
        self._boxes = tuple(
            eye_box(size, eye, places.unit) if changes(eye, places.unit)[1] > 0.0 else None
            for eye in places.eyes
        )
        return self._boxes

    def prepare(self, frames: Sequence[RefinerInput | None]) -> Floats:
        """Return the network's input ``(2, CHANNELS, EYE_SIDE, EYE_SIDE)``; valid until the next.

        An eye without a frame has zeros.
        """
        self._x[:] = 0.0
        for x, frame, eye, box in zip(self._x, frames, self._eyes, self._boxes, strict=True):
            if frame is not None and box is not None:
                x[:] = pack_eye(frame, eye, box, self._unit)
        return self._x

    def refine_eyes(self, frames: Sequence[RefinerInput | None]) -> list[Refinement | None]:
        """Return residual and gate per eye; no eye changes if the answer has a value that is none.

        Raises:
            ValueError: the answer has another shape than the crops.
        """
        x = self.prepare(frames)
        pictures = endpoints(self._graph, x)
        if not np.isfinite(pictures).all():
            return [None] * len(frames)
        return [
            None if frame is None or box is None else self.finish(x[i], pictures[i], box)
            for i, (frame, box) in enumerate(zip(frames, self._boxes, strict=True))
        ]

    @staticmethod
    def finish(x: Floats, picture: Floats, box: Box) -> Refinement:
        """Bring the network's change of one eye back to the frame's own resolution.

        Only the change is resampled: what the network leaves alone keeps every bit.
        """
        size = (box[2] - box[0], box[3] - box[1])
        change = (picture - x[WARPED]).transpose(1, 2, 0) * np.float32(127.5)
        wide = cv2.resize(np.ascontiguousarray(change), size, interpolation=cv2.INTER_CUBIC)
        gate = cv2.resize(np.ascontiguousarray(x[GATE][0]), size, interpolation=cv2.INTER_LINEAR)
        return Refinement(wide.astype(np.float32), (gate > _LEAST).astype(np.float32))
