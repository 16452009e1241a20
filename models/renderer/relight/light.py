"""The light of large pictures: on every tooth and lip of an open mouth."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from visavis.models.arrays import Floats, smoothstep
from visavis.models.renderer.relight.crop import GATE, INSIDE, SEEN, SIDE
from visavis.models.renderer.relight.lighting import Graph, Lighting
from visavis.models.shipped import checked

LIGHT_GRAPH = Path(__file__).resolve().parents[2] / "weights" / "light" / "light.onnx"
LIGHT_ROWS = 64  # of the crop's rows, those about the mouth; no mouth of ours opens further
SMALLEST = 384  # side of a picture from which on the network is worth its time


class _LightTuning(NamedTuple):
    """How much of the network's light a mouth gets.

    Set by eye on rendered portraits, not fitted.
    """

    grid: int = 8  # pixels of the network's coarsest cell
    # pixels of the crop: a mouth so high gets nothing, and everything
    opened: tuple[float, float] = (2.0, 7.0)
    own_share: float = 0.6  # of the factor's logarithm


_TUNING = _LightTuning()


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
    return _TUNING.grid * round(float(top) / _TUNING.grid)


def share_of(inside: Floats) -> float:
    """Return how much of the light a mouth gets by its height, 0-1, from ``(SIDE, SIDE)`` 0-1.

    In a gap of a few pixels there is nothing to light, and shading its rim closes it to the eye.
    """
    return smoothstep(*_TUNING.opened, float(inside.sum(0).max()))


class MouthLight(Lighting):
    """Lights a mouth by a factor as fine as the crop.

    So a tooth's edge, the shadow of a lip and the wet of a gum have their own. Its graph maps
    (B, 13, LIGHT_ROWS, SIDE) to (B, 1, LIGHT_ROWS, SIDE).
    """

    side = SIDE

    def __init__(self, graph: Graph, *, own_teeth: bool = False) -> None:
        """Use a loaded graph.

        Args:
            graph: sessions may share it.
            own_teeth: the teeth are the photo's, which are lit as they should be. The network
                cannot tell them from drawn ones and greys their white, so it gets less of a say.
        """
        super().__init__(graph)
        self._share = _TUNING.own_share if own_teeth else 1.0

    def gain(self, x: Floats) -> Floats:
        """Return the factors of the rows about the mouth less one, and 0 in the others."""
        found = np.zeros((SIDE, SIDE), np.float32)
        share = np.float32(self._share * share_of(x[INSIDE][0]))
        if share > 0:
            top = first_row(x[GATE][0])
            rows = slice(top, top + LIGHT_ROWS)
            seen = np.ascontiguousarray(x[None, SEEN, rows])
            factor = np.asarray(self._graph.run({"x": seen})["factor"], np.float32)[0, 0]
            found[rows] = factor**share - np.float32(1.0)
        return found
