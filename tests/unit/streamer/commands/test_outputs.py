"""``-o`` never destroys: not what it is made from, and another file only with ``--force``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import wavfile

from tests.fakes.processes.signals import can_be_interrupted
from tests.unit.streamer.commands.test_offline import FPS, RATE, SIZE, GreyRenderer, LoudnessMotion
from visavis.streamer.commands import render as render_module
from visavis.streamer.commands.outputs import check_output, whole_file
from visavis.streamer.commands.render import render_file
from visavis.streamer.errors import BadRequest

MINE = b"a film of mine"


def sound_at(path: Path, seconds: float = 1.0) -> Path:
    with path.open("wb") as file:  # whatever it is called
        wavfile.write(file, RATE, np.full(int(RATE * seconds), 3000, np.int16))
    return path


def render(sound: Path, out: Path, renderer: object = None, force: bool = False) -> None:
    render_file(
        LoudnessMotion(), [renderer or GreyRenderer()], sound, out, size=SIZE, fps=FPS, force=force
    )


@pytest.mark.parametrize("way", ["itself", "dotted", "symbolic", "hard", "through a folder"])
@pytest.mark.parametrize("force", [False, True])
def test_an_output_is_never_its_own_input(tmp_path: Path, way: str, force: bool) -> None:
    sound = sound_at(tmp_path / "talk.mp4")
    before = sound.read_bytes()
    out = tmp_path / "out.mp4"
    if way == "itself":
        out = sound
    elif way == "dotted":
        out = tmp_path / "." / ".." / tmp_path.name / "talk.mp4"
    elif way == "symbolic":
        out.symlink_to(sound)
    elif way == "hard":
        os.link(sound, out)
    else:
        (tmp_path / "other").symlink_to(tmp_path, target_is_directory=True)
        out = tmp_path / "other" / "talk.mp4"
    with pytest.raises(BadRequest, match="made from"):
        render(sound, out, force=force)
    assert sound.read_bytes() == before


def test_another_file_is_replaced_only_with_force(tmp_path: Path) -> None:
    sound, out = sound_at(tmp_path / "a.wav"), tmp_path / "o.mp4"
    out.write_bytes(MINE)
    with pytest.raises(BadRequest, match="--force"):
        render(sound, out)
    assert out.read_bytes() == MINE
    render(sound, out, force=True)
    with av.open(str(out)) as film:
        assert film.streams.video
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "o.mp4"]


def test_a_link_is_replaced_and_what_it_points_at_is_not(tmp_path: Path) -> None:
    sound, film, out = sound_at(tmp_path / "a.wav"), tmp_path / "film.mp4", tmp_path / "o.mp4"
    film.write_bytes(MINE)
    out.symlink_to(film)
    with pytest.raises(BadRequest, match="exists"):
        render(sound, out)
    render(sound, out, force=True)
    assert film.read_bytes() == MINE and not out.is_symlink()
    out.unlink()
    out.symlink_to(tmp_path / "nothing.mp4")  # points nowhere, but is there
    with pytest.raises(BadRequest, match="exists"):
        render(sound, out)


def test_a_file_that_comes_to_lie_there_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "o.txt"
    with pytest.raises(BadRequest, match="exists already"), whole_file(out) as partial:
        partial.write_text("new")
        out.write_bytes(MINE)
    assert out.read_bytes() == MINE and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("name", "says"),
    [("o.avi", "end in"), ("o", "end in"), ("none/o.mp4", "no folder"), ("dir.mp4", "a folder"),
     ("pipe.mp4", "no ordinary file")],
)  # fmt: skip
def test_a_wrong_output_is_refused_before_any_work(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "dir.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(BadRequest, match=says):
        check_output(tmp_path / name, force=True, suffixes=(".mp4", ".mov"))


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    with whole_file(tmp_path / "o.txt") as partial:
        partial.write_text("x")
    (tmp_path / "other.txt").write_text("x")
    assert (tmp_path / "o.txt").stat().st_mode == (tmp_path / "other.txt").stat().st_mode


class Stops(GreyRenderer):
    """Draws a second, then Ctrl-C is pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = 0

    def render(self, values: np.ndarray) -> np.ndarray:
        self.drawn += 1
        if self.drawn == FPS:
            raise KeyboardInterrupt
        return super().render(values)


def test_ctrl_c_encodes_no_more_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, out = sound_at(tmp_path / "a.wav", 60.0), tmp_path / "o.mp4"
    out.write_bytes(MINE)
    read = {}

    def counting(path: Path, rate: int, **options: object) -> Iterator[np.ndarray]:
        for block in real(path, rate, **options):
            read[rate] = read.get(rate, 0) + len(block)
            yield block

    real = render_module.read_blocks
    monkeypatch.setattr(render_module, "read_blocks", counting)
    with pytest.raises(KeyboardInterrupt):
        render(sound, out, Stops(), force=True)
    assert read[48_000] < 3 * 48_000  # of sixty seconds
    assert out.read_bytes() == MINE
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "o.mp4"]
    assert not [t for t in threading.enumerate() if t.name == "encode"]


@pytest.mark.parametrize("when", ["first", "last", "index"])
def test_a_failed_end_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The disk is full at the first packet, at the last ones, or as the index is written."""
    real = render_module.av.open

    class Full:
        def __init__(self, container: object) -> None:
            self._container = container
            self._packets = 0

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

        def mux(self, packets: object) -> None:
            self._packets += 1
            if when == "first" or (when == "last" and self._packets > 3 * FPS - 2):
                raise OSError(28, "No space left on device")
            self._container.mux(packets)

        def close(self) -> None:
            self._container.close()
            if when == "index":
                raise av.error.OSError(28, "No space left on device")

    def opened(name: str, mode: str = "r", **options: object) -> object:
        container = real(name, mode, **options)
        return Full(container) if mode == "w" else container

    sound, out = sound_at(tmp_path / "a.wav"), tmp_path / "o.mp4"
    monkeypatch.setattr(render_module.av, "open", opened)
    with pytest.raises(BadRequest, match="No space left"):
        render(sound, out)
    assert list(tmp_path.iterdir()) == [sound]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    sound_at(tmp_path / "a.wav", 1800.0)
    command = [
        sys.executable,
        "-m",
        "visavis.streamer",
        "motion",
        "--audio",
        "a.wav",
        "-o",
        "m.csv",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=can_be_interrupted
    )
    deadline = time.monotonic() + 60
    while not [*tmp_path.glob(".m.*.partial.csv")] and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code and "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
