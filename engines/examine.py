"""Try a provider on a shipped graph: does it agree with the CPU, and what does a step cost?"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from visavis.engines.base import Engine, EngineError
from visavis.engines.onnx_engine import OnnxEngine

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "weights"
_STEPS = 20
_ENROLMENT = "tracker"  # its graphs run in the photo's child, on the CPU alone


def shipped() -> list[Path]:
    """Return every graph that an engine may run live, in order of their names."""
    return sorted(p for p in WEIGHTS.rglob("*.onnx") if p.parent.name != _ENROLMENT)


def title(graph: Path) -> str:
    """Return ``motion/motion`` for people."""
    return f"{graph.parent.name}/{graph.stem}"


def examine(graph: Path, provider: str, *, threads: int = 1) -> str:
    """Return one sentence: what a step of one slot costs, and how far it is from the CPU.

    Raises:
        EngineError: the provider cannot run the graph, or computes something else.
    """
    reference = OnnxEngine(graph, threads=threads)
    reference.warm_up()
    if provider == "cpu":
        return f"{_step_ms(reference):.2f} ms a step on {threads} thread{'s' * (threads > 1)}."
    from visavis.engines.check import check_engine

    engine = load_engine(graph, provider, reference, threads)
    try:
        parity = check_engine(graph, engine, reference, precision=precision_on(graph, provider))
        cost = _step_ms(engine)
    finally:
        engine.close()
    return f"{cost:.2f} ms a step; differs from the CPU by {parity}."


def load_engine(graph: Path, provider: str, reference: Engine, threads: int = 1) -> Engine:
    """Return one provider's engine, warm, with nothing behind it.

    Raises:
        EngineError: it cannot run the graph, or there is no plan yet.
    """
    if provider == "cpu":
        return OnnxEngine(graph, threads=threads)
    if provider == "tensorrt":
        from visavis.engines.tensorrt.select import NeedsBuild, load_plan

        try:
            return load_plan(graph, reference)
        except NeedsBuild as error:
            raise EngineError(f"{error.why} Run: visavis build --engine tensorrt.") from error
    if provider == "cuda":
        engine: Engine = OnnxEngine(graph, device="cuda", threads=threads)
    else:
        from visavis.engines.torch_engine import TorchEngine

        engine = TorchEngine(graph, threads=threads)
    engine.warm_up()
    return engine


def precision_on(graph: Path, provider: str) -> str:
    """Return the precision that a provider runs a graph in."""
    if provider != "tensorrt":
        return "fp32"
    from visavis.engines.tensorrt.select import precision_of

    return precision_of(graph)


def _step_ms(engine: Engine) -> float:
    """Return the median of some runs on zeros, which is what warming up is."""
    spent: list[float] = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        engine.warm_up()
        spent.append(time.perf_counter() - began)
    return 1000 * statistics.median(spent)
