"""The engine benchmark counts right and measures what it says; ``visavis build`` refuses well."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.graphs import MOTION, small_network
from visavis.benchmarks.engines import main as bench
from visavis.benchmarks.engines.floor import Peak, Work, cpu_peak, gpu_peak, work_at, work_of
from visavis.engines.base import EngineError
from visavis.engines.examine import examine, load_engine, shipped, title
from visavis.engines.gpu import Gpu
from visavis.engines.graphs.export import read
from visavis.engines.graphs.samples import DIMS
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.motion.curves import ROUNDING
from visavis.models.motion.features import FEATURES
from visavis.models.motion.layout import LOOK_AHEADS_MS, OUTPUTS, STEP_HOPS, NetConfig
from visavis.models.motion.phones import CLASSES
from visavis.streamer.commands import build as build_command
from visavis.streamer.commands.build import build_plans
from visavis.streamer.errors import BadRequest


def layer(op: str, x: list[int], w: list[int], **attributes: object) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.zeros(w, "f4"), "w")
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w"], ["y"], "n", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("model", "macs"),
    [
        (layer("Conv", [2, 6, 10, 10], [8, 6, 3, 3], pads=[1, 1, 1, 1]), 2 * 8 * 100 * 6 * 9),
        (layer("Conv", [1, 6, 10, 10], [6, 1, 3, 3], group=6), 6 * 64 * 9),
        (layer("ConvTranspose", [1, 6, 5, 5], [6, 4, 2, 2], strides=[2, 2]), 6 * 25 * 4 * 4),
        (layer("MatMul", [3, 4, 5], [5, 7]), 3 * 4 * 5 * 7),
        (layer("Gemm", [5, 4], [5, 7], transA=1), 4 * 5 * 7),
        (layer("Gemm", [4, 5], [7, 5], transB=1), 4 * 5 * 7),
    ],
)
def test_multiplications_are_counted(model: onnx.ModelProto, macs: int) -> None:
    assert work_of(model).macs == macs


def test_the_whole_graph_is_counted(tmp_path: Path) -> None:
    # By hand from the network's sizes: two convolutions, the GRUs, one head, and the phones'
    # opinion of every rounding shape and of how firmly they hold it.
    net = NetConfig()
    width, hidden = net.width, net.hidden
    convolutions = net.kernel * (FEATURES + width) * width
    recurrent = 3 * hidden * (width + hidden) + (net.layers - 1) * 3 * hidden * (hidden + hidden)
    head = net.layers * hidden * len(LOOK_AHEADS_MS) * OUTPUTS
    opinion = len(CLASSES) * (ROUNDING.stop - ROUNDING.start + 1)
    one = work_at(read(MOTION), DIMS, 1)
    assert one.macs == STEP_HOPS * (convolutions + recurrent + head + opinion)
    assert work_at(read(MOTION), DIMS, 8).macs == 8 * one.macs
    fixed = small_network(tmp_path / "fixed.onnx", batch=3)
    free = small_network(tmp_path / "free.onnx")
    assert work_at(read(fixed), {}, 3).macs == work_at(read(free), {}, 3).macs > 1e5
    with pytest.raises(EngineError, match="not known"):
        work_of(read(free))


def test_the_floor_is_arithmetic_or_reading_the_weights() -> None:
    peak = Peak(flops=1e12, bandwidth=1e11, source="made up")
    assert Work(macs=10**9, weight_bytes=10**6).floor_ms(peak) == pytest.approx(2.0)
    assert Work(macs=10**6, weight_bytes=10**9).floor_ms(peak) == pytest.approx(10.0)
    l4 = gpu_peak(Gpu("NVIDIA L4", (8, 9), 1, 1))
    l40s = gpu_peak(Gpu("NVIDIA L40S", (8, 9), 1, 1))
    assert l4 and l40s and l40s.flops > 2 * l4.flops
    assert gpu_peak(Gpu("NVIDIA Z1", (8, 9), 1, 1)) is None
    given = gpu_peak(Gpu("NVIDIA Z1", (8, 9), 1, 1), 10.0)
    assert given and given.flops == 1e13
    assert 1e8 < cpu_peak(1).flops < 1e13


def test_the_benchmark_measures_every_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, out = small_network(tmp_path / "small.onnx"), tmp_path / "out.json"
    arguments = ["--graph", str(graph), "--batch", "1", "--batch", "3", "--seconds", "0.05"]
    assert bench.main([*arguments, "--engine", "cpu", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    found = result["graphs"][title(graph)]["cpu"]
    assert found["provider"] == "CPUExecutionProvider" and found["parity"]["peak"] == 0.0
    assert set(found["batches"]) == {"1", "3"}
    for cost in found["batches"].values():
        assert cost["step_ms"]["n"] > 3 and cost["step_ms"]["p50"] <= cost["step_ms"]["p99"]
        assert cost["floor_ms"] > 0
    assert "cpu" in result["peaks"] and result["machine"]["cores"]
    assert capsys.readouterr().out.count(f"| {title(graph)} | cpu fp32 |") == 2


def test_an_engine_that_is_not_here_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = small_network(tmp_path / "small.onnx")
    monkeypatch.setattr("visavis.engines.onnx_engine.ort.get_available_providers", lambda: [_CPU])
    assert bench.main(["--graph", str(graph), "--engine", "cuda"]) == 1
    assert capsys.readouterr().err == (
        "visavis bench: ONNX Runtime has no CUDA provider installed.\n"
    )


_CPU = "CPUExecutionProvider"


def test_a_provider_is_tried_on_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = small_network(tmp_path / "small.onnx")
    assert examine(graph, "cpu").endswith(" ms a step on 1 thread.")
    from visavis.engines import examine as module

    other = small_network(tmp_path / "other.onnx", seed=5)
    monkeypatch.setattr(module, "load_engine", lambda *_: OnnxEngine(graph))
    assert "differs from the CPU by RMS 0.0e+00" in examine(graph, "cuda")
    monkeypatch.setattr(module, "load_engine", lambda *_: OnnxEngine(other))
    with pytest.raises(EngineError, match="is not used for small"):
        examine(graph, "cuda")


def test_tensorrt_without_a_plan_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from visavis.engines.cache import PlanCache
    from visavis.engines.tensorrt import select as select_tensorrt
    from visavis.engines.tensorrt.compiler import Job

    graph = small_network(tmp_path / "small.onnx")

    def needed(*_: object) -> None:
        raise select_tensorrt.NeedsBuild(Job(graph, "sm89"), PlanCache(tmp_path), "There is none.")

    monkeypatch.setattr(select_tensorrt, "load_plan", needed)
    with pytest.raises(EngineError, match=r"There is none\. Run: visavis build --engine tensorrt"):
        load_engine(graph, "tensorrt", OnnxEngine(graph))


def test_plans_are_built_for_what_ships_with_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, str]] = []

    def build(job: object, cache: object, *, progress: object) -> Path:
        progress(0.5, "Half")  # type: ignore[operator]
        progress(1.0, "compiled")  # type: ignore[operator]
        built.append((job.graph.name, job.target))  # type: ignore[attr-defined]
        return tmp_path / job.graph.name  # type: ignore[attr-defined]

    monkeypatch.setattr("visavis.engines.build.build", build)
    monkeypatch.setattr(
        "visavis.engines.tensorrt.compiler.edition_for", lambda target: "tensorrt_rtx"
    )
    told: list[tuple[float, str]] = []
    paths = build_plans("tensorrt", "sm89", [], tmp_path, lambda *event: told.append(event))
    assert [p.name for p in paths] == [p.name for p in shipped()]
    assert built == [(p.name, "sm89") for p in shipped()]
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert told[0][1] == f"{title(shipped()[0])}: half"


def test_a_build_that_cannot_be_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Gpu:
        raise EngineError("There is no NVIDIA driver on this machine.")

    monkeypatch.setattr(build_command, "find_gpu", missing)
    with pytest.raises(BadRequest, match="not cuda"):
        build_plans("cuda", "sm89", [], tmp_path, print)
    with pytest.raises(BadRequest, match="say what to build for: --target with one of sm75"):
        build_plans("tensorrt", None, [], tmp_path, print)
    monkeypatch.setattr("visavis.engines.tensorrt.compiler.edition_for", lambda target: "tensorrt")
    with pytest.raises(BadRequest, match="on the machine that runs them"):
        build_plans("tensorrt", "sm90", [], tmp_path, print)
