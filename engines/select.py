"""Which engine runs a graph here: the best that is installed, or the one that was asked for."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from engines.base import Engine, EngineError
from engines.onnx_engine import OnnxEngine

CHOICES = ("auto", "cpu", "cuda", "tensorrt", "torch")


@dataclass(frozen=True)
class Provider:
    """One way to run graphs.

    Attributes:
        name: what ``--engine`` calls it.
        available: whether graphs can run on it here and now.
        reason: one sentence that says why or why not.
    """

    name: str
    available: bool
    reason: str


def providers() -> list[Provider]:
    """Return every provider, best first, with the reason it can or cannot be used."""
    return [_tensorrt(), _cuda(), _torch(), Provider("cpu", True, "ONNX Runtime on the CPU.")]


def choose(choice: str = "auto") -> str:
    """Return the provider to use.

    Raises:
        EngineError: the choice is unknown or cannot be used here; the sentence says why.
    """
    if choice not in CHOICES:
        raise EngineError(f"There is no engine named {choice}; choose one of {', '.join(CHOICES)}.")
    found = {p.name: p for p in providers()}
    if choice == "auto":
        return next(p.name for p in found.values() if p.available)
    if not found[choice].available:
        raise EngineError(f"The engine {choice} cannot be used: {found[choice].reason}")
    return choice


def load(graph: Path, choice: str = "auto", *, threads: int = 1) -> Engine:
    """Load a graph on the chosen provider and warm it up.

    Raises:
        EngineError: nothing that was asked for can run the graph.
    """
    name = choose(choice)
    engine = OnnxEngine(graph, device="cuda" if name == "cuda" else "cpu", threads=threads)
    engine.warm_up()
    return engine


def _cuda() -> Provider:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        return Provider("cuda", True, "ONNX Runtime with its CUDA provider.")
    return Provider("cuda", False, "ONNX Runtime is installed without its CUDA provider.")


def _tensorrt() -> Provider:
    installed = any(importlib.util.find_spec(m) for m in ("tensorrt", "tensorrt_rtx"))
    if not installed:
        return Provider("tensorrt", False, "TensorRT is not installed.")
    return Provider("tensorrt", False, "this version has no TensorRT engine yet.")


def _torch() -> Provider:
    if importlib.util.find_spec("torch") is None:
        return Provider("torch", False, "PyTorch is not installed.")
    return Provider("torch", False, "this version runs no graph on PyTorch yet.")
