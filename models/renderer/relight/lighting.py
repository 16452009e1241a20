"""What the two networks that ship have in common: an open mouth's light, by a factor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Floats
from visavis.models.renderer.refiner import Refinement, RefinerInput
from visavis.models.renderer.relight.crop import GATE, OpenMouth, pack, take


class Graph(Protocol):
    """The part of an engine that is needed here."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Map ``x``, some or all of a crop's rows, (B, 13, h, w) to ``factor`` (B, 1, ...)."""
        ...


class Lighting(OpenMouth, ABC):
    """Lights the open mouth of one session; keeps nothing between frames.

    The picture's own pixels are multiplied, at their own resolution: teeth stay as sharp as they
    were drawn, a still picture stands still, and closed lips cost nothing.

    Attributes:
        side: pixels of the crop.
    """

    side: int

    def __init__(self, graph: Graph) -> None:
        """Use a loaded graph, which sessions may share."""
        super().__init__()
        self._graph = graph

    @abstractmethod
    def gain(self, x: Floats) -> Floats:
        """Return what each place of a crop gains, in parts of itself; -0.5 halves its light.

        Args:
            x: ``(CHANNELS, side, side)`` as ``pack`` makes it.

        Returns:
            ``(h, w)`` over the whole crop, as fine as the network answers.
        """

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return what one frame gains and loses, and where."""
        x = pack(take(frame, self._box, self._unit, self.side))
        size = frame.warped.shape[1::-1]
        wide = cv2.resize(self.gain(x), size)
        return Refinement(wide[..., None] * frame.warped, cv2.resize(x[GATE][0], size))
