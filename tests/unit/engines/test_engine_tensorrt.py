"""The TensorRT engine on a GPU in main memory: buffers, buckets, CUDA graphs, what goes wrong."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.fake_tensorrt import FakeCuda, FakeTensorRt
from tests.fakes.graphs import MOTION, pictures, small_network
from visavis.engines.base import EngineError, InputError, OutOfMemory
from visavis.engines.cache import PlanCache, PlanError
from visavis.engines.fallback import Candidate, FallbackEngine
from visavis.engines.gpu import Gpu, find_gpu
from visavis.engines.graphs.export import read, signature_of
from visavis.engines.onnx_engine import OnnxEngine
from visavis.engines.parity import ParityError, compare
from visavis.engines.tensorrt import select as select_tensorrt
from visavis.engines.tensorrt.compiler import Job, compile_plan, key_of, prepared
from visavis.engines.tensorrt.cuda import Cuda
from visavis.engines.tensorrt.engine import TensorRtEngine
from visavis.engines.tensorrt.select import NeedsBuild, load_plan, upgrade_when_built

ADA = Gpu("NVIDIA L4", (8, 9), 24 << 30, 13000)


def plan_of(graph: Path, **changes: Any) -> bytes:
    job = Job(graph, "sm89", dims={"hops": 4}, precision="fp32", buckets=(1, 4))
    job = dataclasses.replace(job, **changes)
    return compile_plan(job, prepared(job), trt=FakeTensorRt(FakeCuda()))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.onnx")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_motion_through_plan_and_buffers_agrees_with_the_cpu(precision: str) -> None:
    cuda = FakeCuda()
    engine = TensorRtEngine(
        plan_of(MOTION, precision=precision), cuda=cuda, trt=FakeTensorRt(cuda), name="motion"
    )
    engine.warm_up()
    assert engine.buckets == (1, 4) and engine.provider == "TensorRT-RTX"
    parity = compare(
        engine,
        OnnxEngine(MOTION),
        signature_of(read(MOTION)),
        precision=precision,
        batches=(1, 3, 9),  # a bucket, padded, and cut in three
    )
    assert parity.passed, parity
    assert cuda.launches == 8 * (1 + 1 + 3)  # every step one launch of a recorded graph
    assert cuda.eager_steps == 2 * len(engine.buckets)  # warmed up and recorded, never again
    engine.close()
    engine.close()
    assert not cuda.blocks and not cuda.pinned_blocks and cuda.streams == 0
    with pytest.raises(EngineError, match="closed"):
        engine.run({})


def test_without_a_cuda_graph_it_runs_call_by_call(small: Path) -> None:
    cuda = FakeCuda()
    trt = FakeTensorRt(cuda)
    trt.capturable = False
    engine = TensorRtEngine(plan_of(small), cuda=cuda, trt=trt)
    engine.warm_up()
    wanted = OnnxEngine(small).run(pictures(2))
    np.testing.assert_allclose(engine.run(pictures(2))["result"], wanted["result"], atol=1e-5)
    assert cuda.launches == 0


def test_results_are_copies(small: Path) -> None:
    cuda = FakeCuda()
    engine = TensorRtEngine(plan_of(small), cuda=cuda, trt=FakeTensorRt(cuda))
    engine.warm_up()
    first = engine.run(pictures(1, seed=1))["result"]
    kept = first.copy()
    engine.run(pictures(1, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_inputs_that_do_not_fit_are_refused(small: Path) -> None:
    cuda = FakeCuda()
    engine = TensorRtEngine(plan_of(small), cuda=cuda, trt=FakeTensorRt(cuda), name="small")
    good = pictures(2)
    for bad, words in (
        ({"picture": good["picture"]}, "memory of small is missing"),
        ({**good, "memory": good["memory"].astype("f8")}, "float64"),
        ({**good, "memory": good["memory"][:, :2]}, "must be"),
        ({**good, "memory": good["memory"][:1]}, "different batches"),
        (pictures(0), "empty"),
    ):
        with pytest.raises(InputError, match=words):
            engine.run(bad)
    assert engine.run(good)


def test_kernels_finished_on_the_gpu_are_kept(small: Path, tmp_path: Path) -> None:
    cuda, kept = FakeCuda(), tmp_path / "small.kernels"
    for _ in range(2):
        trt = FakeTensorRt(cuda)
        TensorRtEngine(plan_of(small), cuda=cuda, trt=trt, runtime_cache=kept).warm_up()
    assert kept.read_bytes() == b"kernels" and trt.kernels == [b"kernels"]


def test_a_plan_for_another_gpu_is_named(small: Path) -> None:
    cuda = FakeCuda()
    with pytest.raises(PlanError, match="plan of small was built for another GPU"):
        TensorRtEngine(plan_of(small), cuda=cuda, trt=FakeTensorRt(cuda, "sm120"), name="small")
    with pytest.raises(PlanError, match="is damaged"):
        TensorRtEngine(b"rubbish", cuda=cuda, trt=FakeTensorRt(cuda), name="small")


def test_a_plan_that_the_runtime_rejects_without_a_reason(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = FakeCuda()
    trt = FakeTensorRt(cuda)
    runtime = trt.Runtime(None)
    monkeypatch.setattr(type(runtime), "deserialize_cuda_engine", lambda self, plan: None)
    with pytest.raises(PlanError, match="not for this GPU and TensorRT version"):
        TensorRtEngine(plan_of(small), cuda=cuda, trt=trt)


def test_a_full_gpu_gives_everything_back(small: Path) -> None:
    cuda = FakeCuda(memory=40_000)  # room for some of the buffers
    with pytest.raises(OutOfMemory, match="out of memory"):
        TensorRtEngine(plan_of(small), cuda=cuda, trt=FakeTensorRt(cuda))
    assert cuda.left == 40_000 and not cuda.pinned_blocks and cuda.streams == 0


def stored(graph: Path, cache: PlanCache, plan: bytes | None = None) -> Job:
    job = select_tensorrt.job_for(graph, ADA)
    made = plan or compile_plan(job, prepared(job), trt=FakeTensorRt(FakeCuda()))
    cache.store(key_of(job, prepared(job)), made)
    return job


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_tensorrt, "edition_for", lambda target: "tensorrt_rtx")
    monkeypatch.setattr("visavis.engines.tensorrt.compiler.edition_version", lambda edition: "1.0")


def load(graph: Path, cache: PlanCache, trt: FakeTensorRt) -> TensorRtEngine:
    return load_plan(graph, OnnxEngine(graph), cache=cache, gpu=ADA, cuda=trt.cuda, trt=trt)  # type: ignore[arg-type]


@pytest.mark.usefixtures("rtx")
def test_a_kept_plan_is_checked_and_used(small: Path, tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    stored(small, cache)
    engine = load(small, cache, FakeTensorRt(FakeCuda()))
    assert engine.buckets == (1, 2, 4, 8, 16, 32)
    assert engine.run(pictures(5))["result"].shape == (5, 3, 16, 16)


@pytest.mark.usefixtures("rtx")
def test_a_plan_that_computes_something_else_is_refused_with_the_numbers(
    small: Path, tmp_path: Path
) -> None:
    cache, cuda = PlanCache(tmp_path / "plans"), FakeCuda()
    stored(small, cache)
    with pytest.raises(ParityError) as error:
        load(small, cache, FakeTensorRt(cuda, distort=1.05))
    assert "RMS" in str(error.value) and "allowed" in str(error.value)
    assert not cuda.blocks  # closed
    with pytest.raises(ParityError, match="nan"):
        load(small, cache, FakeTensorRt(cuda, distort=float("nan")))


@pytest.mark.usefixtures("rtx")
def test_a_plan_that_cannot_be_used_is_built_again(small: Path, tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    with pytest.raises(NeedsBuild, match=r"There is no plan of small\.onnx for sm89") as error:
        load(small, cache, FakeTensorRt(FakeCuda()))
    assert error.value.job.graph == small
    job = stored(small, cache)
    path = cache.path(key_of(job, prepared(job)))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(NeedsBuild, match="cut short"):
        load(small, cache, FakeTensorRt(FakeCuda()))
    assert not path.exists()
    stored(small, cache)
    with pytest.raises(NeedsBuild, match="built for another GPU"):
        load(small, cache, FakeTensorRt(FakeCuda(), target="sm120"))
    assert not path.exists()


def upgraded(
    graph: Path, tmp_path: Path, load_built: Any, program: str = "pass"
) -> tuple[FallbackEngine, str]:
    """Serve with the CPU while a plan is built; returns the engine and the closing sentence."""
    cpu = OnnxEngine(graph)
    engine = FallbackEngine(graph.name, [Candidate("cpu", lambda: cpu)])
    needed = NeedsBuild(Job(graph, "sm89"), PlanCache(tmp_path / "plans"), "There is none.")
    ended, said = threading.Event(), []

    def ready(sentence: str) -> None:
        said.append(sentence)
        ended.set()

    command = [sys.executable, "-c", program]
    upgrade_when_built(needed, engine, cpu, ready, load=load_built, command=command)
    assert engine.provider == "CPUExecutionProvider" and engine.run(pictures(1))
    assert ended.wait(timeout=60)
    return engine, said[0]


def test_a_plan_built_behind_the_scenes_takes_over_between_two_steps(
    small: Path, tmp_path: Path
) -> None:
    cuda = FakeCuda()
    plan = plan_of(small)

    def load_built() -> TensorRtEngine:
        made = TensorRtEngine(plan, cuda=cuda, trt=FakeTensorRt(cuda))
        made.warm_up()
        return made

    engine, sentence = upgraded(small, tmp_path, load_built)
    assert sentence == "small.onnx was built and runs on TensorRT-RTX."
    before = OnnxEngine(small).run(pictures(2))["result"]
    np.testing.assert_allclose(engine.run(pictures(2))["result"], before, atol=1e-5)
    assert engine.provider == "TensorRT-RTX" and engine.name == "tensorrt"
    cuda.fail_with = EngineError("CUDA failed: unspecified launch failure.")
    np.testing.assert_allclose(engine.run(pictures(2))["result"], before, atol=1e-5)
    assert engine.provider == "CPUExecutionProvider"
    assert engine.notes[-1] == (
        "TensorRT-RTX failed while running small.onnx: CUDA failed: unspecified launch failure; "
        "CPUExecutionProvider is used."
    )
    assert not cuda.blocks


def test_a_build_that_fails_leaves_the_server_where_it_is(small: Path, tmp_path: Path) -> None:
    said = json.dumps({"error": "TensorRT does not take small.onnx: no."})
    program = f"import sys; print({said!r}); sys.exit(1)"
    engine, sentence = upgraded(small, tmp_path, None, program)
    assert sentence == (
        "small.onnx stays on CPUExecutionProvider: TensorRT does not take small.onnx: no."
    )
    assert engine.run(pictures(1))

    def refuse() -> TensorRtEngine:
        raise NeedsBuild(Job(small, "sm89"), PlanCache(tmp_path), "It was built for another GPU.")

    _, sentence = upgraded(small, tmp_path, refuse)
    assert sentence == "small.onnx stays on CPUExecutionProvider: It was built for another GPU."


INT = ctypes.POINTER(ctypes.c_int)


class FakeDriver:
    """The driver's library, as far as :func:`find_gpu` asks."""

    def __init__(self, start: int = 0, count: int = 1) -> None:
        self._start, self._count = start, count

    def cuInit(self, flags: int) -> int:
        return self._start

    def cuDeviceGetCount(self, count: Any) -> int:
        ctypes.cast(count, INT)[0] = self._count
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = b"NVIDIA L4"
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:
        ctypes.cast(memory, ctypes.POINTER(ctypes.c_size_t))[0] = 24 << 30
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        ctypes.cast(version, INT)[0] = 13000
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, device: Any) -> int:
        ctypes.cast(value, INT)[0] = {75: 8, 76: 9}[which]
        return 0


