"""What a compiler gets computes what ships: fixed sizes, plain recurrence, halves, no QDQ."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.fakes.graphs import MOTION, small_network
from visavis.engines.base import EngineError
from visavis.engines.graphs.export import (
    fix_dims,
    graph_hash,
    prepare,
    read,
    signature_of,
    unroll_gru,
)
from visavis.engines.graphs.half import to_half
from visavis.engines.onnx_engine import OnnxEngine
from visavis.engines.parity import compare

HOPS = {"hops": 4}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.onnx")


def run_prepared(model: onnx.ModelProto) -> OnnxEngine:
    return OnnxEngine(model.SerializeToString(), layout=False)


def test_the_signature_names_what_is_free_and_what_comes_back(small: Path) -> None:
    motion = signature_of(read(MOTION))
    assert motion.free == ("batch", "hops")
    assert set(motion.states) == {t.name for t in motion.inputs} & {
        t.name.removesuffix("_out") for t in motion.outputs if t.name.endswith("_out")
    }
    assert "hidden" in motion.states
    assert signature_of(read(small)).states == ("memory",)


def test_a_free_dimension_without_a_size_is_refused() -> None:
    with pytest.raises(EngineError, match="hops"):
        fix_dims(read(MOTION), {"batch": 1})


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_motion_graph_survives_preparation(precision: str) -> None:
    model = read(MOTION)
    ready = prepare(model, HOPS, precision=precision)  # type: ignore[arg-type]
    kinds = {n.op_type for n in ready.graph.node}
    assert "GRU" not in kinds and signature_of(ready).free == ("batch",)
    stored = {w.data_type for w in ready.graph.initializer if len(w.dims) > 1}
    assert (TensorProto.FLOAT16 in stored) == (precision == "fp16")
    assert {t.dtype for t in signature_of(ready).inputs} == {"float32"}
    parity = compare(
        run_prepared(ready), OnnxEngine(MOTION), signature_of(model), precision=precision, steps=40
    )
    assert parity.passed, parity
    assert (parity.rms < 1e-5) == (precision == "fp32")  # half precision really rounds


def test_half_precision_keeps_pictures_and_states(small: Path) -> None:
    model = read(small)
    ready = prepare(model, {}, precision="fp16")
    parity = compare(run_prepared(ready), OnnxEngine(small), signature_of(model), precision="fp16")
    assert parity.passed and parity.rms > 1e-6
    sampling = next(n for n in ready.graph.node if n.op_type == "GridSample")
    inferred = onnx.shape_inference.infer_shapes(ready)
    kinds = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    assert kinds[sampling.input[1]] == TensorProto.FLOAT


def test_a_batch_can_be_fixed_too(small: Path) -> None:
    ready = prepare(read(small), {"batch": 4})
    assert signature_of(ready).free == ()
    assert signature_of(ready).outputs[0].shape == (4, 3, 16, 16)


def test_the_hash_follows_the_weights(tmp_path: Path, small: Path) -> None:
    other = small_network(tmp_path / "other.onnx", seed=1)
    first = graph_hash(prepare(read(small), {}))
    assert first == graph_hash(prepare(read(small), {}))
    assert first != graph_hash(prepare(read(other), {}))
    assert first != graph_hash(prepare(read(small), {}, precision="fp16"))


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a graph")
    with pytest.raises(EngineError, match=r"bad\.onnx"):
        read(bad)
    with pytest.raises(EngineError, match=r"gone\.onnx"):
        read(tmp_path / "gone.onnx")


def test_a_weight_beyond_half_precision_is_named(small: Path) -> None:
    model = read(small)
    weight = next(w for w in model.graph.initializer if w.name == "w2")
    big = onnx.numpy_helper.to_array(weight) * 1e6
    weight.CopyFrom(onnx.numpy_helper.from_array(big, "w2"))
    with pytest.raises(EngineError, match="w2"):
        to_half(model)


def test_a_recurrence_of_another_kind_is_refused() -> None:
    model = read(MOTION)
    fixed = fix_dims(model, HOPS)
    gru = next(n for n in fixed.graph.node if n.op_type == "GRU")
    for attribute in gru.attribute:
        if attribute.name == "linear_before_reset":
            attribute.i = 0
    with pytest.raises(EngineError, match="linear_before_reset"):
        unroll_gru(fixed)
    with pytest.raises(EngineError, match="not fixed"):
        unroll_gru(read(MOTION))


def test_a_graph_with_branches_has_no_half_precision(small: Path) -> None:
    model = read(small)
    branch = helper.make_graph([], "branch", [], [])
    model.graph.node.append(
        helper.make_node("If", ["result"], ["late"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(EngineError, match="branches"):
        to_half(model)
