"""How children are started, and that no avatar and no folder can keep the server from it."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from tests.fakes.fake_pipeline import FakePipeline, FakePipelines
from visavis.streamer.worker.edge.client import COMMAND
from visavis.streamer.worker.pipeline.pipeline import DRAWN, SlotSpec, WorkerSettings
from visavis.streamer.worker.worker import warm_up

ROOT = Path(__file__).resolve().parents[4]


def test_a_worker_takes_nothing_from_the_current_folder(tmp_path: Path) -> None:
    """``python -m`` without ``-P`` imports whatever lies there under a module's name."""
    for name in ("numpy.py", "av.py", "models/__init__.py", "visavis/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('taken from the current folder')\n")
    said = subprocess.run(
        [*COMMAND, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (said.returncode, "--settings" in said.stdout) == (0, True), said.stderr


def test_no_child_does() -> None:
    commands = 0
    for room in ("streamer", "engines", "models"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                words = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
                written = [ast.unparse(word) for word in words]
                if written and written[0] == "sys.executable":
                    commands += 1
                    assert "'-P'" in written, f"{path}: {written}"
    assert commands >= 6


class Crashing(FakePipelines):
    def __init__(self) -> None:
        self.opened: list[str] = []

    def open(self, spec: SlotSpec) -> FakePipeline:
        self.opened.append(spec.bundle)
        raise ValueError("what draws it breaks")


def test_warming_up_draws_nobody_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    """The newest avatar was drawn: one that broke the drawing kept the server from starting."""
    pipelines = Crashing()
    warm_up(pipelines, WorkerSettings())  # type: ignore[arg-type]
    assert pipelines.opened == [DRAWN]
    assert "warm-up failed" in caplog.text
