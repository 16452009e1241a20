"""Tests hold the house by what it shows; the number that reach inside may only fall."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
MOST = 114  # lower it when there are fewer


def reaches(text: str) -> Iterator[str]:
    """Yield every attribute that begins with one underscore and is not a test's own."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not own and not node.attr.startswith("__"):
                yield ast.unparse(node)


def test_no_more_reach_inside_than_did() -> None:
    found = {
        path.relative_to(TESTS).as_posix(): list(reaches(path.read_text("utf-8")))
        for path in sorted(TESTS.rglob("*.py"))
    }
    count = sum(map(len, found.values()))
    assert count <= MOST, {name: what for name, what in found.items() if what}
    assert count > MOST - 5, f"Fewer tests reach inside: set MOST to {count}."


def test_a_reach_is_seen() -> None:
    """Proof that it can fail."""
    text = "a._b\nself._c\nself._d._e\nx.__dict__\ncls._f\n"
    assert list(reaches(text)) == ["a._b", "self._d._e"]
