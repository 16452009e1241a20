"""Stock clients against a real edge with a fake pipeline; each says in one line what it needs.

``make test`` installs all of it. Where something cannot be had, its tests skip with the reason, and
in CI a skip is a failure (``tests/strict_skips.py``).
"""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import start_server

__all__ = ["start_server"]
HERE = Path(__file__).parent
CLIENTS = HERE / "clients"
MODULES = HERE / "node_modules"
LIMIT_S = 40


@pytest.fixture(scope="session")
def node() -> str:
    """Node with the packages of package.json."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("Node.js is not installed (apt-get install nodejs npm)")
    if not (MODULES / "werift").is_dir():
        pytest.skip("npm packages are missing (npm ci --prefix tests/interop)")
    return path


@pytest.fixture(scope="session")
def gstreamer_python() -> str:
    """The system's Python with GStreamer's webrtcbin."""
    path = "/usr/bin/python3"
    code = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import GstWebRTC"
    found = (
        os.path.exists(path)
        and not subprocess.run([path, "-c", code], capture_output=True, timeout=30).returncode
    )
    plugins = shutil.which("gst-inspect-1.0")
    if (
        not found
        or plugins is None
        or subprocess.run([plugins, "webrtcbin"], capture_output=True, timeout=60).returncode
    ):
        pytest.skip("GStreamer's webrtcbin is not installed (make test says which packages)")
    return path


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """An ffmpeg that has the whip muxer."""
    module = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    path = str(module.get_ffmpeg_exe())
    listed = subprocess.run([path, "-hide_banner", "-muxers"], capture_output=True, timeout=30)
    if b" whip " not in listed.stdout:
        pytest.skip("this ffmpeg has no whip muxer")
    return path


async def run(*command: str | Path, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """Run a client; return the JSON of its last line."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=HERE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), limit_s)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0 and out, errors.decode()[-2000:]
    seen: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return seen


@pytest.fixture(scope="session")
def player_page(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page on an origin of its own with the stock players in it; its address."""
    folder = tmp_path_factory.mktemp("players")
    bundle = subprocess.run(
        [
            *(node, MODULES / "esbuild" / "bin" / "esbuild", CLIENTS / "players.js", "--bundle"),
            *("--format=iife", f"--outfile={folder / 'players.js'}", "--log-level=error"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert bundle.returncode == 0, bundle.stderr
    (folder / "index.html").write_text('<!doctype html><script src="players.js"></script>')
    handler: Callable[..., Any] = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""
