"""The file path, with motion and renderer replaced by ones whose answer is known."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import wavfile

from visavis.models.coefficients import COUNT, INDEX
from visavis.streamer.commands.render import render_file
from visavis.streamer.errors import BadRequest

RATE, FPS, SIZE = 16_000, 25, 256
JAW = INDEX["jawOpen"]


class LoudnessMotion:
    """jawOpen is the peak of the frame's own samples, two frames later, as the real one."""

    SAMPLE_RATE = RATE
    fps = FPS

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)

    def push(self, pcm: np.ndarray) -> np.ndarray:
        self._held = np.concatenate([self._held, pcm])
        frames = []
        while len(self._held) >= 640 + 1280:
            values = np.zeros(COUNT, np.float32)
            values[JAW] = np.abs(self._held[:640]).max()
            frames.append(values)
            self._held = self._held[640:]
        return np.array(frames, np.float32).reshape(-1, COUNT)


class GreyRenderer:
    """A picture as bright as the jaw is open, in one buffer that is used again."""

    def __init__(self) -> None:
        self._buffer = np.zeros((SIZE, SIZE, 3), np.uint8)

    def render(self, values: np.ndarray) -> np.ndarray:
        self._buffer[:] = int(values[JAW] * 255)
        return self._buffer


def render(tmp_path: Path, samples: np.ndarray, rate: int = RATE) -> tuple[Path, object]:
    sound = tmp_path / "in.wav"
    wavfile.write(sound, rate, samples)
    out = tmp_path / "out.mp4"
    report = render_file(LoudnessMotion(), [GreyRenderer()], sound, out, size=SIZE, fps=FPS)
    return out, report


def test_flash_and_beep_stay_together_in_the_file(tmp_path: Path) -> None:
    samples = np.zeros(RATE * 4, np.int16)
    beeps = [0.52, 1.64, 3.0]
    for when in beeps:
        place = int(when * RATE)
        samples[place : place + 320] = (20_000 * np.sin(np.arange(320) * 0.6)).astype(np.int16)
    out, report = render(tmp_path, samples)
    assert (report.frames, report.silent) == (100, False)
    with av.open(str(out)) as container:
        lit = [f.time for f in container.decode(video=0) if f.to_ndarray(format="gray").mean() > 60]
    with av.open(str(out)) as container:
        heard = []
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2)
            if len(loud) and (not heard or frame.time > heard[-1] + 0.3):
                heard.append(frame.time + loud[0] / frame.sample_rate)
    assert len(heard) == 3
    for beep, sound in zip(beeps, heard, strict=True):
        picture = min(lit, key=lambda t: abs(t - beep))
        assert abs(sound - beep) < 0.005  # AAC's priming is compensated
        assert picture <= beep < picture + 0.04 + 1e-6  # the frame whose samples hold it


@pytest.mark.parametrize("seconds", [0.01, 0.04, 0.99, 1.0])
def test_as_many_frames_as_sound(tmp_path: Path, seconds: float) -> None:
    samples = np.full(int(RATE * seconds), 3000, np.int16)
    out, report = render(tmp_path, samples)
    assert report.frames == int(np.ceil(seconds * FPS - 1e-9))
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == report.frames


def test_silence_is_reported(tmp_path: Path) -> None:
    assert render(tmp_path, np.zeros(RATE, np.int16))[1].silent


def test_a_failing_picture_leaves_no_file(tmp_path: Path) -> None:
    sound = tmp_path / "in.wav"
    wavfile.write(sound, RATE, np.zeros(RATE, np.int16))

    class Broken(GreyRenderer):
        def render(self, values: np.ndarray) -> np.ndarray:
            raise RuntimeError("no picture")

    with pytest.raises(RuntimeError, match="no picture"):
        render_file(LoudnessMotion(), [Broken()], sound, tmp_path / "o.mp4", size=SIZE, fps=FPS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.wav"]


@pytest.mark.parametrize("name", ["out.avi2", "nowhere/out.mp4"])
def test_an_output_that_cannot_be(tmp_path: Path, name: str) -> None:
    sound = tmp_path / "in.wav"
    wavfile.write(sound, RATE, np.zeros(RATE, np.int16))
    with pytest.raises(BadRequest):
        render_file(LoudnessMotion(), [GreyRenderer()], sound, tmp_path / name, size=SIZE, fps=FPS)
