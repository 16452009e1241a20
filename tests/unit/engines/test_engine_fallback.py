"""Sessions go on: a provider that fails is named, and the next one takes the same step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from tests.fakes.graphs import MOTION, pictures, small_network
from visavis.engines import select
from visavis.engines.base import EngineError, InputError, OutOfMemory, Tensors
from visavis.engines.check import check_engine
from visavis.engines.fallback import Candidate, FallbackEngine
from visavis.engines.gpu import Gpu
from visavis.engines.graphs.export import read, signature_of
from visavis.engines.graphs.samples import DIMS, Samples, ranges_of
from visavis.engines.onnx_engine import OnnxEngine
from visavis.engines.parity import ParityError
from visavis.models.motion.stream import MotionStream


class Failing:
    """Computes like the CPU until the step that is told."""

    def __init__(self, graph: Path, fail: Callable[[], None], after: int = 0) -> None:
        self.provider = "Fake GPU"
        self.closed = False
        self._inner, self._fail, self._left = OnnxEngine(graph), fail, after

    def warm_up(self) -> None:
        self._inner.warm_up()

    def run(self, inputs: Tensors) -> dict[str, Any]:
        self._left -= 1
        if self._left < 0:
            self._fail()
        return self._inner.run(inputs)

    def close(self) -> None:
        self.closed = True


def chain(*engines: Any) -> FallbackEngine:
    candidates = [Candidate(f"c{i}", partial(_same, engine)) for i, engine in enumerate(engines)]
    return FallbackEngine("motion.onnx", candidates)


def _same(engine: Any) -> Any:
    return engine


def throws(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EngineError("CUDA failed: unspecified launch failure."), "unspecified launch failure"),
        (OutOfMemory("The GPU is out of memory."), "out of memory"),
        (RuntimeError("driver gone"), "driver gone"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_live_stream_survives_its_provider(error: Exception, words: str) -> None:
    random = np.random.default_rng(0)
    sound = (0.1 * random.standard_normal(16_000)).astype(np.float32)
    wanted = MotionStream(OnnxEngine(MOTION), seed=3).push(sound)
    gpu = Failing(MOTION, throws(error), after=11)
    engine = chain(gpu, OnnxEngine(MOTION))
    stream = MotionStream(engine, seed=3)
    assert engine.provider == "Fake GPU"
    got = np.concatenate([stream.push(part) for part in np.split(sound, 10)])
    np.testing.assert_array_equal(got, wanted)  # not a frame lost, not a bit changed
    assert engine.provider == "CPUExecutionProvider" and gpu.closed
    (note,) = engine.notes
    assert words in note and note.startswith("Fake GPU failed while running motion.onnx: ")
    assert note.endswith("; CPUExecutionProvider is used.") and ".;" not in note


def test_values_that_are_no_numbers_count_as_failure(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    cpu = OnnxEngine(graph)

    class Broken(Failing):
        def run(self, inputs: Tensors) -> dict[str, Any]:
            out = super().run(inputs)
            out["result"][0, 0, 3, 3] = np.nan
            return out

    engine = chain(Broken(graph, lambda: None, after=9), cpu)
    assert np.isfinite(engine.run(pictures(1))["result"]).all()
    assert "no numbers" in engine.notes[0]
    # NaN that was put in is nobody's failure.
    bad = pictures(1)
    bad["memory"][...] = np.nan
    engine = chain(Failing(graph, lambda: None, after=9), cpu)
    assert np.isnan(engine.run(bad)["memory_out"]).any()
    assert engine.provider == "Fake GPU" and not engine.notes


def test_the_callers_mistake_is_not_the_engines(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    engine = chain(OnnxEngine(graph), OnnxEngine(graph))
    with pytest.raises(InputError, match="picture"):
        engine.run({"memory": pictures(1)["memory"]})
    assert engine.name == "c0" and not engine.notes


def test_every_provider_is_tried_and_the_last_error_told(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    engines = [Failing(graph, throws(EngineError(f"{i} is broken."))) for i in range(3)]
    engine = chain(*engines)
    with pytest.raises(EngineError, match="2 is broken"):
        engine.run(pictures(1))
    assert [e.closed for e in engines] == [True, True, False] and len(engine.notes) == 2
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(pictures(1))


def test_what_cannot_be_loaded_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    cpu = OnnxEngine(small_network(tmp_path / "small.onnx"))

    def refused() -> OnnxEngine:
        raise EngineError("There is no memory left on the GPU.")

    engine = FallbackEngine("small", [Candidate("cuda", refused), Candidate("cpu", lambda: cpu)])
    assert list(engine.notes) == [
        "There is no memory left on the GPU; CPUExecutionProvider is used."
    ]
    with pytest.raises(EngineError, match="no memory left"):
        FallbackEngine(
            "small", [Candidate("cuda", refused), Candidate("cpu", lambda: cpu)], required=True
        )
    with pytest.raises(EngineError, match="Nothing can run small: There is no memory left"):
        FallbackEngine("small", [Candidate("cuda", refused)])


def test_an_offer_after_the_end_is_not_taken(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    engine = chain(OnnxEngine(graph))
    waiting = Failing(graph, lambda: None)
    assert engine.offer("late", waiting)
    engine.close()
    assert waiting.closed
    assert not engine.offer("later", Failing(graph, lambda: None))


def test_bound_buffers_give_what_plain_calls_give(tmp_path: Path) -> None:
    for graph in (MOTION, small_network(tmp_path / "small.onnx")):
        plain, bound = OnnxEngine(graph), OnnxEngine(graph, bind=True)
        signature = signature_of(read(graph))
        for batch in (1, 3, 1, 2, 4, 5, 6, 7, 8, 9, 10):  # more shapes than are kept
            (step,) = [s for s, _ in zip(Samples(signature, batch, seed=batch), [0], strict=False)]
            wanted, got = plain.run(step), bound.run(step)
            for name, value in wanted.items():
                np.testing.assert_array_equal(value, got[name])
        assert len(bound._bindings) == 8
        first = bound.run(step)[name]
        kept = first.copy()
        bound.run({n: v * 0 for n, v in step.items()})
        np.testing.assert_array_equal(first, kept)


def test_cuda_is_asked_for_and_its_absence_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ONNX Runtime is told on a GPU, recorded; its silent fall to the CPU is an error."""
    graph = small_network(tmp_path / "small.onnx")
    asked: list[Any] = []
    real, running = ort.InferenceSession, ["CUDAExecutionProvider"]

    class Session:
        def __init__(self, source: str, options: Any, providers: list[Any]) -> None:
            asked.append(providers)
            self._real = real(source, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return running

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    loaded: list[bool] = []
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(ort, "preload_dlls", lambda: loaded.append(True), raising=False)
    monkeypatch.setattr(ort, "InferenceSession", Session)
    engine = OnnxEngine(graph, device="cuda")
    assert engine.provider == "CUDAExecutionProvider" and engine._bind and loaded
    (first, second) = asked[0]
    assert first[0] == "CUDAExecutionProvider" and second == "CPUExecutionProvider"
    assert first[1]["cudnn_conv_algo_search"] == "HEURISTIC"
    running[0] = "CPUExecutionProvider"
    with pytest.raises(EngineError, match="could not start CUDA"):
        OnnxEngine(graph, device="cuda")


def test_the_cpu_engine_names_what_does_not_fit(tmp_path: Path) -> None:
    engine = OnnxEngine(small_network(tmp_path / "small.onnx"))
    good = pictures(1)
    for bad, words in (
        ({**good, "memory": good["memory"].astype("f8")}, "must be float32"),
        ({**good, "memory": good["memory"][0]}, "must be float32"),
        ({**good, "more": good["memory"]}, "no input named more"),
    ):
        with pytest.raises(InputError, match=words):
            engine.run(bad)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"?")
    with pytest.raises(EngineError, match=r"broken.onnx cannot be loaded"):
        OnnxEngine(broken)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(good)


