"""Parity with the CPU of an engine, or of what a compiler is given, for one shipped graph."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto

from visavis.engines.base import Engine
from visavis.engines.graphs.export import read, signature_of
from visavis.engines.graphs.samples import ranges_of
from visavis.engines.onnx_engine import OnnxEngine
from visavis.engines.parity import Parity, compare, require


def check_engine(
    graph: Path, engine: Engine, reference: Engine, *, precision: str = "fp32"
) -> Parity:
    """Compare an engine with the reference on a shipped graph.

    Raises:
        ParityError: they differ; the sentence has the numbers.
    """
    model = read(graph)
    parity = compare(
        engine, reference, signature_of(model), precision=precision, ranges=ranges_of(graph)
    )
    require(parity, engine, graph.name)
    return parity


class _Prepared(OnnxEngine):
    """The graph that a compiler gets, on the CPU."""

    def __init__(self, model: ModelProto) -> None:
        super().__init__(model.SerializeToString(), layout=False)
        self.provider = "The graph prepared for the compiler"


def check_export(graph: Path, prepared: ModelProto, *, precision: str) -> Parity:
    """Compare what a compiler is given with what ships, before it is compiled.

    Raises:
        ParityError: rounding or rewriting changed too much; the sentence has the numbers.
    """
    return check_engine(graph, _Prepared(prepared), OnnxEngine(graph), precision=precision)
