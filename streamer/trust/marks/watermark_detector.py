"""Finds the watermark in a video, wherever its tiles lie and however large they have become.

Three steps. Every pixel is listened to at the frequency at which the pattern changes its sign, and
how loud it is at neighbouring frequencies says how far it can be trusted. Then all sizes of blocks
are tried; for each, the picture is folded onto one tile, whitened, and held against the blocks that
all know, at every offset at once by FFT. The best place gives the phase, the others the bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.trust.marks.watermark import BLOCKS, HALF_S, layout, whitening
from visavis.streamer.trust.marks.watermark_code import decode

Floats = NDArray[np.float32]
Complex = NDArray[np.complex64]
_HZ: Final = 1 / (2 * HALF_S)
_BESIDE: Final = (0.72, 0.86, 1.14, 1.28)  # neighbouring frequencies over the pattern's own
_AT_ONCE: Final = 25  # frames
_SAMPLES: Final = 2  # a block's side while sizes are tried
_FINE: Final = 4
_SMALLEST, _LARGEST = 3.2, 34.0  # pixels of a block that are tried
_RATIO: Final = 1.007  # between sizes: over 64 blocks, less than half of one
_FINER: Final = 1.0012
TRIES: Final = 5  # sizes at which the bits are read
LEAST_SCORE: Final = 26.0
"""Of the known blocks' correlation: exp(-score) is how often noise reaches it at one place."""


@dataclass(frozen=True)
class Found:
    """What a detector says of a clip.

    Attributes:
        payload: the 8 bytes; None where there is no watermark.
        score: of the best place, in nats of improbability at that place.
        block: pixels of a block there.
        errors: coded bits that were wrong, of 172.
        frames: that were looked at.
        chance: how often a clip without a watermark is said to have one, by theory, at most.
    """

    payload: bytes | None
    score: float
    block: float
    errors: int
    frames: int
    chance: float


class Listener:
    """Listens at the watermark's frequency and beside it."""

    def __init__(self) -> None:
        self.frames = 0
        self._shape: tuple[int, int] | None = None
        self._waiting: list[tuple[float, NDArray[np.uint8]]] = []
        self._heard = np.zeros((0, 0), np.float32)  # (1 + 2 x frequencies, H x W): sums over time
        self._totals = np.zeros(1 + len(_BESIDE), complex)

    def add(self, luma: NDArray[np.uint8], at_s: float) -> None:
        """Take a frame ``(H, W)`` and its time in seconds; one of another size is left out."""
        if self._shape is None:
            self._shape = (luma.shape[0], luma.shape[1])
            self._heard = np.zeros((3 + 2 * len(_BESIDE), luma.size), np.float32)
        if luma.shape != self._shape:
            return
        self._waiting.append((at_s, luma))
        self.frames += 1
        if len(self._waiting) == _AT_ONCE:
            self._take()

    def _take(self) -> None:
        """Add what waits to the sums, as one product of matrices."""
        if not self._waiting:
            return
        times = np.array([at_s for at_s, _ in self._waiting])
        pixels = np.stack([luma.ravel() for _, luma in self._waiting]).astype(np.float32)
        turns = np.exp(-2j * math.pi * _HZ * np.outer((1.0, *_BESIDE), times))
        mixed = np.concatenate([np.ones((1, len(times))), turns.real, turns.imag])
        self._heard += mixed.astype(np.float32) @ pixels
        self._totals += turns.sum(1)
        self._waiting.clear()

    def heard(self) -> tuple[Complex, Floats]:
        """Return every pixel's swing ``(H, W)`` and how noisy it is, as a variance."""
        assert self._shape is not None, "no frame has come"
        self._take()
        mean, count = self._heard[0] / self.frames, len(self._totals)
        swings = [
            (self._heard[1 + n] + 1j * self._heard[1 + count + n] - mean * np.complex64(total))
            / np.float32(self.frames)
            for n, total in enumerate(self._totals)
        ]
        noise = np.mean([np.abs(swing) ** 2 for swing in swings[1:]], axis=0)
        swing = swings[0].astype(np.complex64).reshape(self._shape)
        return swing, noise.astype(np.float32).reshape(self._shape)


