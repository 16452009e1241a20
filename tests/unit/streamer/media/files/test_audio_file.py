from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visavis.streamer.errors import BadRequest
from visavis.streamer.media.files.audio_file import is_silent, read_all, read_blocks


def write(
    path: Path, rate: int, channels: int, width: int, seconds: float, hz: float = 440
) -> None:
    t = np.arange(int(rate * seconds)) / rate
    tone = 0.5 * np.sin(2 * np.pi * hz * t)
    pcm = np.repeat(tone[:, None], channels, 1)
    data = (
        ((pcm + 1) * 127.5).astype(np.uint8)
        if width == 1
        else (pcm * (2 ** (8 * width - 1) - 1)).astype(f"<i{width}")
    )
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(data.tobytes())


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_layout_becomes_16_khz_mono(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "a.wav"
    write(path, rate, channels, 2, 1.0)
    samples = read_all(path, 16_000)
    assert samples.ndim == 1
    assert abs(len(samples) - 16_000) < 100
    spectrum = np.abs(np.fft.rfft(samples[2000:10_000]))
    assert abs(np.argmax(spectrum) * 16_000 / 8000 - 440) < 4
    assert 0.4 < np.abs(samples[2000:10_000]).max() < 0.6


def test_blocks_join_to_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write(path, 22_050, 1, 2, 0.7)
    blocks = list(read_blocks(path, 16_000, block=321))
    assert all(len(b) == 321 for b in blocks[:-1])
    np.testing.assert_array_equal(np.concatenate(blocks), read_all(path, 16_000))


def test_what_is_missing_or_no_sound_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no file"):
        read_all(tmp_path / "nothing.wav", 16_000)
    text = tmp_path / "text.wav"
    text.write_text("hello")
    with pytest.raises(BadRequest, match="not a sound file"):
        read_all(text, 16_000)
    empty = tmp_path / "empty.wav"
    write(empty, 16_000, 1, 2, 0.0)
    with pytest.raises(BadRequest, match="zero seconds"):
        read_all(empty, 16_000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=400), st.integers(0, 60), st.booleans())
def test_damaged_files_give_sound_or_a_sentence(
    tmp_path: Path, noise: bytes, cut: int, head: bool
) -> None:
    path = tmp_path / "d.wav"
    write(path, 8000, 1, 2, 0.05)
    data = path.read_bytes()[:cut] + noise if head else noise
    path.write_bytes(data)
    try:
        samples = read_all(path, 16_000)
    except BadRequest as error:
        assert str(error).endswith(".")
    else:
        assert np.isfinite(samples).all() and np.abs(samples).max(initial=0) <= 1


def test_silence_is_told_from_a_whisper() -> None:
    assert is_silent(np.zeros(1600, np.float32))
    assert not is_silent(0.01 * np.sin(np.arange(1600, dtype=np.float32)))
