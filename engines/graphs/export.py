"""Make a shipped graph ready for a GPU compiler: fixed sizes, plain recurrence, half precision.

Every step takes and returns an ONNX model, so each can be tested alone against ONNX Runtime. Needs
the package ``onnx``; the server on a CPU does not.
"""

# onnx's own types name arrays without what is in them.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from visavis.engines.base import EngineError
from visavis.engines.graphs.nodes import UNROLLED, with_nodes

Precision = Literal["fp32", "fp16"]
BUCKETS: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
BATCH = "batch"
"""The one dimension that may stay free in a shipped graph; every other name gets a fixed size."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: as in the graph.
        dtype: numpy name, ``"float32"``.
        shape: sizes, or names where they are free.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def concrete(self, dims: Mapping[str, int]) -> tuple[int, ...]:
        """Return the sizes with names replaced; names that ``dims`` lacks count as one."""
        return tuple(d if isinstance(d, int) else dims.get(d, 1) for d in self.shape)


@dataclass(frozen=True)
class Signature:
    """What goes in and comes out of a graph."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def free(self) -> tuple[str, ...]:
        """Return the names of the inputs' free dimensions, sorted."""
        return tuple(sorted({d for t in self.inputs for d in t.shape if isinstance(d, str)}))

    @property
    def states(self) -> tuple[str, ...]:
        """Return the inputs ``x`` that come back as an output ``x_out``."""
        outputs = {t.name for t in self.outputs}
        return tuple(t.name for t in self.inputs if f"{t.name}_out" in outputs)


def read(path: Path) -> ModelProto:
    """Load a graph.

    Raises:
        EngineError: it is not there or no ONNX graph.
    """
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # onnx and protobuf raise their own types
        raise EngineError(f"{path} is no graph that can be read: {error}.") from error
    return model


def signature_of(model: ModelProto) -> Signature:
    """Return names, dtypes and shapes of inputs and outputs."""
    weights = {w.name for w in model.graph.initializer}
    return Signature(
        tuple(_spec(v) for v in model.graph.input if v.name not in weights),
        tuple(_spec(v) for v in model.graph.output),
    )


