"""A refiner of any graph: a shipped one, or one of the networks it was compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.renderer.refiner import Refiner, Refiners, WholeRefiner
from visavis.models.renderer.relight.crop import SEEN, SIDE
from visavis.models.renderer.relight.light import LIGHT_ROWS, MouthLight
from visavis.models.renderer.relight.shade import MouthShade
from visavis.models.renderer.training.relight.eye_runtime import EyeRefiner
from visavis.models.renderer.training.relight.eyes import EYE_SIDE
from visavis.models.renderer.training.relight.runtime import MouthRefiner
from visavis.models.renderer.training.relight.whole import FrameRefiner


def refiner_of(
    graph: Path, *, steps: int = 1, noise: bool = False
) -> Callable[[], Refiner | WholeRefiner | Refiners]:
    """Load a graph and return what makes refiners of it.

    Args:
        graph: ONNX file; its input tells which kind it is.
        steps: of the bridge.
        noise: the graph is a bridge.
    """
    engine = OnnxEngine(graph)
    shape = engine.input_shapes
    if "frame" in shape:
        return lambda: FrameRefiner(engine)
    if shape["x"][1:] == (SEEN.stop - SEEN.start, LIGHT_ROWS, SIDE):
        return lambda: MouthLight(engine)
    if shape["x"][1] == SEEN.stop - SEEN.start:
        return lambda: MouthShade(engine)
    if shape["x"][2] == EYE_SIDE:
        return lambda: Refiners([EyeRefiner(engine)])
    return lambda: MouthRefiner(engine, steps=steps, noise=noise)
