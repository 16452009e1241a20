"""The sounds a run speaks: words that begin with a click, and speech without a pause."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
SPEECH_PEAK = 0.22  # well below the click threshold of 0.5
WORD_S = 0.6
# Beyond the longest answer: what the picture needs to be at rest, so that an answer can be seen
# (see visavis.benchmarks.detect). The odd milliseconds let clicks sweep the phase of a frame.
_REST_S = 0.5367
_CLICK_S, _CLICK_HZ = 0.003, 1500.0


def words(
    speech: NDArray[np.float32], seconds: float, answer_within_s: float = 0.7
) -> NDArray[np.float32]:
    """Cut speech into words after rests; a click of 3 ms begins each word.

    Args:
        speech: mono at 48 kHz; repeated when it is too short.
        seconds: about how long the result is.
        answer_within_s: how late a server may answer and still be measured; it sets the rests.

    Returns:
        Mono float32 at 48 kHz that begins with a rest.
    """
    word, pause = int(WORD_S * RATE), int((answer_within_s + _REST_S) * RATE)
    count = max(1, int(seconds * RATE / (word + pause)))
    speech = _loud_parts(speech, count * word)
    fade = np.minimum(1, np.arange(word)[::-1] / (0.01 * RATE))
    t = np.arange(int(_CLICK_S * RATE)) / RATE
    click = 0.95 * np.cos(2 * np.pi * _CLICK_HZ * t)
    parts = []
    for piece in speech.reshape(count, word):
        spoken = SPEECH_PEAK * piece * fade
        spoken[: len(click)] = click
        parts += [np.zeros(pause, np.float32), spoken]
    return np.concatenate(parts).astype(np.float32)


def _loud_parts(speech: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return so many samples without the speech's own pauses, peak 1."""
    block = RATE // 50
    speech = np.resize(speech, max(block, len(speech) - len(speech) % block))
    level = np.sqrt((speech[: len(speech) // block * block].reshape(-1, block) ** 2).mean(axis=1))
    loud = np.repeat(level > 0.15 * level.max(), block)
    kept = speech[: len(loud)][loud]
    return np.resize(kept / max(1e-6, float(np.abs(kept).max())), length)


def babble(seconds: float) -> NDArray[np.float32]:
    """Return vowels without a pause, for stopping in the midst of, mono at 48 kHz."""
    return SPEECH_PEAK * _loud_parts(synthetic_speech(seconds), int(seconds * RATE))


def synthetic_speech(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Return vowel-like sound for machines without a recording, mono at 48 kHz."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 120 * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    harmonics = np.arange(1, 30)
    formants = ((700, 130), (1200, 150), (2600, 250))
    weights = sum(np.exp(-(((harmonics * 120 - f) / w) ** 2)) for f, w in formants) + 0.02
    voice = (np.sin(np.outer(harmonics, phase)) * weights[:, None]).sum(0)
    syllables = np.clip(np.sin(2 * np.pi * 2.2 * t + rng.uniform(0, 6)), 0, 1)
    return (voice * syllables).astype(np.float32)


def write_wav(path: Path, samples: NDArray[np.float32]) -> None:
    """Write 16-bit mono at 48 kHz."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
