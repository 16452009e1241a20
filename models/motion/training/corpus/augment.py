"""What carries synthetic speech to real voices: other throats, other rooms, other microphones.

In the order of their effect: formant warp independent of pitch, a random walk of durations,
re-excitation of the source, then rooms, noise, band limits, gain, clipping and Opus. All are
deterministic given their generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import av
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

from visavis.models.motion.features import SAMPLE_RATE
from visavis.models.motion.phones import VOWELS, Phone

Pcm = NDArray[np.float32]
_N = 512
_HOP = 128
_LIFTER = 34  # cepstral coefficients kept as the envelope (2.1 ms)


def _stft(pcm: Pcm) -> NDArray[np.complex64]:
    pad = np.concatenate([np.zeros(_N, np.float32), pcm, np.zeros(_N, np.float32)])
    frames = np.lib.stride_tricks.sliding_window_view(pad, _N)[::_HOP]
    return np.asarray(scipy.fft.rfft(frames * np.hanning(_N).astype(np.float32), axis=1))


def _istft(spectrum: NDArray[np.complex64], samples: int) -> Pcm:
    window = np.hanning(_N).astype(np.float32)
    frames = scipy.fft.irfft(spectrum, _N, axis=1).astype(np.float32) * window
    out = np.zeros(len(frames) * _HOP + _N, np.float32)
    for phase in range(_N // _HOP):  # overlapping frames, four at a time without overlap
        part = frames[phase :: _N // _HOP].reshape(-1)
        out[phase * _HOP : phase * _HOP + len(part)] += part
    return out[_N : _N + samples] / 1.5  # sum of squared hann windows at a quarter overlap


def _envelope(magnitude: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log envelope of each frame by liftering the cepstrum."""
    cepstrum = scipy.fft.irfft(np.log(magnitude + 1e-5), _N, axis=1)
    cepstrum[:, _LIFTER : _N - _LIFTER] = 0.0
    return np.asarray(scipy.fft.rfft(cepstrum, axis=1).real, np.float32)