def test_memory_errors_of_the_runtime_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OnnxEngine(small_network(tmp_path / "small.onnx"))

    class Session:
        def run(self, *_: object) -> None:
            raise RuntimeError("BFCArena: Failed to allocate memory for requested buffer")

    monkeypatch.setattr(engine, "_session", Session())
    with pytest.raises(OutOfMemory, match="no memory left"):
        engine.run(pictures(1))


def test_parity_tells_right_from_wrong(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    other = small_network(tmp_path / "other.onnx", seed=5)
    reference = OnnxEngine(graph)
    assert check_engine(graph, OnnxEngine(graph), reference).peak == 0.0
    fixed = small_network(tmp_path / "fixed.onnx", batch=2)
    assert check_engine(fixed, OnnxEngine(graph), OnnxEngine(fixed)).peak == 0.0
    with pytest.raises(ParityError, match=r"CPUExecutionProvider is not used for small\.onnx"):
        check_engine(graph, OnnxEngine(other), reference)


def test_samples_are_seeded_and_in_the_ranges_of_use(tmp_path: Path) -> None:
    signature = signature_of(read(MOTION))
    runs = [[s for s, _ in zip(Samples(signature, 2), range(60), strict=False)] for _ in range(2)]
    for one, two in zip(*runs, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
    assert set(runs[0][0]) == {t.name for t in signature.inputs}
    assert set(runs[0][1]) == set(runs[0][0]) - set(signature.states)
    features = np.stack([s["features"] for s in runs[0]])
    assert features.shape[2] == DIMS["hops"]
    assert -3.0 < features.min() < -1.0 and 0.5 < features.max() <= 2.6  # silence and voice
    assert (runs[0][0]["look_ahead"].sum(axis=1) == 1).all()
    graph = small_network(tmp_path / "small.onnx")
    (tmp_path / "manifest.json").write_text('{"ranges": {"picture": [-1, -0.5]}}')
    (step,) = [
        s
        for s, _ in zip(
            Samples(signature_of(read(graph)), 1, ranges=ranges_of(graph)), [0], strict=False
        )
    ]
    assert step["picture"].max() <= -0.5 and not step["memory"].any()


GPU = Gpu("NVIDIA L4", (8, 9), 24 << 30, 13000)


def with_gpu(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """A machine with a GPU and these packages; none of them is ever imported."""
    monkeypatch.setattr(select, "find_gpu", lambda: GPU)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: name if name.split(".")[0] in packages else None
    )

    def release(name: str) -> str:
        if name.split("-")[0] not in packages and name not in packages:
            raise PackageNotFoundError(name)
        return "9.9"

    monkeypatch.setattr(select, "version", release)
    monkeypatch.setattr("visavis.engines.tensorrt.compiler.edition_version", lambda edition: "1.7")


def test_the_best_provider_is_chosen_and_the_choice_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_gpu(monkeypatch, "tensorrt_rtx", "onnx", "cuda", "torch")
    monkeypatch.setattr(
        select.ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "x"]
    )
    assert [p.name for p in select.providers()] == ["tensorrt", "cuda", "torch", "cpu"]
    assert all(p.available and p.automatic for p in select.providers())
    assert select.choose() == "tensorrt" and select.choose("cpu") == "cpu"
    assert "TensorRT-RTX 1.7 on NVIDIA L4 (sm89" in select.providers()[0].reason
    monkeypatch.setattr(select, "find_gpu", throws(EngineError("There is no NVIDIA GPU.")))
    found = {p.name: p for p in select.providers()}
    assert select.choose() == "cpu"
    assert found["tensorrt"].reason == (
        "There is no NVIDIA GPU. It can still build plans for other machines."
    )
    assert found["cuda"].reason == "There is no NVIDIA GPU."
    assert found["torch"].available and not found["torch"].automatic
    with pytest.raises(EngineError, match=r"cuda cannot be used: There is no NVIDIA GPU\."):
        select.choose("cuda")
    with pytest.raises(EngineError, match="no engine named gpu"):
        select.choose("gpu")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch)
    reasons = [p.reason for p in select.providers()][:3]
    assert reasons == [
        "TensorRT is not installed.",
        "ONNX Runtime is installed without its CUDA provider.",
        "PyTorch is not installed.",
    ]
    with_gpu(monkeypatch, "tensorrt_rtx", "onnx", "onnxruntime")
    assert "cuda is missing" in select.providers()[0].reason
    assert "--force-reinstall" in select.providers()[1].reason
    monkeypatch.setattr(select, "find_gpu", lambda: Gpu("NVIDIA H200", (9, 0), 1 << 37, 13000))
    with_gpu_packages = {"tensorrt_rtx", "onnx", "cuda"}
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda n: n if n.split(".")[0] in with_gpu_packages else None
    )
    assert "pip install tensorrt-cu13" in select.providers()[0].reason


