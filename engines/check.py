"""Parity of an engine with the CPU, for one shipped graph."""

from __future__ import annotations

from pathlib import Path

from engines.base import Engine
from engines.export import read, signature_of
from engines.parity import Parity, compare, require
from engines.samples import ranges_of


def check_engine(
    graph: Path, engine: Engine, reference: Engine, *, precision: str = "fp32"
) -> Parity:
    """Compare an engine with the reference on a shipped graph.

    A graph with int8 nodes is held to the tolerance of int8: a GPU runs its weights without the
    rounding of activations.

    Raises:
        ParityError: they differ; the sentence has the numbers.
    """
    model = read(graph)
    if any(n.op_type == "QuantizeLinear" for n in model.graph.node):
        precision = "int8"
    parity = compare(
        engine, reference, signature_of(model), precision=precision, ranges=ranges_of(graph)
    )
    require(parity, engine, graph.name)
    return parity
