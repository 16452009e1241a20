"""Every shipped graph compiles with the real TensorRT-RTX for a GPU that is not here.

Left out of the collection where NVIDIA has no wheel (see ``tests/conftest.py``); everywhere else a
missing compiler is a failure.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorrt_rtx

from tests.fakes.fake_tensorrt import FakeCuda
from tests.fakes.graphs import small_network
from visavis.engines.base import EngineError
from visavis.engines.build import BackgroundBuild, build
from visavis.engines.cache import PlanCache, read_header
from visavis.engines.check import check_export
from visavis.engines.examine import shipped
from visavis.engines.graphs.samples import DIMS
from visavis.engines.tensorrt.compiler import Job, compile_plan, edition_version, key_of, prepared
from visavis.engines.tensorrt.engine import TensorRtEngine
from visavis.engines.tensorrt.select import precision_of

WEIGHTS = Path(__file__).resolve().parents[3] / "models" / "weights"
SHIPPED = shipped()


def job_of(graph: Path, *buckets: int) -> Job:
    return Job(
        graph, "sm89", dims=dict(DIMS), precision=precision_of(graph), buckets=buckets or (1,)
    )


def test_there_is_something_to_compile() -> None:
    assert WEIGHTS / "motion" / "motion.onnx" in SHIPPED


@pytest.mark.parametrize("graph", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_shipped_graph_compiles_for_ada(graph: Path) -> None:
    job = job_of(graph, 1, 4)
    model = prepared(job)
    assert check_export(graph, model, precision=job.precision).passed
    shares: list[float] = []
    plan = compile_plan(job, model, progress=lambda share, phase: shares.append(share))
    weights = sum(np.prod(w.dims) for w in model.graph.initializer)
    assert len(plan) > weights  # at least a byte each
    assert shares[-1] == 1.0 and shares == sorted(shares) and len(shares) > 5
    assert key_of(job, model).version == tensorrt_rtx.__version__ == edition_version(job.edition)


def test_a_plan_is_kept_with_what_makes_it_valid(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    cache = PlanCache(tmp_path / "plans")
    for target in ("sm75", "sm120"):
        path = build(dataclasses.replace(job_of(graph, 1, 2), target=target), cache)
        header = read_header(path)
        assert header["target"] == target and header["buckets"] == [1, 2]
        assert header["precision"] == "fp16" and header["edition"] == "tensorrt_rtx"
    assert len(list(cache.folder.glob("*.plan"))) == 2


def test_the_background_process_builds_the_same_plan(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    job, cache = job_of(graph, 1, 2), PlanCache(tmp_path / "plans")
    ended: list[EngineError | None] = []
    done = threading.Event()

    def finish(error: EngineError | None) -> None:
        ended.append(error)
        done.set()

    building = BackgroundBuild(job, cache, finish)
    assert done.wait(timeout=120)
    assert ended == [None] and building.progress == 1.0
    assert cache.load(key_of(job, prepared(job)))


def test_the_command_builds_and_prints_the_path(tmp_path: Path) -> None:
    graph, out = small_network(tmp_path / "small.onnx"), tmp_path / "plans"
    command = [sys.executable, "-m", "visavis.streamer.cli.main", "build", "--target", "sm86"]
    done = subprocess.run(
        [*command, "--graph", str(graph), "-o", str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (plan,) = out.glob("*.plan")
    assert done.stdout.split() == [str(plan)] and "Traceback" not in done.stderr
    assert read_header(plan)["target"] == "sm86" and "100 %" in done.stderr


def test_an_operator_that_it_lacks_is_named(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "small.onnx")
    job = job_of(graph)
    model = prepared(job)
    next(n for n in model.graph.node if n.op_type == "Tanh").op_type = "Tanhh"
    with pytest.raises(EngineError, match=r"TensorRT does not take small.onnx: Tanhh tanh: "):
        compile_plan(job, model)


def test_without_a_driver_the_runtime_takes_no_plan_and_says_so(tmp_path: Path) -> None:
    """On a machine with a GPU the same plan is refused for its target or taken; never a crash."""
    graph = small_network(tmp_path / "small.onnx")
    job = job_of(graph, 1)
    plan = compile_plan(job, prepared(job))
    try:
        TensorRtEngine(plan, name="small", cuda=FakeCuda()).close()  # type: ignore[arg-type]
    except EngineError as error:
        assert str(error).startswith("The plan of small ") and str(error).endswith(".")
