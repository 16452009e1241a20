"""The shipped refiner of large pictures: light on every tooth and lip of an open mouth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.renderer.expression import smoothstep
from models.renderer.refine.crop import GATE, INSIDE, SEEN, SIDE, WARPED, OpenMouth, pack, take
from models.renderer.refiner import Refinement, RefinerInput
from models.shipped import checked

Floats = NDArray[np.float32]

LIGHT_GRAPH = Path(__file__).resolve().parents[2] / "weights" / "light" / "light.onnx"
LIGHT_ROWS = 64  # of the crop's rows, those about the mouth; no mouth of ours opens further
_GRID = 8
_OPENED = (2.0, 7.0)  # pixels of the crop
_OWN_SHARE = 0.6  # of the factor's logarithm
SMALLEST = 384  # side of a picture from which on the network is worth its time


class Graph(Protocol):
    """The part of an engine that is needed here."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Map ``x`` (B, 13, LIGHT_ROWS, SIDE) to ``factor`` (B, 1, LIGHT_ROWS, SIDE)."""
        ...


def light_graph() -> Path:
    """Return the shipped graph after checking it against its manifest.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: the file is not the one its manifest describes.
    """
    return checked(LIGHT_GRAPH, "light", "visavis train renderer --stages regression light")


def first_row(gate: Floats) -> int:
    """Return the first of the ``LIGHT_ROWS`` rows in whose middle a gate ``(SIDE, SIDE)`` lies.

    It is a multiple of eight, the network's own grid, so that it does the same to a mouth wherever
    that lies in the crop.
    """
    rows = np.flatnonzero(gate.max(1) > 0)
    middle = (int(rows[0]) + int(rows[-1]) + 1) // 2 if len(rows) else SIDE // 2
    top = np.clip(middle - LIGHT_ROWS // 2, 0, SIDE - LIGHT_ROWS)
    return _GRID * round(float(top) / _GRID)


def of_opening(inside: Floats) -> float:
    """Return how much of the light a mouth gets by its height, 0-1, from ``(SIDE, SIDE)`` 0-1.

    In a gap of a few pixels there is nothing to light, and shading its rim closes it to the eye.
    """
    return smoothstep(*_OPENED, float(inside.sum(0).max()))


class MouthLight(OpenMouth):
    """Lights the open mouth of one session; keeps nothing between frames.

    Like ``MouthShade`` it multiplies the picture's own pixels, by a factor that is the same for all
    colours and bounded; but the factor is as fine as the crop, so that a tooth's edge, the shadow
    of a lip and the wet of a gum are its own.
    """

    def __init__(self, graph: Graph, *, own_teeth: bool = False) -> None:
        """Use a loaded graph.

        Args:
            graph: sessions may share it.
            own_teeth: the teeth are the photo's, which are lit as they should be. The network
                cannot tell them from drawn ones and greys their white, so it gets less of a say.
        """
        super().__init__()
        self._graph = graph
        self._share = np.float32(_OWN_SHARE if own_teeth else 1.0)

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return what one frame gains and loses, and where."""
        x = pack(take(frame, self._box, self._unit))
        top = first_row(x[GATE][0])
        rows = slice(top, top + LIGHT_ROWS)
        seen = np.ascontiguousarray(x[None, SEEN, rows])
        found = np.asarray(self._graph.run({"x": seen})["factor"], np.float32)[0, 0]
        more = np.zeros((SIDE, SIDE), np.float32)
        share = self._share * np.float32(of_opening(x[INSIDE][0]))
        more[rows] = found**share - np.float32(1.0)
        size = frame.warped.shape[1::-1]
        wide = cv2.resize(more, size, interpolation=cv2.INTER_LINEAR)
        return Refinement(wide[..., None] * frame.warped, cv2.resize(x[GATE][0], size))


class LightAsResidual:
    """The graph in the shape of the other refiners', to be compared with them."""

    def __init__(self, graph: Graph) -> None:
        """Wrap a graph."""
        self._graph = graph

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Map ``x`` (B, CHANNELS, SIDE, SIDE) to ``residual`` and ``alpha``."""
        x = np.asarray(inputs["x"], np.float32)
        more = np.zeros((len(x), 1, SIDE, SIDE), np.float32)
        for one, into in zip(x, more, strict=True):
            top = first_row(one[GATE][0])
            rows = slice(top, top + LIGHT_ROWS)
            seen = np.ascontiguousarray(one[None, SEEN, rows])
            found = np.asarray(self._graph.run({"x": seen})["factor"], np.float32)[0]
            into[:, rows] = found ** np.float32(of_opening(one[INSIDE][0])) - 1.0
        return {"residual": more * (x[:, WARPED] + 1.0), "alpha": x[:, GATE]}
