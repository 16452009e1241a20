"""What every benchmark shares: the machine's name, percentiles, a server of its own."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import httpx
import numpy as np

_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    # Host candidates must carry addresses, not mDNS names that nothing here resolves.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",  # on a machine without any other interface
)
FAILED = 2  # the exit code of a measurement that could not be made


class BenchmarkError(RuntimeError):
    """The measurement could not be made; the message is one sentence."""


@dataclass(frozen=True)
class Server:
    """A server started for one measurement."""

    url: str
    pid: int
    data_dir: Path


def percentiles(values: Sequence[float], digits: int = 1) -> dict[str, float | int | None]:
    """Return ``{p50, p95, p99, n}`` of the values; None where there are none."""
    if not len(values):
        return {"p50": None, "p95": None, "p99": None, "n": 0}
    marks = np.percentile(np.asarray(values, float), [50, 95, 99])
    named = {f"p{p}": round(float(m), digits) for p, m in zip((50, 95, 99), marks, strict=True)}
    return {**named, "n": len(values)}


def machine() -> dict[str, Any]:
    """Return the hardware and versions that a figure means nothing without."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        cpu = next(
            (ln.split(":", 1)[1].strip() for ln in lines if ln.startswith("model name")), cpu
        )
    versions = {}
    for name in ("visavis", "aiortc", "av", "onnxruntime", "numpy", "numba"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def guarded(measure: Callable[[], int]) -> int:
    """Run a measurement; one that cannot be made is one sentence on stderr and exit code 2.

    A request to stop (SIGTERM) ends like Ctrl-C, so that servers and browsers are ended with it.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return measure()
    except BenchmarkError as error:
        sys.stderr.write(f"visavis bench: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("visavis bench: stopped; nothing was written.\n")
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def read_result(path: Path) -> dict[str, Any]:
    """Read a result file.

    Raises:
        BenchmarkError: it is not there or is none.
    """
    try:
        result = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BenchmarkError(f"The result {path} cannot be read.") from error
    except ValueError as error:
        raise BenchmarkError(f"The file {path} is not JSON.") from error
    if not isinstance(result, dict):
        raise BenchmarkError(f"The file {path} is not the result of a benchmark.")
    return result


def compact_json(value: Any) -> str:
    """Return indented JSON with every list of plain numbers on one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    numbers = re.compile(r"\[\s+((?:-?[0-9.e+-]+|null)(?:,\s+(?:-?[0-9.e+-]+|null))*)\s+\]")
    return numbers.sub(lambda m: "[" + re.sub(r",\s+", ", ", m.group(1)) + "]", text)


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write the result with the machine beside it, to a file or to stdout."""
    text = compact_json({"machine": machine(), **result})
    if path is None:
        sys.stdout.write(text + "\n")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", "utf-8")


def find_chromium() -> str:
    """Return the path of a Chromium.

    Raises:
        BenchmarkError: there is none.
    """
    for name in _CHROMIUM_NAMES:
        if found := shutil.which(name):
            return found
    raise BenchmarkError("There is no Chromium on this machine: apt-get install chromium.")


def astronaut_jpeg() -> bytes:
    """Return the public-domain astronaut photo as a JPEG."""
    import io

    from PIL import Image
    from skimage.data import astronaut

    out = io.BytesIO()
    Image.fromarray(astronaut()).save(out, "JPEG", quality=95)
    return out.getvalue()


@contextlib.contextmanager
def running_server(**variables: str) -> Iterator[Server]:
    """Start ``visavis serve`` on a free port with a data folder of its own, and stop it after.

    Args:
        variables: further ``VISAVIS_*`` settings without the prefix (``MEDIA_SIZE="256"``).

    Raises:
        BenchmarkError: it did not come up within half a minute.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="visavis-bench-") as data:
        environ = {
            **os.environ,
            "VISAVIS_DATA": data,
            "VISAVIS_PORT": str(port),
            **{f"VISAVIS_{name}": value for name, value in variables.items()},
        }
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "visavis.streamer", "serve"],
            env=environ,
            stdout=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_healthy(url, process)
            yield Server(url, process.pid, Path(data))
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def running_stock(size: int = 512) -> Iterator[Server]:
    """Start the comparison server on plain aiortc, and stop it after.

    Raises:
        BenchmarkError: it did not come up.
    """
    command = [sys.executable, "-P", "-m", "visavis.benchmarks.stock.server", "--size", str(size)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise BenchmarkError("The comparison server did not come up.")
        yield Server(url, process.pid, Path())
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchmarkError(f"The server ended at once with code {process.returncode}.")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/healthz", timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise BenchmarkError("The server did not come up.")


def enrol(url: str, photo: bytes) -> tuple[str, float]:
    """Enrol a photo over HTTP; return the avatar's id and the seconds it took."""
    began = time.monotonic()
    answer = httpx.post(
        f"{url}/api/avatars",
        params={"wait": "true"},
        files={"photo": ("photo.jpg", photo, "image/jpeg")},
        data={"name": "Benchmark", "consent": "true"},
        timeout=120,
    )
    if answer.status_code != 201:
        raise BenchmarkError(f"The photo was not enrolled: {answer.text}")
    return answer.json()["id"], time.monotonic() - began
