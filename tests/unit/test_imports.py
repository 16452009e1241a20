"""Imports go one way: streamer -> engines -> models; nothing goes round in circles."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "models": {"models"},
    "engines": {"engines", "models"},
    "streamer": {"streamer", "engines", "models", "web", "benchmarks"},
}
# Benchmarks and trainings are started by the command line, by name; nothing else knows them.
KNOWS_BENCHMARKS = "streamer/commands/"
TORCH_ENGINE = {"engines/torch_engine.py", "engines/torch_ops.py"}


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names that a file imports, ``from a import b`` as ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    found: dict[str, Path] = {}
    for room in (*MAY_IMPORT, "benchmarks", "web"):
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(("visavis", *(p for p in parts if p != "__init__")))] = path
    return found


def imported_modules(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ours that a file imports."""
    found = set()
    for name in imports(path):
        if name in known:
            found.add(name)
        elif (owner := name.rpartition(".")[0]) in known:
            found.add(owner)
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The first circle that a depth-first search meets, or nothing."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            if found := visit(following, [*path, node]):
                return found
        done.add(node)
        return []

    for node in sorted(graph):
        if found := visit(node, []):
            return found
    return []


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        rooms = {name.split(".")[1] for name in imports(path) if name.startswith("visavis.")}
        foreign = rooms - MAY_IMPORT[package]
        if not path.relative_to(ROOT).as_posix().startswith(KNOWS_BENCHMARKS):
            foreign |= rooms & {"benchmarks"} if package == "streamer" else set()
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_torch_stays_in_training() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
        if any(name.split(".")[0] == "torch" for name in imports(path))
    }
    outside = {user for user in users if "/training/" not in user} - TORCH_ENGINE
    assert not outside


def test_what_runs_knows_no_training() -> None:
    for path in modules().values():
        place = path.relative_to(ROOT).as_posix()
        if "/training/" in place or place.startswith("benchmarks/"):
            continue
        taught = {name for name in imports(path) if ".training" in name}
        assert not taught, f"{place} imports {taught}"


def test_no_file_imports_itself_through_others() -> None:
    known = modules()
    graph = {name: imported_modules(path, known) - {name} for name, path in known.items()}
    assert not circle(graph)


def test_the_streamer_s_rooms_do_not_go_round_in_circles() -> None:
    known = modules()
    rooms: dict[str, set[str]] = defaultdict(set)
    for name, path in known.items():
        if not name.startswith("visavis.streamer"):
            continue
        here = path.parent
        for other in imported_modules(path, known):
            there = known[other].parent
            if there != here and ROOT / "streamer" in there.parents and here != ROOT / "streamer":
                rooms[str(here.relative_to(ROOT))].add(str(there.relative_to(ROOT)))
    assert not circle(rooms)
