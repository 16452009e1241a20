"""No class gives a private attribute of its base another meaning."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("streamer", "engines", "models", "benchmarks")


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    yield str(path.relative_to(ROOT)), node


def own(node: ast.ClassDef) -> set[str]:
    """Return the private attributes that a class assigns."""
    return {
        target.attr
        for statement in ast.walk(node)
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in getattr(statement, "targets", None) or [statement.target]  # type: ignore[union-attr]
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
        and target.attr.startswith("_")
    }


def bases(node: ast.ClassDef) -> list[str]:
    return [b.id if isinstance(b, ast.Name) else getattr(b, "attr", "") for b in node.bases]


def test_no_private_attribute_is_made_twice() -> None:
    """A session's ``_sections`` once took the place of its connection's: every offer failed."""
    known: dict[tuple[str, str], list[ast.ClassDef]] = {}
    for path, node in classes():
        known.setdefault((path.split("/")[0], node.name), []).append(node)
    found = []
    for path, node in classes():
        waiting, seen = bases(node), {node.name}
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for base in known.get((path.split("/")[0], name), []):
                waiting += bases(base)
                found += [f"{path}: {node.name}.{a} of {name}" for a in own(node) & own(base)]
    assert found == []
