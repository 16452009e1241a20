"""What the documents name is there: files, links, and the classes of the newcomer's walks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)
ENDINGS = "py|js|css|html|md|toml|yaml|service|json|onnx|sh|jpg|png"
NAMED = re.compile(rf"`([\w.-]+(?:/[\w.-]+)*\.(?:{ENDINGS}))`")
LINK = re.compile(r"\]\(([^)#\s]+)")
HOP = re.compile(r"`([\w/]+\.py)`\s+\(`([A-Z]\w+)(?:\.(\w+))?`")
TREE = [
    path.relative_to(ROOT)
    for room in ("streamer", "engines", "models", "web", "benchmarks", "tests", "docs")
    for path in (ROOT / room).rglob("*")
]
TOPS = ("pyproject.toml", "Makefile", "uv.lock")
GONE = {"engines/quantise.py"}  # an experiment says what it was in


def found(name: str) -> list[Path]:
    """Return the files of that name; a path may leave out folders at its beginning."""
    parts = Path(name).parts
    return [path for path in (*TREE, *map(Path, TOPS)) if path.parts[-len(parts) :] == parts]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_is_there(document: Path) -> None:
    text = document.read_text("utf-8")
    missing = {
        name
        for name in NAMED.findall(text)
        if name not in GONE and ("/" in name or name.endswith(".py")) and not found(name)
    }
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text("utf-8"))
    away = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert not [link for link in away if not (document.parent / link).exists()]


def test_the_walks_name_what_the_files_hold() -> None:
    hops = HOP.findall((ROOT / "docs" / "architecture.md").read_text("utf-8"))
    assert len(hops) >= 4
    for file, kind, method in hops:
        (path,) = found(file)
        text = (ROOT / path).read_text("utf-8")
        assert f"class {kind}" in text, (file, kind)
        assert not method or f"def {method}(" in text, (file, kind, method)


def test_what_is_missing_is_seen() -> None:
    """Proof that they can fail."""
    assert NAMED.findall("as `a/gone.py` does") == ["a/gone.py"] and not found("a/gone.py")
    assert LINK.findall("[x](docs/gone.md#part)") == ["docs/gone.md"]
