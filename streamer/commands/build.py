"""``visavis build``: compile shipped graphs for a GPU, here or for another machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from visavis.engines.base import EngineError
from visavis.engines.examine import shipped, title
from visavis.engines.gpu import Gpu, find_gpu
from visavis.streamer.errors import BadRequest

Report = Callable[[float, str], None]
_NO_ONNX = "The package onnx is missing, which reads the graphs: pip install 'visavis[tensorrt]'."


def build_plans(
    engine: str,
    target: str | None,
    graphs: Sequence[Path],
    output: Path | None,
    report: Report,
) -> list[Path]:
    """Build a plan of every graph.

    Args:
        engine: only ``tensorrt`` is built ahead of time.
        target: ``sm89``; that of this machine's GPU if None.
        graphs: ``.onnx`` files, what ships if empty.
        output: folder of the plans, the one that the server looks in if None.
        report: called with the share of the whole in [0, 1] and what is being done.

    Returns:
        The plans' paths.

    Raises:
        BadRequest: the engine is not built ahead of time, or the target has to be given.
        EngineError: a graph cannot be built.
    """
    if engine != "tensorrt":
        raise BadRequest(f"Only tensorrt is built ahead of time, not {engine}.")
    try:
        from visavis.engines.build import build
    except ModuleNotFoundError as error:
        raise EngineError(_NO_ONNX) from error
    from visavis.engines.cache import PlanCache
    from visavis.engines.graphs.samples import DIMS
    from visavis.engines.tensorrt.compiler import DATA_CENTRE, RTX_TARGETS, Job, edition_for
    from visavis.engines.tensorrt.select import job_for, precision_of

    cache = PlanCache(output)
    paths: list[Path] = []
    wanted = list(graphs) or shipped()

    def progress(share: float, phase: str) -> None:
        done = len(paths)
        report((done + share) / len(wanted), f"{title(wanted[done])}: {phase.lower()}")

    for graph in wanted:
        if target is None:
            job = job_for(graph, _gpu(RTX_TARGETS))
        else:
            edition = edition_for(target)
            if edition == DATA_CENTRE:
                raise BadRequest(
                    f"Plans for {target} are built on the machine that runs them: "
                    "leave --target out there."
                )
            job = Job(graph, target, edition, dict(DIMS), precision_of(graph))
        paths.append(build(job, cache, progress=progress))
    return paths


def _gpu(targets: Sequence[str]) -> Gpu:
    try:
        return find_gpu()
    except EngineError as error:
        raise BadRequest(
            f"{str(error).rstrip('.')}, so say what to build for: "
            f"--target with one of {', '.join(targets)}."
        ) from error
