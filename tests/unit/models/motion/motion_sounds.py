"""Sounds made from formulas, for the motion tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

RATE = 16000


def vowel(
    seconds: float, formants: tuple[float, ...], pitch: float = 120.0, level: float = 0.3
) -> NDArray[np.float32]:
    """Return a pulse train through resonators of 90 Hz bandwidth, peak ``level``."""
    count = int(seconds * RATE)
    vibrato = pitch * (1 + 0.03 * np.sin(2 * np.pi * 4 * np.arange(count) / RATE))
    wave = np.diff(np.floor(np.cumsum(vibrato) / RATE), prepend=0.0)
    wave = lfilter([1.0], [1.0, -0.95], wave)
    for formant in formants:
        radius = np.exp(-np.pi * 90.0 / RATE)
        angle = 2 * np.pi * formant / RATE
        wave = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], wave)
    fade = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / 480.0)
    wave = wave * fade
    return (level * wave / np.max(np.abs(wave))).astype(np.float32)


AH = (730.0, 1090.0, 2440.0, 3400.0)


def vowel_and_silence() -> NDArray[np.float32]:
    """Return half a second of silence, an open vowel, and silence again (1.5 s)."""
    still = np.zeros(RATE // 2, np.float32)
    return np.concatenate([still, vowel(0.5, AH), still])


def noise(seconds: float, level: float = 0.05, seed: int = 0) -> NDArray[np.float32]:
    """Return white noise of the given rms."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(int(seconds * RATE)) * level).astype(np.float32)


def tone(seconds: float, hertz: float = 440.0) -> NDArray[np.float32]:
    """Return a sine of amplitude 0.2."""
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def speech_like(seconds: float, seed: int) -> NDArray[np.float32]:
    """Return phrases of random vowels, 150-250 ms each, with pauses between the phrases."""
    rng = np.random.default_rng(seed)
    pieces: list[NDArray[np.float32]] = []
    shapes = (AH, (300.0, 2300.0, 3000.0, 3600.0), (400.0, 900.0, 2400.0, 3300.0))
    while sum(len(p) for p in pieces) < seconds * RATE:
        for _ in range(int(rng.integers(5, 10))):
            shape = shapes[int(rng.integers(len(shapes)))]
            pitch, level = float(rng.uniform(100, 160)), float(rng.uniform(0.1, 0.4))
            pieces.append(vowel(float(rng.uniform(0.15, 0.25)), shape, pitch, level))
        pieces.append(np.zeros(int(rng.uniform(0.5, 1.0) * RATE), np.float32))
    return np.concatenate(pieces)[: int(seconds * RATE)]
