"""Packages of npm for a test, installed once into a folder of the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

_INSTALL_S = 170


def installed(name: str, packages: Mapping[str, str]) -> Path:
    """Return a folder with the packages; skip where npm or its registry is not to be had.

    Args:
        name: of the folder.
        packages: version by name.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "visavis-tests" / name
    wanted = [f"{package}@{version}" for package, version in packages.items()]
    mark = folder / "installed.txt"
    if mark.is_file() and mark.read_text("utf-8").split() == wanted:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder)]
    try:
        subprocess.run([*command, *wanted], check=True, timeout=_INSTALL_S, capture_output=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm could not install {', '.join(wanted)}: {error}")
    mark.write_text("\n".join(wanted), "utf-8")
    return folder


def bundle(folder: Path, script: str) -> str:
    """Return a module and all it imports as one script for a page."""
    esbuild = folder / "node_modules" / ".bin" / "esbuild"
    command = [str(esbuild), "--bundle", "--format=iife", "--log-level=error", "--loader=ts"]
    done = subprocess.run(
        command, input=script, cwd=folder, check=True, timeout=60, capture_output=True, text=True
    )
    return done.stdout
