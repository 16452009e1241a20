"""Tuned constants: one frozen structure a painter, which compiled loops take in as it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[4] / "models"
SENTINELS = {"FAR"}  # says "nothing here"; no value that anybody would tune
TUNED = [
    path
    for room in ("renderer", "appearance")
    for path in sorted((MODELS / room).rglob("*.py"))
    if "\n_TUNING = " in path.read_text("utf-8")
]


def borrowed(text: str) -> Iterator[tuple[str, str]]:
    """Yield the constants that a compiled loop takes from another file."""
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            "jit" in ast.unparse(decorator) for decorator in node.decorator_list
        ):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            yield from ((node.name, n) for n in sorted(names & imported) if n.isupper())


def test_a_changed_constant_is_compiled_anew() -> None:
    """Numba keeps what it compiled on disk, and looks only at the file that the loop is in."""
    found = [
        (path.name, loop, name)
        for path in sorted(MODELS.rglob("*.py"))
        for loop, name in borrowed(path.read_text("utf-8"))
    ]
    assert not [one for one in found if one[2] not in SENTINELS]
    text = "from a import TUNING, f\n@njit(cache=True)\ndef loop(x):\n    return f(x, TUNING)\n"
    assert list(borrowed(text)) == [("loop", "TUNING")], "it can fail"


@pytest.mark.parametrize("path", TUNED, ids=lambda p: p.stem)
def test_a_painters_constants_are_frozen_and_have_a_source(path: Path) -> None:
    (tuning,) = (
        node
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Tuning")
    )
    assert ast.unparse(tuning.bases[0]) == "NamedTuple"
    assert "et by eye" in (said := ast.get_docstring(tuning) or "") or "itted" in said


def test_the_painters_have_one() -> None:
    assert len(TUNED) >= 18
