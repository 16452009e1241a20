"""Streaming front end: 80 log-mel at a 10 ms hop, energy and voicing, made independent of gain.

Hop *k* is complete after ``(k + 1) * 160`` samples and looks back over the 25 ms that end there;
before the first sample there is silence. The same arithmetic serves training (on stored raw
features) and live use (on samples), and chunked equals whole.

The gain normaliser is a causal peak level: quick attack, 4 dB/s release, and a floor low enough
(-58 dBFS) that speech 20 dB too quiet is still brought to the level the network knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from visavis.models.streaming import Mask

SAMPLE_RATE = 16000
HOP = 160  # 10 ms
WINDOW = 400  # 25 ms
N_FFT = 512
MELS = 80
RAW = MELS + 2  # log-mel, log energy, voicing
FEATURES = RAW + 1  # and the level itself

_FLOOR_POWER = 1e-9  # mean power below which a band counts as empty (-90 dBFS)
SILENT_ENERGY = float(np.log(_FLOOR_POWER))  # log energy of digital silence
LEVEL_FLOOR = float(np.float32(np.log(10 ** (-58 / 10))))  # natural log of power, like the log-mel
_LEVEL_START = float(np.log(10 ** (-40 / 10)))
_ATTACK = 0.35  # of the distance per hop
_RELEASE = 0.04 * float(np.log(10.0)) / 10.0  # 4 dB/s in natural log of power per hop
_LAGS = slice(40, 201)  # 80-400 Hz


def mel_filters() -> NDArray[np.float32]:
    """Return triangular filters, ``(N_FFT // 2 + 1, MELS)``, 60-7800 Hz, each summing to one.

    HTK's mel scale: ``m = 2595 log10(1 + f / 700)``.
    """
    edges_mel = np.linspace(_to_mel(60.0), _to_mel(7800.0), MELS + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    bins = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    # A band narrower than one bin takes the nearest bin.
    centres = np.rint(edges[1:-1] * N_FFT / SAMPLE_RATE).astype(int)
    for band in np.flatnonzero(weights.sum(axis=0) < 1e-3):
        weights[centres[band], band] = 1.0
    return (weights / weights.sum(axis=0)).astype(np.float32)


def _to_mel(hertz: float) -> float:
    return 2595.0 * float(np.log10(1.0 + hertz / 700.0))


class RawFeatures:
    """Features of whole frames, before gain normalisation; holds only constant tables."""

    def __init__(self) -> None:
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
        self._scale = np.float32(1.0 / np.sum(self._window**2) / 1.0)
        self._mel = mel_filters()
        correlation = np.correlate(self._window, self._window, "full")[WINDOW - 1 :]
        self._lag_gain = (correlation[0] / np.maximum(correlation[_LAGS], 1e-6)).astype(np.float32)
        bins = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
        self._band = ((bins >= 200) & (bins <= 4000)).astype(np.float32)

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn frames ``(..., WINDOW)`` of samples in [-1, 1] into ``(..., RAW)`` float32."""
        spectrum = scipy.fft.rfft(frames * self._window, N_FFT, axis=-1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) * self._scale
        out = np.empty((*frames.shape[:-1], RAW), np.float32)
        out[..., :MELS] = np.log(power @ self._mel + _FLOOR_POWER)
        energy = (power @ self._band) * (2.0 / N_FFT)
        out[..., MELS] = np.log(energy + _FLOOR_POWER)
        correlation = scipy.fft.irfft(power, N_FFT, axis=-1)
        peak = np.max(correlation[..., _LAGS] * self._lag_gain, axis=-1)
        out[..., MELS + 1] = _bounded(peak / (correlation[..., 0] + 1e-8), 0.0, 1.0)
        return out

    def whole(self, pcm: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(samples // HOP, RAW)`` for one whole recording ``(samples,)``."""
        hops = len(pcm) // HOP
        if hops == 0:
            return np.zeros((0, RAW), np.float32)
        padded = np.concatenate([np.zeros(WINDOW - HOP, np.float32), pcm[: hops * HOP]])
        frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        return self(frames)


def normalise(
    raw: NDArray[np.float32], level: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make raw features independent of gain, causally.

    Args:
        raw: ``(batch, hops, RAW)``.
        level: ``(batch,)`` level left by the hops before; None at a beginning.

    Returns:
        Features ``(batch, hops, FEATURES)`` float32 and the level after the last hop.
    """
    batch, hops, _ = raw.shape
    levels, level = follow_level(raw[..., MELS], level)
    out = np.empty((batch, hops, FEATURES), np.float32)
    relative = raw[..., : MELS + 1] - levels[..., None]
    out[..., : MELS + 1] = (_bounded(relative, -14.0, 4.0) + 6.0) * 0.25
    out[..., MELS + 1] = raw[..., MELS + 1] * 2.0 - 1.0
    out[..., MELS + 2] = (levels + 7.0) * 0.2
    return out, level


def follow_level(
    energy: NDArray[np.float32], level: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Follow the peak level of log energies ``(batch, hops)`` from ``level`` on.

    Returns:
        The level of every hop, ``(batch, hops)`` float32, and that after the last one.
    """
    batch, hops = energy.shape
    level = np.full(batch, _LEVEL_START, np.float32) if level is None else level
    levels = np.empty((batch, hops), np.float32)
    if batch == 1:
        one = _follow_one(energy[0], level[0], levels[0])
        return levels, np.full(1, one, np.float32)
    for hop in range(hops):
        now = energy[:, hop]
        rise = level + np.float32(_ATTACK) * (now - level)
        level = np.where(now > level, rise, level - np.float32(_RELEASE))
        level = np.maximum(level, np.float32(LEVEL_FLOOR)).astype(np.float32)
        levels[:, hop] = level
    return levels, level


def _follow_one(
    energy: NDArray[np.float32], level: np.float32, levels: NDArray[np.float32]
) -> np.float32:
    """Do the same for one session, in the same single precision, without arrays of one."""
    attack, release, floor = np.float32(_ATTACK), np.float32(_RELEASE), np.float32(LEVEL_FLOOR)
    for hop, now in enumerate(energy):
        level = level + attack * (now - level) if now > level else level - release
        level = level if level > floor else floor
        levels[hop] = level
    return level


def loudness_of(relative: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn log energy relative to the level into 0 (26 dB under it) to 1 (at it), at most 1.2."""
    return _bounded((relative + 6.0) / 6.0, 0.0, 1.2).astype(np.float32, copy=False)


def _bounded(values: NDArray[np.float32], least: float, most: float) -> NDArray[np.float32]:
    """Do what ``np.clip`` does, at half its cost on the few values of a live step."""
    return np.minimum(np.maximum(values, least), most)


def _windows(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every window ``(batch, hops, WINDOW)`` of ``(batch, samples)`` as a view."""
    batch, samples = padded.shape
    row, item = padded.strides
    shape = (batch, (samples - WINDOW) // HOP + 1, WINDOW)
    # What sliding_window_view would give, without its 20 us of checks.
    return np.ndarray(shape, padded.dtype, padded, strides=(row, HOP * item, item))


@dataclass
class FrontEndState:
    """What the front end remembers of each slot.

    Attributes:
        tail: ``(batch, WINDOW - HOP)`` float32, the samples that the next window looks back on.
        level: ``(batch,)`` float32, natural log of power.
    """

    tail: NDArray[np.float32]
    level: NDArray[np.float32]


class FrontEnd:
    """Samples to features for a batch of sessions; a ``StreamingModule``."""

    def __init__(self) -> None:
        self._raw = RawFeatures()

    def init_state(self, batch: int) -> FrontEndState:
        """Return the state of ``batch`` slots that have heard silence so far."""
        return FrontEndState(
            np.zeros((batch, WINDOW - HOP), np.float32),
            np.full(batch, _LEVEL_START, np.float32),
        )

    def reset(self, state: FrontEndState, reset_mask: Mask) -> None:
        """Restart the slots where ``reset_mask`` (batch,) is true, in place."""
        state.tail[reset_mask] = 0.0
        state.level[reset_mask] = _LEVEL_START

    def step(
        self,
        pcm: NDArray[np.float32],
        state: FrontEndState,
        exec_mask: Mask | None = None,
    ) -> NDArray[np.float32]:
        """Advance by whole hops.

        Args:
            pcm: ``(batch, hops * HOP)`` float32 in [-1, 1].
            state: updated in place where ``exec_mask`` is true.
            exec_mask: ``(batch,)``; None means every slot.

        Returns:
            ``(batch, hops, FEATURES)`` float32; slots that did not run hold unused values.
        """
        padded = np.concatenate([state.tail, pcm], axis=1)
        features, level = normalise(self._raw(_windows(padded)), state.level)
        tail = padded[:, -(WINDOW - HOP) :]
        if exec_mask is None:
            state.tail[:] = tail
            state.level[:] = level
        else:
            state.tail[exec_mask] = tail[exec_mask]
            state.level[exec_mask] = level[exec_mask]
        return features
