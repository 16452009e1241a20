"""Training batches: crops of the corpus, and what is done to their features on the way.

What happens here costs no new shard: throats, rooms, noise and level are changed in the log-mel
domain, a crop at a time, so that the same hour of speech is never heard twice alike.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from visavis.models.motion.features import MELS, mel_filters
from visavis.models.motion.phones import CLASS_INDEX

Arrays = dict[str, NDArray[np.generic]]
Raw = NDArray[np.float32]

_KEYS = ("raw", "channels", "closure", "phone")
# Voices built from recordings of people say more about people than formant synthesis does.
_VOICE_WEIGHTS = (
    ("onset/", 6.0),  # short, few, and what live speech does after every pause
    ("flite/", 2.0),
    ("rhvoice/", 2.0),
    ("pico/", 2.5),
    ("festival/voice_cmu_us_slt", 1.6),
    ("festival/voice_kal", 3.0),  # the only diphones of a male American
    ("festival/", 1.4),
)
_OTHER_VOICE = 0.7
_MEL_TOP = 2595.0 * np.log10(1.0 + 7800.0 / 700.0)
_MEL_LOW = 2595.0 * np.log10(1.0 + 60.0 / 700.0)
_BANDS = np.linspace(_MEL_LOW, _MEL_TOP, MELS + 2)[1:-1]  # middles, in mel
_FRONTED = [CLASS_INDEX[name] for name in ("UW", "UH", "OO")]
_LONG = 10  # hops; a shorter vowel is said in front only after Y, or "to" would be "two"


def voice_weight(voice: str) -> float:
    """Return how often a voice is heard in training, 1 being its share of the corpus."""
    if voice == "negative":
        return 1.0
    return next((w for head, w in _VOICE_WEIGHTS if voice.startswith(head)), _OTHER_VOICE)


class Corpus:
    """All shards of a folder in memory, sampled as crops that may span utterances."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[Path] = set()
        self._parts: list[Arrays] = []
        self._starts: list[tuple[int, int, int]] = []  # part, first hop, hops of each utterance
        self._weights: list[float] = []
        self.refresh()

    def refresh(self) -> None:
        """Take in shards that were written since the last look."""
        for path in sorted(self._folder.glob("shard-????.npz")):
            if path in self._seen:
                continue
            with np.load(path, allow_pickle=False) as data:
                part = {k: data[k] for k in _KEYS}
                hops, voices = data["hops"], [str(v) for v in data["voice"]]
            at = 0
            for count, voice in zip(hops, voices, strict=True):
                self._starts.append((len(self._parts), at, int(count)))
                self._weights.append(float(count) * voice_weight(voice))
                at += int(count)
            self._parts.append(part)
            self._seen.add(path)
        weights = np.asarray(self._weights)
        self._cumulative = np.cumsum(weights) / max(weights.sum(), 1e-9)

    @property
    def hours(self) -> float:
        """Hours of sound in memory, augmented versions counted."""
        return sum(len(p["phone"]) for p in self._parts) / 360000

    def batch(self, rng: np.random.Generator, count: int, hops: int) -> Arrays:
        """Return ``count`` random crops of ``hops``, stacked by name."""
        chosen = np.searchsorted(self._cumulative, rng.random(count))
        crops = []
        for i in np.minimum(chosen, len(self._starts) - 1):
            part, first, length = self._starts[int(i)]
            last = len(self._parts[part]["phone"]) - hops
            at = first + int(rng.integers(-hops // 3, max(length - hops // 2, 1)))
            at = min(max(at, 0), last)
            crops.append({k: v[at : at + hops] for k, v in self._parts[part].items()})
        return {k: np.stack([c[k] for c in crops]) for k in crops[0]}


def disturb(raw: Raw, rng: np.random.Generator, clean: float) -> Raw:
    """Change throat, microphone, room, noise and gain in the log-mel domain, per crop.

    Args:
        raw: ``(crops, hops, RAW)``.
        rng: decides everything.
        clean: share of crops that only get another throat.
    """
    batch = len(raw)
    out = raw.copy()
    stretch_throats(out, rng, share=0.5)
    sharpen(out, rng, share=0.5)
    dirty = rng.random(batch) > clean
    add_babble(out, dirty & (rng.random(batch) < 0.15), rng)
    knots = rng.normal(0, 0.9, (batch, 6)) * (rng.random((batch, 1)) < 0.6)
    grid = np.linspace(0, 5, MELS)
    curve = np.stack([np.interp(grid, np.arange(6), k) for k in knots]) * dirty[:, None]
    gain = rng.uniform(-1.5, 1.0, batch) * dirty
    out[..., :MELS] += (curve + gain[:, None])[:, None]
    out[..., MELS] += gain[:, None]
    reverberate(out, dirty & (rng.random(batch) < 0.3), rng)
    add_noise(out, dirty & (rng.random(batch) < 0.7), rng)
    return np.asarray(out, np.float32)


def stretch_throats(raw: Raw, rng: np.random.Generator, share: float) -> None:
    """Stretch the frequency axis of some crops by 0.9-1.11, in place (formants and pitch).

    Speakers differ by more than a factor: the low, middle and high formants get one of their own
    on top, 3 % apart (standard deviation).
    """
    hertz = 700.0 * (10.0 ** (_BANDS / 2595.0) - 1.0)
    knots = [0.0, 0.25 * MELS, 0.55 * MELS, MELS - 1.0]
    for row in raw:
        base = rng.uniform(np.log(0.9), np.log(1.11))
        apart = rng.normal(0.0, 0.03, len(knots))
        if rng.random() > share:
            continue
        factor = np.exp(base + np.interp(np.arange(MELS), knots, apart))
        place = _places(2595.0 * np.log10(1.0 + hertz / factor / 700.0))
        low = place.astype(int)
        part = (place - low).astype(np.float32)
        row[:, :MELS] = row[:, low] * (1 - part) + row[:, low + 1] * part


def front_vowels(
    raw: Raw, phone: NDArray[np.integer], rng: np.random.Generator, share: float
) -> None:
    """Say back rounded vowels further in front in some crops, in place.

    The second formant goes up by 10-75 %, first and third stay: "you", "two" and "no" as many
    speakers of English say them ("fronting"; Labov, Ash and Boberg, 2006), with the same lips.

    Args:
        raw: ``(crops, hops, RAW)``.
        phone: ``(crops, hops)`` class indices.
        rng: decides everything.
        share: of the crops.
    """
    for row, spoken in zip(raw, phone, strict=True):
        formant = rng.uniform(850.0, 1300.0)
        moved = min(formant * float(np.exp(rng.uniform(0.1, 0.56))), 2100.0)
        if rng.random() > share:
            continue
        hertz = np.array([[430.0, formant, 2500.0], [430.0, moved, 2500.0]])
        source, target = 2595.0 * np.log10(1.0 + hertz / 700.0)
        ends = np.array([_BANDS[0], _BANDS[-1]])
        source, target = (np.concatenate([ends[:1], m, ends[1:]]) for m in (source, target))
        shift = _places(np.interp(_BANDS, target, source)) - np.arange(MELS)
        degree = uniform_filter1d(_said_in_front(spoken).astype(np.float32), 7)
        hops = np.flatnonzero(degree)
        place = np.clip(np.arange(MELS) + degree[hops, None] * shift, 0.0, MELS - 1.001)
        low = place.astype(int)
        part = (place - low).astype(np.float32)
        bands = row[hops, :MELS]
        below, above = (np.take_along_axis(bands, low + i, axis=1) for i in (0, 1))
        row[hops, :MELS] = below * (1 - part) + above * part


def _said_in_front(spoken: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which hops ``(hops,)`` belong to a rounded vowel that may be said in front."""
    rounded = np.isin(spoken, _FRONTED)
    edges = np.flatnonzero(np.diff(rounded.astype(np.int8), prepend=0, append=0))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        after_y = first > 0 and spoken[first - 1] == CLASS_INDEX["Y"]
        if not after_y and last - first < _LONG:
            rounded[first:last] = False
    return rounded


def _places(mel: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return where frequencies (mel) lie among the bands, counted in bands."""
    return np.asarray(np.clip((mel - _BANDS[0]) / (_BANDS[1] - _BANDS[0]), 0.0, MELS - 1.001))


def sharpen(raw: Raw, rng: np.random.Generator, share: float) -> None:
    """Make the formants, or the changes over time, of some crops sharper or duller, in place.

    Statistical voices are averages: their formants are flatter and their transitions slower than
    those of people (what "global variance" makes up for; Toda and Tokuda, 2007).
    """
    for row in raw:
        across = float(np.exp(rng.uniform(np.log(0.8), np.log(1.35))))
        along = float(np.exp(rng.uniform(np.log(0.85), np.log(1.25))))
        chosen = rng.random(2) < share
        bands = row[:, :MELS]
        if chosen[0]:
            bands += np.float32(across - 1.0) * (bands - uniform_filter1d(bands, 19, axis=1))
        if chosen[1]:
            bands += np.float32(along - 1.0) * (bands - uniform_filter1d(bands, 11, axis=0))


def add_babble(raw: Raw, noisy: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Let other crops of the batch talk behind some, 6-20 dB below, in place."""
    if len(raw) < 2:
        return
    before = raw.copy()
    for i in np.flatnonzero(noisy):
        others = (i + 1 + rng.permutation(len(raw) - 1)[: rng.integers(1, 4)]) % len(raw)
        power = np.exp(before[others, :, : MELS + 1]).mean(axis=0)
        behind = np.log(power + 1e-9)
        loud, far = (np.percentile(x[:, MELS], 90) for x in (before[i], behind))
        behind += loud - far - rng.uniform(1.4, 4.6)  # natural log of power
        clean_energy = raw[i, :, MELS].copy()
        raw[i, :, : MELS + 1] = np.logaddexp(raw[i, :, : MELS + 1], behind)
        raw[i, :, MELS + 1] *= np.exp(0.5 * (clean_energy - raw[i, :, MELS]))


def _bins_per_band() -> NDArray[np.float64]:
    """Return over how many independent bins each mel band averages a noise's power."""
    weights = mel_filters().astype(float)
    return np.asarray(np.maximum(1.0, 0.7 / (weights**2).sum(axis=0)))


def add_noise(raw: Raw, noisy: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Add noise of any slope and shape at 0-35 dB, most of it at 2-15 dB, in place.

    The power of noise in a band fluctuates like a gamma variable with as many degrees as the
    band has independent bins: low bands are grainy, high ones steady.
    """
    bins = _bins_per_band()
    hops = raw.shape[1]
    for i in np.flatnonzero(noisy):
        loud = np.percentile(raw[i, :, MELS], 90)
        snr = rng.uniform(0.5, 3.5) if rng.random() < 0.6 else rng.uniform(0.0, 8.0)
        floor = np.full(hops, loud - snr, np.float32)  # natural log of power
        slope = np.linspace(0.5, -0.5, MELS) * rng.uniform(-1.0, 4.0)
        if rng.random() < 0.4:  # streets, fans and crowds are neither even nor steady
            slope = slope + np.interp(np.arange(MELS), np.linspace(0, MELS, 8), rng.normal(0, 1, 8))
            slow = rng.normal(0.0, 0.6, hops // 25 + 2)
            floor += np.interp(np.arange(hops), 25.0 * np.arange(len(slow)), slow)
        grain = rng.standard_gamma(bins, (hops, MELS)) / bins
        grain[1:] = 0.75 * grain[1:] + 0.25 * grain[:-1]  # windows overlap
        # Broadband noise spreads its power over the bins; a mel band averages its own.
        band = floor[:, None] - 4.2 + slope + np.log(grain + 1e-3)
        clean_energy = raw[i, :, MELS].copy()
        raw[i, :, :MELS] = np.logaddexp(raw[i, :, :MELS], band)
        raw[i, :, MELS] = np.logaddexp(clean_energy, floor)
        raw[i, :, MELS + 1] *= np.exp(clean_energy - raw[i, :, MELS])


def reverberate(raw: Raw, wet: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Add an exponentially decaying tail of power in every band, in place.

    The statistical model of late reverberation (Polack, 1988): the tail has a decay time and a
    level against the direct sound, and begins some 20 ms after it.
    """
    for i in np.flatnonzero(wet):
        decay = float(np.exp(-0.138 / rng.uniform(0.15, 0.9)))  # -60 dB in that many seconds
        ratio = 10 ** (-rng.uniform(0.0, 14.0) / 10)  # tail against direct sound
        tail = [0.0, 0.0, ratio * (1 - decay)]
        power = np.exp(raw[i, :, : MELS + 1])
        wet_power = power + lfilter(tail, [1.0, -decay], power, axis=0)
        raw[i, :, : MELS + 1] = np.log(wet_power)
        raw[i, :, MELS + 1] *= (power[:, MELS] / wet_power[:, MELS]) ** 0.5


def mask(features: Raw, rng: np.random.Generator, clean: float) -> Raw:
    """SpecAugment (Park et al., 2019): hide a few bands, and a few hops at a time."""
    for row in features:
        if rng.random() < clean:
            continue
        for _ in range(rng.integers(0, 3)):
            at, width = int(rng.integers(0, MELS)), int(rng.integers(1, 10))
            row[:, at : min(at + width, MELS)] = -1.0
        if rng.random() < 0.3:
            at, width = int(rng.integers(0, len(row))), int(rng.integers(1, 5))
            row[at : at + width] = row[max(at - 1, 0)]
    return features
