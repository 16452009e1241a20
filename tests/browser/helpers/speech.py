"""Something like speech for a fake microphone: a voice with pauses, and then silence."""

from __future__ import annotations

import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly

RATE = 48_000
SILENCE_S = 2.5
TEXT = (
    "My father was happy to open both arms, far above all, and then he walked home. Papa, hop up!"
)
# First three formants in Hz (Peterson & Barney 1952, male means) of vowels from open to closed.
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (660, 1720, 2410), (300, 870, 2240))


def write_wav(path: Path) -> None:
    """Write about five seconds of voice and then silence, mono, 16 bit, 48 kHz."""
    voice = _spoken(path.with_suffix(".voice.wav")) if shutil.which("espeak-ng") else synthetic()
    voice = 0.5 * voice / np.max(np.abs(voice))
    samples = np.concatenate([voice, np.zeros(int(SILENCE_S * RATE))])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())


def _spoken(path: Path) -> NDArray[np.float64]:
    subprocess.run(["espeak-ng", "-s", "150", "-w", str(path), TEXT], check=True, timeout=30)
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
        return resample_poly(samples, RATE, file.getframerate())


def synthetic(syllables: int = 18) -> NDArray[np.float64]:
    """Vowels through their formants at about four syllables a second, with gaps between words."""
    pieces = []
    for n in range(syllables):
        length = int(0.2 * RATE)
        t = np.arange(length) / RATE
        pulses = np.zeros(length)
        pulses[(np.unwrap(2 * np.pi * 115 * t) % (2 * np.pi)) < 2 * np.pi * 115 / RATE] = 1.0
        for formant in VOWELS[n % len(VOWELS)]:
            radius, angle = np.exp(-np.pi * 90 / RATE), 2 * np.pi * formant / RATE
            pulses = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], pulses)
        pieces.append(pulses / np.max(np.abs(pulses)) * np.hanning(length))
        pieces.append(np.zeros(int((0.28 if n % 5 == 4 else 0.06) * RATE)))
    return np.concatenate(pieces)
