"""The workflow for a public forge and the hooks: what they run is what is here."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
ROOT = Path(__file__).resolve().parents[3]


def test_the_workflow_runs_the_one_check_on_every_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    (run,) = (step["run"] for step in job["steps"] if "run" in step)
    assert run == "bash .ci/run" and os.access(ROOT / ".ci" / "run", os.X_OK)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    low, high = wanted["requires-python"].removeprefix(">=").split(",<")
    minors = range(*(int(version.split(".")[1]) for version in (low, high)))
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in minors]


def test_the_hooks_run_what_make_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = {hook["id"]: hook for repo in config["repos"] for hook in repo["hooks"]}
    assert all(repo["repo"] == "local" for repo in config["repos"]), "the tools are make's own"
    assert hooks["ruff"]["entry"].startswith(".venv/bin/ruff check")
    assert hooks["types"]["entry"] == "make types" and hooks["types"]["stages"] == ["pre-push"]
    targets = {
        line.partition(":")[0]
        for line in (ROOT / "Makefile").read_text("utf-8").splitlines()
        if line[:1].isalpha() and ":" in line
    }
    assert {"types", "lint", "test"} <= targets
