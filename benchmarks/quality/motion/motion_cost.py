"""What one 40 ms step of motion costs, on a machine that does nothing else."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.motion.predictor import Graph, MotionPredictor
from visavis.models.motion.stream import FLOW_GRAPH, MotionStream, load_flow_engine_path

Figures = dict[str, float]


def milliseconds_per_step(graph: Graph, batch: int, rounds: int = 200) -> Figures:
    """Return the time of one 40 ms step of the predictor, front end included."""
    predictor = MotionPredictor(graph)
    state = predictor.init_state(batch)
    pcm = np.random.default_rng(0).standard_normal((batch, 640)).astype(np.float32) * 0.05
    return _timed(lambda: predictor.step(pcm, state), rounds)


def milliseconds_per_frame(stream: Any, rounds: int = 200) -> Figures:
    """Return the time of one frame of a whole stream at 25 fps, behaviour included."""
    motion = stream(fps=25, seed=0)
    pcm = np.random.default_rng(0).standard_normal(640).astype(np.float32) * 0.05
    return _timed(lambda: motion.push(pcm), rounds)


def _timed(step: Any, rounds: int) -> Figures:
    for _ in range(10):
        step()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - began))
    return {f"p{p}": float(np.percentile(times, p)) for p in (50, 95, 99)}


def streams(graph: Graph) -> dict[str, Any]:
    """Return what makes a stream, with the stochastic head and without, where it is shipped."""

    def plain(**options: Any) -> MotionStream:
        return MotionStream(graph, **options)

    found = {"processes only": plain}
    if FLOW_GRAPH.is_file():
        flow = OnnxEngine(load_flow_engine_path())

        def flowing(**options: Any) -> MotionStream:
            return MotionStream(graph, flow=flow, **options)

        found = {"flow head": flowing, **found}
    return found


def costs(graph: Graph) -> dict[str, Figures]:
    """Return milliseconds per 40 ms of the predictor and of whole streams."""
    return {f"predictor, batch {b}": milliseconds_per_step(graph, b) for b in (1, 4, 16)} | {
        f"whole stream, {n}": milliseconds_per_frame(s) for n, s in streams(graph).items()
    }
