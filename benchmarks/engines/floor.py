"""How fast a graph could be: its multiplications, and the most the machine does of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from visavis.engines.base import EngineError
from visavis.engines.gpu import Gpu
from visavis.engines.graphs.export import BATCH, prepare, signature_of
from visavis.engines.onnx_engine import OnnxEngine

_SIDE = 768  # of the product that the CPU's peak is measured on; fits the second-level cache thrice
_TRIES = 12

# NVIDIA's data sheets: dense half-precision tensor TFLOP/s with float32 sums, and GB/s of memory.
_GPUS: dict[str, tuple[float, float]] = {
    "H200": (989.0, 4800.0),
    "H100": (989.0, 3350.0),
    "A100": (312.0, 1555.0),
    "L40S": (362.0, 864.0),
    "L4": (121.0, 300.0),
    "RTX 5090": (209.5, 1792.0),
    "RTX 4090": (165.2, 1008.0),
    "RTX 3090": (71.0, 936.0),
    "T4": (65.0, 320.0),
}


@dataclass(frozen=True)
class Peak:
    """The most a device does.

    Attributes:
        flops: floating-point operations per second.
        bandwidth: bytes per second from memory; 0 if not known.
        source: where the figures are from.
    """

    flops: float
    bandwidth: float
    source: str


@dataclass(frozen=True)
class Work:
    """What one step of a graph needs.

    Attributes:
        macs: multiplications with their additions, of convolutions and products.
        weight_bytes: of all weights, as stored in the graph.
    """

    macs: int
    weight_bytes: int

    def floor_ms(self, peak: Peak) -> float:
        """Return the least time: arithmetic at the peak, or reading the weights once."""
        compute = 2 * self.macs / peak.flops
        memory = self.weight_bytes / peak.bandwidth if peak.bandwidth else 0.0
        return 1000 * max(compute, memory)


def work_at(model: ModelProto, dims: Mapping[str, int], batch: int) -> Work:
    """Return what a shipped graph needs at a batch size.

    Counted at two slots and scaled: shapes at one slot are ambiguous to the inference, since 1 may
    also be a dimension that is stretched.
    """
    fixed = prepare(model, {**dims, BATCH: 2})
    if BATCH not in signature_of(model).free:
        return work_of(fixed)
    two = work_of(fixed)
    return Work(two.macs * batch // 2, two.weight_bytes)


def work_of(model: ModelProto) -> Work:
    """Count a graph whose shapes are all fixed.

    Raises:
        EngineError: a size is not fixed.
    """
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    }
    shapes |= {w.name: list(w.dims) for w in model.graph.initializer}
    macs = 0
    for node in model.graph.node:
        count = _COUNTS.get(node.op_type)
        if count is not None:
            involved = [*node.input[:2], node.output[0]]
            if not all(0 not in shapes.get(n, [0]) for n in involved):
                raise EngineError(f"The sizes of {node.name} are not known.")
            macs += count([shapes[n] for n in node.input if n], shapes[node.output[0]], node)
    weights = sum(
        int(np.prod(w.dims)) * helper.tensor_dtype_to_np_dtype(w.data_type).itemsize
        for w in model.graph.initializer
        if len(w.dims) > 1
    )
    return Work(macs, weights)


def cpu_peak(threads: int) -> Peak:
    """Measure the best product of two square matrices on as many threads."""
    shape = [_SIDE, _SIDE]
    names = {"a": TensorProto.FLOAT, "b": TensorProto.FLOAT}
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "peak",
        [helper.make_tensor_value_info(n, kind, shape) for n, kind in names.items()],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    engine = OnnxEngine(model.SerializeToString(), threads=threads)
    random = np.random.default_rng(0)
    inputs = {n: random.random(shape, dtype=np.float32) for n in names}
    best = np.inf
    for _ in range(_TRIES):
        began = time.perf_counter()
        engine.run(inputs)
        best = min(best, time.perf_counter() - began)
    flops = 2 * _SIDE**3 / best
    return Peak(flops, 0.0, f"measured: {flops / 1e9:.0f} GFLOP/s in a product of {_SIDE}²")


def gpu_peak(gpu: Gpu, tflops: float | None = None) -> Peak | None:
    """Return a GPU's peak from its data sheet or as given; None if neither is known."""
    for name, (sheet, bandwidth) in _GPUS.items():
        if name in gpu.name:
            rate = tflops or sheet
            return Peak(rate * 1e12, bandwidth * 1e9, f"data sheet of the {name}: {rate} TFLOP/s")
    return Peak(tflops * 1e12, 0.0, f"given: {tflops} TFLOP/s") if tflops else None


def _conv(inputs: list[list[int]], output: list[int], node: onnx.NodeProto) -> int:
    weight = inputs[1]  # (out, in / group, kernel...)
    return int(np.prod(output)) * int(np.prod(weight[1:]))


def _transposed(inputs: list[list[int]], output: list[int], node: onnx.NodeProto) -> int:
    weight = inputs[1]  # (in, out / group, kernel...)
    return int(np.prod(inputs[0])) * int(np.prod(weight[1:]))


def _product(inputs: list[list[int]], output: list[int], node: onnx.NodeProto) -> int:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    inner = inputs[0][0] if transposed else inputs[0][-1]
    return int(np.prod(output)) * inner


_COUNTS: dict[str, Callable[[list[list[int]], list[int], onnx.NodeProto], int]] = {
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "MatMul": _product,
    "Gemm": _product,
}
