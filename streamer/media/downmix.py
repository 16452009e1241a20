"""Many channels to one without letting them cancel.

A blind mean of a voice in opposite phase is silence, and of a voice in one of sixty-four channels
nearly so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_PHASE_S = 0.3  # over which the channels' likeness is measured
_LEVEL_S = 5.0  # over which a channel that fell silent still counts
_ALIKE = 0.3  # correlation that decides for a sign; between, the last one stays
_SILENT = 10 ** (-70 / 10)  # power; below it there is nothing to measure
_SUB_BASS = "LFE"  # FFmpeg's name of the channel for effects, where no voice is


class Downmix:
    """Adds channels up, each with the sign that keeps it from cancelling the loudest.

    In-phase stereo of one level comes out as its mean, a voice in one channel of many at its own
    level. Gains change in ramps of one block, so that nothing clicks.

    Args:
        channels: how many go in.
        rate: samples per second.
        names: of the channels as FFmpeg has them (``FL``, ``FC``, ``LFE``); may be empty.
    """

    def __init__(self, channels: int, rate: int, names: Sequence[str] = ()) -> None:
        self._rate = rate
        voices = np.array([name != _SUB_BASS for name in names] or [True] * channels)
        self._voices = voices if voices.any() else ~voices
        self._signs = np.ones(channels)
        self._likeness = np.zeros((channels, channels))  # covariance of the last moments
        self._levels = np.zeros(channels)  # power that decays slowly
        self._gains = self._voices / self._voices.sum()

    def mix(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(samples,)`` of ``(channels, samples)``, both float32 in [-1, 1]."""
        channels, count = block.shape
        if channels == 1 or count == 0:
            return block.sum(0, dtype=np.float32)
        before = self._gains
        was_silent = self._likeness.trace() < _SILENT
        self._listen(block, count)
        gains = before if self._levels.max() < _SILENT else self._balanced()
        self._gains = gains
        if was_silent or np.array_equal(before, gains):
            return (gains.astype(np.float32) @ block).clip(-1.0, 1.0)
        ramp = np.linspace(0.0, 1.0, count, dtype=np.float32)
        old, new = before.astype(np.float32) @ block, gains.astype(np.float32) @ block
        return (old + ramp * (new - old)).clip(-1.0, 1.0)

    def _listen(self, block: NDArray[np.float32], count: int) -> None:
        level = block - block.mean(1, keepdims=True)  # a constant offset is no likeness
        now = (level @ level.T).astype(np.float64) / count
        kept = np.exp(-count / (self._rate * _PHASE_S))
        self._likeness = kept * self._likeness + (1.0 - kept) * now
        faded = self._levels * np.exp(-count / (self._rate * _LEVEL_S))
        self._levels = np.maximum(faded, np.diagonal(self._likeness) * self._voices)

    def _balanced(self) -> NDArray[np.float64]:
        power = np.diagonal(self._likeness) * self._voices
        loudest = int(power.argmax())
        if power[loudest] > _SILENT:
            scale = np.sqrt(np.maximum(power * power[loudest], _SILENT**2))
            alike = self._likeness[loudest] / scale * self._signs[loudest]
            self._signs = np.where(
                alike < -_ALIKE, -1.0, np.where(alike > _ALIKE, 1.0, self._signs)
            )
        amplitude = np.sqrt(self._levels)
        return self._signs * self._voices * (amplitude.max() / amplitude.sum())
