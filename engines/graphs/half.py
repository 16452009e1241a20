"""Half precision in a graph: fp16 weights and products, float32 inputs, outputs and sums.

ONNX Runtime ships a converter too, but it names its casts after nodes and collides on graphs whose
values are read several times.
"""

# onnx's own types name arrays without what is in them.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from visavis.engines.base import EngineError
from visavis.engines.graphs.nodes import UNROLLED, with_nodes

# What loses too much in half precision: recurrences sum their own rounding over minutes, a sampling
# position near 1 has steps of 1/2048 (a tenth of a pixel at 512), and reductions sum many terms.
KEEP_FLOAT = frozenset(
    {
        "GRU", "LSTM", "GridSample", "Softmax", "LogSoftmax", "LayerNormalization",
        "InstanceNormalization", "BatchNormalization", "ReduceMean", "ReduceSum", "ReduceL2",
        "ReduceSumSquare", "Pow", "Exp", "Log", "Sqrt", "Div",
        # These say the dtype of what they make themselves.
        "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform",
    }
)  # fmt: skip
_ONLY_FIRST = frozenset({"Resize", "Pad"})  # their other inputs are sizes, or keep their own dtype
_LARGEST = 65504.0


def to_half(model: ModelProto) -> ModelProto:
    """Return the graph with half-precision weights and products, float32 inputs and outputs.

    Gates and states of recurrences, sampling grids and reductions stay in float32.

    Raises:
        EngineError: a weight is too large for half precision, or the graph has branches.
    """
    if any(a.type in (a.GRAPH, a.GRAPHS) for n in model.graph.node for a in n.attribute):
        raise EngineError("A graph with branches cannot be turned to half precision.")
    return _Converter(model).convert()


class _Converter:
    """One pass over the nodes, casting each value at most once to each precision."""

    def __init__(self, model: ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        self._model = model
        self._weights = {w.name: w for w in model.graph.initializer}
        self._kind = {w.name: w.data_type for w in model.graph.initializer}
        for value in [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]:
            self._kind[value.name] = value.type.tensor_type.elem_type
        self._held = dict(self._kind)  # the dtype a value has in the new graph
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[NodeProto] = []

    def convert(self) -> ModelProto:
        outputs = {o.name for o in self._model.graph.output}
        for node in list(self._model.graph.node):
            if node.op_type == "Constant":
                self._constant(node)
                continue
            wanted = TensorProto.FLOAT if _stays_float(node) else TensorProto.FLOAT16
            new = NodeProto()
            new.CopyFrom(node)
            for i, name in enumerate(node.input):
                if self._kind.get(name) != TensorProto.FLOAT:
                    continue
                if i == 0 or node.op_type not in _ONLY_FIRST:
                    new.input[i] = self._as(name, wanted)
            self._nodes.append(new)
            if node.op_type == "Cast":
                continue
            for i, name in enumerate(node.output):
                if self._kind.get(name) != TensorProto.FLOAT:
                    continue
                if name in outputs and wanted != TensorProto.FLOAT:
                    new.output[i] = f"{name}_half"
                    self._nodes.append(_cast(new.output[i], name, TensorProto.FLOAT))
                    self._casts[name, TensorProto.FLOAT16] = new.output[i]
                else:
                    self._held[name] = wanted
        return with_nodes(self._model, self._nodes)

    def _constant(self, node: NodeProto) -> None:
        """A constant is a weight like any other."""
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if value is None:
            self._nodes.append(node)
            return
        tensor = TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        self._model.graph.initializer.append(tensor)
        self._weights[tensor.name] = tensor
        self._kind[tensor.name] = self._held[tensor.name] = tensor.data_type

    def _as(self, name: str, wanted: int) -> str:
        """Return the name of a value in the wanted precision."""
        if self._held[name] == wanted:
            return name
        if (name, wanted) not in self._casts:
            new = f"{name}_as_{'half' if wanted == TensorProto.FLOAT16 else 'float'}"
            self._casts[name, wanted] = new
            if name in self._weights:
                half = _half(name, numpy_helper.to_array(self._weights[name]))
                self._model.graph.initializer.append(numpy_helper.from_array(half, new))
            else:
                self._nodes.append(_cast(name, new, wanted))
        return self._casts[name, wanted]


def _stays_float(node: NodeProto) -> bool:
    if node.name.startswith(UNROLLED):
        return node.op_type != "MatMul"
    return node.op_type in KEEP_FLOAT


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)


def _half(name: str, value: NDArray[np.generic]) -> NDArray[np.float16]:
    if value.size and float(np.abs(value.astype(np.float64)).max()) > _LARGEST:
        raise EngineError(f"The weight {name} is too large for half precision.")
    return value.astype(np.float16)
