"""A Python environment of its own for a framework that does not fit beside the server's libraries.

Packages are installed once into a folder of the user's cache; the product's own source is laid on
the path as ``pip install --no-deps visavis`` would, so that a test sees what imports it needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_INSTALL_S = 400
_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("streamer", "engines", "models", "web")


@dataclass(frozen=True)
class Environment:
    """Such an environment.

    Attributes:
        python: its interpreter.
        variables: of the environment to start it in.
    """

    python: Path
    variables: dict[str, str]


def environment(name: str, packages: Sequence[str], links: Path) -> Environment:
    """Return an environment with the packages; skip where they are not to be had.

    Args:
        name: of the folder.
        packages: with their versions, as pip takes them.
        links: a folder for links to the product's source.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "visavis-tests" / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    mark, python = folder / "installed.txt", folder / "bin" / "python"
    if not (mark.is_file() and mark.read_text("utf-8").split() == list(packages)):
        venv.create(folder, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        try:
            subprocess.run(
                [*command, *packages], check=True, timeout=_INSTALL_S, capture_output=True
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"pip could not install {', '.join(packages)}: {error}")
        mark.write_text("\n".join(packages), "utf-8")
    package = links / "visavis"
    package.mkdir(parents=True, exist_ok=True)
    for room in _ROOMS:
        if not (package / room).exists():
            (package / room).symlink_to(_ROOT / room)
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV"))}
    return Environment(python, {**variables, "PYTHONPATH": str(links)})
