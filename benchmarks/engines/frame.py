"""``python -m visavis.benchmarks.engines.frame``: what a GPU would have to do for a frame.

Counted from the graph's own nodes and shapes: as if every node wrote its result to memory; as if
nodes that work value by value were joined to each other; and as if reductions were joined to what
they reduce as well, as good compilers do. Against the data sheets of GPUs. Nothing is run: these
are bounds, not measurements.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from visavis.models.renderer.graph.build import BATCH
from visavis.models.renderer.graph.frame import frame_graph

_BYTES = {TensorProto.FLOAT: 4, TensorProto.INT64: 8, TensorProto.UINT8: 1, TensorProto.BOOL: 1}
_FREE = {"Reshape", "Unsqueeze", "Identity"}
_HEAVY = {
    "MatMul", "Conv", "AveragePool", "GridSample", "Gather", "GatherND", "GatherElements", "TopK",
    "ArgMax", "ArgMin", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum", "ReduceL2",
}  # fmt: skip
_REDUCTIONS = {"ArgMax", "ArgMin", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum"}
_PICKED = {"Gather", "GatherND", "GatherElements"}
_TEXELS = 4  # that a bilinear sample reads
_SAMPLE_FLOPS = 8  # for each
# NVIDIA's data sheets: GB/s of memory, TFLOP/s of float32 outside tensor cores.
GPUS = {
    "RTX 4090": (1008.0, 82.6),
    "L40S": (864.0, 91.6),
    "A100 80 GB": (2039.0, 19.5),
    "H100 SXM": (3350.0, 66.9),
    "H200": (4800.0, 66.9),
}
_REACHED = 0.5  # of a data sheet, assumed
_LAUNCH_S = 2e-6  # of a kernel inside a CUDA graph, assumed
_FPS = 25


@dataclass(frozen=True)
class Count:
    """What a batch of frames costs.

    Attributes:
        flops: floating-point operations.
        apart: bytes, every node by itself.
        joined: bytes, with nodes that work value by value joined to each other.
        reduced: bytes, with reductions joined to what they reduce as well.
        kernels: nodes that cannot be joined.
        largest: bytes of the largest tensor between nodes.
    """

    flops: int
    apart: int
    joined: int
    reduced: int
    kernels: int
    largest: int

    def seconds(self, gpu: str) -> float:
        """Return the least time of a batch, by bytes with reductions joined, flops and launches."""
        bandwidth, teraflops = GPUS[gpu]
        memory = self.reduced / (bandwidth * 1e9 * _REACHED)
        return max(memory, self.flops / (teraflops * 1e12 * _REACHED)) + self.kernels * _LAUNCH_S


def counted(model: ModelProto, batch: int) -> Count:
    """Count a graph at a batch size."""
    size, elements = _sizes(model, batch)
    nodes = [n for n in model.graph.node if n.op_type not in _FREE]
    flops = sum(_flops(node, elements, model) for node in nodes)
    apart = sum(
        sum(_read(node, i, size, elements) for i in range(len(node.input)))
        + sum(size[o] for o in node.output)
        for node in nodes
    )
    joined, reduced = (
        _moved(model, size, elements, heavy) for heavy in (_HEAVY, _HEAVY - _REDUCTIONS)
    )
    kernels = sum(n.op_type in _HEAVY for n in nodes)
    largest = max(size[o] for n in nodes for o in n.output)
    return Count(flops, apart, joined, reduced, kernels, largest)


def _moved(
    model: ModelProto, size: dict[str, int], elements: dict[str, int], heavy: set[str]
) -> int:
    """Return the bytes that pass through memory where only ``heavy`` nodes stand alone.

    Of the others, what a heavy node or the caller reads is written, and what heavy nodes or the
    caller gave is read, once.
    """
    consumers: dict[str, list[NodeProto]] = {}
    same: dict[str, str] = {}  # what only has another shape
    for node in model.graph.node:
        if node.op_type in _FREE:
            same[node.output[0]] = same.get(node.input[0], node.input[0])
    for node in model.graph.node:
        for name in set(node.input) if node.op_type not in _FREE else ():
            consumers.setdefault(same.get(name, name), []).append(node)
    total, given = 0, {i.name for i in model.graph.input}
    given |= {w.name for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in _FREE:
            continue
        alone = node.op_type in heavy
        if alone:
            total += sum(_read(node, i, size, elements) for i in range(len(node.input)))
            given.update(node.output)
        for output in node.output:
            used = consumers.get(output, [])
            if alone or not used or any(u.op_type in heavy for u in used):
                total += size[output]
    return total + sum(
        size[name] for name in given if any(u.op_type not in heavy for u in consumers.get(name, []))
    )


def _sizes(model: ModelProto, batch: int) -> tuple[dict[str, int], dict[str, int]]:
    """Return bytes and values of every tensor."""
    fixed = ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in [*fixed.graph.input, *fixed.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == BATCH:
                dim.dim_value = batch
    known = onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True).graph
    size: dict[str, int] = {}
    elements: dict[str, int] = {}
    for value in [*known.value_info, *known.input, *known.output]:
        kind = value.type.tensor_type
        elements[value.name] = math.prod(d.dim_value for d in kind.shape.dim)
        size[value.name] = elements[value.name] * _BYTES[kind.elem_type]
    for weight in known.initializer:
        elements[weight.name] = math.prod(weight.dims)
        size[weight.name] = elements[weight.name] * _BYTES[weight.data_type]
    return size, elements


def _read(node: NodeProto, i: int, size: dict[str, int], elements: dict[str, int]) -> int:
    """Return the bytes that a node reads of its ``i``-th input."""
    name, whole = node.input[i], size[node.input[i]]
    if i or whole == 0:
        return whole
    if node.op_type in _PICKED:
        return min(whole, size[node.output[0]])
    if node.op_type == "GridSample":
        return min(whole, _TEXELS * elements[node.output[0]] * whole // elements[name])
    return whole


def _flops(node: NodeProto, elements: dict[str, int], model: ModelProto) -> int:
    out = elements[node.output[0]]
    if node.op_type == "MatMul":
        return 2 * out * _inner(node, model)
    if node.op_type == "Conv":
        return 6 * out  # of three channels
    if node.op_type == "GridSample":
        return _SAMPLE_FLOPS * out
    if node.op_type in _HEAVY:
        return elements[node.input[0]]
    return out


def _inner(node: NodeProto, model: ModelProto) -> int:
    """Return the length of a product's sums."""
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*model.graph.value_info, *model.graph.input]
    }
    shapes |= {w.name: list(w.dims) for w in model.graph.initializer}
    first, second = (shapes[name] for name in node.input)
    return int(first[-1] or second[-2])


def table(size: int, batches: tuple[int, ...]) -> str:
    """Return the counts and the bounds as Markdown."""
    model = frame_graph(size)
    lines = [
        f"| {size}² | GFLOP a frame | MB a frame: apart | joined | reductions too | kernels | "
        + " | ".join(GPUS)
        + " |",
        "|---" * (6 + len(GPUS)) + "|",
    ]
    for batch in batches:
        count = counted(model, batch)
        cells = [f"batch {batch}", f"{count.flops / batch / 1e9:.2f}"]
        cells += [f"{v / batch / 1e6:.0f}" for v in (count.apart, count.joined, count.reduced)]
        cells.append(str(count.kernels))
        for gpu in GPUS:
            ms = 1e3 * count.seconds(gpu)
            sessions = int(batch * (1000 / _FPS) / ms)
            cells.append(f"{ms:.1f} ms, {sessions}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, action="append", help="default 256 and 512")
    parser.add_argument("--batch", type=int, action="append", help="default 1, 8 and 32")
    args = parser.parse_args(argv)
    for size in args.size or (256, 512):
        try:
            sys.stdout.write(table(size, tuple(args.batch or (1, 8, 32))) + "\n")
        except ValueError as error:
            sys.stderr.write(f"visavis bench: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
