"""Compile a graph with TensorRT, in either edition.

``tensorrt_rtx`` (GeForce, RTX workstations, L4, L40S) compiles ahead of time for a named target on
any machine, without a GPU. ``tensorrt`` (data-centre GPUs) compiles on the GPU that will run it and
keeps a timing cache. Both are strongly typed: the precision is the graph's own.
"""

# Types are checked in part: TensorRT has no types.
# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false
from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from onnx import ModelProto

from visavis.engines.base import EngineError
from visavis.engines.cache import PlanKey
from visavis.engines.graphs.export import (
    BATCH,
    BUCKETS,
    Precision,
    TensorSpec,
    graph_hash,
    prepare,
    read,
    signature_of,
)
from visavis.models.files import atomic_write

Progress = Callable[[float, str], None]
RTX = "tensorrt_rtx"
DATA_CENTRE = "tensorrt"
RTX_TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
"""What the RTX edition compiles for: Turing to Blackwell, not the data centre's sm90, sm100."""

_WORKSPACE = 1 << 30


@dataclass(frozen=True)
class Job:
    """What to compile.

    Attributes:
        graph: the shipped ``.onnx``.
        target: ``sm89``.
        edition: ``tensorrt_rtx`` or ``tensorrt``.
        dims: sizes of free dimensions other than the batch.
        precision: of weights and products.
        buckets: batch sizes, one optimisation profile each.
        gpu: the GPU's name, where plans are tuned to it.
    """

    graph: Path
    target: str
    edition: str = RTX
    dims: Mapping[str, int] | None = None
    precision: Precision = "fp16"
    buckets: tuple[int, ...] = BUCKETS
    gpu: str = ""


def edition_for(target: str) -> str:
    """Return the installed edition that compiles for a target.

    Raises:
        EngineError: none does; the sentence says what to install.
    """
    if target in RTX_TARGETS:
        if importlib.util.find_spec(RTX):
            return RTX
        if importlib.util.find_spec(DATA_CENTRE):
            return DATA_CENTRE
        raise EngineError("TensorRT is not installed: pip install 'visavis[tensorrt]'.")
    if not target.startswith("sm") or not target[2:].isdigit():
        raise EngineError(f"{target} is no target; use one like {', '.join(RTX_TARGETS)}.")
    if importlib.util.find_spec(DATA_CENTRE):
        return DATA_CENTRE
    raise EngineError(
        f"{target} needs TensorRT's data-centre edition on the machine itself: "
        "pip install tensorrt-cu13."
    )


def edition_version(edition: str) -> str:
    """Return an edition's version without loading its 200 MB library."""
    for package in (f"{edition.replace('_', '-')}-cu13", f"{edition.replace('_', '-')}-cu12"):
        with contextlib.suppress(PackageNotFoundError):
            return version(package)
    return str(load_edition(edition).__version__)


def load_edition(edition: str) -> Any:
    """Import an edition.

    Raises:
        EngineError: it is missing or its libraries do not load.
    """
    try:
        return importlib.import_module(edition)
    except Exception as error:  # a missing library raises OSError, a wrong one RuntimeError
        raise EngineError(f"{edition} cannot be loaded: {error}.") from error


def key_of(job: Job, prepared: ModelProto) -> PlanKey:
    """Return what makes a plan of this job valid."""
    tuned = job.edition == DATA_CENTRE and job.gpu
    return PlanKey(
        graph=job.graph.stem,
        graph_hash=graph_hash(prepared),
        buckets=profile_buckets(prepared, job.buckets),
        precision=job.precision,
        edition=job.edition,
        version=edition_version(job.edition),
        target=f"{job.target} {job.gpu}" if tuned else job.target,
    )


def prepared(job: Job) -> ModelProto:
    """Return the graph as the compiler gets it."""
    return prepare(read(job.graph), job.dims or {}, precision=job.precision)


