"""Told to stop, the server is gone within three seconds, whatever its start is busy with."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GONE_WITHIN_S = 3.0


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def wait_for_pid(path: Path, process: subprocess.Popen[str]) -> int:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


@contextlib.contextmanager
def started(folder: Path, first_stuck: int) -> Iterator[subprocess.Popen[str]]:
    """A server whose workers hang from the given one on."""
    module = ("-m", "tests.fakes.processes.stuck_server", str(folder), str(first_stuck))
    command = (sys.executable, *module, "serve", "--port", "0", "--data", str(folder / "data"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VISAVIS_")}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        for path in folder.glob("worker-*"):
            with contextlib.suppress(OSError):
                os.kill(int(path.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_while_the_first_worker_loads(tmp_path: Path, kind: signal.Signals) -> None:
    with started(tmp_path, 1) as process:
        worker = wait_for_pid(tmp_path / "worker-1", process)
        process.send_signal(kind)
        out, err = process.communicate(timeout=GONE_WITHIN_S)
        assert "Traceback" not in err and not out, err
        assert process.returncode in (-kind, 128 + kind)
        assert not alive(worker)


def test_while_the_standby_loads(tmp_path: Path) -> None:
    with started(tmp_path, 2) as process:
        assert process.stdout is not None and "http://" in process.stdout.readline()
        worker = wait_for_pid(tmp_path / "worker-2", process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=GONE_WITHIN_S)
        assert "Traceback" not in err, err
        assert not alive(worker)
