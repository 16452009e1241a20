"""The refiner of a call: the mouth's crop through the network and back into the frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.renderer.refiner import Refinement, RefinerInput
from visavis.models.renderer.relight.crop import (
    GATE,
    SIDE,
    STATE,
    STEP,
    TIME,
    WARPED,
    OpenMouth,
    pack,
    take,
)
from visavis.models.renderer.training.relight.bridge import SIGMA, STUDENT_STEPS, sample

Floats = NDArray[np.float32]

_NOISE_SEED = 7


class Graph(Protocol):
    """The part of an engine that the refiner needs."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Map ``x`` (B, CHANNELS, SIDE, SIDE) to ``residual`` and ``alpha``."""
        ...


def endpoints(graph: Graph, x: Floats) -> Floats:
    """Return the network's pictures (B, 3, SIDE, SIDE): warp plus gated residual, -1 to 1."""
    found = graph.run({"x": x})
    return x[:, WARPED] + np.asarray(found["alpha"]) * np.asarray(found["residual"])


def walk(graph: Graph, x: Floats, steps: int, *, noise: bool) -> Floats:
    """Return the pictures after ``steps`` steps of the bridge, for a batch of inputs.

    Args:
        graph: the network.
        x: (B, CHANNELS, SIDE, SIDE) as ``pack`` makes it; not kept.
        steps: network runs.
        noise: start with the bridge's noise, the same in every frame; a plain regression has none.
    """
    x = x.copy()
    start = x[:, WARPED].copy()
    if noise:
        fixed = np.random.default_rng(_NOISE_SEED).standard_normal((3, SIDE, SIDE))
        start += SIGMA * x[:, GATE] * fixed.astype(np.float32)

    def predict(state: Floats, t: float, step: float) -> Floats:
        x[:, STATE], x[:, TIME], x[:, STEP] = state, t, step
        return endpoints(graph, x)

    return sample(start, predict, steps)


class MouthRefiner(OpenMouth):
    """Repairs the open mouth of one session; keeps nothing between frames.

    The network looks at one frame only: what it makes of a still picture stands still, it cannot
    drift, and a restart needs no run-in. Closed lips cost nothing.
    """

    def __init__(self, graph: Graph, *, steps: int = 1, noise: bool = False) -> None:
        """Use a loaded network.

        Args:
            graph: the network; may be shared by sessions.
            steps: of the bridge, 1, 2 or 4.
            noise: the network was trained as a bridge.
        """
        if steps not in STUDENT_STEPS:
            raise ValueError(f"The refiner takes 1, 2 or 4 steps, not {steps}.")
        super().__init__()
        self._graph, self._steps, self._noise = graph, steps, noise

    def prepare(self, frame: RefinerInput) -> Floats:
        """Return the network's input ``(CHANNELS, SIDE, SIDE)`` of a frame."""
        return pack(take(frame, self._box, self._unit))

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return residual and gate for one frame."""
        x = self.prepare(frame)[None]
        return self.finish(x[0], walk(self._graph, x, self._steps, noise=self._noise)[0])

    def finish(self, x: Floats, picture: Floats) -> Refinement:
        """Bring the network's change back to the frame's own resolution.

        Only the change is resampled: what the network leaves alone keeps every bit.
        """
        side = self._box[2] - self._box[0]
        change = (picture - x[WARPED]).transpose(1, 2, 0) * np.float32(127.5)
        alpha = np.ascontiguousarray(x[GATE][0])
        size = (side, side)
        wide = cv2.resize(np.ascontiguousarray(change), size, interpolation=cv2.INTER_CUBIC)
        open_ = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR) > 1 / 255
        return Refinement(wide.astype(np.float32), open_.astype(np.float32))
