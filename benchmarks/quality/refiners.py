"""A refiner of any graph: the shipped shade, or one of the networks it was compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.onnx_engine import OnnxEngine
from models.renderer.refine.crop import SEEN
from models.renderer.refine.runtime import MouthRefiner
from models.renderer.refine.shade import MouthShade
from models.renderer.refiner import Refiner


def refiner_of(graph: Path, *, steps: int = 1, noise: bool = False) -> Callable[[], Refiner]:
    """Load a graph and return what makes refiners of it.

    Args:
        graph: ONNX file; the channels of its input tell which kind it is.
        steps: of the bridge.
        noise: the graph is a bridge.
    """
    engine = OnnxEngine(graph)
    shape = engine.input_shapes
    if shape["x"][1] == SEEN.stop - SEEN.start:
        return lambda: MouthShade(engine)
    return lambda: MouthRefiner(engine, steps=steps, noise=noise)
