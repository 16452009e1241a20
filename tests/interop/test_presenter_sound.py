"""Microphone → avatar → virtual microphone, with a real PulseAudio and a real PortAudio."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.interop.sound_server import (
    MIC,
    RATE,
    Clicks,
    Recording,
    SoundServer,
    missing,
    sound_server,
    wait_for,
)

if name := missing("pulseaudio", "pactl", "parec", "pacat"):
    pytest.skip(f"{name} is not installed: apt-get install pulseaudio", allow_module_level=True)

BURST = np.full(RATE // 50, 20_000, np.int16)
OURS = "visavis_mic"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    with sound_server(tmp_path) as running:
        yield running


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = tmp_path / "anna.vav"
    path.write_bytes(b"")
    return str(path)


def result(process: subprocess.Popen[str]) -> dict:
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return json.loads(out.splitlines()[-1])


@pytest.mark.timed
def test_the_virtual_microphone_is_late_by_what_is_said(
    server: SoundServer, bundle: str, tmp_path: Path
) -> None:
    """Also recorded: the file's picture brightens with its sound."""
    film = tmp_path / "talk.mp4"
    process = server.run(
        "tests.fakes.processes.present_process",
        "--bundle",
        bundle,
        "--seconds",
        "7",
        "--record",
        str(film),
    )
    wait_for(lambda: OURS in server.sources(), "the virtual microphone")
    clicks = Clicks(server, BURST)
    before, after = Recording(server, f"{MIC}.monitor"), Recording(server, OURS)
    said = result(process)
    clicks.stop()
    before.stop()
    after.stop()
    assert OURS not in server.sources(), "what was made must be taken away again"
    heard, left = np.array(before.onsets()), np.array(after.onsets())
    late = [1e3 * float(t - heard[heard < t].max()) for t in left if (heard < t).any()]
    print(
        "LATE",
        np.round(late),
        said["delay_ms"],
        np.percentile(said["skew_ms"], [1, 5, 50, 95, 99]),
        said["late"],
        said["shown"],
    )
    assert len(late) >= 4
    measured = float(np.median(late[1:]))
    assert abs(measured - said["delay_ms"]) < 60, (measured, said["delay_ms"])
    assert said["problems"] == []
    assert np.percentile(np.abs(said["skew_ms"]), 90) < 20, "against the picture"
    check_film(film)


def check_film(film: Path) -> None:
    """Picture and sound of the fragmented file begin their bursts together."""
    with av.open(str(film)) as container:
        light = [
            (frame.time or 0.0, float(frame.to_ndarray(format="gray")[200:400, 200:400].mean()))
            for frame in container.decode(video=0)
        ]
    with av.open(str(film)) as container:
        blocks = [f.to_ndarray()[0] for f in container.decode(audio=0)]
    sound = np.abs(np.concatenate(blocks))
    lit = [t for (_, a), (t, b) in pairwise(light) if b > a + 30]
    loud = np.flatnonzero(sound > 0.25) / RATE
    starts = [t for i, t in enumerate(loud) if i == 0 or t - loud[i - 1] > 0.3]
    apart = [1e3 * (min(lit, key=lambda seen: abs(seen - t)) - t) for t in starts[1:]]
    assert len(apart) >= 3 and np.abs(np.median(apart)) < 45, apart  # a frame is 40 ms


def test_a_sound_server_that_dies_is_found_again(server: SoundServer, bundle: str) -> None:
    process = server.run(
        "tests.fakes.processes.present_process", "--bundle", bundle, "--seconds", "10"
    )
    wait_for(lambda: OURS in server.sources(), "the virtual microphone")
    time.sleep(1.0)  # so that it is in use
    server.kill()
    server.start()
    wait_for(lambda: OURS in server.sources(), "the virtual microphone again", 12)
    clicks, after = Clicks(server, BURST), Recording(server, OURS)
    said = result(process)
    clicks.stop()
    after.stop()
    assert any("virtual microphone" in problem for problem in said["problems"])
    assert any("microphone has fallen silent" in problem for problem in said["problems"])
    assert len(after.onsets()) >= 2, "it must be heard again"


def test_what_a_killed_run_left_is_used_again(server: SoundServer, bundle: str) -> None:
    first = server.run(
        "tests.fakes.processes.present_process", "--bundle", bundle, "--seconds", "30"
    )
    wait_for(lambda: OURS in server.sources(), "the virtual microphone")
    first.kill()
    first.communicate(timeout=20)
    assert OURS in server.sources()
    again = server.run(
        "tests.fakes.processes.present_process", "--bundle", bundle, "--seconds", "2"
    )
    assert result(again)["problems"] == []
    assert OURS not in server.sources()
