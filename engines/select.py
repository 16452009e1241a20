"""Which engine runs a graph here: the best that is installed, or the one that was asked for.

The order is TensorRT, ONNX Runtime on CUDA, torch on CUDA, ONNX Runtime on the CPU. Whatever is
not the CPU has to agree with it on seeded inputs before it is used.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnxruntime as ort

from visavis.engines.base import Engine, EngineError
from visavis.engines.fallback import Candidate, FallbackEngine
from visavis.engines.gpu import Gpu, find_gpu
from visavis.engines.onnx_engine import OnnxEngine

_log = logging.getLogger(__name__)
CHOICES = ("auto", "cpu", "cuda", "tensorrt", "torch")


@dataclass(frozen=True)
class Provider:
    """One way to run graphs.

    Attributes:
        name: what ``--engine`` calls it.
        available: whether graphs can run on it here and now.
        reason: one sentence that says why or why not.
        automatic: whether it is chosen without being asked for.
    """

    name: str
    available: bool
    reason: str
    automatic: bool = True


def providers() -> list[Provider]:
    """Return every provider, best first, with the reason it can or cannot be used."""
    try:
        gpu: Gpu | EngineError = find_gpu()
    except EngineError as error:
        gpu = error
    cpu = Provider("cpu", True, f"ONNX Runtime {ort.__version__} on the CPU.")
    return [_tensorrt(gpu), _cuda(gpu), _torch(gpu), cpu]


def choose(choice: str = "auto") -> str:
    """Return the provider to use.

    Raises:
        EngineError: the choice is unknown or cannot be used here; the sentence says why.
    """
    return _order(choice)[0]


def load(
    graph: Path,
    choice: str = "auto",
    *,
    threads: int = 1,
    on_ready: Callable[[str], None] | None = None,
) -> Engine:
    """Load a graph on the chosen provider, warm, checked, and with the next ones behind it.

    A provider that fails while running is replaced by the next one, also when it was asked for:
    sessions go on. A plan that has to be built first is built in the background, and taken when it
    is ready.

    Args:
        graph: the shipped ``.onnx``.
        choice: one of ``CHOICES``.
        threads: of the CPU.
        on_ready: called with a sentence when a background build has ended, either way.

    Raises:
        EngineError: nothing that was asked for can run the graph.
    """
    order = _order(choice)
    cpu = functools.cache(lambda: _warm(OnnxEngine(graph, threads=threads)))
    if order == ["cpu"]:
        return FallbackEngine(graph.name, [Candidate("cpu", cpu)])
    failed: list[EngineError] = []

    def tensorrt() -> Engine:
        from visavis.engines.tensorrt.select import load_plan

        try:
            return load_plan(graph, cpu())
        except EngineError as error:
            failed.append(error)
            raise

    loaders: dict[str, Callable[[], Engine]] = {
        "tensorrt": tensorrt,
        "cuda": lambda: _checked(graph, OnnxEngine(graph, device="cuda", threads=threads), cpu()),
        "torch": lambda: _checked(graph, _torch_engine(graph, threads), cpu()),
        "cpu": cpu,
    }
    forced = choice not in ("auto", "tensorrt")
    engine = FallbackEngine(
        graph.name, [Candidate(name, loaders[name]) for name in order], required=forced
    )
    if failed:
        from visavis.engines.tensorrt.select import NeedsBuild, upgrade_when_built

        if isinstance(failed[0], NeedsBuild):
            upgrade_when_built(failed[0], engine, cpu(), on_ready)
        elif choice == "tensorrt":
            engine.close()
            raise failed[0]
    return engine


def _order(choice: str) -> list[str]:
    """Return the providers to try; a forced one first, then what may follow when it fails."""
    if choice not in CHOICES:
        raise EngineError(f"There is no engine named {choice}; choose one of {', '.join(CHOICES)}.")
    found = providers()
    if choice == "auto":
        return [p.name for p in found if p.available and p.automatic]
    wanted = next(p for p in found if p.name == choice)
    if not wanted.available:
        raise EngineError(f"The engine {choice} cannot be used: {wanted.reason}")
    after = found[found.index(wanted) + 1 :]
    return [choice, *(p.name for p in after if p.available and p.automatic)]


def _warm(engine: OnnxEngine) -> OnnxEngine:
    engine.warm_up()
    return engine


def _checked(graph: Path, engine: Engine, reference: Engine) -> Engine:
    """Warm an engine up and compare it with the reference.

    Raises:
        EngineError: it cannot run, or differs; it is closed then.
    """
    from visavis.engines.check import check_engine

    try:
        engine.warm_up()
        check_engine(graph, engine, reference)
    except BaseException:
        engine.close()
        raise
    return engine


def _torch_engine(graph: Path, threads: int) -> Engine:
    from visavis.engines.torch_engine import TorchEngine

    return TorchEngine(graph, threads=threads)


def _cuda(gpu: Gpu | EngineError) -> Provider:
    runtime: Any = ort
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        if _installed("onnxruntime-gpu"):
            return Provider(
                "cuda",
                False,
                "onnxruntime and onnxruntime-gpu are both installed and the first one hides the "
                "second: pip install --force-reinstall --no-deps onnxruntime-gpu.",
            )
        return Provider("cuda", False, "ONNX Runtime is installed without its CUDA provider.")
    if isinstance(gpu, EngineError):
        return Provider("cuda", False, str(gpu))
    if importlib.util.find_spec("onnx") is None:
        return Provider("cuda", False, _NO_ONNX)
    return Provider("cuda", True, f"ONNX Runtime {ort.__version__} with CUDA on {gpu}.")


def _tensorrt(gpu: Gpu | EngineError) -> Provider:
    editions = [m for m in ("tensorrt_rtx", "tensorrt") if importlib.util.find_spec(m)]
    if not editions:
        return Provider("tensorrt", False, "TensorRT is not installed.")
    if isinstance(gpu, EngineError):
        can = " It can still build plans for other machines." if "tensorrt_rtx" in editions else ""
        return Provider("tensorrt", False, f"{gpu}{can}")
    for package in ("onnx", "cuda.bindings"):
        if not _importable(package):
            return Provider(
                "tensorrt", False, f"The package {package.split('.')[0]} is missing: {_EXTRA}."
            )
    from visavis.engines.tensorrt.compiler import edition_for, edition_version

    try:
        edition = edition_for(gpu.target)
    except EngineError as error:
        return Provider("tensorrt", False, str(error))
    name = "TensorRT-RTX" if edition == "tensorrt_rtx" else "TensorRT"
    return Provider("tensorrt", True, f"{name} {edition_version(edition)} on {gpu}.")


def _torch(gpu: Gpu | EngineError) -> Provider:
    if importlib.util.find_spec("torch") is None:
        return Provider("torch", False, "PyTorch is not installed.")
    if importlib.util.find_spec("onnx") is None:
        return Provider("torch", False, _NO_ONNX)
    release = version("torch")
    if isinstance(gpu, EngineError) or release.endswith("+cpu"):
        why = str(gpu) if isinstance(gpu, EngineError) else "This PyTorch is built without CUDA."
        reason = f"PyTorch {release} on the CPU, only if asked for. {why}"
        return Provider("torch", True, reason, automatic=False)
    return Provider("torch", True, f"PyTorch {release} with CUDA on {gpu}.")


_EXTRA = "pip install 'visavis[tensorrt]'"
_NO_ONNX = f"The package onnx is missing, which reads the graphs: {_EXTRA}."


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
