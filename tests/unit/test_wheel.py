"""The wheel built from a clone holds all that the server needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    # Built from a copy of what git tracks, so that no leftover of a build can hide an omission.
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(source)],
        check=True,
        timeout=150,
    )
    return zipfile.ZipFile(next(out.glob("*.whl")))


def _installed(path: Path) -> str:
    return f"visavis/{path.relative_to(ROOT).as_posix()}"


def test_weights_and_pages_are_inside(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder in ("models/weights", "web/static", "benchmarks/latency/page"):
        wanted = {_installed(p) for p in (ROOT / folder).rglob("*") if p.is_file()}
        assert wanted, f"{folder} is empty"
        assert wanted <= names, wanted - names
    assert "visavis/streamer/cost/prices.toml" in names


def test_every_module_is_inside_and_no_test(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for package in ("streamer", "engines", "models", "web", "benchmarks"):
        modules = {_installed(p) for p in (ROOT / package).rglob("*.py")}
        assert modules <= names, modules - names
    assert not [name for name in names if not name.startswith("visavis")]


def test_weights_stay_small() -> None:
    size = sum(p.stat().st_size for p in (ROOT / "models/weights").rglob("*") if p.is_file())
    assert size < 60e6
