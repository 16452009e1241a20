"""How good the lips are, measured on speech whose phones are known. Pure functions.

Closure is scored on what is seen, the opening of the lips, not on a network's inner opinion.
Scores are taken per token: a bilabial counts with its narrowest moment (its alignment widened by
20 ms), a vowel with its narrowest audible moment in the inner 60 % (alignments drift into silence
at the edges). Energy alone must be in the same table, because energy alone closes the mouth in
most stops: only the *place* of articulation tells lips from loudness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from visavis.models.arrays import ease
from visavis.models.motion.curves import CHANNEL, LIP_GAP_PER_UNIT, RATE, build, lip_gap, seal
from visavis.models.motion.features import HOP, SAMPLE_RATE
from visavis.models.motion.layout import NetConfig
from visavis.models.motion.phones import VOWELS, Phone, timed_arpabet
from visavis.models.motion.predictor import Graph, MotionPredictor
from visavis.models.motion.training.corpus import augment

Labels = Sequence[tuple[float, float, str]]

_SILENT = 0.01  # peak below which a recording holds no speech
SHUT = 0.03  # units of jawOpen below which lips count as touching
BILABIALS = frozenset({"P", "B", "M"})
LABIODENTALS = frozenset({"F", "V"})
OTHER_STOPS = frozenset({"T", "D", "N", "K", "G", "NG"})
# Names of ARPAbet, and of this package's own classes where another language has more vowels.
ROUNDED = frozenset({"UW", "OW", "UH", "W", "OO", "YY", "OE"})
SPREAD = frozenset({"IY", "IH", "EY", "EH", "EE"})
VOWEL_NAMES = frozenset({"AW", "AY", "EY", "OW", "OY", *VOWELS})


@dataclass(frozen=True)
class Track:
    """What a method says about one recording, at 100 Hz.

    Attributes:
        aperture: ``(hops,)`` opening of the lips in units of jawOpen.
        rounding: ``(hops,)`` pucker and funnel less stretch and smile; None if it has no opinion.
        jaw: ``(hops,)`` jawOpen.
        channels: ``(hops, len(CHANNELS))`` all curves; None if the method has a jaw only.
    """

    aperture: NDArray[np.float32]
    rounding: NDArray[np.float32] | None
    jaw: NDArray[np.float32]
    channels: NDArray[np.float32] | None = None


def from_channels(channels: NDArray[np.float32]) -> Track:
    """Make a track of curves ``(hops, len(CHANNELS))``."""
    names = ("mouthPucker", "mouthFunnel", "mouthStretch", "mouthSmile")
    pucker, funnel, stretch, smile = (channels[:, CHANNEL[n]] for n in names)
    gap = lip_gap(channels) / np.float32(LIP_GAP_PER_UNIT["jawOpen"])
    return Track(gap, pucker + funnel - stretch - smile, channels[:, 0], channels)


def predict(
    engine: Graph,
    pcm: NDArray[np.float32],
    look_ahead_ms: int = 80,
    config: NetConfig | None = None,
) -> Track:
    """Run the predictor over a whole recording, its look-ahead taken off again."""
    lag = look_ahead_ms // 10
    padded = np.concatenate([pcm, np.zeros(lag * HOP + (-len(pcm)) % HOP, np.float32)])
    predictor = MotionPredictor(engine, config)
    got = predictor.step(padded[None], predictor.init_state(1), look_ahead_ms)
    channels = got.curves[0, lag:].copy()
    shut = np.clip((got.closure[0, lag:] - 0.3) / 0.4, 0.0, 1.0)
    seal(channels, ease(shut))
    return from_channels(channels)


def envelope(pcm: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the 300-3000 Hz amplitude envelope at 100 Hz, smoothed over 20 ms."""
    band = butter(2, [300, 3000], "band", fs=SAMPLE_RATE, output="sos")
    power = sosfiltfilt(band, np.asarray(pcm, np.float64)) ** 2
    hops = len(power) // HOP
    rms = np.sqrt(power[: hops * HOP].reshape(hops, HOP).mean(axis=1))
    return np.asarray(gaussian_filter1d(rms, 2.0))


