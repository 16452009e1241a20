"""The motion graphs, loaded once and shared by every stream of a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from visavis.engines.base import Engine

if TYPE_CHECKING:
    from visavis.models.motion.stream import MotionStream


@dataclass(frozen=True)
class MotionModels:
    """What turns sound into coefficients.

    Attributes:
        lips: the predictor's graph.
        flow: the graph of head, brows and smile; None where it is not shipped.
    """

    lips: Engine
    flow: Engine | None

    def stream(
        self,
        *,
        fps: int = 25,
        look_ahead_ms: int = 80,
        seed: int = 0,
        mood: str = "neutral",
        style: float = 1.0,
        eager: bool = False,
    ) -> MotionStream:
        """Return a fresh session's stream.

        Raises:
            ValueError: a setting is out of range.
        """
        from visavis.models.motion.stream import MotionStream

        stream = MotionStream(
            self.lips,
            fps=fps,
            look_ahead_ms=look_ahead_ms,
            seed=seed,
            mood=mood,
            style=style,
            flow=self.flow,
        )
        if eager:
            stream.hurry()
        return stream


def load_motion(engine: str, threads: int = 1, callers: int = 1) -> MotionModels:
    """Load the shipped graphs, checked against their manifest.

    Args:
        engine: the engine to run graphs on.
        threads: threads per graph.
        callers: threads that will run streams; if there are several, what they want at the same
            time is run as one batch.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: a file is not the one its manifest describes.
        EngineError: a graph cannot be run here.
    """
    from visavis.engines import select
    from visavis.models.motion.stream import (
        FLOW_GRAPH,
        load_flow_engine_path,
        load_motion_engine_path,
    )

    lips = select.load(load_motion_engine_path(), engine, threads=threads)
    flow = None
    if FLOW_GRAPH.is_file():
        flow = select.load(load_flow_engine_path(), engine, threads=threads)
    if callers > 1:
        from visavis.engines.batching import BatchingEngine

        lips, flow = BatchingEngine(lips), flow and BatchingEngine(flow)
    return MotionModels(lips, flow)
