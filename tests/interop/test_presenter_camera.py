"""The PipeWire camera, read back by another program: the mouth moves with the sound."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.interop.sound_server import (
    Clicks,
    SoundServer,
    missing,
    sound_server,
    wait_for,
)

NEEDED = ("pulseaudio", "pipewire", "wireplumber", "pw-v4l2", "gst-launch-1.0", "dbus-daemon")
if name := missing(*NEEDED):
    pytest.skip(f"{name} is not installed: apt-get install it", allow_module_level=True)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[SoundServer]:
    """PulseAudio, and a PipeWire with its own session bus beside it."""
    with sound_server(tmp_path) as server:
        bus = f"unix:path={tmp_path / 'run' / 'bus'}"
        server.environment["DBUS_SESSION_BUS_ADDRESS"] = bus
        running = []
        with (tmp_path / "pipewire.log").open("ab") as log:
            for words in (
                ["dbus-daemon", "--session", f"--address={bus}", "--nofork", "--nopidfile"],
                ["pipewire"],
                ["wireplumber"],
            ):
                running.append(
                    subprocess.Popen(words, env=server.environment, stdout=log, stderr=log)
                )
                time.sleep(0.5)  # each is asked for by the next; none says when it is ready
        wait_for(lambda: "PipeWire:Interface:Core" in nodes(server, "Core"), "PipeWire")
        yield server
        for process in reversed(running):
            process.terminate()
            process.wait(10)


def nodes(server: SoundServer, kind: str = "Node") -> str:
    done = subprocess.run(
        ["pw-cli", "ls", kind], env=server.environment, capture_output=True, text=True, timeout=20
    )
    return done.stdout


def read_back(server: SoundServer, frames: int, out: Path) -> np.ndarray:
    """What another program reads from the camera: ``(n, 512, 512)`` brightness."""
    words = [
        "pw-v4l2",
        sys.executable,
        "-m",
        "tests.fakes.processes.read_camera",
        str(frames),
        str(out),
    ]
    done = subprocess.run(
        words, env=server.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-800:]
    return np.load(out)


@pytest.mark.timed
def test_another_program_sees_the_mouth_move_with_the_sound(
    session: SoundServer, tmp_path: Path
) -> None:
    """Twice, as a meeting program does for its preview and for the call."""
    bundle = tmp_path / "anna.vav"
    bundle.write_bytes(b"")
    process = session.run(
        "tests.fakes.processes.present_process", "--bundle", str(bundle), "--seconds", "90",
        "--camera", "pipewire",
    )  # fmt: skip
    wait_for(lambda: "visavis_cam" in nodes(session), "the camera")
    burst = np.full(48_000 // 4, 20_000, np.int16)
    clicks = Clicks(session, burst, 1.0)
    preview = read_back(session, 10, tmp_path / "preview.npy")
    time.sleep(2.5)  # who watched has left; the camera is made anew
    wait_for(lambda: "visavis_cam" in nodes(session), "the camera again")
    pictures = read_back(session, 75, tmp_path / "seen.npy")
    clicks.stop()
    process.terminate()
    process.communicate(timeout=20)
    assert preview.shape == (10, 512, 512)
    parity = pictures[:, 10:50, 10:50].mean((1, 2)) > 128  # flips with every frame number
    assert (parity[1:] != parity[:-1]).mean() > 0.5, "pictures must differ"
    bright = pictures[:, 200:400, 200:400].mean((1, 2))
    loud = bright > (bright.min() + bright.max()) / 2
    assert bright.max() - bright.min() > 60, "the mouth must open"
    assert 0.08 < loud.mean() < 0.6, "about as long as somebody speaks"
    openings = np.flatnonzero(loud[1:] & ~loud[:-1])
    assert len(openings) >= 2
    assert 15 <= np.median(np.diff(openings)) <= 32, "once a second, as the sound has it"
    wait_for(lambda: "visavis_cam" not in nodes(session), "the camera's end")
