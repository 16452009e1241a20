"""The presenter's loop on a simulated clock: picture and sound stay together."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from tests.fakes.fake_presenter import (
    BLOCK,
    RATE,
    Clock,
    InlineAvatar,
    SimulatedDevice,
    SimulatedMicrophone,
)
from visavis.streamer.config import MediaConfig
from visavis.streamer.errors import BadRequest
from visavis.streamer.presenter.devices.speaker import SoundCutter
from visavis.streamer.presenter.presenter import Presenter
from visavis.streamer.presenter.script.captions import Captions
from visavis.streamer.presenter.script.script import read_script
from visavis.streamer.presenter.script.sources import ScriptSource

LOUD = 24_000


class Seen:
    """A camera that remembers when the picture turned bright."""

    problem = ""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.onsets: list[float] = []
        self.shown = 0
        self._bright = False

    def open(self) -> None: ...

    def close(self) -> None: ...

    def show(self, picture: np.ndarray) -> None:
        self.shown += 1
        bright = float(picture[80:120, 80:120].mean()) > 150
        if bright and not self._bright:
            self.onsets.append(self._clock.now())
        self._bright = bright


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = tmp_path / "anna.vav"
    path.write_bytes(b"")
    return str(path)


def bursts() -> np.ndarray:
    """A burst of one frame a second, at a frame's beginning."""
    sound = np.zeros(RATE, np.int16)
    sound[10 * 1920 : 11 * 1920] = LOUD
    return sound


