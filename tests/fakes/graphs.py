"""A small picture network as a graph: convolutions, half size and back, a state, a warp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MOTION = Path(__file__).resolve().parents[2] / "models" / "weights" / "motion" / "motion.onnx"
SIZE = 16


def small_network(path: Path, *, seed: int = 0, batch: str | int = "batch") -> Path:
    """Write the network: picture and memory (batch, 3, 16, 16) to result and memory_out."""
    random = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        scale = 1.0 / np.sqrt(np.prod(shape[1:]) or 1)
        return numpy_helper.from_array((random.standard_normal(shape) * scale).astype("f4"), name)

    grid = np.stack(np.meshgrid(*[np.linspace(-0.9, 0.9, SIZE)] * 2), -1).astype("f4")
    weights = [
        weight("w1", 8, 6, 3, 3), weight("b1", 8), weight("w2", 12, 8, 3, 3), weight("b2", 12),
        weight("w3", 3, 8, 3, 3), weight("b3", 3), weight("wu", 8, 12, 1, 1),
        _constant("scales", np.array([1, 1, 2, 2], "f4")), _constant("grid", grid[None]),
        _constant("half", np.array(0.5, "f4")), _constant("low", np.array(0.0, "f4")),
        _constant("high", np.array(1.0, "f4")), _constant("four", np.array([1, 1, 1], "i8")),
        _constant("zero", np.array(0, "i8")), _constant("first", np.array([0], "i8")),
    ]  # fmt: skip
    pads = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    node = helper.make_node
    nodes = [
        node("Shape", ["picture"], ["sizes"], "shape"),
        node("Gather", ["sizes", "zero"], ["count"], "count", axis=0),
        node("Unsqueeze", ["count", "first"], ["count1"], "count1"),
        node("Concat", ["count1", "four"], ["times"], "times", axis=0),
        node("Tile", ["grid", "times"], ["grids"], "tile"),
        node("Concat", ["picture", "memory"], ["both"], "both", axis=1),
        node("Conv", ["both", "w1", "b1"], ["c1"], "first_conv", **pads),
        node("Relu", ["c1"], ["r1"], "relu1"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], "second_conv", strides=[2, 2], **pads),
        node("Relu", ["c2"], ["r2"], "relu2"),
        node("Conv", ["r2", "wu"], ["u"], "narrow_conv", kernel_shape=[1, 1]),
        node("Resize", ["u", "", "scales"], ["up"], "up", mode="nearest",
             coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        node("Add", ["up", "r1"], ["sum"], "skip"),
        node("Conv", ["sum", "w3", "b3"], ["c3"], "last_conv", **pads),
        node("Tanh", ["c3"], ["t"], "tanh"),
        node("GridSample", ["t", "grids"], ["warped"], "warp", mode="bilinear",
             padding_mode="border", align_corners=1),
        node("Mul", ["warped", "half"], ["scaled"], "scaled"),
        node("Add", ["scaled", "half"], ["raised"], "raised"),
        node("Clip", ["raised", "low", "high"], ["result"], "clip"),
        node("Sub", ["result", "memory"], ["difference"], "difference"),
        node("Mul", ["difference", "half"], ["change"], "change"),
        node("Add", ["memory", "change"], ["memory_out"], "memory_out"),
    ]  # fmt: skip
    shape = [batch, 3, SIZE, SIZE]
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(n, kind, shape) for n in ("picture", "memory")],
        [helper.make_tensor_value_info(n, kind, shape) for n in ("result", "memory_out")],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def pictures(batch: int, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """Return inputs of :func:`small_network`."""
    random = np.random.default_rng(seed)
    shape = (batch, 3, SIZE, SIZE)
    return {n: random.random(shape, dtype=np.float32) for n in ("picture", "memory")}


def _constant(name: str, value: NDArray[np.generic]) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)
