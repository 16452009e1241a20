"""Writing a graph down: nodes by name, constants once.

``onnx`` writes graphs and is not needed to run them; it is imported by whoever builds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20  # the first with GridSample as compilers take it: "linear", 4-D and 5-D
BATCH = "batch"
_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}


class GraphBuilder:
    """Collects the nodes of a graph; what a method returns is the name of a tensor."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._weights: list[TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int], kind: str = "float32") -> str:
        """Declare an input; the batch comes before ``shape``."""
        info = helper.make_tensor_value_info(name, _TYPES[kind], [BATCH, *shape])
        self._inputs.append(info)
        return name

    def output(self, tensor: str, name: str, shape: Sequence[int], kind: str = "float32") -> None:
        """Declare an output of a type; the batch comes before ``shape``."""
        # One node: TensorRT takes bytes at the graph's edge only, not from node to node.
        self._nodes.append(helper.make_node("Cast", [tensor], [name], name=name, to=_TYPES[kind]))
        info = helper.make_tensor_value_info(name, _TYPES[kind], [BATCH, *shape])
        self._outputs.append(info)

    def constant(self, value: object, kind: str = "float32") -> str:
        """Return a constant, the same one for the same numbers."""
        array = np.ascontiguousarray(np.array(value, np.dtype(kind)))
        key = (kind, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._weights.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def op(self, kind: str, *inputs: str | float, **attributes: Any) -> str:
        """Add a node with one output; plain numbers become float32 constants."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str | float, **attributes: Any) -> list[str]:
        """Add a node with ``count`` outputs."""
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        label = f"{kind.lower()}_{len(self._nodes)}"
        outputs = [label if k == 0 else f"{label}_{k}" for k in range(count)]
        self._nodes.append(helper.make_node(kind, names, outputs, name=label, **attributes))
        return outputs

    def add(self, *terms: str | float) -> str:
        """Return the sum."""
        return self._chain("Add", terms)

    def mul(self, *terms: str | float) -> str:
        """Return the product."""
        return self._chain("Mul", terms)

    def sub(self, a: str | float, b: str | float) -> str:
        """Return ``a - b``."""
        return self.op("Sub", a, b)

    def div(self, a: str | float, b: str | float) -> str:
        """Return ``a / b``."""
        return self.op("Div", a, b)

    def clip(self, value: str, low: float, high: float) -> str:
        """Return the value held within bounds."""
        return self.op("Clip", value, low, high)

    def smooth(self, t: str) -> str:
        """Return the cubic step of ``t`` in 0-1."""
        return self.mul(t, t, self.sub(3.0, self.mul(2.0, t)))

    def shape(self, value: str, *sides: int) -> str:
        """Return the value with other sides after the batch; -1 is worked out."""
        return self.op("Reshape", value, self.constant([0, *sides], "int64"))

    def part(self, value: str, axis: int, start: int, stop: int) -> str:
        """Return ``[start:stop]`` along an axis."""
        limits = [self.constant([v], "int64") for v in (start, stop, axis)]
        return self.op("Slice", value, *limits)

    def channels(self, value: str, count: int, axis: int = -1) -> list[str]:
        """Return the channels one by one, each with that axis kept."""
        return self.ops("Split", count, value, axis=axis, num_outputs=count)

    def number(self, truth: str) -> str:
        """Return 1.0 where it is true, 0.0 elsewhere."""
        return self.op("Cast", truth, to=TensorProto.FLOAT)

    def whole(self, value: str) -> str:
        """Return the value as int64, without its fraction."""
        return self.op("Cast", value, to=TensorProto.INT64)

    def at(self, value: str, index: str) -> str:
        """Return rows of ``(B, N, ...)`` at ``(B, ..., 1)`` int64, each session its own."""
        return self.op("GatherND", value, index, batch_dims=1)

    def _chain(self, kind: str, terms: Sequence[str | float]) -> str:
        total = terms[0]
        for term in terms[1:]:
            total = self.op(kind, total, term)
        assert isinstance(total, str)
        return total

    def model(self, name: str) -> onnx.ModelProto:
        """Return the whole, checked, with the shapes of everything in it."""
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, initializer=self._weights
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10
        )
        onnx.checker.check_model(model)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)