def warp_formants(pcm: Pcm, factor: float) -> Pcm:
    """Move the formants by ``factor`` (> 1: a shorter throat) and leave the pitch."""
    spectrum = _stft(pcm)
    magnitude = np.abs(spectrum)
    envelope = _envelope(magnitude)
    source = np.minimum(np.arange(_N // 2 + 1) / factor, _N // 2)
    low = np.floor(source).astype(int)
    part = (source - low).astype(np.float32)
    high = np.minimum(low + 1, _N // 2)
    warped = envelope[:, low] * (1 - part) + envelope[:, high] * part
    return _istft(spectrum * np.exp(np.clip(warped - envelope, -8, 8)), len(pcm))


def change_speed(pcm: Pcm, phones: Sequence[Phone], factor: float) -> tuple[Pcm, tuple[Phone, ...]]:
    """Play ``factor`` times as fast: pitch and formants rise together, durations shrink."""
    up, down = 100, max(1, round(100 * factor))
    scaled = tuple(replace(p, start=p.start * up / down, end=p.end * up / down) for p in phones)
    return resample_poly(pcm, up, down).astype(np.float32), scaled


def reexcite(pcm: Pcm, phones: Sequence[Phone], rng: np.random.Generator) -> Pcm:
    """Give the envelope of the speech a new source: another pitch contour, or a whisper."""
    samples = len(pcm)
    spectrum = _stft(pcm)
    envelope = _envelope(np.abs(spectrum))
    noise = rng.standard_normal(samples).astype(np.float32) * 0.1
    if rng.random() < 0.25:
        source = noise
    else:
        base = float(np.exp(rng.uniform(np.log(75.0), np.log(330.0))))
        knots = rng.normal(0.0, 0.16, max(2, samples // 4000 + 2)).cumsum() * 0.5
        contour = np.interp(np.arange(samples), np.linspace(0, samples, len(knots)), knots)
        phase = np.cumsum(base * np.exp(contour - contour.mean()) / SAMPLE_RATE)
        pulses = np.diff(np.floor(phase), prepend=0.0).astype(np.float32)
        pulses *= np.sqrt(SAMPLE_RATE / base) * 0.1
        voiced = _voiced(phones, samples)
        source = pulses * voiced + noise * (1.0 - voiced + rng.uniform(0.02, 0.2))
    excitation = _stft(source)
    flat = excitation * np.exp(-_envelope(np.abs(excitation)))
    count = min(len(flat), len(envelope))
    return _istft(flat[:count] * np.exp(envelope[:count]), samples)


def whisper(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """Give the envelope of the speech a source of noise alone."""
    envelope = _envelope(np.abs(_stft(pcm)))
    excitation = _stft(rng.standard_normal(len(pcm)).astype(np.float32) * 0.1)
    flat = excitation * np.exp(-_envelope(np.abs(excitation)))
    return _istft(flat * np.exp(envelope), len(pcm))


def strain(pcm: Pcm, effort: float) -> Pcm:
    """Change the vocal effort: 1 is a shout, -1 a murmur.

    Effort tilts the spectrum (about 6 dB per octave above 700 Hz between a murmur and a shout;
    Traunmueller and Eriksson, 2000), shouting raises the first formant and evens out loudness.
    """
    spectrum = _stft(pcm)
    hertz = np.arange(_N // 2 + 1) * SAMPLE_RATE / _N
    octaves = np.log2(np.maximum(hertz, 100.0) / 700.0)
    tilt = np.clip(octaves, -1.5, 3.0) * 3.0 * effort  # dB
    loud = np.sqrt(np.mean(np.abs(spectrum) ** 2, axis=1, keepdims=True)) + 1e-4
    even = (loud / loud.max()) ** (-0.25 * abs(effort))
    changed = _istft(spectrum * even * 10 ** (tilt / 20), len(pcm))
    if effort > 0:
        return warp_formants(changed, 1.0 + 0.07 * effort)
    return changed


def _voiced(phones: Sequence[Phone], samples: int) -> NDArray[np.float32]:
    names = {*VOWELS, "B", "M", "V", "DH", "D", "N", "Z", "ZH", "G", "NG", "L", "R", "RR", "W",
             "Y", "NY", "BH"}  # fmt: skip
    out = np.zeros(samples, np.float32)
    for phone in phones:
        if phone.name in names:
            out[int(phone.start * SAMPLE_RATE) : int(phone.end * SAMPLE_RATE)] = 1.0
    return np.convolve(out, np.ones(160, np.float32) / 160, "same").astype(np.float32)


def room(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """Put the speech in a room: direct sound, a few early echoes, a decaying tail."""
    t60 = rng.uniform(0.12, 0.7)
    length = int(t60 * SAMPLE_RATE)
    decay = np.exp(-6.9 * np.arange(length) / length)
    response = rng.standard_normal(length) * decay * rng.uniform(0.01, 0.05)
    for delay in rng.integers(16, 640, 6):
        if delay < length:
            response[delay] += rng.uniform(-0.4, 0.4) * decay[delay]
    response[0] = 1.0
    return fftconvolve(pcm, response.astype(np.float32))[: len(pcm)].astype(np.float32)


def coloured_noise(samples: int, rng: np.random.Generator) -> Pcm:
    """Return noise with a random slope (white to brown), rms 1."""
    spectrum = scipy.fft.rfft(rng.standard_normal(samples + 2))
    bins = np.arange(len(spectrum)) + 20.0
    shaped = scipy.fft.irfft(spectrum * bins ** -rng.uniform(0.0, 1.1))[:samples]
    return (shaped / (np.sqrt(np.mean(shaped**2)) + 1e-9)).astype(np.float32)


def music(samples: int, rng: np.random.Generator) -> Pcm:
    """Return something tune-like: decaying or held chords of harmonic tones and a beat."""
    out = np.zeros(samples, np.float32)
    at, beat = 0, int(SAMPLE_RATE * rng.uniform(0.12, 0.6))
    root = rng.uniform(80, 400)
    while at < samples:
        length = min(int(beat * rng.uniform(0.8, 3.0)), samples - at)
        time = np.arange(length) / SAMPLE_RATE
        held = np.exp(-time * rng.uniform(0.2, 8.0)) * np.minimum(time / 0.01, 1.0)
        for _ in range(rng.integers(1, 4)):
            pitch = root * 2 ** (rng.integers(-5, 19) / 12)
            vibrato = 1 + 0.006 * np.sin(2 * np.pi * 5 * time) * rng.integers(0, 2)
            for k in range(1, int(rng.integers(2, 12))):
                if pitch * k < 7500:
                    wave = np.sin(2 * np.pi * np.cumsum(pitch * k * vibrato) / SAMPLE_RATE)
                    out[at : at + length] += (held * wave * k ** -rng.uniform(0.6, 1.6)).astype(
                        np.float32
                    )
        if rng.random() < 0.4:
            hit = min(1600, samples - at)
            out[at : at + hit] += (
                rng.standard_normal(hit) * np.exp(-np.arange(hit) / 250) * 2
            ).astype(np.float32)
        at += beat
    return out / (np.sqrt(np.mean(out**2)) + 1e-9)


NEGATIVES = (
    "silence", "noise", "music", "tone", "breath", "clicks", "hum", "sweep", "laughter", "buzz",
    "drums",
)  # fmt: skip


def _laughter(samples: int, rng: np.random.Generator) -> Pcm:
    """Return bursts of breathy noise, four to six a second, dying away and coming again."""
    time = np.arange(samples) / SAMPLE_RATE
    rate = rng.uniform(4.0, 6.0)
    burst = np.maximum(0.0, np.sin(2 * np.pi * rate * time)) ** 2
    bout = np.exp(-(time % rng.uniform(1.0, 2.0)) * rng.uniform(0.8, 2.0))
    low = rng.uniform(500, 1500)
    band = butter(2, [low, low * rng.uniform(2.0, 4.0)], "band", fs=SAMPLE_RATE, output="sos")
    return np.asarray(sosfilt(band, rng.standard_normal(samples)) * burst * bout * 3.0)


def _buzz(samples: int, rng: np.random.Generator) -> Pcm:
    """Return a steady buzz, as motors, insects and bad cables make it: no formant moves."""
    time = np.arange(samples) / SAMPLE_RATE
    pitch = rng.uniform(45.0, 400.0) * (1 + rng.uniform(0, 0.05) * np.sin(2 * np.pi * time))
    phase = np.cumsum(pitch) / SAMPLE_RATE
    wave = np.diff(np.floor(phase), prepend=0.0) if rng.random() < 0.5 else 2 * (phase % 1.0) - 1
    if rng.random() < 0.7:
        low = butter(1, rng.uniform(200, 4000), "low", fs=SAMPLE_RATE, output="sos")
        wave = sosfilt(low, wave)
    beat = 1.0 + rng.uniform(0, 0.8) * np.sin(2 * np.pi * rng.uniform(0.3, 8.0) * time)
    return np.asarray(wave * beat / (np.abs(wave).max() + 1e-9))


def _drums(samples: int, rng: np.random.Generator) -> Pcm:
    """Return a beat of falling tones and bursts of noise."""
    out = np.zeros(samples)
    step = int(SAMPLE_RATE * rng.uniform(0.12, 0.35))
    for at in range(0, samples, step):
        length = min(int(SAMPLE_RATE * rng.uniform(0.05, 0.3)), samples - at)
        time = np.arange(length) / SAMPLE_RATE
        if rng.random() < 0.5:
            fall = rng.uniform(50, 220) * (1 + np.exp(-time * 40))
            hit = np.sin(2 * np.pi * np.cumsum(fall) / SAMPLE_RATE)
        else:
            hit = 0.6 * rng.standard_normal(length)
        out[at : at + length] += hit * np.exp(-time * rng.uniform(10, 60))
    return np.asarray(out)


def negative(rng: np.random.Generator, seconds: float = 3.0) -> Pcm:
    """Return a sound that is no speech: silence, noise, tones, music, breath, laughter, ..."""
    samples = int(seconds * SAMPLE_RATE)
    kind = rng.choice(list(NEGATIVES))
    time = np.arange(samples) / SAMPLE_RATE
    level = 10 ** (rng.uniform(-50, -8) / 20)
    if kind == "silence":
        return (rng.standard_normal(samples) * rng.choice([0.0, 1e-5, 3e-4])).astype(np.float32)
    if kind == "noise":
        wave = coloured_noise(samples, rng)
        slow = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(0.2, 5) * time)
        gate = (rng.random(samples // 3200 + 1) < rng.uniform(0.4, 1.0)).astype(np.float32)
        wave = wave * slow * np.repeat(gate, 3200)[:samples]
    elif kind == "music":
        wave = music(samples, rng)
    elif kind == "tone":
        pitch = rng.uniform(80, 4000)
        wave = np.sin(2 * np.pi * pitch * time) * (
            np.sin(2 * np.pi * rng.uniform(0, 3) * time) > -2
        )
        wave = wave * np.repeat(rng.random(samples // 4000 + 1) < 0.7, 4000)[:samples]
    elif kind == "breath":
        band = butter(2, [rng.uniform(300, 900), rng.uniform(2500, 6000)], "band",
                      fs=SAMPLE_RATE, output="sos")  # fmt: skip
        slow = np.maximum(0, np.sin(2 * np.pi * rng.uniform(0.25, 0.9) * time)) ** 2
        wave = sosfilt(band, rng.standard_normal(samples)) * slow
    elif kind == "clicks":
        wave = np.zeros(samples)
        wave[rng.integers(0, samples, rng.integers(2, 30))] = 8.0
        ring = np.exp(-np.arange(400) / rng.uniform(8, 90)) * rng.standard_normal(400)
        wave = fftconvolve(wave, ring)[:samples]
    elif kind == "laughter":
        wave = _laughter(samples, rng)
    elif kind == "buzz":
        wave = _buzz(samples, rng)
    elif kind == "drums":
        wave = _drums(samples, rng)
    elif kind == "sweep":
        wave = np.sin(2 * np.pi * np.cumsum(np.geomspace(80, 6000, samples)) / SAMPLE_RATE)
    else:
        wave = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 9))
    return (np.asarray(wave) * level).astype(np.float32)


def opus(pcm: Pcm, bitrate: int) -> Pcm:
    """Send the speech through Opus and back, aligned to the input."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16000, "mono", "s16"
    encoder.bit_rate = bitrate
    encoder.open()
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 16000, "mono"
    size = 320
    padded = np.concatenate([pcm, np.zeros(4 * size, np.float32)])
    pieces: list[Pcm] = []
    for at in range(0, len(padded) - size + 1, size):
        block = (np.clip(padded[at : at + size], -1, 1) * 32767).astype("<i2")
        frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in encoder.encode(frame):
            for sound in decoder.decode(packet):
                data = sound.to_ndarray()
                data = data.astype(np.float32) / (32768.0 if data.dtype == np.int16 else 1.0)
                pieces.append(data.reshape(-1))
                rate = sound.sample_rate
    if not pieces:
        return pcm
    out = np.concatenate(pieces)
    if rate == 48000:
        out = resample_poly(out, 1, 3).astype(np.float32)
    delay = int(np.argmax(fftconvolve(out, pcm[::-1])[len(pcm) - 1 :][:800]))
    return np.pad(out[delay:], (0, len(pcm)))[: len(pcm)].astype(np.float32)


def degrade(pcm: Pcm, rng: np.random.Generator, babble: Pcm | None = None) -> Pcm:
    """Room, noise, band limits, gain, clipping and codec, each with its own probability."""
    out = pcm
    if rng.random() < 0.4:
        out = room(out, rng)
    if rng.random() < 0.6:
        kind = rng.random()
        if kind < 0.2 and babble is not None and len(babble) > 0:
            noise = np.resize(babble, len(out)) / (np.sqrt(np.mean(babble**2)) + 1e-9)
            snr = rng.uniform(10, 30)
        elif kind < 0.4:
            noise, snr = music(len(out), rng), rng.uniform(5, 30)
        else:
            noise, snr = coloured_noise(len(out), rng), rng.uniform(3, 35)
        out = out + noise * np.sqrt(np.mean(out**2) + 1e-12) * 10 ** (-snr / 20)
    if rng.random() < 0.3:
        low, high = rng.uniform(60, 320), rng.choice([3400, 3800, 5000, 7000])
        band = butter(3, [low, high], "band", fs=SAMPLE_RATE, output="sos")
        out = sosfilt(band, out)
    if rng.random() < 0.12:
        out = np.clip(out * rng.uniform(2, 8), -0.9, 0.9)
    peak = np.max(np.abs(out)) + 1e-9
    out = (out / peak * 10 ** (rng.uniform(-34, -0.5) / 20)).astype(np.float32)
    if rng.random() < 0.12:
        out = opus(out, int(rng.choice([10000, 16000, 24000])))
    return np.asarray(out, np.float32)


def walk_durations(
    raw: NDArray[np.float32], phones: Sequence[Phone], rng: np.random.Generator
) -> tuple[NDArray[np.float32], tuple[Phone, ...]]:
    """Stretch every phone by its own step of a random walk, in the feature domain.

    Args:
        raw: ``(hops, RAW)`` features at 100 Hz.
        phones: of the same recording.
        rng: source of the walk.

    Returns:
        Features resampled in time, and the phones on the new clock.
    """
    if not phones or len(raw) < 2:
        return raw, tuple(phones)
    old = [0.0]
    new = [0.0]
    log_stretch = rng.normal(0.0, 0.12)
    for phone in phones:
        log_stretch = 0.7 * log_stretch + rng.normal(0.0, 0.17)
        duration = max(phone.end - old[-1], 1e-3)
        old.append(phone.end)
        new.append(new[-1] + duration * float(np.exp(np.clip(log_stretch, -0.5, 0.5))))
    hops = int(new[-1] * 100)
    centre = np.interp((np.arange(hops) + 0.5) / 100, new, old) * 100 - 0.5
    centre = np.clip(centre, 0, len(raw) - 1)
    low = np.floor(centre).astype(int)
    part = (centre - low)[:, None].astype(np.float32)
    high = np.minimum(low + 1, len(raw) - 1)
    moved = tuple(
        replace(p, start=float(np.interp(p.start, old, new)), end=float(np.interp(p.end, old, new)))
        for p in phones
    )
    return raw[low] * (1 - part) + raw[high] * part, moved
