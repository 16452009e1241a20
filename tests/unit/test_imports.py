"""Imports go one way: streamer -> engines -> models."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "models": {"models"},
    "engines": {"engines", "models"},
    "streamer": {"streamer", "engines", "models", "web"},
}
# torch is for training and its own engine; the server must start without it.
TORCH_ALLOWED = {
    "engines/torch_engine.py",
    "engines/torch_ops.py",
    "models/motion/train.py",
    "models/motion/network.py",
    "models/motion/objective.py",
    "models/motion/flow_network.py",
    "models/motion/flow_train.py",
    "models/renderer/refine/bridging.py",
    "models/renderer/refine/critic.py",
    "models/renderer/refine/data.py",
    "models/renderer/refine/export.py",
    "models/renderer/refine/frame_graph.py",
    "models/renderer/refine/graph_file.py",
    "models/renderer/refine/light_graph.py",
    "models/renderer/refine/losses.py",
    "models/renderer/refine/network.py",
    "models/renderer/refine/objectives.py",
    "models/renderer/refine/shade_network.py",
    "models/renderer/refine/train.py",
    "models/renderer/refine/trainer.py",
    "models/renderer/refine/tune.py",
}
OURS = {"models", "engines", "streamer", "web", "tests", "benchmarks"}


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        foreign = (imported_packages(path) & OURS) - MAY_IMPORT[package]
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_torch_stays_in_training() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
        if "torch" in imported_packages(path)
    }
    assert users <= TORCH_ALLOWED, users - TORCH_ALLOWED