def energy_jaw(pcm: NDArray[np.float32]) -> Track:
    """The baseline: a jaw that follows loudness, scaled to the usual amplitude."""
    loud = envelope(pcm)
    jaw = 0.45 * np.sqrt(np.clip(loud / (np.percentile(loud, 95) + 1e-9), 0, 1.5))
    return Track(jaw.astype(np.float32), None, jaw.astype(np.float32))


def area_under_curve(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the probability that a positive scores above a negative (ties count half)."""
    if len(positive) == 0 or len(negative) == 0:
        return float("nan")
    values = np.concatenate([positive, negative])
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    n, m = len(positive), len(negative)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def narrowest(track: Track, start: float, end: float, audible: NDArray[np.bool_] | None) -> float:
    """Return minus the smallest aperture between two times; nan if no hop counts."""
    first, last = max(0, int(start * RATE)), min(len(track.aperture), int(np.ceil(end * RATE)))
    part = track.aperture[first:last]
    if audible is not None:
        part = part[audible[first:last]]
    return -float(part.min()) if len(part) else float("nan")


def token_scores(track: Track, pcm: NDArray[np.float32], labels: Labels) -> dict[str, list[float]]:
    """Return closure scores and roundings of one recording's tokens.

    ``bilabial``, ``vowel`` and ``stop`` hold one score per token, ``vowel_hop`` one per audible
    10 ms of a vowel's inner part, ``rounded`` and ``spread`` the mean rounding per token and
    ``rounded_inner`` and ``spread_inner`` that of its audible hops in the inner 60 %,
    ``labiodental`` and ``vowel_tuck`` how far the lower lip goes under the teeth at most.
    """
    loud = envelope(pcm)
    audible = loud > 0.1 * np.percentile(loud, 95)
    audible = np.resize(audible, len(track.aperture)) if len(audible) else audible
    out: dict[str, list[float]] = {
        k: []
        for k in (
            "bilabial",
            "labiodental",
            "vowel",
            "vowel_tuck",
            "vowel_hop",
            "stop",
            "rounded",
            "spread",
            "rounded_inner",
            "spread_inner",
        )
    }
    for start, end, name in labels:
        if name in BILABIALS:
            out["bilabial"].append(narrowest(track, start - 0.02, end + 0.02, None))
        elif name in LABIODENTALS:
            out["labiodental"].append(_tuck(track, start - 0.02, end + 0.02))
        elif name in OTHER_STOPS:
            out["stop"].append(narrowest(track, start, end, None))
        elif name in VOWEL_NAMES:
            edge = 0.2 * (end - start)
            score = narrowest(track, start + edge, end - edge, audible)
            if np.isfinite(score):
                out["vowel"].append(score)
                out["vowel_tuck"].append(_tuck(track, start + edge, end - edge))
                hops = _inner(start, end)
                out["vowel_hop"] += list(-track.aperture[hops][audible[hops]])
        if track.rounding is not None and (name in ROUNDED or name in SPREAD):
            part = track.rounding[int(start * RATE) : max(int(end * RATE), int(start * RATE) + 1)]
            kind = "rounded" if name in ROUNDED else "spread"
            if len(part):
                out[kind].append(float(part.mean()))
            inner = _inner(start, end)
            part = track.rounding[inner][audible[inner]]
            if len(part):
                out[f"{kind}_inner"].append(float(part.mean()))
    for key in ("bilabial", "labiodental", "vowel_tuck", "stop"):
        out[key] = [s for s in out[key] if np.isfinite(s)]
    return out


def _inner(start: float, end: float) -> slice:
    """Return the hops of a phone's inner 60 %."""
    edge = 0.2 * (end - start)
    return slice(int((start + edge) * RATE), int(np.ceil((end - edge) * RATE)))


def _tuck(track: Track, start: float, end: float) -> float:
    """Return how far the lower lip is under the upper teeth at most; nan if a method has none."""
    first, last = max(0, int(start * RATE)), min(len(track.jaw), int(np.ceil(end * RATE)))
    if track.channels is None or last <= first:
        return float("nan")
    return float(track.channels[first:last, CHANNEL["mouthRollLower"]].max())


def recall_at(bilabial: Sequence[float], vowel: Sequence[float], false_rate: float = 0.05) -> float:
    """Return the share of bilabials that close more than all but ``false_rate`` of vowels.

    Where the threshold falls among equal scores (lips that touch in more vowels than that), as
    many of them count as there is room for: the point of the ROC curve's straight stretch.
    """
    if not len(bilabial) or not len(vowel):
        return float("nan")
    ours, theirs = np.asarray(bilabial), np.asarray(vowel)
    threshold = np.quantile(theirs, 1.0 - false_rate)
    above, tied = float(np.mean(theirs > threshold)), float(np.mean(theirs == threshold))
    recall = float(np.mean(ours > threshold))
    if tied > 1.5 / len(theirs):
        room = float(np.clip((false_rate - above) / tied, 0.0, 1.0))
        recall += room * float(np.mean(ours == threshold))
    return recall


def d_prime(high: Sequence[float], low: Sequence[float]) -> float:
    """Return the distance of two groups in units of their pooled standard deviation."""
    if len(high) < 2 or len(low) < 2:
        return float("nan")
    spread = np.sqrt(0.5 * (np.var(high) + np.var(low))) + 1e-9
    return float((np.mean(high) - np.mean(low)) / spread)


def correlation_and_lag(
    moving: NDArray[np.floating], sound: NDArray[np.floating], reach: int = 20
) -> tuple[float, float, int]:
    """Return (r at lag 0, best r, best lag in hops); a positive lag means motion comes late."""
    count = min(len(moving), len(sound))
    a = np.asarray(moving[:count], float) - np.mean(moving[:count])
    b = np.asarray(sound[:count], float) - np.mean(sound[:count])
    scale = np.sqrt(np.sum(a * a) * np.sum(b * b)) + 1e-12
    values = []
    for lag in range(-reach, reach + 1):
        late, early = (a[lag:], b[: count - lag]) if lag >= 0 else (a[:lag], b[-lag:])
        values.append(float(np.sum(late * early) / scale))
    best = int(np.argmax(values))
    return values[reach], values[best], best - reach


def summarise(
    tracks: Mapping[str, Track],
    sounds: Mapping[str, NDArray[np.float32]],
    labels: Mapping[str, Labels],
    built: Mapping[str, Track] | None = None,
) -> dict[str, float]:
    """Return every figure over a set of recordings.

    Args:
        tracks: by recording.
        sounds: 16 kHz samples the method heard *without* any added disturbance.
        labels: (start, end, ARPAbet) per recording.
        built: what the curve generator makes of each recording's phones; made from the labels,
            which must be ARPAbet then, if left out.
    """
    pooled: dict[str, list[float]] = {}
    moving, target, sound = [], [], []
    for name, track in tracks.items():
        if np.max(np.abs(sounds[name]), initial=0.0) < _SILENT:
            continue  # a recording of nothing cannot have the phones it is labelled with
        for key, scores in token_scores(track, sounds[name], labels[name]).items():
            pooled.setdefault(key, []).extend(scores)
        if built is None:
            wanted = phone_built(labels[name], len(track.aperture))
        else:
            wanted = _cut(built[name], len(track.aperture))
        gap = np.zeros(60, np.float32)  # keeps recordings apart under a shift
        moving += [track.aperture, gap]
        target += [wanted.aperture, gap]
        loud = envelope(sounds[name])
        loud = np.pad(loud, (0, max(0, len(track.aperture) - len(loud))))[: len(track.aperture)]
        sound += [loud / (np.percentile(loud, 95) + 1e-9), gap]
    m, t, s = (np.concatenate(x) for x in (moving, target, sound))
    speaking = t > 0.02
    r_target, _, lag_target = correlation_and_lag(m, t)
    r_speaking, _, _ = correlation_and_lag(m[speaking], t[speaking], reach=1)
    r_sound, _, lag_sound = correlation_and_lag(m, s)
    jaw = np.concatenate([tr.jaw for tr in tracks.values()])
    return {
        "closure_auc": area_under_curve(pooled["bilabial"], pooled["vowel"]),
        "closure_recall_5": recall_at(pooled["bilabial"], pooled["vowel"]),
        "closure_recall_5_hops": recall_at(pooled["bilabial"], pooled["vowel_hop"]),
        "labiodental_recall_5": recall_at(pooled["labiodental"], pooled["vowel_tuck"]),
        "vowels_shut": float(np.mean(-np.asarray(pooled["vowel"]) < SHUT)),
        "place_auc": area_under_curve(pooled["bilabial"], pooled["stop"]),
        "aperture_r": r_target,
        "aperture_r_speaking": r_speaking,
        "aperture_lag_ms": 10.0 * lag_target,
        "envelope_r": r_sound,
        "envelope_lag_ms": 10.0 * lag_sound,
        "amplitude_ratio": float(np.percentile(m[speaking], 90) / np.percentile(t[speaking], 90)),
        "rounding_d": d_prime(pooled["rounded"], pooled["spread"]),
        "rounding_d_inner": d_prime(pooled["rounded_inner"], pooled["spread_inner"]),
        "aperture_p50": float(np.percentile(m[speaking], 50)),
        "aperture_p95": float(np.percentile(m[speaking], 95)),
        "jaw_p95": float(np.percentile(jaw, 95)),
        "bilabials": float(len(pooled["bilabial"])),
        "labiodentals": float(len(pooled["labiodental"])),
        "vowels": float(len(pooled["vowel"])),
    }


def _cut(track: Track, hops: int) -> Track:
    """Return a track of exactly ``hops``, at rest beyond its end."""
    gap = np.zeros(hops, np.float32)
    gap[: min(hops, len(track.aperture))] = track.aperture[:hops]
    return Track(gap, None, gap)


def mouth_onset(track: Track, pcm: NDArray[np.float32]) -> float | None:
    """Return by how many seconds the mouth opens after the sound begins; None without either.

    Both begin where they first exceed a fifth of their own 95th percentile.
    """
    loud = envelope(pcm)
    if len(loud) == 0 or len(track.aperture) == 0:
        return None
    sound = np.flatnonzero(loud > 0.2 * np.percentile(loud, 95))
    wide = float(np.percentile(track.aperture, 95))
    moved = np.flatnonzero(track.aperture > max(0.2 * wide, SHUT))
    if len(sound) == 0 or len(moved) == 0:
        return None
    return float(moved[0] - sound[0]) / RATE


def jerk(jaw: NDArray[np.floating], fps: float) -> float:
    """Return the root mean square third derivative of a jaw while it moves, per s^3.

    Only jaws sampled at the same rate can be compared.
    """
    third = np.diff(np.asarray(jaw, float), 3) * fps**3
    moving = np.abs(np.diff(np.asarray(jaw, float))[1:-1]) > 1e-3
    return float(np.sqrt(np.mean(third[moving] ** 2))) if moving.any() else 0.0


def resampled(jaw: NDArray[np.floating], fps: float) -> NDArray[np.float64]:
    """Return a jaw at 100 Hz as a camera at ``fps`` would: the mean over each frame's time."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(jaw, float))])
    edges = np.arange(int(len(jaw) / RATE * fps) + 1) * (RATE / fps)
    return np.asarray(np.diff(np.interp(edges, np.arange(len(total)), total)) * fps / RATE)


def against_capture(
    jaw: NDArray[np.floating], captured: NDArray[np.floating], fps: float
) -> dict[str, float]:
    """Compare a predicted jaw with a captured one.

    Loudness alone follows a jaw well, so a high figure here proves little; it is the amplitude,
    the lag and the speed that this table is for.

    Args:
        jaw: ``(hops,)`` at 100 Hz.
        captured: ``(frames,)`` at ``fps``.
        fps: of the capture.

    Returns:
        ``r`` and ``lag_ms`` of the 1.2-8 Hz band in speech, medians and 95th percentiles of both
        in speech, and the 99th percentile of the speed per second.
    """
    hops = min(len(jaw), int(len(captured) / fps * RATE))
    times = (np.arange(hops) + 0.5) / RATE
    real = np.interp(times, (np.arange(len(captured)) + 0.5) / fps, captured)
    ours = np.asarray(jaw[:hops], float)
    speaking = gaussian_filter1d((real > 0.03).astype(float), 12) > 0.4
    band = butter(2, [1.2, 8.0], "band", fs=RATE, output="sos")
    a, b = (sosfiltfilt(band, x) * speaking for x in (ours, real))
    _, best, lag = correlation_and_lag(a, b)
    return {
        "r": best,
        "lag_ms": 10.0 * lag,
        "p50": float(np.median(ours[speaking])),
        "p95": float(np.percentile(ours[speaking], 95)),
        "captured_p50": float(np.median(real[speaking])),
        "captured_p95": float(np.percentile(real[speaking], 95)),
        "speed_p99": float(np.percentile(np.abs(np.diff(ours)) * RATE, 99)),
        "captured_speed_p99": float(np.percentile(np.abs(np.diff(captured)) * fps, 99)),
        "jerk": jerk(resampled(ours, fps), fps),
        "captured_jerk": jerk(captured, fps),
    }


def phone_built(labels: Labels, hops: int) -> Track:
    """Return the track of the curve generator for aligned ARPAbet phones."""
    phones: list[Phone] = timed_arpabet(labels, hops / RATE)
    channels, _ = build(phones, hops)
    return from_channels(channels)


def disturbed(pcm: NDArray[np.float32], how: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the recording under one named condition.

    ``clean``, ``noise10`` (noise at 10 dB), ``room`` (0.5 s), ``telephone`` (300-3400 Hz),
    ``quiet`` (-20 dB), ``short`` and ``long`` throat (formants x 1.22 and x 0.84), ``whisper``.

    Raises:
        ValueError: no such condition.
    """
    if how == "clean":
        return pcm
    if how == "quiet":
        return pcm * np.float32(0.1)
    if how == "short":
        return augment.warp_formants(pcm, 1.22)
    if how == "long":
        return augment.warp_formants(pcm, 0.84)
    if how == "whisper":
        return augment.whisper(pcm, rng)
    if how == "telephone":
        band = butter(4, [300, 3400], "band", fs=SAMPLE_RATE, output="sos")
        return sosfiltfilt(band, pcm).astype(np.float32)
    if how == "noise10":
        noise = gaussian_filter1d(rng.standard_normal(len(pcm)), 0.7)
        speech = np.abs(pcm) > 0.02 * np.abs(pcm).max()
        rms = np.sqrt(np.mean(pcm[speech] ** 2)) if speech.any() else 0.0
        return (pcm + noise / noise.std() * rms * 10**-0.5).astype(np.float32)
    if how == "room":
        length = int(0.5 * SAMPLE_RATE)
        tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length) * 0.03
        tail[0] = 1.0
        return np.convolve(pcm, tail)[: len(pcm)].astype(np.float32)
    raise ValueError(f"There is no condition {how!r}.")