def test_the_driver_is_asked_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_gpu(FakeDriver()) == ADA and ADA.target == "sm89"
    assert str(ADA) == "NVIDIA L4 (sm89, 24 GiB, CUDA 13.0)"
    for driver, words in (
        (FakeDriver(start=100), "no GPU"),
        (FakeDriver(start=803), "older than its library"),
        (FakeDriver(start=999), "error 999"),
        (FakeDriver(count=0), "no GPU"),
    ):
        with pytest.raises(EngineError, match=words):
            find_gpu(driver)

    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(EngineError, match="There is no NVIDIA driver on this machine"):
        find_gpu()


class FakeRuntime(types.SimpleNamespace):
    """``cuda.bindings.runtime`` with a counter per call and a status to return."""

    def __init__(self, status: str = "cudaSuccess", devices: int = 1) -> None:
        names = ("cudaSuccess", "cudaErrorMemoryAllocation", "cudaErrorLaunchFailure")
        names += ("cudaErrorInsufficientDriver", "cudaErrorNoDevice")
        super().__init__(
            cudaError_t=types.SimpleNamespace(**{n: n for n in names}),
            cudaStreamNonBlocking=1,
            status=status,
            cudaGetDeviceCount=lambda: ("cudaSuccess", devices),
            cudaSetDevice=lambda index: ("cudaSuccess",),
            cudaGetErrorString=lambda status: ("cudaSuccess", b"unspecified launch failure"),
            cudaMalloc=lambda size: (self.status, 4096),
            cudaStreamSynchronize=lambda stream: (self.status,),
        )


def test_the_cuda_runtime_is_asked_through_its_own_bindings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(runtime: FakeRuntime) -> Cuda:
        package = types.ModuleType("cuda.bindings")
        package.runtime = runtime  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
        monkeypatch.setitem(sys.modules, "cuda.bindings", package)
        return Cuda()

    runtime = FakeRuntime()
    cuda = opened(runtime)
    assert cuda.allocate(10) == 4096
    runtime.status = "cudaErrorMemoryAllocation"
    with pytest.raises(OutOfMemory, match="The GPU is out of memory"):
        cuda.allocate(1 << 40)
    runtime.status = "cudaErrorLaunchFailure"
    with pytest.raises(EngineError, match="CUDA failed: unspecified launch failure"):
        cuda.wait(1)
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        opened(FakeRuntime(devices=0))
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(EngineError, match="cuda-bindings is missing"):
        Cuda()
