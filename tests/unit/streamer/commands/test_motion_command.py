"""``visavis motion``: both files read back by other means, every bad input told in a sentence."""

from __future__ import annotations

import csv
import json
import re
import tracemalloc
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile
from typer.testing import CliRunner

from tests.unit.models.motion.motion_sounds import AH, RATE, vowel, vowel_and_silence
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.coefficients import ARKIT, COEFFICIENTS, COUNT, INDEX
from visavis.models.motion.stream import MOTION_GRAPH, MotionStream
from visavis.streamer.cli.main import app
from visavis.streamer.commands.motion import MotionSettings, open_motion, timecode, write_motion
from visavis.streamer.errors import BadRequest
from visavis.streamer.worker.pipeline.motion_models import load_motion

SETTINGS = MotionSettings(fps=60, look_ahead_ms=80, seed=0, mood="neutral", style=1.0)


@dataclass(frozen=True)
class Take:
    """A Live Link Face recording as an importer sees it."""

    times: np.ndarray
    columns: dict[str, np.ndarray]


def read_take(path: Path) -> Take:
    """Read a take and check everything an importer relies on."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:2] == ["Timecode", "BlendShapeCount"]
    names = header[2:]
    assert len(names) == len(set(names)) == 61
    assert {n[0].lower() + n[1:] for n in names[:52]} == set(ARKIT)
    assert names[52:55] == ["HeadYaw", "HeadPitch", "HeadRoll"]
    assert all(len(row) == 63 and row[1] == "61" for row in rows)
    times = []
    for row in rows:
        found = re.fullmatch(r"(\d\d):(\d\d):(\d\d):(\d\d\.\d\d\d)", row[0])
        assert found and float(found[4]) < 60
        hour, minute, second = (int(found[i]) for i in (1, 2, 3))
        times.append(hour * 3600 + minute * 60 + second + float(found[4]) / 60)
    values = np.array([row[2:] for row in rows], float)
    assert np.isfinite(values).all()
    assert (values[:, :52] >= 0).all() and (values[:, :52] <= 1).all()
    assert (np.abs(values[:, 52:]) < np.pi).all()
    return Take(np.array(times), dict(zip(names, values.T, strict=True)))


def wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    wavfile.write(path, rate, samples)
    return path


def frames_of(path: Path) -> np.ndarray:
    return np.array(json.loads(path.read_text())["frames"], np.float32)


def test_a_take_has_the_layout_and_the_motion(tmp_path: Path) -> None:
    sound = wav(tmp_path / "a.wav", vowel_and_silence())
    made = write_motion(open_motion(SETTINGS, "cpu"), sound, tmp_path / "a.csv", SETTINGS)
    take = read_take(tmp_path / "a.csv")
    assert made.frames == len(take.times) == 90
    np.testing.assert_allclose(take.times, np.arange(90) / 60, atol=2e-5)
    direct = load_motion("cpu").stream(fps=60)
    wanted = direct.push(np.concatenate([vowel_and_silence(), np.zeros(RATE, np.float32)]))[:90]
    for ours, theirs in (
        ("jawOpen", "JawOpen"),
        ("headYaw", "HeadYaw"),
        ("headPitch", "HeadPitch"),
    ):
        np.testing.assert_allclose(take.columns[theirs], wanted[:, INDEX[ours]], atol=6e-6)
    np.testing.assert_allclose(take.columns["HeadRoll"], -wanted[:, INDEX["headRoll"]], atol=6e-6)
    assert take.columns["JawOpen"].max() > 0.2
    look = take.columns["EyeLookOutLeft"] - take.columns["EyeLookInLeft"]
    np.testing.assert_allclose(look * np.pi / 6, take.columns["LeftEyeYaw"], atol=1e-4)


@pytest.mark.parametrize("fps", [24, 25, 30, 60])
def test_times_are_in_sixtieths_at_any_rate(fps: int) -> None:
    assert timecode(0, fps) == "00:00:00:00.000"
    assert timecode(fps * 3661, fps) == "01:01:01:00.000"
    for number in (1, 7, fps - 1, 100 * fps + 3):
        hour, minute, second, rest = timecode(number, fps).split(":")
        seconds = int(hour) * 3600 + int(minute) * 60 + int(second) + float(rest) / 60
        assert seconds == pytest.approx(number / fps, abs=2e-5)


def test_json_says_what_it_is(tmp_path: Path) -> None:
    settings = MotionSettings(fps=25, look_ahead_ms=40, seed=3, mood="neutral", style=1.0)
    sound = wav(tmp_path / "a.wav", vowel_and_silence())
    write_motion(open_motion(settings, "cpu"), sound, tmp_path / "a.json", settings)
    file = json.loads((tmp_path / "a.json").read_text())
    assert (file["format"], file["version"], file["fps"]) == ("visavis-motion", 1, 25)
    assert (file["look_ahead_ms"], file["seed"], file["mood"]) == (40, 3, "neutral")
    assert tuple(file["names"]) == COEFFICIENTS
    assert np.array(file["frames"]).shape == (file["frame_count"], COUNT) == (38, COUNT)


@pytest.mark.parametrize("rate", [8000, 11_025, 48_000])
def test_any_rate_gives_the_same_mouth(tmp_path: Path, rate: int) -> None:
    pcm = vowel_and_silence()
    other = np.interp(np.arange(0, 1.5, 1 / rate), np.arange(len(pcm)) / RATE, pcm)
    got = []
    for name, samples, hertz in (("a", pcm, RATE), ("b", other.astype(np.float32), rate)):
        sound = wav(tmp_path / f"{name}.wav", samples, hertz)
        out = tmp_path / f"{name}.json"
        write_motion(open_motion(SETTINGS, "cpu"), sound, out, SETTINGS)
        got.append(frames_of(out)[:, INDEX["jawOpen"]])
    count = min(len(g) for g in got)
    assert max(len(g) for g in got) <= count + 1  # the last sample of another rate may lie beyond
    got = [g[:count] for g in got]
    assert np.abs(got[0] - got[1]).mean() < 0.05
    assert np.corrcoef(*got)[0, 1] > 0.9


@pytest.mark.parametrize("kind", ["nan", "zero", "clipped", "int24", "stereo"])
def test_bad_samples_give_a_face(tmp_path: Path, kind: str) -> None:
    pcm = vowel_and_silence()
    samples = {
        "nan": np.where(np.arange(len(pcm)) % 97 == 0, np.nan, pcm).astype(np.float32),
        "zero": np.zeros(len(pcm), np.float32),
        "clipped": np.clip(pcm * 6, -1, 1),
        "int24": (pcm * 2**31 * 0.9).astype(np.int32),
        "stereo": np.stack([pcm, -0.2 * pcm], 1),
    }[kind]
    sound, out = wav(tmp_path / "a.wav", samples), tmp_path / "a.json"
    report = write_motion(open_motion(SETTINGS, "cpu"), sound, out, SETTINGS)
    frames = frames_of(out)
    assert np.isfinite(frames).all() and len(frames) == 90
    jaw = frames[:, INDEX["jawOpen"]]
    if kind == "zero":
        assert report.silent and jaw.max() < 0.04
    else:
        assert not report.silent and jaw[35:60].mean() > (0.03 if kind == "clipped" else 0.1)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("missing", "There is no file"),
        ("empty", "zero seconds long"),
        ("text", "not a sound file"),
        ("picture", "There is no sound in"),
        ("ending", "must end in .json or .csv"),
        ("folder", "There is no folder"),
        ("mood", "The mood must be one of"),
        ("style", "The style must be between"),
        ("rate", "Frames per second"),
        ("ahead", "The look-ahead must be"),
    ],
)
def test_every_fault_is_one_sentence(tmp_path: Path, case: str, words: str) -> None:
    sound, out = wav(tmp_path / "a.wav", vowel(0.2, AH)), tmp_path / "a.csv"
    more: list[str] = []
    if case == "missing":
        sound = tmp_path / "b.wav"
    elif case == "empty":
        sound = wav(tmp_path / "b.wav", np.zeros(0, np.int16))
    elif case == "text":
        sound = tmp_path / "b.wav"
        sound.write_text("no sound at all")
    elif case == "picture":
        from PIL import Image

        sound = tmp_path / "b.png"
        Image.new("RGB", (32, 32)).save(sound)
    elif case == "ending":
        out = tmp_path / "a.fbx"
    elif case == "folder":
        out = tmp_path / "none" / "a.csv"
    else:
        more = {
            "mood": ["--mood", "furious"],
            "style": ["--style", "3"],
            "rate": ["--fps", "0"],
            "ahead": ["--look-ahead", "500"],
        }[case]
    result = CliRunner().invoke(app, ["motion", "--audio", str(sound), "-o", str(out), *more])
    assert isinstance(result.exception, BadRequest), result.exception
    assert words in str(result.exception)
    assert str(result.exception).count("\n") == 0
    assert not out.exists() and list(tmp_path.glob(".*")) == []


def test_memory_is_flat_however_long_the_sound(tmp_path: Path) -> None:
    """The bookkeeping is measured on a network that costs nothing."""

    class Still:
        SAMPLE_RATE = RATE
        fps = 25
        frames = 0

        def push(self, pcm: np.ndarray) -> np.ndarray:
            self.frames += len(pcm) // 640
            return np.zeros((len(pcm) // 640, COUNT), np.float32)

    settings = MotionSettings(25, 80, 0, "neutral", 1.0)
    peaks = []
    for seconds in (20, 120):
        path = tmp_path / f"{seconds}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            for _ in range(seconds // 20):
                file.writeframes(bytes(2 * 20 * RATE))
        tracemalloc.start()
        motion = Still()
        write_motion(motion, path, tmp_path / "a.csv", settings, force=True)  # type: ignore[arg-type]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert motion.frames >= 25 * seconds
        assert len((tmp_path / "a.csv").read_text().splitlines()) == 25 * seconds + 1
    assert peaks[1] < peaks[0] + 1_000_000


def test_a_stream_keeps_no_more_after_a_minute_than_after_a_second() -> None:
    stream = MotionStream(OnnxEngine(MOTION_GRAPH), fps=25)
    sizes = []
    for second in range(30):
        stream.push(vowel(1.0, AH, pitch=90 + second))
        held = [v for v in vars(stream).values() if isinstance(v, np.ndarray)]
        sizes.append(sum(v.nbytes for v in held))
    assert max(sizes[1:]) <= 1.5 * sizes[1]


def test_what_the_other_side_says_is_pushed_along(tmp_path: Path) -> None:
    pushed: list[tuple[int, float]] = []

    class Ears:
        SAMPLE_RATE = RATE
        fps = 25

        def push(self, pcm: np.ndarray, heard: np.ndarray | None = None) -> np.ndarray:
            if heard is not None:
                assert len(heard) == len(pcm)
                pushed.append((len(pcm), float(np.abs(heard).max())))
            return np.zeros((len(pcm) // 640, COUNT), np.float32)

    settings = MotionSettings(25, 80, 0, "neutral", 1.0)
    said = wav(tmp_path / "said.wav", np.zeros(2 * RATE, np.float32))
    heard = wav(tmp_path / "heard.wav", vowel(0.9, AH))
    write_motion(Ears(), said, tmp_path / "a.json", settings, heard=heard)  # type: ignore[arg-type]
    assert sum(count for count, _ in pushed) == 2 * RATE
    assert pushed[1][1] > 0.1 and pushed[-1][1] == 0
