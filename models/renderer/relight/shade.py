"""The light of small and of hurried pictures: a smooth factor from a small network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from visavis.models.arrays import Floats
from visavis.models.renderer.relight.crop import SEEN, SIDE
from visavis.models.renderer.relight.lighting import Lighting
from visavis.models.shipped import checked

SHADE_GRAPH = Path(__file__).resolve().parents[2] / "weights" / "mouth" / "shade.onnx"
SHADE_SIDE = SIDE // 2  # pixels of the crop that the network sees
CELLS = SHADE_SIDE // 2  # cells of the factor it answers with


def shade_graph() -> Path:
    """Return the shipped graph after checking it against its manifest.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: the file is not the one its manifest describes.
    """
    return checked(SHADE_GRAPH, "mouth", "visavis train renderer --stages shade")


class MouthShade(Lighting):
    """Lights a mouth by ``CELLS`` x ``CELLS`` factors.

    Its graph maps (B, 13, SHADE_SIDE, SHADE_SIDE) to (B, 1, CELLS, CELLS).
    """

    side = SHADE_SIDE

    def gain(self, x: Floats) -> Floats:
        """Return the cells' factors less one."""
        cells = np.asarray(self._graph.run({"x": x[None, SEEN]})["factor"], np.float32)
        return cells[0, 0] - np.float32(1.0)