def profile_buckets(model: ModelProto, buckets: Sequence[int]) -> tuple[int, ...]:
    """Return the buckets, or the one fixed batch of a graph that leaves none open."""
    signature = signature_of(model)
    if BATCH in signature.free:
        return tuple(sorted(buckets))
    first = signature.inputs[0].shape[0] if signature.inputs[0].shape else 1
    return (int(first),)


def compile_plan(
    job: Job,
    model: ModelProto,
    *,
    progress: Progress | None = None,
    timing_cache: Path | None = None,
    trt: Any = None,
) -> bytes:
    """Compile a prepared graph.

    Args:
        job: what for.
        model: from :func:`prepared`.
        progress: called with a share in [0, 1] and the compiler's own words.
        timing_cache: file with timings of earlier builds, updated; the RTX edition times nothing.
        trt: the edition's module, imported if not given.

    Raises:
        EngineError: the parser or the compiler refuses; the sentence has its reason.
    """
    trt = trt or load_edition(job.edition)
    log = _logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(_strongly_typed(trt))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model.SerializeToString()):
        reasons = "; ".join(_reason(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineError(f"TensorRT does not take {job.graph.name}: {reasons}.")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    if job.edition == RTX:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(trt, job.target), 0)
    for bucket in profile_buckets(model, job.buckets):
        config.add_optimization_profile(_profile(builder, signature_of(model).inputs, bucket))
    monitor = _monitor(trt, progress) if progress else None
    if monitor is not None:
        config.progress_monitor = monitor
    timings = None
    if job.edition == DATA_CENTRE and timing_cache is not None:
        old = timing_cache.read_bytes() if timing_cache.is_file() else b""
        timings = config.create_timing_cache(old)
        config.set_timing_cache(timings, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        why = f": {log.worst}" if log.worst else ""
        raise EngineError(f"TensorRT could not compile {job.graph.name} for {job.target}{why}.")
    if timings is not None and timing_cache is not None:
        atomic_write(timing_cache, bytes(timings.serialize()))
    if progress:
        progress(1.0, "compiled")
    return bytes(plan)


def _reason(error: Any) -> str:
    """Return the node that the parser stopped at and its words, in one line."""
    words = " ".join(str(error.desc()).split()).rstrip(".")
    return f"{error.node_operator()} {error.node_name()}: {words}"


def _strongly_typed(trt: Any) -> int:
    """Version 11 knows no other networks and may drop the flag one day."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _capability(trt: Any, target: str) -> Any:
    found = getattr(trt.ComputeCapability, target.upper(), None)
    if found is None:
        raise EngineError(
            f"This TensorRT-RTX does not compile for {target}; it does for "
            f"{', '.join(RTX_TARGETS)}."
        )
    return found


def _profile(builder: Any, inputs: Sequence[TensorSpec], bucket: int) -> Any:
    """Return a profile of exactly one batch size, so that nothing is decided at run time."""
    profile = builder.create_optimization_profile()
    for spec in inputs:
        shape = spec.concrete({BATCH: bucket})
        profile.set_shape(spec.name, shape, shape, shape)
    return profile


def _logger(trt: Any) -> Any:
    """Return a logger that keeps the first error and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.worst = ""

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR and not self.worst and "cuda" not in message.lower():
                self.worst = " ".join(message.split())[:300]

    return Log()


def _monitor(trt: Any, progress: Progress) -> Any:
    """Return the compiler's progress: steps of its outermost phase, divided by the phase within."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._parent: dict[str, str | None] = {}
            self._root = ""
            self._done = 0
            self._last = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = max(1, num_steps)
            self._parent[phase_name] = parent_phase
            if parent_phase is None:
                self._root, self._done = phase_name, 0

        def step_complete(self, phase_name: str, step: int) -> bool:
            within = 0.0
            if phase_name == self._root:
                self._done = step + 1
            elif self._parent.get(phase_name) == self._root:
                within = (step + 1) / self._steps[phase_name]
            share = min(0.99, (self._done + within) / self._steps.get(self._root, 1))
            if share >= self._last + 0.01:
                self._last = share
                progress(share, phase_name)
            return True

        def phase_finish(self, phase_name: str) -> None:
            pass

    return Monitor()
