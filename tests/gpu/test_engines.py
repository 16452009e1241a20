"""Every provider that is installed, on the GPU that is here: parity, failures, cost by batch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.graphs import MOTION, pictures, small_network
from visavis.benchmarks.engines import main as bench
from visavis.engines import select
from visavis.engines.base import Engine, EngineError, OutOfMemory
from visavis.engines.build import build
from visavis.engines.cache import PlanCache
from visavis.engines.check import check_engine
from visavis.engines.examine import load_engine, precision_on, shipped, title
from visavis.engines.fallback import Candidate, FallbackEngine
from visavis.engines.gpu import Gpu
from visavis.engines.graphs.export import BUCKETS, read, signature_of
from visavis.engines.graphs.samples import ranges_of
from visavis.engines.onnx_engine import OnnxEngine
from visavis.engines.parity import compare, require
from visavis.engines.tensorrt.compiler import RTX, RTX_TARGETS, key_of, prepared
from visavis.engines.tensorrt.cuda import Cuda
from visavis.engines.tensorrt.select import NeedsBuild, job_for, load_plan
from visavis.models.motion.stream import MotionStream

PROVIDERS = [p.name for p in select.providers() if p.available and p.automatic and p.name != "cpu"]
pytestmark = pytest.mark.usefixtures("gpu")


@pytest.fixture(scope="session", autouse=True)
def plans(tmp_path_factory: pytest.TempPathFactory, gpu: Gpu) -> Iterator[PlanCache]:
    """A cache of its own with a plan of everything that ships, built here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISAVIS_PLANS", str(tmp_path_factory.mktemp("plans")))
        cache = PlanCache()
        if "tensorrt" in PROVIDERS:
            for graph in shipped():
                build(job_for(graph, gpu), cache)
        yield cache


def test_some_provider_uses_the_gpu() -> None:
    assert PROVIDERS, [p.reason for p in select.providers()]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("graph", shipped(), ids=title)
def test_a_provider_agrees_with_the_cpu_at_every_batch(graph: Path, provider: str) -> None:
    reference = OnnxEngine(graph)
    engine = load_engine(graph, provider, reference)
    parity = compare(
        engine,
        reference,
        signature_of(read(graph)),
        precision=precision_on(graph, provider),
        batches=(*BUCKETS, 3, 37),  # padded, and cut in two
        ranges=ranges_of(graph),
    )
    engine.close()
    require(parity, engine, graph.name)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_on_the_gpu_is_the_stream_on_the_cpu(provider: str) -> None:
    random = np.random.default_rng(0)
    sound = (0.1 * random.standard_normal(32_000)).astype(np.float32)
    wanted = MotionStream(OnnxEngine(MOTION), seed=1).push(sound)
    engine = select.load(MOTION, provider)
    assert engine.name == provider  # type: ignore[attr-defined]
    got = MotionStream(engine, seed=1).push(sound)
    engine.close()
    assert got.shape == wanted.shape and np.abs(got - wanted).max() < 0.05


@pytest.mark.parametrize("provider", PROVIDERS)
def test_memory_comes_back(provider: str) -> None:
    """Loading fifty times would fill the card if a tenth of it stayed each time."""
    reference = OnnxEngine(MOTION)
    left = [_free_memory()]
    for _ in range(3):
        load_engine(MOTION, provider, reference).close()
        left.append(_free_memory())
    assert left[1] - left[3] < 64 << 20, left  # the first one brings the libraries


def _free_memory() -> int:
    from cuda.bindings import runtime

    Cuda().use()
    status, free, _ = runtime.cudaMemGetInfo()
    assert status == runtime.cudaError_t.cudaSuccess
    return int(free)


@pytest.fixture
def tensorrt() -> None:
    assert "tensorrt" in PROVIDERS, select.providers()[0].reason


@pytest.mark.usefixtures("tensorrt")
def test_a_step_is_one_cuda_graph() -> None:
    engine = load_plan(MOTION, OnnxEngine(MOTION))
    assert engine.buckets == BUCKETS
    assert all(bucket.recorded is not None for bucket in engine._buckets)
    engine.close()


@pytest.mark.usefixtures("tensorrt")
def test_plans_that_are_damaged_or_for_another_gpu_are_named(
    gpu: Gpu, tmp_path: Path, plans: PlanCache
) -> None:
    graph = small_network(tmp_path / "small.onnx")
    job = job_for(graph, gpu)
    path = build(job, plans)
    engine = load_plan(graph, OnnxEngine(graph))
    wanted = OnnxEngine(graph).run(pictures(5))["result"]
    assert np.abs(engine.run(pictures(5))["result"] - wanted).max() < 0.02
    data = bytearray(path.read_bytes())
    data[-100] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(NeedsBuild, match="checksum"):
        load_plan(graph, OnnxEngine(graph))
    if job.edition == RTX:
        other = next(t for t in RTX_TARGETS if t != gpu.target)
        foreign = plans.load(key_of(job, prepared(job)))
        assert foreign is None  # thrown away
        built = build(dataclasses.replace(job, target=other), plans)
        key = key_of(job, prepared(job))
        body = plans.load(dataclasses.replace(key, target=other))
        assert body is not None and built.exists()
        plans.store(key, body)  # under the name and header of this GPU
        with pytest.raises(NeedsBuild, match=r"The plan of small\.onnx"):
            load_plan(graph, OnnxEngine(graph))


@pytest.mark.usefixtures("tensorrt")
def test_a_full_gpu_is_named_and_given_back(tmp_path: Path) -> None:
    cuda = Cuda()
    held: list[int] = []
    size = 1 << 32
    try:
        while size > 1 << 20:  # to the last megabyte
            try:
                held.append(cuda.allocate(size))
            except OutOfMemory:
                size //= 2
        with pytest.raises(EngineError) as error:
            load_plan(MOTION, OnnxEngine(MOTION))
        assert str(error.value).endswith(".")
    finally:
        for address in held:
            cuda.free(address)
    load_plan(MOTION, OnnxEngine(MOTION)).close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_session_survives_an_engine_that_is_lost(provider: str) -> None:
    reference = OnnxEngine(MOTION)
    lost: Engine = load_engine(MOTION, provider, reference)
    engine = FallbackEngine(
        MOTION.name, [Candidate(provider, lambda: lost), Candidate("cpu", lambda: reference)]
    )
    stream = MotionStream(engine)
    first = stream.push(np.zeros(16_000, np.float32))
    lost.close()
    second = stream.push(np.zeros(16_000, np.float32))
    assert len(first) + len(second) >= 47 and engine.name == "cpu" and engine.notes


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_cost_by_batch_is_measured(provider: str, tmp_path: Path) -> None:
    out = tmp_path / "engines.json"
    assert bench.main(["--engine", provider, "--seconds", "0.2", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    for graph in shipped():
        batches = result["graphs"][title(graph)][provider]["batches"]
        assert set(batches) == {str(b) for b in BUCKETS}
        # One step of 32 slots on a GPU costs less than 32 steps of one.
        assert batches["32"]["slot_ms_p50"] < batches["1"]["slot_ms_p50"]


def test_the_check_itself_would_notice(tmp_path: Path) -> None:
    graph, other = small_network(tmp_path / "a.onnx"), small_network(tmp_path / "b.onnx", seed=9)
    for provider in PROVIDERS:
        if provider == "tensorrt":
            continue
        with pytest.raises(EngineError, match="is not used for"):
            check_engine(graph, load_engine(other, provider, OnnxEngine(other)), OnnxEngine(graph))
