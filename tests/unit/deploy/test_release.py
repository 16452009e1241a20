"""``make release``: what it writes of this environment, and (slow) all of it."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.interop.venv import environment

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
pytestmark = pytest.mark.timeout(600)


def dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {re.split(r"[<>=\[; ]", entry)[0].lower() for entry in project["dependencies"]}


def check(bom: dict[str, Any]) -> None:
    assert bom["bomFormat"] == "CycloneDX" and bom["metadata"]["component"]["name"] == "visavis"
    components = {part["name"].lower().replace("_", "-"): part for part in bom["components"]}
    missing = {name for name in dependencies() if name.replace("_", "-") not in components}
    assert not missing, missing
    assert all(part["version"] and part["purl"].startswith("pkg:pypi/") for part in
               (components[name.replace("_", "-")] for name in dependencies()))  # fmt: skip
    assert "file:" not in json.dumps(bom), "no path of the machine it was made on"


def test_the_bill_of_materials_names_every_dependency(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wanted = re.search(r"cyclonedx-bom==\S+", MAKEFILE)
    assert wanted is not None
    tools = environment("sbom", (wanted.group(),), tmp_path_factory.mktemp("links"))
    found = re.search(r"^SBOM = (.*?[^\\])\n", MAKEFILE, re.M | re.S)
    assert found is not None
    command = shlex.split(found.group(1).replace("\\\n", " "))
    tool = str(tools.python.with_name(command[0]))
    out = tmp_path / "sbom.json"
    subprocess.run(
        [tool, *command[1:], "--output-file", str(out), sys.executable],
        cwd=ROOT, check=True, timeout=200, capture_output=True,
    )  # fmt: skip
    check(json.loads(out.read_text("utf-8")))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_release(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(["make", "release"], cwd=tmp_path, check=True, timeout=1700)
    files = {path.name: path for path in (tmp_path / "dist").iterdir()}
    kinds = {re.sub(r"^visavis-[\d.]+", "", name) for name in files}
    assert kinds == {"-py3-none-any.whl", "cdx.json", "tar.gz", "SHA256SUMS"}
    for line in files.pop("SHA256SUMS").read_text("utf-8").splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256(files.pop(name).read_bytes()).hexdigest() == digest
    assert not files, "every file has its sum"
    check(json.loads(next((tmp_path / "dist").glob("*.json")).read_text("utf-8")))
