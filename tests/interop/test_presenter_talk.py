"""A talk with a real voice: ``visavis record`` as a user runs it, espeak-ng, captions, slides."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from tests.interop.sound_server import missing
from visavis.streamer.integrations.agent import AvatarClient
from visavis.streamer.presenter.script.voice import to_sound

if name := missing("espeak-ng"):
    pytest.skip(f"{name} is not installed: apt-get install espeak-ng", allow_module_level=True)

TALK = """# Not spoken

Good morning, everybody.

[next][mood warm][look left][pause 1] Buy bread & milk now.
"""
VISAVIS = [sys.executable, "-m", "visavis.streamer"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with one avatar, enrolled on the command line."""
    skimage_data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    from PIL import Image

    folder = tmp_path_factory.mktemp("talk")
    photo = io.BytesIO()
    Image.fromarray(skimage_data.astronaut()).save(photo, "JPEG", quality=95)
    (folder / "me.jpg").write_bytes(photo.getvalue())
    words = ["enroll", str(folder / "me.jpg"), "--name", "Me", "--consent"]
    done = run(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "VISAVIS_DATA": str(folder / "data")}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VISAVIS, *words],
        env=environment(folder), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def sound_of(film: Path) -> np.ndarray:
    """Loudness of a film, ten times a second."""
    with av.open(str(film)) as container:
        rate = container.streams.audio[0].rate
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    step = rate // 10
    return np.abs(samples[: len(samples) // step * step].reshape(-1, step)).max(1)


def spans(loud: np.ndarray, rest: int = 4) -> list[tuple[float, float]]:
    """From when to when it is loud, pauses below ``rest`` tenths of a second included."""
    found: list[list[int]] = []
    for at in np.flatnonzero(loud > 0.02):
        if found and at - found[-1][1] <= rest:
            found[-1][1] = int(at)
        else:
            found.append([int(at), int(at)])
    return [(a / 10, (b + 1) / 10) for a, b in found]


def captions_of(path: Path) -> list[tuple[float, float, str]]:
    found = []
    for block in path.read_text("utf-8").split("\n\n")[1:]:
        times, _, text = block.partition("\n")
        a, b = (
            sum(float(v) * u for v, u in zip(t.split(":"), (3600, 60, 1), strict=True))
            for t in times.split(" --> ")
        )
        found.append((a, b, text.strip().replace("\n", " ")))
    return found


@pytest.mark.timed
def test_a_script_is_spoken_captioned_and_turns_the_slides(data: Path, tmp_path: Path) -> None:
    script, film, pressed = tmp_path / "talk.md", tmp_path / "talk.mp4", tmp_path / "pressed"
    script.write_text(TALK)
    done = run(
        data, "present", "--script", str(script), "--voice", "espeak-ng --stdout -v en-gb",
        "--camera", "none", "--speaker", "none", "--record", str(film), "--slides", "-1",
        "--slide-command", f"{sys.executable} -c \"open(r'{pressed}', 'a').write('x')\"",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said, captions = spans(sound_of(film)), captions_of(tmp_path / "talk.vtt")
    assert [text for _, _, text in captions] == [
        "Good morning, everybody.",
        "Buy bread &amp; milk now.",
    ]
    assert len(said) == 2, said
    for (begin, end, _), (loud_from, loud_to) in zip(captions, said, strict=True):
        assert begin - 0.15 <= loud_from <= begin + 0.35, "the caption comes with its words"
        assert loud_to <= end + 0.25
    assert captions[1][0] - captions[0][1] >= 1.0, "the pause"
    assert pressed.read_text() == "x"
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (1280, 720)


@pytest.mark.timed
def test_a_sound_file_instead(data: Path, tmp_path: Path) -> None:
    wav, film = tmp_path / "talk.wav", tmp_path / "film.mp4"
    words = ["espeak-ng", "-w", str(wav), "This is a recording."]
    subprocess.run(words, check=True, timeout=30)
    done = run(data, "record", "--audio", str(wav), "-o", str(film), "--canvas", "512x512")
    assert done.returncode == 0, done.stdout + done.stderr
    said = spans(sound_of(film))
    with av.open(str(wav)) as container:
        length_s = float(container.duration or 0) / av.time_base
    assert len(said) == 1 and said[0][0] <= 0.85, "nothing of it is lost before the first picture"
    assert said[0][1] - said[0][0] == pytest.approx(length_s, abs=0.4)
    both = run(data, "record", "--audio", str(wav), "--agent", "-1", "-o", str(tmp_path / "x.mp4"))
    assert both.returncode and "either --audio" in both.stdout + both.stderr


def test_an_agent_speaks_the_script(data: Path, tmp_path: Path) -> None:
    """The program runs espeak-ng itself, as one with a language model runs its own engine."""
    script, film = tmp_path / "talk.md", tmp_path / "film.mp4"
    script.write_text(TALK)
    process = subprocess.Popen(
        [*VISAVIS, "record", "--script", str(script), "--agent", "-1", "-o", str(film),
         "--canvas", "512x512"],
        env=environment(data), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        address = found_address(process)
        asked = asyncio.run(asyncio.wait_for(speak_for(address), 60))
        rest, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 0, rest
    assert asked == ["Good morning, everybody.", "Buy bread & milk now."]
    assert len(spans(sound_of(film))) == 2
    assert len(captions_of(tmp_path / "talk.vtt")) == 2


def found_address(process: subprocess.Popen[str]) -> str:
    """Read what is said until the address of the agent's socket is."""
    assert process.stdout is not None
    deadline = time.monotonic() + 60
    for line in process.stdout:
        assert time.monotonic() < deadline
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise AssertionError("the address was not said")


async def speak_for(address: str) -> list[str]:
    asked = []
    async with AvatarClient(address, session="presenter", rate=48_000) as avatar:
        for _ in range(2):
            event = await avatar.until("say")
            asked.append(event.details["text"])
            words = ["espeak-ng", "--stdout", asked[-1]]
            done = await asyncio.to_thread(
                subprocess.run, words, capture_output=True, check=True, timeout=30
            )
            await avatar.append(to_sound(done.stdout, 22_050))
            await avatar.flush()
    return asked
