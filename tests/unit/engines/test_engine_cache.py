"""Plans on disk: whole or not at all, and only where everything agrees."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.fakes.fake_tensorrt import FakeCuda, FakeTensorRt
from tests.fakes.graphs import small_network
from visavis.engines import build as building
from visavis.engines.base import EngineError
from visavis.engines.build import BackgroundBuild, build
from visavis.engines.cache import PlanCache, PlanError, PlanKey, default_folder, read_header
from visavis.engines.parity import ParityError
from visavis.engines.tensorrt.compiler import Job, compile_plan, edition_for, key_of, prepared

KEY = PlanKey("motion", "ab" * 32, (1, 4), "fp16", "tensorrt_rtx", "1.7", "sm89")
PLAN = bytes(range(256)) * 40


def test_a_plan_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    assert cache.load(KEY) is None
    path = cache.store(KEY, PLAN)
    assert cache.load(KEY) == PLAN and "sm89" in path.name
    assert [p.name for p in cache.folder.iterdir()] == [path.name]  # nothing half-written stays
    cache.discard(KEY)
    cache.discard(KEY)
    assert cache.load(KEY) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("graph_hash", "cd" * 32),
        ("buckets", (1, 2, 4)),
        ("precision", "fp32"),
        ("edition", "tensorrt"),
        ("version", "1.8"),
        ("target", "sm120"),
        ("system", "Windows-AMD64"),
    ],
)
def test_every_part_of_the_key_counts(tmp_path: Path, field: str, value: object) -> None:
    cache = PlanCache(tmp_path)
    other = dataclasses.replace(KEY, **{field: value})
    assert other.digest != KEY.digest
    path = cache.store(KEY, PLAN)
    assert cache.load(other) is None
    path.rename(cache.path(other))  # a plan copied by hand under a name that fits
    with pytest.raises(PlanError) as error:
        cache.load(other)
    assert str(error.value).endswith(".") and "not" in str(error.value)


def test_a_plan_for_another_gpu_says_so(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    here = dataclasses.replace(KEY, target="sm120")
    cache.store(KEY, PLAN).rename(cache.path(here))
    with pytest.raises(PlanError, match="built for the GPU sm89, not sm120"):
        cache.load(here)


@pytest.mark.parametrize(
    ("place", "words"), [(-1, "checksum"), (0, "no plan"), (40, r"header|built for|checksum")]
)
def test_a_changed_byte_is_found(tmp_path: Path, place: int, words: str) -> None:
    cache = PlanCache(tmp_path)
    path = cache.store(KEY, PLAN)
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(PlanError, match=words):
        cache.load(KEY)


def test_a_plan_that_is_cut_short_or_empty_is_found(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    path = cache.store(KEY, PLAN)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(PlanError, match="cut short"):
        cache.load(KEY)
    path.write_bytes(b"")
    with pytest.raises(PlanError, match="no plan"):
        cache.load(KEY)


def test_a_plan_that_others_may_write_is_not_loaded(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    path = cache.store(KEY, PLAN)
    path.chmod(0o666)
    with pytest.raises(PlanError, match="a plan is code"):
        cache.load(KEY)
    path.chmod(0o600)
    cache.folder.chmod(0o777)
    with pytest.raises(PlanError, match="a plan is code"):
        cache.load(KEY)


def test_a_write_that_breaks_off_leaves_the_old_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, PLAN)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="No space left"):
        cache.store(KEY, b"new")
    assert cache.load(KEY) == PLAN
    assert len(list(tmp_path.iterdir())) == 1


def test_other_targets_of_a_graph_are_listed(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, PLAN)
    cache.store(dataclasses.replace(KEY, graph="refiner", target="sm75"), PLAN)
    (tmp_path / "motion-broken.plan").write_bytes(b"?")
    assert cache.others(dataclasses.replace(KEY, target="sm120")) == ["sm89"]
    assert cache.others(KEY) == []


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_PLANS", "/somewhere")
    assert default_folder() == Path("/somewhere")
    monkeypatch.delenv("VISAVIS_PLANS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_folder() == Path("/cache/visavis/plans")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(small_network(tmp_path / "small.onnx"), "sm89", dims={}, buckets=(1, 4))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Compile with the fake and count."""
    calls: list[str] = []

    def compile_fake(job: Job, model: object, **options: object) -> bytes:
        calls.append(job.graph.name)
        return compile_plan(job, model, trt=FakeTensorRt(FakeCuda()), **options)  # type: ignore[arg-type]

    monkeypatch.setattr(building, "compile_plan", compile_fake)
    monkeypatch.setattr("visavis.engines.tensorrt.compiler.edition_version", lambda edition: "1.0")
    return calls


def test_a_build_reports_progress_and_is_done_once(
    job: Job, tmp_path: Path, counted: list[str]
) -> None:
    cache = PlanCache(tmp_path / "plans")
    shares: list[float] = []
    first = build(job, cache, progress=lambda share, phase: shares.append(share))
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) >= 4
    again: list[tuple[float, str]] = []
    assert build(job, cache, progress=lambda *event: again.append(event)) == first
    assert again == [(1.0, "kept from before")] and len(counted) == 1
    first.write_bytes(b"broken")
    assert build(job, cache) == first and len(counted) == 2
    assert read_header(first)["target"] == "sm89"