def graph_hash(model: ModelProto) -> str:
    """Return the SHA-256 of the model's canonical bytes."""
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def prepare(
    model: ModelProto, dims: Mapping[str, int], *, precision: Precision = "fp32"
) -> ModelProto:
    """Return the graph that a compiler gets: the batch may stay free, nothing else.

    Args:
        model: a shipped graph.
        dims: sizes of the free dimensions; ``{"batch": 4, "hops": 4}`` or without the batch.
        precision: ``fp16`` stores and multiplies in half, with float32 inputs and outputs.

    Raises:
        EngineError: a dimension is free that ``dims`` does not name.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    copy = fix_dims(copy, dims)
    copy = unroll_gru(copy)
    if precision == "fp16":
        from visavis.engines.graphs.half import to_half

        copy = to_half(copy)
    onnx.checker.check_model(copy)
    return copy


def fix_dims(model: ModelProto, dims: Mapping[str, int]) -> ModelProto:
    """Give sizes to free dimensions, in place; only the batch may stay free.

    Raises:
        EngineError: another dimension stays free.
    """
    missing = [d for d in signature_of(model).free if d not in dims and d != BATCH]
    if missing:
        raise EngineError(f"The graph leaves {', '.join(missing)} open; give each a size.")
    for value in [*model.graph.input, *model.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                name = dim.dim_param
                dim.Clear()
                if name in dims:
                    dim.dim_value = dims[name]
                elif name == BATCH:
                    dim.dim_param = BATCH
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)


def unroll_gru(model: ModelProto) -> ModelProto:
    """Write each GRU as products and gates, one group per step.

    A loop cannot be captured into a CUDA graph by every compiler and costs a launch per step; the
    steps are few and fixed. Only what the motion network uses: forward, ``linear_before_reset``.

    Raises:
        EngineError: a GRU of another kind, or its number of steps is not known.
    """
    grus = [n for n in model.graph.node if n.op_type == "GRU"]
    if not grus:
        return model
    sizes = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    weights |= {
        n.output[0]: numpy_helper.to_array(n.attribute[0].t)
        for n in model.graph.node
        if n.op_type == "Constant" and n.attribute[0].name == "value"
    }
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "GRU":
            nodes.append(node)
            continue
        nodes += _unrolled(model, node, sizes, weights, f"{UNROLLED}_{grus.index(node)}")
    return with_nodes(model, nodes)


def _unrolled(
    model: ModelProto,
    node: NodeProto,
    sizes: Mapping[str, onnx.ValueInfoProto],
    weights: Mapping[str, NDArray[np.generic]],
    prefix: str,
) -> list[NodeProto]:
    """Return the nodes of one GRU; X is (steps, batch, in), the state (1, batch, hidden)."""
    kind = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    steps = _size(sizes, node.input[0])
    if kind.get("linear_before_reset", 0) != 1 or kind.get("direction", b"forward") != b"forward":
        raise EngineError("Only forward GRUs with linear_before_reset can be unrolled.")
    w, r, b = (np.asarray(weights[name])[0] for name in node.input[1:4])
    hidden = r.shape[1]
    constants = {"w": w.T, "r": r.T, "bw": b[: 3 * hidden], "br": b[3 * hidden :]}
    constants |= {"axis1": np.ones(1, np.int64)}
    for name, value in constants.items():
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), f"{prefix}_{name}")
        model.graph.initializer.append(tensor)
    return _Unrolling(model, prefix, hidden).nodes(node, steps)


class _Unrolling:
    """Writes one GRU as plain nodes; its weights stand in the graph under ``prefix`` already."""

    def __init__(self, model: ModelProto, prefix: str, hidden: int) -> None:
        self._model, self._prefix, self._hidden = model, prefix, hidden
        self._made: list[NodeProto] = []

    def _add(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> list[str]:
        name = self._named(f"{op}_{len(self._made)}")
        self._made.append(helper.make_node(op, inputs, outputs, name=name, **attributes))
        return outputs

    def _named(self, name: str) -> str:
        return f"{self._prefix}_{name}"

    def _constant(self, name: str, value: NDArray[np.int64]) -> str:
        tensor = numpy_helper.from_array(value, self._named(name))
        self._model.graph.initializer.append(tensor)
        return tensor.name

    def _thirds(self, name: str) -> list[str]:
        """Split update, reset and new gate."""
        parts = [self._named(f"{name}_{gate}") for gate in "zrh"]
        third = self._constant(f"split_{name}", np.full(3, self._hidden, np.int64))
        return self._add("Split", [self._named(name), third], parts, axis=-1)

    def nodes(self, node: NodeProto, steps: int) -> list[NodeProto]:
        """Return the nodes that compute what ``node`` computes in so many steps."""
        named, add = self._named, self._add
        # All steps' input products in one multiplication: (steps, batch, 3 * hidden).
        add("MatMul", [node.input[0], named("w")], [named("xw")])
        add("Add", [named("xw"), named("bw")], [named("x")])
        xs = [named(f"x{t}") for t in range(steps)]
        if steps > 1:
            ones = self._constant("steps", np.ones(steps, np.int64))
            add("Split", [named("x"), ones], xs, axis=0)
        else:
            add("Identity", [named("x")], xs)
        state, states = node.input[5], []
        for t, x in enumerate(xs):
            state = self._step(t, x, state)
            states.append(state)
        return self._made + _gru_outputs(node, states, self._prefix)

    def _step(self, t: int, x: str, state: str) -> str:
        """Add one step; return its state."""
        named, add = self._named, self._add
        add("Identity", [x], [named(f"gx{t}")])
        xz, xr, xh = self._thirds(f"gx{t}")
        add("MatMul", [state, named("r")], [named(f"hw{t}")])
        add("Add", [named(f"hw{t}"), named("br")], [named(f"gh{t}")])
        hz, hr, hh = self._thirds(f"gh{t}")
        z, reset, new = named(f"z{t}"), named(f"reset{t}"), named(f"new{t}")
        add("Sigmoid", add("Add", [xz, hz], [f"{z}_sum"]), [z])
        add("Sigmoid", add("Add", [xr, hr], [f"{reset}_sum"]), [reset])
        gated = add("Mul", [reset, hh], [f"{new}_gated"])
        add("Tanh", add("Add", [xh, *gated], [f"{new}_sum"]), [new])
        # h = n + z (h - n), which rounds less than (1 - z) n + z h.
        step = add("Mul", [z, *add("Sub", [state, new], [f"{new}_step"])], [f"{new}_part"])
        return add("Add", [new, *step], [named(f"h{t}")])[0]


def _gru_outputs(node: NodeProto, states: list[str], prefix: str) -> list[NodeProto]:
    """Return what gives the GRU's own outputs: Y (steps, 1, batch, hidden), Y_h the last state."""
    made: list[NodeProto] = []
    if node.output and node.output[0]:
        stacked = f"{prefix}_stacked"
        made.append(helper.make_node("Concat", states, [stacked], name=f"{prefix}_Concat", axis=0))
        made.append(
            helper.make_node(
                "Unsqueeze",
                [stacked, f"{prefix}_axis1"],
                [node.output[0]],
                name=f"{prefix}_Unsqueeze",
            )
        )
    if len(node.output) > 1 and node.output[1]:
        made.append(
            helper.make_node("Identity", [states[-1]], [node.output[1]], name=f"{prefix}_last")
        )
    return made


def _size(sizes: Mapping[str, onnx.ValueInfoProto], name: str) -> int:
    """Return the first size of a tensor."""
    value = sizes.get(name)
    if value is None or not value.type.tensor_type.shape.dim[0].HasField("dim_value"):
        raise EngineError(f"The number of steps of {name} is not fixed, so it cannot be unrolled.")
    return int(value.type.tensor_type.shape.dim[0].dim_value)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
    shape = tuple(
        int(d.dim_value) if d.HasField("dim_value") else (d.dim_param or f"{value.name}_{i}")
        for i, d in enumerate(kind.shape.dim)
    )
    return TensorSpec(value.name, dtype, shape)