def test_a_forced_provider_that_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = small_network(tmp_path / "small.onnx")
    wrong = small_network(tmp_path / "wrong.onnx", seed=5)
    monkeypatch.setattr(select, "_order", lambda choice: ["torch", "cpu"])
    monkeypatch.setattr(select, "_torch_engine", lambda path, threads: OnnxEngine(wrong))
    with pytest.raises(ParityError, match="peak"):
        select.load(graph, "torch")
    engine = select.load(graph, "auto")
    assert engine.provider == "CPUExecutionProvider" and engine.name == "cpu"  # type: ignore[attr-defined]
    assert "differs from the CPU by RMS" in engine.notes[0]  # type: ignore[attr-defined]
    monkeypatch.setattr(select, "_torch_engine", lambda path, threads: OnnxEngine(graph))
    assert select.load(graph, "torch").name == "torch"  # type: ignore[attr-defined]


def test_tensorrt_without_a_plan_serves_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from visavis.engines.cache import PlanCache
    from visavis.engines.tensorrt import select as select_tensorrt
    from visavis.engines.tensorrt.compiler import Job

    graph = small_network(tmp_path / "small.onnx")
    needed = select_tensorrt.NeedsBuild(
        Job(graph, "sm89"), PlanCache(tmp_path), "There is no plan of small.onnx for sm89."
    )
    started: list[object] = []
    monkeypatch.setattr(select, "_order", lambda choice: ["tensorrt", "cpu"])
    monkeypatch.setattr(select_tensorrt, "load_plan", lambda *_: throws(needed)())
    monkeypatch.setattr(select_tensorrt, "upgrade_when_built", lambda *a: started.append(a[0]))
    for choice in ("auto", "tensorrt"):
        engine = select.load(graph, choice)
        assert engine.provider == "CPUExecutionProvider"
        assert engine.notes[0] == (  # type: ignore[attr-defined]
            "There is no plan of small.onnx for sm89. It is being built in the background; "
            "CPUExecutionProvider is used."
        )
    assert started == [needed, needed]
    refused = EngineError("The GPU is out of memory.")
    monkeypatch.setattr(select_tensorrt, "load_plan", lambda *_: throws(refused)())
    assert select.load(graph, "auto").provider == "CPUExecutionProvider"
    with pytest.raises(EngineError, match="out of memory"):
        select.load(graph, "tensorrt")
    assert started == [needed, needed]


def test_threads_that_fail_together_move_on_once(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    together = threading.Barrier(4)

    def fail() -> None:
        together.wait(timeout=30)
        raise EngineError("CUDA failed.")

    second = Failing(graph, throws(EngineError("must not be reached")), after=4)
    engine = chain(Failing(graph, fail), second, OnnxEngine(graph))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: engine.run(pictures(1))["result"], range(4)))
    wanted = OnnxEngine(graph).run(pictures(1))["result"]
    assert all(np.array_equal(r, wanted) for r in results)
    assert engine.name == "c1" and len(engine.notes) == 1 and not second.closed


def test_bound_buffers_are_not_shared_between_threads(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    plain, bound = OnnxEngine(graph), OnnxEngine(graph, bind=True)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda seed: bound.run(pictures(2, seed))["result"], range(40)))
    for seed, value in enumerate(got):
        np.testing.assert_array_equal(value, plain.run(pictures(2, seed))["result"])
