"""Streaming sample rate conversion with a constant, known delay."""

# numpy's einsum takes whatever there is.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

_ZERO_CROSSINGS = 8  # of the sinc on each side, at the lower of the two rates
_KAISER_BETA = 7.0  # about 70 dB of stop band
_ROLLOFF = 0.92  # of the lower Nyquist frequency, to leave room for the transition


class StreamingResampler:
    """Polyphase windowed-sinc resampler for mono float32.

    For every ``down`` samples that go in, ``up`` come out, whatever the blocks; the output lags the
    input by exactly :attr:`delay_s`.

    Args:
        source: input rate in Hz.
        target: output rate in Hz.
    """

    def __init__(self, source: int, target: int) -> None:
        common = gcd(source, target)
        self.up, self.down = target // common, source // common
        lower = max(self.up, self.down)
        half = _ZERO_CROSSINGS * lower
        grid = np.arange(-half, half + 1)
        taps = np.sinc(grid * _ROLLOFF / lower) * np.kaiser(2 * half + 1, _KAISER_BETA)
        taps *= self.up / taps.sum()
        self.delay_s = half / (source * self.up)
        # phases[p] holds the taps that meet input samples at output phase p, newest sample last.
        length = -(-len(taps) // self.up)
        padded = np.zeros(length * self.up)
        padded[: len(taps)] = taps
        self._phases = padded.reshape(length, self.up).T[:, ::-1].astype(np.float32)
        self._history = np.zeros(length - 1, np.float32)
        self._consumed = 0  # input samples so far
        self._made = 0  # output samples so far

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples; return those that can be computed now."""
        if self.up == self.down:
            return samples
        buffer = np.concatenate([self._history, samples.astype(np.float32)])
        taps = self._phases.shape[1]
        self._consumed += len(samples)
        if self.up == 1:
            return self._every(buffer, len(samples))
        total = -(-self._consumed * self.up // self.down)  # all at positions below it
        outputs = np.arange(self._made, total)
        self._made = total
        # Output k sits at input position k * down / up; it needs the samples up to there.
        position, phase = np.divmod(outputs * self.down, self.up)
        newest = position - (self._consumed - len(samples))
        windows = np.lib.stride_tricks.sliding_window_view(buffer, taps)
        out = np.einsum("ij,ij->i", windows[newest], self._phases[phase])
        self._history = buffer[len(buffer) - (taps - 1) :]
        return out.astype(np.float32)

    def _every(self, buffer: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Return what a whole-number decimation makes of ``count`` new samples in ``buffer``.

        The microphone's 48 to 16 kHz comes through here a hundred times a second and session.
        """
        taps = self._phases.shape[1]
        first = self._made * self.down - (self._consumed - count)  # its window starts there
        self._history = buffer[len(buffer) - (taps - 1) :]
        windows = np.lib.stride_tricks.as_strided(
            buffer[first:], ((count - first + self.down - 1) // self.down, taps),
            (self.down * buffer.itemsize, buffer.itemsize), writeable=False,
        )  # fmt: skip
        self._made += len(windows)
        # Not "@": its sums depend on how many windows there are, and chunks must not matter.
        return np.asarray(np.einsum("ij,j->i", windows, self._phases[0]), np.float32)