def test_a_graph_that_preparation_changes_is_not_built(
    job: Job, tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(job, graph=small_network(tmp_path / "other.onnx", seed=4))
    monkeypatch.setattr(building, "prepared", lambda job: prepared(other))
    with pytest.raises(ParityError, match=r"prepared for the compiler .* small\.onnx: .*RMS"):
        build(job, PlanCache(tmp_path / "plans"))
    assert not counted


def test_two_builds_of_one_plan_wait_for_each_other(
    job: Job, tmp_path: Path, counted: list[str]
) -> None:
    cache = PlanCache(tmp_path / "plans")
    key = key_of(job, prepared(job))
    paths: list[Path] = []
    with cache.building(key):
        thread = threading.Thread(target=lambda: paths.append(build(job, cache)))
        thread.start()
        cache.store(key, compile_plan(job, prepared(job), trt=FakeTensorRt(FakeCuda())))
        assert thread.is_alive() and not counted
    thread.join(timeout=30)
    assert paths == [cache.path(key)] and not counted  # it took what the first one made


def test_timings_are_kept_for_the_data_centre_edition(
    job: Job, tmp_path: Path, counted: list[str]
) -> None:
    cache = PlanCache(tmp_path / "plans")
    tuned = dataclasses.replace(job, edition="tensorrt", target="sm90", gpu="NVIDIA H200")
    build(tuned, cache)
    build(dataclasses.replace(tuned, buckets=(1, 2)), cache)
    (timings,) = cache.folder.glob("timings-*")
    assert timings.read_bytes() == b"++"
    assert key_of(tuned, prepared(tuned)).target == "sm90 NVIDIA H200"


def test_what_the_compiler_refuses_is_said_in_its_words(job: Job, tmp_path: Path) -> None:
    import onnx

    model = prepared(job)
    model.graph.node.append(onnx.helper.make_node("Unknown", ["result"], ["more"]))
    with pytest.raises(EngineError, match=r"small.onnx: Unknown last: No importer registered"):
        compile_plan(job, model, trt=FakeTensorRt(FakeCuda()))
    other = dataclasses.replace(job, target="sm61")
    with pytest.raises(EngineError, match="does not compile for sm61"):
        compile_plan(other, prepared(other), trt=FakeTensorRt(FakeCuda()))


def test_the_edition_follows_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    here: set[str] = set()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in here else None)
    with pytest.raises(EngineError, match=r"pip install 'visavis\[tensorrt\]'"):
        edition_for("sm89")
    here.add("tensorrt_rtx")
    assert edition_for("sm89") == "tensorrt_rtx"
    with pytest.raises(EngineError, match="tensorrt-cu13"):
        edition_for("sm90")
    here.add("tensorrt")
    assert edition_for("sm90") == "tensorrt" and edition_for("sm120") == "tensorrt_rtx"
    with pytest.raises(EngineError, match="4090 is no target"):
        edition_for("4090")


def background(job: Job, cache: PlanCache, program: str) -> list[EngineError | None]:
    ended: list[EngineError | None] = []
    done = threading.Event()

    def finish(error: EngineError | None) -> None:
        ended.append(error)
        done.set()

    BackgroundBuild(job, cache, finish, command=[sys.executable, "-c", program])
    assert done.wait(timeout=60)
    return ended


def test_a_background_build_ends_well_or_says_why(job: Job, tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    said = json.dumps({"error": "The GPU is out of memory."})
    assert background(job, cache, "print('noise')") == [None]
    (error,) = background(job, cache, f"import sys; print({said!r}); sys.exit(1)")
    assert str(error) == "The GPU is out of memory."
    (error,) = background(job, cache, "import os; os.kill(os.getpid(), 11)")
    assert str(error) == "The compiler of small.onnx ended with code -11."


def test_the_build_process_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "nice", lambda step: step)
    described = {"graph": str(tmp_path / "gone.onnx"), "target": "sm89", "buckets": [1]}
    assert building.main([str(tmp_path), json.dumps(described)]) == 1
    assert "gone.onnx" in json.loads(capsys.readouterr().out)["error"]


SLEEPS = "import time; print('{}', flush=True); time.sleep(120)"


def test_a_cancelled_build_is_over_at_once_and_says_nothing(job: Job, tmp_path: Path) -> None:
    ended: list[EngineError | None] = []
    command = [sys.executable, "-c", f"import signal; signal.signal(15, 1); {SLEEPS}"]
    building_now = BackgroundBuild(job, PlanCache(tmp_path), ended.append, command=command)
    building_now.cancel()
    building_now.cancel()
    assert not building_now.running and ended == []


def test_closing_the_engine_ends_its_build(job: Job, tmp_path: Path) -> None:
    from visavis.engines.fallback import Candidate, FallbackEngine
    from visavis.engines.onnx_engine import OnnxEngine
    from visavis.engines.tensorrt.select import NeedsBuild, upgrade_when_built

    cpu = OnnxEngine(job.graph)
    engine = FallbackEngine("small", [Candidate("cpu", lambda: cpu)])
    needed = NeedsBuild(job, PlanCache(tmp_path), "There is none.")
    command = [sys.executable, "-c", SLEEPS]
    one = upgrade_when_built(needed, engine, cpu, command=command)
    engine.close()
    assert not one.running
    late = upgrade_when_built(needed, engine, cpu, command=command)
    assert not late.running, "an engine that is closed already takes none"


def test_a_build_ends_with_whoever_asked_for_it(tmp_path: Path) -> None:
    """A worker is killed, its compiler must not go on for minutes."""
    script = (
        "import runpy, sys, time, visavis.engines.build as b\n"
        "import threading; threading.Thread(target=b._end_with_parent, daemon=True).start()\n"
        "print('up', flush=True); time.sleep(120)"
    )
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {script!r}], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); sys.stdin.read()"
    )
    asked = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert asked.stdout is not None
    builder = psutil.Process(int(asked.stdout.readline()))
    asked.kill()
    asked.communicate()
    builder.wait(10)
