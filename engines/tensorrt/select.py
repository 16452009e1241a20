"""From a shipped graph to a running TensorRT engine: cached plan, or a build behind the scenes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visavis.engines.base import Engine, EngineError
from visavis.engines.build import BackgroundBuild
from visavis.engines.cache import PlanCache, PlanError
from visavis.engines.check import check_engine
from visavis.engines.fallback import FallbackEngine
from visavis.engines.gpu import Gpu, find_gpu
from visavis.engines.graphs.export import Precision
from visavis.engines.graphs.samples import DIMS
from visavis.engines.tensorrt.compiler import DATA_CENTRE, Job, edition_for, key_of, prepared
from visavis.engines.tensorrt.cuda import Cuda
from visavis.engines.tensorrt.engine import TensorRtEngine

_log = logging.getLogger(__name__)


_PRECISIONS: Mapping[str, Precision] = {
    # Adds up what it draws itself: in half precision 100 steps drift several times as far as 8 do,
    # and a graph of 0.25 M parameters gains nothing.
    "flow": "fp32",
}


class NeedsBuild(EngineError):
    """There is no usable plan yet; ``job`` says what to build."""

    def __init__(self, job: Job, cache: PlanCache, why: str) -> None:
        super().__init__(f"{why} It is being built in the background")
        self.why = why
        self.job = job
        self.cache = cache


def job_for(graph: Path, gpu: Gpu) -> Job:
    """Return what to build for a GPU."""
    edition = edition_for(gpu.target)
    return Job(
        graph=graph,
        target=gpu.target,
        edition=edition,
        dims=dict(DIMS),
        precision=precision_of(graph),
        gpu=gpu.name if edition == DATA_CENTRE else "",
    )


def precision_of(graph: Path) -> Precision:
    """Return what the manifest next to a graph asks for, else what was measured, else half."""
    manifest = graph.parent / "manifest.json"
    if manifest.is_file():
        wanted = json.loads(manifest.read_text("utf-8")).get("precision")
        if wanted in ("fp32", "fp16"):
            return wanted  # type: ignore[no-any-return]
    return _PRECISIONS.get(graph.stem, "fp16")


def load_plan(
    graph: Path,
    reference: Engine,
    *,
    cache: PlanCache | None = None,
    gpu: Gpu | None = None,
    cuda: Cuda | None = None,
    trt: Any = None,
) -> TensorRtEngine:
    """Return a TensorRT engine that is warm and agrees with the reference.

    Args:
        graph: the shipped ``.onnx``.
        reference: the same graph on the CPU.
        cache: where plans are.
        gpu: the GPU, asked of the driver if not given.
        cuda: the CUDA runtime, opened if not given.
        trt: the edition's module, imported if not given.

    Raises:
        NeedsBuild: there is no plan, or it cannot be used and was thrown away.
        EngineError: there is no GPU, no memory, or the results differ.
    """
    cache = cache or PlanCache()
    job = job_for(graph, gpu or find_gpu())
    key = key_of(job, prepared(job))
    try:
        plan = cache.load(key)
        if plan is None:
            others = cache.others(key)
            only = f" (only for {', '.join(others)})" if others else ""
            raise PlanError(f"There is no plan of {graph.name} for {key.target}{only}.")
        engine = TensorRtEngine(
            plan,
            edition=job.edition,
            name=graph.name,
            cuda=cuda,
            trt=trt,
            runtime_cache=cache.path(key).with_suffix(".kernels"),
        )
    except PlanError as error:
        cache.discard(key)
        raise NeedsBuild(job, cache, str(error)) from error
    try:
        engine.warm_up()
        check_engine(graph, engine, reference, precision=job.precision)
    except BaseException:
        engine.close()
        raise
    return engine


def upgrade_when_built(
    needed: NeedsBuild,
    engine: FallbackEngine,
    reference: Engine,
    on_ready: Callable[[str], None] | None = None,
    *,
    load: Callable[[], Engine] | None = None,
    command: list[str] | None = None,
) -> BackgroundBuild:
    """Build what is needed in the background and offer it to an engine that serves meanwhile.

    Args:
        needed: what to build.
        engine: serves with the next provider.
        reference: a CPU engine of its own thread for the parity check.
        on_ready: called with a sentence at the end, either way.
        load: makes the engine from the built plan; :func:`load_plan` if not given.
        command: see :class:`visavis.engines.build.BackgroundBuild`.
    """
    graph = needed.job.graph

    def done(error: EngineError | None) -> None:
        try:
            if error is not None:
                raise error
            better = load() if load else load_plan(graph, reference, cache=needed.cache)
        except NeedsBuild as again:  # built, and refused once more: not a second time
            sentence = f"{graph.name} stays on {engine.provider}: {again.why}"
        except Exception as problem:
            sentence = f"{graph.name} stays on {engine.provider}: {str(problem).rstrip('.')}."
        else:
            if not engine.offer("tensorrt", better):
                better.close()
                return
            sentence = f"{graph.name} was built and runs on {better.provider}."
        _log.warning("%s", sentence)
        if on_ready:
            on_ready(sentence)

    build = BackgroundBuild(needed.job, needed.cache, done, command=command)
    engine.ends(build.cancel)  # nobody is left who would run the plan
    return build
