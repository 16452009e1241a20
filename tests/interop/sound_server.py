"""A PulseAudio and a PipeWire of the test's own, in a folder that goes with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

RATE = 48_000
MIC = "test_mic"  # the sink whose monitor is the test's microphone


class SoundServer:
    """PulseAudio with one null sink that stands in for a microphone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        self.socket = runtime / "pulse.sock"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PULSE_")},
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(runtime),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        modules = (
            f"module-native-protocol-unix auth-anonymous=1 socket={self.socket}",
            f"module-null-sink sink_name={MIC} rate={RATE} channels=1",
        )
        words = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        for module in modules:
            words += ["-L", module]
        with (self.folder / "pulse.log").open("ab") as log:
            self.process = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log)
        wait_for(lambda: self.pactl("info") is not None, "PulseAudio")
        self.pactl("set-default-source", f"{MIC}.monitor")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def pactl(self, *words: str) -> str | None:
        done = subprocess.run(
            ["pactl", *words], env=self.environment, capture_output=True, text=True, timeout=20
        )
        return done.stdout if done.returncode == 0 else None

    def sources(self) -> str:
        return self.pactl("list", "short", "sources") or ""

    def run(self, *words: str) -> subprocess.Popen[str]:
        """Start a module of the repository as a program on this server."""
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def wait_for(look: Callable[[], object], what: str, timeout_s: float = 20.0) -> object:
    deadline = time.monotonic() + timeout_s
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)
    return value


@contextmanager
def sound_server(folder: Path) -> Iterator[SoundServer]:
    server = SoundServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def missing(*programs: str) -> str:
    """The first program that is not there, or nothing."""
    return next((name for name in programs if shutil.which(name) is None), "")


class Recording:
    """Records a source and knows when each sample was there."""

    def __init__(self, server: SoundServer, source: str) -> None:
        self._process = subprocess.Popen(
            ["parec", "--raw", f"--device={source}", f"--rate={RATE}", "--channels=1",
             "--format=s16le", "--latency-msec=10"],
            env=server.environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.blocks: list[tuple[float, np.ndarray]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        while data := os.read(pipe.fileno(), 4096):
            self.blocks.append((time.monotonic(), np.frombuffer(data, "<i2")))

    def onsets(self, level: int = 8000, rest_s: float = 0.3) -> list[float]:
        """When sound became loud, in monotonic seconds."""
        found: list[float] = []
        for at, samples in self.blocks:
            for place in np.flatnonzero(np.abs(samples.astype(int)) > level):
                moment = at - (len(samples) - int(place)) / RATE
                if not found or moment - found[-1] > rest_s:
                    found.append(moment)
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)


class Clicks:
    """Plays a short burst into the test's microphone now and then, and knows when."""

    def __init__(self, server: SoundServer, sound: np.ndarray, every_s: float = 0.7) -> None:
        self._process = subprocess.Popen(
            ["pacat", "--playback", "--raw", f"--device={MIC}", f"--rate={RATE}", "--channels=1",
             "--format=s16le", "--latency-msec=20"],
            env=server.environment, stdin=subprocess.PIPE,
        )  # fmt: skip
        self._sound, self._every = sound, every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        quiet = np.zeros(round(self._every * RATE) - len(self._sound), "<i2").tobytes()
        while not self._ending.is_set():
            try:
                pipe.write(self._sound.astype("<i2").tobytes() + quiet)
                pipe.flush()
            except OSError:
                return

    def stop(self) -> None:
        self._ending.set()
        self._process.terminate()
        self._process.wait(10)