def non_speech(seconds: float = 6.0) -> dict[str, NDArray[np.float32]]:
    """Return sounds without a voice: silence, noises, tones, drums and somewhat of music."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    rng = np.random.default_rng(7)
    tone = 0.2 * np.sin(2 * np.pi * 440 * time)
    low = 0.3 * np.sign(np.sin(2 * np.pi * 120 * time)) * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * time))
    drum = np.exp(-(time % 0.5) * 18) * np.sin(2 * np.pi * 65 * time)
    cymbal = np.exp(-(time % 0.25) * 30) * rng.standard_normal(len(time))
    scale = 220.0 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    melody = scale[(time / 0.3).astype(int) % 8]
    phase = 2 * np.pi * np.cumsum(melody * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * time)))
    lead = sum(np.sin(k * phase / SAMPLE_RATE) / k for k in range(1, 7))
    beat = np.exp(-(time % 0.4) * 6)
    chord = [220.0, 277.2, 329.6, 440.0, 554.4]
    tune = sum(np.sin(2 * np.pi * f * (1 + (time // 0.8) % 3 * 0.125) * time) for f in chord)
    hiss = rng.standard_normal(len(time))
    return {
        "silence": np.zeros(len(time), np.float32),
        "hiss": (0.001 * hiss).astype(np.float32),
        "white_noise": (0.05 * hiss).astype(np.float32),
        "tone": tone.astype(np.float32),
        "buzz": low.astype(np.float32),
        "fan": (0.1 * gaussian_filter1d(hiss, 3.0)).astype(np.float32),
        "drums": (0.4 * drum + 0.05 * cymbal).astype(np.float32),
        "melody": (0.08 * lead * np.minimum(1, (time % 0.3) / 0.02)).astype(np.float32),
        "music": (0.05 * tune * beat + 0.02 * hiss * (time % 0.8 < 0.05)).astype(np.float32),
    }


__all__ = [
    "Track", "against_capture", "area_under_curve", "correlation_and_lag", "d_prime", "disturbed",
    "energy_jaw", "envelope", "from_channels", "jerk", "mouth_onset", "non_speech", "phone_built",
    "predict", "recall_at", "resampled", "summarise", "token_scores",
]  # fmt: skip
