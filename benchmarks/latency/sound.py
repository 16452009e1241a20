"""The sound a latency run speaks: words with a click in every pause."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
SPEECH_PEAK = 0.22  # well below the click threshold of 0.5
_WORD_S, _PAUSE_S = 0.9, 0.63  # the sum is no multiple of a frame, so clicks sweep its phase
_CLICK_S, _CLICK_HZ = 0.003, 1500.0


def with_clicks(speech: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
    """Cut speech into pieces with a click in the middle of each pause.

    Args:
        speech: mono at 48 kHz; repeated when it is too short.
        seconds: about how long the result is.

    Returns:
        Mono float32 at 48 kHz.
    """
    word, pause = int(_WORD_S * RATE), int(_PAUSE_S * RATE)
    count = max(1, int(seconds / (_WORD_S + _PAUSE_S)))
    speech = np.resize(speech / max(1e-6, float(np.abs(speech).max())), count * word)
    fade = np.minimum(1, np.minimum(np.arange(word), np.arange(word)[::-1]) / (0.01 * RATE))
    gap = np.zeros(pause, np.float32)
    t = np.arange(int(_CLICK_S * RATE)) / RATE
    gap[pause // 2 : pause // 2 + len(t)] = 0.95 * np.cos(2 * np.pi * _CLICK_HZ * t)
    parts = []
    for piece in speech.reshape(count, word):
        parts += [SPEECH_PEAK * piece * fade, gap]
    return np.concatenate(parts).astype(np.float32)


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