class Run:
    """A presenter, a device and a camera that time passes for."""

    def __init__(self, bundle: str, microphone: object, **parts: object) -> None:
        self.clock = Clock()
        self.avatar = InlineAvatar(bundle, self.clock.now)
        media = MediaConfig(look_ahead_ms=40)
        self.presenter = Presenter(
            self.avatar,
            media,
            microphone,
            clock=self.clock,
            **parts,  # type: ignore[arg-type]
        )
        self.camera = Seen(self.clock)
        self.presenter.feed_camera(self.camera)  # type: ignore[arg-type]
        self.device = SimulatedDevice(self.clock.now)
        self.presenter.feed_speaker(lambda: self.device)
        self.presenter.path.begin()
        self.heard: list[float] = []
        self._loud = False

    def pass_time(self, seconds: float, step_ms: int = 2) -> None:
        speaker = self.presenter.speaker
        assert speaker is not None
        for tick in range(round(seconds * 1000) // step_ms):
            self.clock.time += step_ms / 1000
            self.presenter.step()
            if tick % (10 // step_ms) == 0:
                speaker._step(self.device)
                self._listen()

    def _listen(self) -> None:
        at, samples = self.device.heard[-1]
        loud = np.abs(samples.astype(int)) > LOUD // 2
        if loud.any() and not self._loud:
            self.heard.append(at + int(np.argmax(loud)) / RATE)
        self._loud = bool(loud[-1])


@pytest.mark.parametrize("ppm", [0.0, 200.0, -200.0])
def test_picture_and_sound_belong_together(bundle: str, ppm: float) -> None:
    """Whatever the microphone's clock does, they stay within 20 ms for minutes."""
    run = Run(bundle, SimulatedMicrophone(bursts(), ppm))
    run.pass_time(60)
    heard, seen = np.array(run.heard[3:]), np.array(run.camera.onsets[3:])
    count = min(len(heard), len(seen))
    assert count > 50
    skew = 1e3 * (heard[:count] - seen[:count])
    assert np.abs(skew).max() <= 20, f"sound after picture: {skew.min():.1f} to {skew.max():.1f} ms"


def test_the_delay_is_what_is_said(bundle: str) -> None:
    run = Run(bundle, SimulatedMicrophone(bursts()))
    began = run.clock.now()
    run.pass_time(30)
    last = run.heard[-1]
    said_at = began + np.floor(last - began - 0.4) + 0.4  # the burst is .4 s into each second
    measured = 1e3 * (last - said_at)
    assert abs(measured - run.presenter.delay_ms) < 12
    assert run.presenter.delay_ms < 110


def test_ten_minutes_cost_no_memory_and_no_frame(bundle: str) -> None:
    run = Run(bundle, SimulatedMicrophone(bursts(), 30.0))
    process = psutil.Process()

    def held() -> tuple[int, int]:
        gc.collect()
        return sys.getallocatedblocks(), process.memory_info().rss

    run.pass_time(60, 10)
    blocks, resident = held()
    run.pass_time(540, 10)
    more_blocks, more_resident = (a - b for a, b in zip(held(), (blocks, resident), strict=True))
    assert more_blocks < 5_000, "of Python's own"
    assert more_resident < 8 << 20, "bytes, buffers included"
    figures = run.presenter.figures
    assert figures.shown == pytest.approx(600 * 25, abs=12)
    assert figures.late < 0.01 * figures.shown


def test_a_microphone_that_falls_silent_keeps_the_picture_going(bundle: str) -> None:
    microphone = SimulatedMicrophone(bursts())
    run = Run(bundle, microphone)
    run.pass_time(5)
    microphone.silent = True
    before = run.camera.shown
    run.pass_time(4)
    assert run.camera.shown - before == pytest.approx(100, abs=3)
    microphone.silent = False
    onsets = len(run.camera.onsets)
    run.pass_time(4)
    assert len(run.camera.onsets) >= onsets + 2


def test_mute_is_silence_and_a_still_mouth(bundle: str) -> None:
    run = Run(bundle, SimulatedMicrophone(bursts()))
    run.presenter.muted = True
    run.pass_time(5)
    assert not run.heard and not run.camera.onsets
    run.presenter.muted = False
    run.pass_time(4)
    assert run.heard and run.camera.onsets


def test_a_script_is_said_shown_and_written_down(bundle: str, tmp_path: Path) -> None:
    said = np.full(RATE, 3000, np.int16)
    steps = read_script("One two.\n\n[mood warm][look left][pause 1][next] Three four.")
    source = ScriptSource(steps, lambda text: said)
    source._pool.shutdown(wait=True)
    slides: list[float] = []
    path = tmp_path / "talk.vtt"
    clock_of: list[Run] = []
    run = Run(
        bundle,
        source,
        slide=lambda: slides.append(clock_of[0].clock.now()),
        captions=Captions(path),
    )
    clock_of.append(run)
    for _ in range(200):
        run.pass_time(0.05)
        if run.presenter.over:
            break
    assert run.presenter.over, "the presentation must end by itself"
    assert run.avatar.told == [("mood", "warm"), ("look", "left")]
    assert len(slides) == 1
    text = path.read_text("utf-8")
    assert text.startswith("WEBVTT") and "One two." in text and "Three four." in text
    starts = [line.split(" --> ")[0] for line in text.splitlines() if "-->" in line]
    first, second = (float(s[-6:]) for s in starts)
    assert second - first == pytest.approx(1.0 + 0.45 + 1.0, abs=0.06)


# ---------------------------------------------------------------------- the cutter


def tone(count: int) -> np.ndarray:
    return (12_000 * np.sin(2 * np.pi * 440 * np.arange(count) / RATE)).astype(np.int16)


def reader(sound: np.ndarray):
    def read(position: int, count: int) -> np.ndarray:
        out = np.zeros(count, np.int16)
        for i in range(max(0, -position), count):
            if position + i >= len(sound):
                break
            out[i] = sound[position + i]
        return out

    return read


def test_what_is_on_time_passes_untouched() -> None:
    sound = tone(20 * BLOCK)
    cutter = SoundCutter(reader(sound))
    out = np.concatenate([cutter.block(1000 + n * BLOCK) for n in range(10)])
    assert np.array_equal(out, sound[1000 : 1000 + 10 * BLOCK]) and cutter.cuts == 0


def test_a_moved_delay_is_followed_without_a_click() -> None:
    sound = tone(400 * BLOCK)
    cutter = SoundCutter(reader(sound))
    out, moved = [], 480  # 10 ms
    for n in range(300):
        out.append(cutter.block(4800 + n * BLOCK + (moved if n > 10 else 0)))
    assert cutter.cuts == 0
    assert abs(float(cutter.position or 0) - (4800 + 300 * BLOCK + moved)) <= RATE // 1000
    steps = np.abs(np.diff(np.concatenate(out).astype(int)))
    assert steps.max() <= 12_000 * 2 * np.pi * 440 / RATE * 1.05


def test_far_apart_is_cut_once_and_faded() -> None:
    sound = tone(1000 * BLOCK)
    cutter = SoundCutter(reader(sound))
    out = [cutter.block(4800 + n * BLOCK) for n in range(5)]
    out += [cutter.block(4800 + n * BLOCK + RATE) for n in range(5, 10)]
    assert cutter.cuts == 1
    steps = np.abs(np.diff(np.concatenate(out).astype(int)))
    assert steps.max() < 3000


def test_a_voice_that_cannot_speak_is_told_before_anything_is_written() -> None:
    def mute(text: str) -> NDArray[np.int16]:
        raise BadRequest("The voice failed: 1.")

    source = ScriptSource(read_script("Good morning.\n\nAnd more."), mute)
    with pytest.raises(BadRequest, match="The voice failed"):
        source.check()
