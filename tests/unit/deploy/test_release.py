"""``make release``: what it writes of this environment, and (slow) all of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import wave
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.interop.venv import environment
from visavis.models.appearance.portrait import synthetic_portrait

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
pytestmark = pytest.mark.timeout(600)


def dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [Requirement(entry) for entry in project["dependencies"]]
    # Some are for other versions of Python than this one.
    return {one.name.lower() for one in wanted if one.marker is None or one.marker.evaluate()}


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


def signed(folder: Path, key: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "-s", "sign", f"SIGN_IN={folder}", f"SIGNING_KEY={key}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def verified(folder: Path, allowed: Path) -> bool:
    """As SECURITY.md says it is done."""
    command = shlex.split(
        "ssh-keygen -Y verify -f allowed_signers -I releases -n visavis-release -s SHA256SUMS.sig"
    )
    assert " ".join(command) in " ".join((ROOT / "SECURITY.md").read_text("utf-8").split())
    command[command.index("allowed_signers")] = str(allowed)
    with (folder / "SHA256SUMS").open("rb") as sums:
        done = subprocess.run(command, cwd=folder, stdin=sums, capture_output=True, timeout=60)
    return done.returncode == 0


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_sums_are_signed_and_a_changed_one_is_found(tmp_path: Path) -> None:
    for name in ("key", "other"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(make, check=True, timeout=60)
    allowed = {}
    for name in ("key", "other"):
        allowed[name] = tmp_path / f"allowed-{name}"
        allowed[name].write_text(f"releases {(tmp_path / f'{name}.pub').read_text()}")
    folder = tmp_path / "dist"
    folder.mkdir()
    sums = folder / "SHA256SUMS"
    sums.write_text(f"{'ab' * 32}  visavis-1.0-py3-none-any.whl\n")
    unsigned = signed(folder, Path())
    assert signed(folder, tmp_path / "key").returncode == 0 and unsigned.returncode != 0
    assert verified(folder, allowed["key"]) and not verified(folder, allowed["other"])
    sums.write_text(sums.read_text().replace("ab", "ac", 1))
    assert not verified(folder, allowed["key"])
    assert signed(folder, tmp_path / "key").returncode == 0, "signed again"
    assert verified(folder, allowed["key"])


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_releaser_s_key_is_made_and_published_as_it_is_written(tmp_path: Path) -> None:
    """The commands of SECURITY.md, one after the other, but for where the key lies."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    block = next(
        part for part in re.findall(r"```sh\n(.*?)```", text, re.S) if "-t ed25519" in part
    )
    make, publish, release = block.strip().splitlines()
    key = tmp_path / "visavis-release"
    for line in (make.replace("-C", "-N '' -q -C"), publish):
        command = line.replace("~/.ssh/visavis-release", str(key))
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=60)
    allowed = tmp_path / "allowed_signers"
    assert allowed.read_text().startswith("releases ssh-ed25519 ")
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "SHA256SUMS").write_text(f"{'ab' * 32}  visavis-1.0-py3-none-any.whl\n")
    assert release == "make release SIGNING_KEY=~/.ssh/visavis-release"
    assert signed(folder, key).returncode == 0 and verified(folder, allowed)


def test_no_key_is_published_yet_and_nothing_says_that_one_is() -> None:
    """Who publishes one changes SECURITY.md, and this test with it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    assert not re.search(r"allowed_signers|SHA256SUMS|\.sig$|\.pub$", listed, re.M)
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    texts = {path.name: path.read_text("utf-8") for path in documents}
    assert "**No key is published, and no release has been signed yet.**" in texts["SECURITY.md"]
    for name, text in texts.items():
        assert not re.search(r"ssh-(ed25519|rsa) AAAA", text), name
        claims = re.findall(r"releases? (?:is|are) signed|signed releases? (?!checksums)", text)
        assert not claims, (name, claims)


def test_without_a_key_it_says_that_nothing_is_signed(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "-s", "sign", f"SIGN_IN={tmp_path}", "SIGNING_KEY="],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "is not signed" in done.stdout and not list(tmp_path.iterdir())


def test_the_lock_has_a_wheel_of_every_package_for_linux() -> None:
    """A version with wheels for other systems only, and no source, once broke every install."""
    locked = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    wheels = {
        package["name"]: [wheel["url"].rsplit("/", 1)[-1] for wheel in package["wheels"]]
        for package in locked
        if "wheels" in package and "sdist" not in package
    }
    without = {
        name
        for name, files in wheels.items()
        if not any("-any." in file or "linux" in file for file in files)
    }
    assert len(wheels) > 20 and not without


def copied(target: Path) -> None:
    """Copy what git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((ROOT / name).read_bytes())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_bundle_installs_where_there_is_no_network(tmp_path: Path) -> None:
    copied(tmp_path)
    python = f"PYTHON=python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run(["make", "bundle", python], cwd=tmp_path, check=True, timeout=900)
    [bundle] = (tmp_path / "dist").glob("visavis-*-offline")
    alone = ["unshare", "--net", "--"] if os.geteuid() == 0 else ["unshare", "-rn", "--"]
    install = [*alone, "sh", str(bundle / "install.sh"), str(tmp_path / "installed")]
    subprocess.run(install, check=True, timeout=600, cwd="/")
    program = str(tmp_path / "installed" / "bin" / "visavis")
    sound, film = tmp_path / "tone.wav", tmp_path / "film.mp4"
    with wave.open(str(sound), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(32_000))
    photo = tmp_path / "person.png"
    photo.write_bytes(synthetic_portrait())
    data = ["--data", str(tmp_path / "data")]
    render = ["render", "--photo", str(photo), "--consent", "--size", "256", "--audio", str(sound)]
    subprocess.run([*alone, program, *render, "-o", str(film), *data], check=True, timeout=300)
    said = subprocess.run(
        [*alone, program, "verify", "--json", str(film), *data],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert '"Trusted"' in said.stdout, "the library for manifests is in the bundle"
    # A changed wheel is not installed, whichever check comes first.
    wheel = next((bundle / "wheels").glob("rich-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"x")
    assert subprocess.run(install, timeout=600, cwd="/", capture_output=True).returncode != 0
    sums = bundle / "SHA256SUMS"
    wrong = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lines = sums.read_text().splitlines()
    kept = [f"{wrong}  {ln.split()[1]}" if "/rich-" in ln else ln for ln in lines]
    sums.write_text("\n".join(kept) + "\n")
    shutil.rmtree(tmp_path / "installed")
    refused = subprocess.run(install, timeout=600, cwd="/", capture_output=True, text=True)
    assert refused.returncode != 0 and "DO NOT MATCH THE HASHES" in refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_release(tmp_path: Path) -> None:
    copied(tmp_path)
    subprocess.run(["make", "release"], cwd=tmp_path, check=True, timeout=1700)
    files = {path.name: path for path in (tmp_path / "dist").iterdir()}
    kinds = {re.sub(r"^visavis-[\d.]+", "", name) for name in files}
    assert kinds == {"-py3-none-any.whl", "cdx.json", "tar.gz", "SHA256SUMS"}
    for line in files.pop("SHA256SUMS").read_text("utf-8").splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256(files.pop(name).read_bytes()).hexdigest() == digest
    assert not files, "every file has its sum"
    check(json.loads(next((tmp_path / "dist").glob("*.json")).read_text("utf-8")))