def detect(frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> Found:
    """Look for a watermark in luma frames ``(H, W)`` with their times in seconds."""
    listener = Listener()
    for at_s, luma in frames:
        listener.add(luma, at_s)
    if listener.frames < 10:
        return Found(None, 0.0, 0.0, 0, listener.frames, 0.0)
    swing, noise = listener.heard()
    levels = _levels(_trusted(swing, noise))
    sizes = _sizes(_SMALLEST, min(_LARGEST, min(swing.shape) / 8), _RATIO)
    score, block = max((_best(levels, b, _SAMPLES)[0], b) for b in sizes)
    near = _sizes(block / _RATIO, block * _RATIO, _FINER)
    looked = sorted(((_best(levels[:1], b, _FINE)[0], b) for b in near), reverse=True)
    score, payload, errors = looked[0][0], None, 0
    # Where little carries the pattern, the size that fits the known blocks best is not always the
    # one that fits the others best.
    for _, block in looked[:TRIES]:
        payload, wrong = decode(_soft(levels[:1], block))
        errors = errors or wrong
        if payload is not None:
            errors = wrong
            break
    else:
        block = looked[0][1]
    places = BLOCKS**2 * (len(sizes) * _SAMPLES**2 + len(near) * _FINE**2)
    chance = min(1.0, places * math.exp(-LEAST_SCORE)) * TRIES * 2.0**-16
    known = payload is not None and score >= LEAST_SCORE
    return Found(payload if known else None, score, block, errors, listener.frames, chance)


def _trusted(swing: Complex, noise: Floats) -> Floats:
    """Return swings times their weights ``(H, W, 2)``: little where much moves."""
    smooth = cv2.blur(noise, (9, 9))
    floor = max(float(np.median(smooth[smooth > 0])) if (smooth > 0).any() else 0.0, 1e-4)
    weight = (1.0 / (smooth + floor)).astype(np.float32)
    weight[smooth <= 1e-9] = 0.0  # bars that were never anything but black
    return np.stack([swing.real * weight, swing.imag * weight], axis=2)


def _levels(field: Floats) -> list[Floats]:
    """Return a field, and likewise at half the resolution, a quarter and an eighth."""
    levels = [field]
    for _ in range(3):
        rows, columns = (side // 2 for side in levels[-1].shape[:2])
        if min(rows, columns) < 1:
            break
        even = levels[-1][: 2 * rows, : 2 * columns]
        small = cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(small, np.float32))
    return levels


def _sizes(low: float, high: float, ratio: float) -> list[float]:
    count = max(1, int(math.log(high / low) / math.log(ratio)) + 1)
    return [low * ratio**n for n in range(count)]


def _fold(levels: list[Floats], block: float, samples: int) -> Complex:
    """Return the spectrum of one tile ``(16 s, 16 s)`` onto which the picture is folded, whitened.

    What moves is loud in coarse structure and nearly silent in fine; the pattern is alike in all.
    Each ring of frequencies is therefore brought to the same power, as in phase correlation (Kuglin
    and Hines 1975), by its mean and not by every value, of which there is only one.
    """
    # A sample keeps two values at least of the level that it is taken from.
    level = min(len(levels) - 1, max(0, int(math.log2(max(1.0, block / (2 * samples))))))
    field, block = levels[level], block / 2**level
    height, width = field.shape[:2]
    size = (max(1, round(width * samples / block)), max(1, round(height * samples / block)))
    how = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
    part = cv2.resize(field, size, interpolation=how)
    side = BLOCKS * samples
    rows, columns = -(-part.shape[0] // side), -(-part.shape[1] // side)
    padded = np.zeros((rows * side, columns * side, 2), np.float32)
    padded[: part.shape[0], : part.shape[1]] = part
    folded = padded.reshape(rows, side, columns, side, 2).sum((0, 2))
    spectrum = np.fft.fft2(folded[..., 0] + 1j * folded[..., 1])
    rings, counts = _rings(side)
    power = np.bincount(rings.ravel(), (np.abs(spectrum) ** 2).ravel()) / counts
    spectrum *= (1.0 / np.sqrt(np.maximum(power, 1e-30)))[rings]
    spectrum[0, 0] = 0.0
    return spectrum.astype(np.complex64)


@lru_cache(maxsize=4)
def _rings(side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distance of each frequency from zero, rounded, and how many there are of each."""
    steps = np.fft.fftfreq(side) * side
    rings = np.rint(np.hypot(steps[:, None], steps[None])).astype(np.int64)
    return rings, np.bincount(rings.ravel())


def _template(samples: int) -> Floats:
    _, known, signs = layout()
    flat = np.zeros(BLOCKS * BLOCKS, np.float32)
    flat[known] = signs
    return np.kron(flat.reshape(BLOCKS, BLOCKS), np.ones((samples, samples), np.float32))


def _best(
    levels: list[Floats], block: float, samples: int
) -> tuple[float, tuple[int, int], complex]:
    """Return the best score at a size of blocks, its offset in samples, and its phase."""
    spectrum = _fold(levels, block, samples)
    correlation = np.fft.ifft2(spectrum * np.conj(np.fft.fft2(_template(samples))))
    # Without a pattern the correlation is complex normal and |c|^2 exponential, of which the median
    # is ln 2 of the mean; taken over all offsets, it holds whatever the noise is like.
    power = np.abs(correlation) ** 2
    score = power * math.log(2.0) / max(float(np.median(power)), 1e-30)
    at = np.unravel_index(int(score.argmax()), score.shape)
    place = (int(at[0]), int(at[1]))
    return float(score[place]), place, complex(correlation[place])


def _soft(levels: list[Floats], block: float) -> NDArray[np.float64]:
    """Return the soft values of the coded bits."""
    _, place, value = _best(levels, block, _FINE)
    tile = np.fft.ifft2(_fold(levels, block, _FINE))
    rolled = np.roll(tile, (-place[0], -place[1]), (0, 1))
    chips = rolled.reshape(BLOCKS, _FINE, BLOCKS, _FINE).mean((1, 3)).ravel()
    turned = (chips * np.conj(value) / max(abs(value), 1e-30)).real
    data, _, _ = layout()
    soft = turned[data] * whitening()
    return np.asarray(soft / max(float(np.abs(soft).mean()), 1e-30), np.float64)
