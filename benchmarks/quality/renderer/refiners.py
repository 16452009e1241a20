"""A light of any graph: a shipped one, or one that was just trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.renderer.refiner import Refiner
from visavis.models.renderer.relight.crop import SEEN, SIDE
from visavis.models.renderer.relight.light import LIGHT_ROWS, MouthLight
from visavis.models.renderer.relight.shade import SHADE_SIDE, MouthShade

_SEEN = SEEN.stop - SEEN.start


def refiner_of(graph: Path) -> Callable[[], Refiner]:
    """Load a graph and return what makes refiners of it.

    Args:
        graph: ONNX file; its input tells which kind it is.

    Raises:
        ValueError: it is the graph of neither.
    """
    engine = OnnxEngine(graph)
    shape = tuple(engine.input_shapes.get("x", ()))[1:]
    if shape == (_SEEN, LIGHT_ROWS, SIDE):
        return lambda: MouthLight(engine)
    if shape == (_SEEN, SHADE_SIDE, SHADE_SIDE):
        return lambda: MouthShade(engine)
    raise ValueError(f"{graph.name} is the graph of neither light nor shade: its input is {shape}.")
