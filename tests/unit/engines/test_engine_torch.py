"""The torch engine against ONNX Runtime; collected where torch is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.graphs import pictures, small_network
from visavis.engines.base import EngineError, InputError
from visavis.engines.check import check_engine
from visavis.engines.examine import shipped
from visavis.engines.graphs.export import BATCH, prepare, read, signature_of
from visavis.engines.graphs.samples import DIMS
from visavis.engines.onnx_engine import OnnxEngine
from visavis.engines.parity import compare
from visavis.engines.torch_engine import TorchEngine

SHIPPED = shipped()


@pytest.mark.parametrize("graph", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_shipped_graph_runs_on_torch(graph: Path) -> None:
    engine = TorchEngine(graph, device="cpu")
    engine.warm_up()
    assert engine.provider == "torch CPU"
    check_engine(graph, engine, OnnxEngine(graph))


def test_states_batches_and_pictures_agree_closely(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    engine = TorchEngine(graph, device="cpu")
    parity = compare(engine, OnnxEngine(graph), signature_of(read(graph)), batches=(1, 3), steps=30)
    assert parity.peak < 1e-4


def test_a_step_reads_nothing_from_the_device(tmp_path: Path) -> None:
    """On the device named meta there are shapes but no values: reading one raises.

    What reads none can be recorded as a CUDA graph.
    """
    for graph in (*SHIPPED, small_network(tmp_path / "small.onnx")):
        declared = signature_of(prepare(read(graph), DIMS)).outputs
        shapes = TorchEngine(graph, device="meta").shapes(2)
        assert shapes == {out.name: out.concrete({BATCH: 2}) for out in declared}


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    engine = TorchEngine(graph, device="cpu")
    good = pictures(2)
    for bad, words in (
        ({"picture": good["picture"]}, "memory"),
        ({**good, "memory": good["memory"][:1]}, "must be float32"),
        ({**good, "memory": good["memory"].astype("f8")}, "float64"),
    ):
        with pytest.raises(InputError, match=words):
            engine.run(bad)
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="no CUDA"):
            TorchEngine(graph, device="cuda")
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(good)


def graph_of(path: Path, nodes: list[onnx.NodeProto], shape: list[int], **weights: object) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), str(path))
    return path


def f4(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype("f4")


_CASES = {
    "SpaceToDepth": ({"blocksize": 2}, {}),
    "DepthToSpace": ({"blocksize": 2}, {}),
    "DepthToSpace CRD": ({"blocksize": 2, "mode": "CRD"}, {}),
    "ConvTranspose": ({"strides": [2, 2], "pads": [1, 1, 1, 1]}, {"w": f4(4, 3, 4, 4)}),
    "Conv": ({"pads": [0, 1, 2, 1], "group": 2}, {"w": f4(6, 2, 3, 3), "b": f4(6)}),
    "AveragePool": ({"kernel_shape": [2, 2], "strides": [2, 2]}, {}),
    "MaxPool": ({"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, {}),
    "GlobalAveragePool": ({}, {}),
    "LeakyRelu": ({"alpha": 0.2}, {}),
    "HardSigmoid": ({}, {}),
    "HardSwish": ({}, {}),
    "PRelu": ({}, {"slope": f4(4, 1, 1)}),
    "Elu": ({}, {}),
    "Softmax": ({"axis": 1}, {}),
    "Flatten": ({"axis": 2}, {}),
    "Transpose": ({"perm": [0, 2, 3, 1]}, {}),
    "ReduceMean": ({"axes": [2, 3], "keepdims": 0}, {}),
    "ReduceMax": ({"axes": [1]}, {}),
    "ReduceSum": ({}, {"axes": np.array([2], "i8")}),
    "Slice": ({}, {"s": np.array([-3, 5], "i8"), "e": np.array([99, -9], "i8"),
                   "a": np.array([2, 3], "i8"), "t": np.array([2, -1], "i8")}),
    "Gather": ({"axis": 1}, {"i": np.array([[2, 0], [-1, 1]], "i8")}),
    "Pad": ({"mode": "reflect"}, {"p": np.array([0, 0, 1, 2, 0, 0, 2, 1], "i8")}),
    "Pad constant": ({}, {"p": np.array([0, 0, 1, 0, 0, 0, 0, 2], "i8"), "v": np.float32(3)}),
    "Expand": ({}, {"s": np.array([2, 4, 6, 6], "i8")}),
    "Tile": ({}, {"t": np.array([1, 2, 1, 1], "i8")}),
    "InstanceNormalization": ({}, {"w": f4(4), "b": f4(4)}),
    "LayerNormalization": ({"axis": -1}, {"w": f4(6), "b": f4(6)}),
    "Pow": ({}, {"two": np.float32(2)}),
    "Clip": ({}, {"lo": np.float32(-0.5), "hi": np.float32(0.5)}),
    "Mod": ({"fmod": 1}, {"m": np.float32(0.3)}),
    "Unsqueeze": ({}, {"a": np.array([0, -1], "i8")}),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(_CASES))
def test_an_operator_agrees_with_onnx_runtime(case: str, tmp_path: Path) -> None:
    attributes, weights = _CASES[case]
    kind = case.split()[0]
    node = helper.make_node(kind, ["x", *weights], ["y"], "n", **attributes)
    shape = [1, 4, 6, 6]
    graph = graph_of(tmp_path / "g.onnx", [node], shape, **weights)
    x = {"x": f4(*shape)}
    wanted, got = OnnxEngine(graph).run(x)["y"], TorchEngine(graph, device="cpu").run(x)["y"]
    np.testing.assert_allclose(got, wanted, atol=2e-6)


@pytest.mark.parametrize(
    ("mode", "where", "nearest"),
    [
        ("nearest", "asymmetric", "floor"),
        ("nearest", "half_pixel", "round_prefer_floor"),
        ("linear", "half_pixel", "round_prefer_floor"),
        ("linear", "align_corners", "round_prefer_floor"),
    ],
)
def test_resizing_agrees_with_onnx_runtime(
    mode: str, where: str, nearest: str, tmp_path: Path
) -> None:
    node = helper.make_node(
        "Resize", ["x", "", "scales"], ["y"], "n", mode=mode, nearest_mode=nearest,
        coordinate_transformation_mode=where,
    )  # fmt: skip
    graph = graph_of(tmp_path / "g.onnx", [node], [1, 4, 6, 6], scales=np.array([1, 1, 2, 2], "f4"))
    x = {"x": f4(1, 4, 6, 6)}
    wanted, got = OnnxEngine(graph).run(x)["y"], TorchEngine(graph, device="cpu").run(x)["y"]
    np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path / "g.onnx", [helper.make_node("Hardmax", ["x"], ["y"], "n")], [1, 4, 6, 6]
    )
    with pytest.raises(EngineError, match="no Hardmax"):
        TorchEngine(graph, device="cpu")
