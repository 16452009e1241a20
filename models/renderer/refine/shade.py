"""The shipped refiner: light in the open mouth, by a smooth factor from a small network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.renderer.refine.crop import GATE, SEEN, SIDE, WARPED, OpenMouth, pack, take
from models.renderer.refiner import Refinement, RefinerInput
from models.shipped import checked

Floats = NDArray[np.float32]

SHADE_GRAPH = Path(__file__).resolve().parents[2] / "weights" / "mouth" / "shade.onnx"
SHADE_SIDE = SIDE // 2  # pixels of the crop that the network sees
CELLS = SHADE_SIDE // 2  # cells of the factor it answers with


class Graph(Protocol):
    """The part of an engine that is needed here."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Map ``x`` (B, 13, SHADE_SIDE, SHADE_SIDE) to ``factor`` (B, 1, CELLS, CELLS)."""
        ...


def shade_graph() -> Path:
    """Return the shipped graph after checking it against its manifest.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: the file is not the one its manifest describes.
    """
    return checked(SHADE_GRAPH, "mouth", "visavis train renderer --stages shade")


class MouthShade(OpenMouth):
    """Lights the open mouth of one session; keeps nothing between frames.

    The picture's own pixels are multiplied, at their own resolution: teeth stay as sharp as they
    were drawn, a still picture stands still, and closed lips cost nothing.
    """

    def __init__(self, graph: Graph) -> None:
        """Use a loaded graph, which sessions may share."""
        super().__init__()
        self._graph = graph

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return what one frame gains and loses, and where."""
        x = pack(take(frame, self._box, self._unit, SHADE_SIDE))
        cells = np.asarray(self._graph.run({"x": x[None, SEEN]})["factor"], np.float32)[0, 0]
        size = frame.warped.shape[1::-1]
        more = cv2.resize(cells - np.float32(1.0), size)
        return Refinement(more[..., None] * frame.warped, cv2.resize(x[GATE][0], size))


class AsResidual:
    """The shade's graph in the shape of the other refiners', to be compared with them."""

    def __init__(self, graph: Graph) -> None:
        """Wrap a graph."""
        self._graph = graph

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Map ``x`` (B, CHANNELS, SIDE, SIDE) to ``residual`` and ``alpha``."""
        x = np.asarray(inputs["x"], np.float32)
        batch = len(x)
        small = x[:, SEEN].reshape(batch, -1, SHADE_SIDE, 2, SHADE_SIDE, 2).mean((3, 5))
        cells = np.asarray(self._graph.run({"x": small})["factor"], np.float32)
        factor = np.stack([cv2.resize(c[0], (SIDE, SIDE)) for c in cells])[:, None]
        return {"residual": (factor - 1.0) * (x[:, WARPED] + 1.0), "alpha": x[:, GATE]}
