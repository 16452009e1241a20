"""A talk from a file: what is read, spoken, captioned and counted."""

from __future__ import annotations

import struct
import sys
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from visavis.streamer.errors import BadRequest
from visavis.streamer.presenter.script.captions import Captions, cues, made_by_us, timestamp
from visavis.streamer.presenter.script.script import Step, read_script
from visavis.streamer.presenter.script.slides import Slides
from visavis.streamer.presenter.script.voice import Voice, to_sound


def test_paragraphs_and_cues() -> None:
    text = """# A title nobody says

Good **morning**,
everybody. [mood warm] See [this page](http://x).

<!-- not
said -->
[pause 1.5]
- [next] First `point`.
---
[look left]
"""
    assert read_script(text) == (
        Step("say", "Good morning, everybody."),
        Step("mood", "warm"),
        Step("say", "See this page."),
        Step("pause", seconds=1.5),
        Step("next"),
        Step("say", "First point."),
        Step("look", "left"),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing to say"),
        ("[pause 2]\n\n# only a title", "nothing to say"),
        ("Hello.\n\nThen [pause soon] more.", r"Line 3: \[pause soon\]"),
        ("Hello. [pause 9000]", "at most 600"),
        ("Hello. [pause -1]", "needs seconds"),
        ("Hello. [dance]", r"\[dance\] is no cue"),
        ("Hello. [mood furious]", "is no cue"),
        ("Hello. [look away]", "is no cue"),
        ("word " * 60_000, "longer than"),
        ("word " * 3_000, "paragraph at line 1"),
    ],
)
def test_scripts_that_are_none_are_refused(text: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read_script(text)


def wav(samples: np.ndarray, rate: int, channels: int = 1, length: int | None = None) -> bytes:
    data = samples.astype("<i2").tobytes()
    size = len(data) if length is None else length
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", size, b"WAVE", b"fmt ", 16, 1, channels, rate,
        2 * rate * channels, 2 * channels, 16, b"data", size,
    )  # fmt: skip
    return head + data


def test_a_stream_s_wav_with_a_length_that_is_not_true() -> None:
    sound = (8000 * np.sin(np.arange(22_050) / 20)).astype(np.int16)
    out = to_sound(wav(sound, 22_050, length=0x7FFF_F000), 16_000)
    assert len(out) == 48_000 and 7000 < np.abs(out).max() < 9000


def test_stereo_and_bare_pcm() -> None:
    stereo = np.stack([np.full(24_000, 4000), np.full(24_000, 2000)], 1)
    assert np.median(to_sound(wav(stereo, 24_000, 2), 16_000)) == pytest.approx(3000, rel=0.01)
    assert len(to_sound(np.zeros(16_000, "<i2").tobytes(), 16_000)) == 48_000


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"RIFF", b"RIFF\x00\x00\x00\x00WAVEfmt ", wav(np.zeros(4), 0), b"RIFF" * 9],
)
def test_sound_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        to_sound(data, 22_050)


def speaker(tmp_path: Path, body: str) -> str:
    path = tmp_path / "voice.py"
    path.write_text("import sys\ntext = sys.stdin.buffer.read()\n" + body)
    return f"{sys.executable} {path}"


def test_any_command_is_a_voice(tmp_path: Path) -> None:
    command = speaker(tmp_path, "sys.stdout.buffer.write(b'\\x10\\x10' * 1000 * len(text.split()))")
    assert len(Voice(command, 16_000).speak("one two three")) == 9_000


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("sys.exit('no such voice')", "no such voice"),
        ("pass", "gave no sound"),
        ("sys.stdout.write('RIFFthis is no sound at all')", "cannot be read"),
    ],
)
def test_a_voice_that_fails_says_why(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        Voice(speaker(tmp_path, body)).speak("hello")


@pytest.mark.parametrize("command", ["", "no-such-program-here --fast", "unbalanced 'quote"])
def test_a_voice_that_is_none_is_refused(command: str) -> None:
    with pytest.raises(BadRequest):
        Voice(command)


def test_captions_are_short_and_in_order(tmp_path: Path) -> None:
    text = "word " * 60
    parts = cues(text, 2.0, 30.0)
    assert parts[0][0] == 2.0 and parts[-1][1] == pytest.approx(32.0)
    assert all(a[1] == b[0] for a, b in pairwise(parts))
    assert all(len(line) <= 42 for _, _, block in parts for line in block.split("\n"))
    path = tmp_path / "talk.vtt"
    captions = Captions(path)
    captions.add("A < B & C --> D", 3725.5, 1.0)
    written = path.read_text("utf-8")
    assert "01:02:05.500 --> 01:02:06.500\nA &lt; B &amp; C --&gt; D" in written
    assert made_by_us(path) and timestamp(-1) == "00:00:00.000"
    with pytest.raises(BadRequest):
        Captions(tmp_path / "missing" / "x.vtt")


def test_slides_are_counted_and_told(tmp_path: Path) -> None:
    done = tmp_path / "pressed"
    slides = Slides(-1, f"{sys.executable} -c \"open(r'{done}', 'a').write('x')\"")
    try:
        page = urllib.request.urlopen(slides.address, timeout=5).read()
        assert b"EventSource" in page
        with urllib.request.urlopen(slides.address + "events", timeout=5) as events:
            assert events.readline() == b"data: 0\n"
            events.readline()
            slides.next()
            assert events.readline() == b"data: 1\n"
        with pytest.raises(urllib.error.HTTPError):
            request = urllib.request.Request(slides.address, headers={"Host": "evil.example"})
            urllib.request.urlopen(request, timeout=5)
    finally:
        slides.close()
    with pytest.raises(BadRequest, match="between"):
        Slides(70_000)
    with pytest.raises(BadRequest, match="press keys"):
        Slides(0, "no-such-program-here")
