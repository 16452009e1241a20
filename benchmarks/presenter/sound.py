"""A PulseAudio of the benchmark's own: a microphone to speak into, and ears that know the time."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError

RATE = 48_000
MICROPHONE = "visavis_bench_mic"  # the sink whose monitor is the microphone
_NEEDED = ("pulseaudio", "pactl", "pacat", "parec")
_START_S = 20.0
_END_S = 5.0
CLICK_LEVEL = 16_384  # the speech stays well below
_REST_S = 0.5  # within which everything loud is the same click


class SoundServer:
    """PulseAudio with one null sink that stands in for a microphone; ended by :meth:`close`.

    Args:
        folder: for its socket and log; empty before.

    Raises:
        BenchmarkError: PulseAudio is not installed or does not come up.
    """

    def __init__(self, folder: Path) -> None:
        for name in _NEEDED:
            if shutil.which(name) is None:
                raise BenchmarkError(
                    f"{name} is not installed: apt-get install pulseaudio pulseaudio-utils "
                    "libasound2-plugins libportaudio2, or measure with --devices fake."
                )
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        socket = runtime / "pulse.sock"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PULSE_")},
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(runtime),
            "PULSE_SERVER": f"unix:{socket}",
        }
        words = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        for module in (
            f"module-native-protocol-unix auth-anonymous=1 socket={socket}",
            f"module-null-sink sink_name={MICROPHONE} rate={RATE} channels=1",
        ):
            words += ["-L", module]
        with (folder / "pulse.log").open("ab") as log:
            self._process = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log)
        wait_for(lambda: self.pactl("info"), "PulseAudio did not come up.")
        self.pactl("set-default-source", f"{MICROPHONE}.monitor")

    def pactl(self, *words: str) -> str:
        """Return what ``pactl`` says; nothing where it fails."""
        done = subprocess.run(
            ["pactl", *words],
            env=self.environment, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else ""

    def close(self) -> None:
        """End it."""
        end(self._process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever it does."""
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(look: object, failure: str, limit_s: float = _START_S) -> None:
    """Wait until ``look()`` is true.

    Raises:
        BenchmarkError: with ``failure``, after the limit.
    """
    assert callable(look)
    deadline = time.monotonic() + limit_s
    while not look():
        if time.monotonic() > deadline:
            raise BenchmarkError(failure)
        time.sleep(0.05)


class Ear:
    """Records a source and knows when each sample was there.

    Args:
        server: whose source it is.
        source: its name.
    """

    def __init__(self, server: SoundServer, source: str) -> None:
        self._process = subprocess.Popen(
            ["parec", "--raw", f"--device={source}", f"--rate={RATE}", "--channels=1",
             "--format=s16le", "--latency-msec=5"],
            env=server.environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.clicks: list[float] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        left = b""
        while data := os.read(pipe.fileno(), 4096):
            at, data = time.monotonic(), left + data
            left = data[len(data) // 2 * 2 :]
            self.clicks += onsets(np.frombuffer(data[: len(data) // 2 * 2], "<i2"), at, self.clicks)

    def close(self) -> None:
        """Stop listening."""
        end(self._process)
        self._thread.join(_END_S)


def onsets(samples: NDArray[np.int16], end_s: float, before: list[float]) -> list[float]:
    """Return when clicks began in a block of sound.

    Args:
        samples: mono at 48 kHz.
        end_s: when the last of them was there, in seconds.
        before: clicks that were found in earlier blocks; what is near the last is the same one.
    """
    found: list[float] = []
    for place in np.flatnonzero(np.abs(samples.astype(np.int32)) > CLICK_LEVEL):
        moment = end_s - (len(samples) - int(place)) / RATE
        last = found[-1] if found else before[-1] if before else -np.inf
        if moment - last > _REST_S:
            found.append(moment)
    return found


@contextlib.contextmanager
def speaking(server: SoundServer, sound: NDArray[np.float32]) -> Iterator[None]:
    """Speak into the microphone for as long as the block lasts."""
    process = subprocess.Popen(
        ["pacat", "--playback", "--raw", f"--device={MICROPHONE}", f"--rate={RATE}",
         "--channels=1", "--format=s16le", "--latency-msec=20"],
        env=server.environment, stdin=subprocess.PIPE,
    )  # fmt: skip
    data = np.clip(sound * 32_767, -32_768, 32_767).astype("<i2").tobytes()

    def write() -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            process.stdin.write(data)
            process.stdin.flush()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end(process)
        thread.join(_END_S)
