"""What a compiler gets computes what ships: fixed sizes, plain recurrence, halves, no QDQ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.fakes.graphs import MOTION, pictures, small_network
from visavis.engines.base import EngineError
from visavis.engines.export import (
    fix_dims,
    graph_hash,
    prepare,
    read,
    signature_of,
    unroll_gru,
    without_quantisation,
)
from visavis.engines.half import to_half
from visavis.engines.onnx_engine import OnnxEngine
from visavis.engines.parity import compare
from visavis.engines.quantise import RecordingEngine, quantise_static, quantise_where_safe
from visavis.engines.quantise import compare as compare_graphs

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


def test_int8_keeps_the_picture_and_goes_back_to_float(small: Path, tmp_path: Path) -> None:
    batches = [pictures(1, seed) for seed in range(6)]
    out = tmp_path / "int8.onnx"
    made = quantise_static(small, batches[:4], out, check=batches[4:])
    kinds = [n.op_type for n in read(out).graph.node]
    assert "QuantizeLinear" in kinds and made.size == out.stat().st_size
    assert 30.0 < made.worst_db < 90.0 and set(made.psnr_db) == {"result", "memory_out"}
    back = without_quantisation(read(out))
    assert not {"QuantizeLinear", "DequantizeLinear"} & {n.op_type for n in back.graph.node}
    restored = tmp_path / "restored.onnx"
    onnx.save(back, str(restored))
    # Only the weights are rounded now, to 7 bits per channel.
    assert compare_graphs(small, restored, batches[4:])["result"] > made.psnr_db["result"]
    assert compare_graphs(small, small, batches) == {"result": 120.0, "memory_out": 120.0}
    assert prepare(read(out), {}, precision="fp16").graph.node


def test_int8_leaves_out_what_costs_too_much(small: Path, tmp_path: Path) -> None:
    batches = [pictures(1, seed) for seed in range(4)]
    whole = quantise_static(small, batches, tmp_path / "whole.onnx")
    least = whole.worst_db + 1.0
    some = quantise_where_safe(small, batches, tmp_path / "some.onnx", least_db=least)
    assert some.excluded and some.worst_db >= least > whole.worst_db
    with pytest.raises(EngineError, match="100 dB"):
        quantise_where_safe(small, batches, tmp_path / "none.onnx", least_db=100.0)
    assert not (tmp_path / "none.onnx").exists()


def test_calibration_is_recorded_and_required(small: Path, tmp_path: Path) -> None:
    recording = RecordingEngine(OnnxEngine(small), most=3, stride=2)
    recording.warm_up()
    first = pictures(1)
    for _ in range(9):
        assert "result" in recording.run(first)
    assert len(recording.batches) == 3
    kept = recording.batches[0]["picture"].copy()
    first["picture"][...] = 0
    np.testing.assert_array_equal(recording.batches[0]["picture"], kept)
    recording.close()
    with pytest.raises(EngineError, match="at least one batch"):
        quantise_static(small, [], tmp_path / "out.onnx")


def test_a_graph_with_branches_has_no_half_precision(small: Path) -> None:
    model = read(small)
    branch = helper.make_graph([], "branch", [], [])
    model.graph.node.append(
        helper.make_node("If", ["result"], ["late"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(EngineError, match="branches"):
        to_half(model)
