"""What a synthetic person does: the expression of the photo, and short runs of talking frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from visavis.models.arrays import Floats
from visavis.models.coefficients import COUNT, INDEX, neutral
from visavis.models.motion.curves import build, expand
from visavis.models.motion.phones import CONSONANTS, VOWELS, Phone

FPS = 25
_TURN = np.radians((20.0, 12.0, 10.0))  # largest yaw, pitch, roll
_GAZE = np.radians((20.0, 12.0))
_RUN = 6  # frames of a run


@dataclass(frozen=True)
class Motion:
    """One clip.

    Attributes:
        photo: ``(COUNT,)`` coefficients of the photo; its pose part is 0.
        frames: ``(K, COUNT)``.
        starts: ``(K,)`` true at the first frame of a run.
    """

    photo: Floats
    frames: Floats
    starts: NDArray[np.bool_]


def random_motion(rng: np.random.Generator, runs: int) -> Motion:
    """Draw a clip of ``runs`` runs of six frames at 25 fps."""
    mood = _mood(rng)
    photo = _photo(rng, mood)
    frames = [_run(rng, mood) for _ in range(runs)]
    starts = np.zeros(runs * _RUN, bool)
    starts[::_RUN] = True
    return Motion(photo, np.concatenate(frames), starts)


def _both(values: Floats, name: str, left: float, right: float | None = None) -> None:
    values[..., INDEX[name + "Left"]] += left
    values[..., INDEX[name + "Right"]] += left if right is None else right


def _mood(rng: np.random.Generator) -> Floats:
    """What a person wears all the time: a little smile, raised or lowered brows."""
    values = neutral()
    if rng.random() < 0.4:
        _both(values, "mouthSmile", rng.uniform(0, 0.3), rng.uniform(0, 0.3))
    if rng.random() < 0.2:
        _both(values, "mouthFrown", rng.uniform(0, 0.2))
    values[INDEX["browInnerUp"]] += rng.uniform(0, 0.2)
    _both(values, "browDown", rng.uniform(0, 0.15))
    _both(values, "eyeSquint", rng.uniform(0, 0.2))
    return values


def _photo(rng: np.random.Generator, mood: Floats) -> Floats:
    values = mood.copy()
    kind = rng.random()
    if kind < 0.25:  # a smile, teeth shown or not
        strength = rng.uniform(0.15, 0.6)
        _both(values, "mouthSmile", strength * rng.uniform(0.8, 1.2), strength)
        _both(values, "cheekSquint", 0.5 * strength)
        if rng.random() < 0.6:
            values[INDEX["jawOpen"]] += rng.uniform(0.03, 0.16)
            _both(values, "mouthUpperUp", rng.uniform(0.05, 0.3))
            _both(values, "mouthLowerDown", rng.uniform(0.0, 0.2))
    elif kind < 0.35:  # lips apart
        values[INDEX["jawOpen"]] += rng.uniform(0.04, 0.15)
    return np.clip(values, 0, 1)


def _speech(rng: np.random.Generator, hops: int) -> Floats:
    """Curves ``(hops, COUNT)`` at 100 Hz of invented syllables."""
    phones, at = [], 0.0
    while at < hops / 100 + 0.2:
        if rng.random() < 0.06:
            length = float(rng.uniform(0.1, 0.4))
            phones.append(Phone(at, at + length, "SIL"))
            at += length
            continue
        for _ in range(int(rng.integers(0, 3))):
            length = float(rng.uniform(0.045, 0.12))
            phones.append(Phone(at, at + length, str(rng.choice(CONSONANTS))))
            at += length
        length = float(rng.uniform(0.06, 0.22))
        phones.append(Phone(at, at + length, str(rng.choice(VOWELS)), int(rng.random() < 0.3)))
        at += length
    channels, _ = build(phones, hops)
    out = np.zeros((hops, COUNT), np.float32)
    expand(channels.astype(np.float32), out)
    return out


def _drift(rng: np.random.Generator, frames: int, sigma: float) -> Floats:
    """Slow movement around 0 within a run, ``(frames,)``."""
    noise = gaussian_filter1d(rng.normal(0, 1, frames + 40), 7)[20:-20]
    return (sigma * 4.2 * (noise - noise.mean())).astype(np.float32)


def _run(rng: np.random.Generator, mood: Floats) -> Floats:
    hops = 100
    speech = _speech(rng, hops) * np.float32(rng.uniform(0.7, 1.35))
    first = int(rng.integers(20, hops - _RUN * 4))
    values = speech[first : first + _RUN * 4 : 4].copy() + mood
    kind = rng.random()
    if kind < 0.12:  # a listening face
        values = np.tile(mood, (_RUN, 1))
    elif kind < 0.24:  # wide open or a laugh
        strength = np.linspace(0, 1, _RUN) if rng.random() < 0.5 else np.ones(_RUN)
        values[:, INDEX["jawOpen"]] += (rng.uniform(0.1, 0.5) * strength).astype(np.float32)
        _both(values, "mouthSmile", rng.uniform(0, 0.5))
        _both(values, "mouthUpperUp", rng.uniform(0, 0.3))
        _both(values, "mouthLowerDown", rng.uniform(0, 0.4))
    elif kind < 0.32:
        values[:, INDEX["mouthPucker"]] += rng.uniform(0.1, 0.6)
        values[:, INDEX["mouthFunnel"]] += rng.uniform(0, 0.3)
    _extras(rng, values)
    _eyes(rng, values)
    _head(rng, values)
    values[:, :52] = np.clip(values[:, :52], 0, 1)
    values[:, INDEX["jawOpen"]] = np.minimum(values[:, INDEX["jawOpen"]], 0.72)
    return values.astype(np.float32)


def _extras(rng: np.random.Generator, values: Floats) -> None:
    for name, chance, most in (
        ("browInnerUp", 0.3, 0.7), ("jawLeft", 0.08, 0.25), ("jawRight", 0.08, 0.25),
        ("mouthLeft", 0.1, 0.3), ("mouthRight", 0.1, 0.3), ("cheekPuff", 0.05, 0.4),
        ("mouthShrugLower", 0.12, 0.4), ("mouthRollLower", 0.06, 0.4), ("tongueOut", 0.04, 0.4),
    ):  # fmt: skip
        if rng.random() < chance:
            values[:, INDEX[name]] += rng.uniform(0, most)
    for name, chance, most in (
        ("browOuterUp", 0.25, 0.6), ("browDown", 0.2, 0.6), ("noseSneer", 0.1, 0.3),
        ("mouthDimple", 0.12, 0.3), ("mouthPress", 0.12, 0.5), ("cheekSquint", 0.15, 0.5),
        ("mouthFrown", 0.1, 0.4), ("eyeWide", 0.12, 0.5), ("eyeSquint", 0.15, 0.5),
        ("mouthLowerDown", 0.25, 0.35), ("mouthUpperUp", 0.2, 0.25), ("mouthSmile", 0.2, 0.4),
    ):  # fmt: skip
        if rng.random() < chance:
            strength = rng.uniform(0, most)
            _both(values, name, strength, strength * rng.uniform(0.6, 1.0))


def _eyes(rng: np.random.Generator, values: Floats) -> None:
    if rng.random() < 0.4:  # a blink passes, or begins, or ends
        centre, t = rng.uniform(-1, _RUN), np.arange(_RUN)
        down, up = rng.uniform(1.5, 2.6), rng.uniform(2.5, 5.0)
        shape = np.clip(1.15 - np.where(t < centre, (centre - t) / down, (t - centre) / up), 0, 1)
        _both(values, "eyeBlink", 0.0)
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            values[:, INDEX[name]] += shape.astype(np.float32)
    yaw = _GAZE[0] * rng.uniform(-1, 1) * rng.random()
    pitch = _GAZE[1] * rng.uniform(-1, 1) * rng.random()
    jump = rng.random() < 0.3
    at = int(rng.integers(1, _RUN))
    values[:, INDEX["gazeYaw"]] = yaw
    values[:, INDEX["gazePitch"]] = pitch
    if jump:
        values[at:, INDEX["gazeYaw"]] += _GAZE[0] * rng.uniform(-0.6, 0.6)
        values[at:, INDEX["gazePitch"]] += _GAZE[1] * rng.uniform(-0.5, 0.5)


def _head(rng: np.random.Generator, values: Floats) -> None:
    wide = 1.0 if rng.random() < 0.35 else 0.45
    for name, limit in zip(("headYaw", "headPitch", "headRoll"), _TURN, strict=True):
        base = np.clip(rng.normal(0, 0.45 * wide), -1, 1) * limit
        turn = base + _drift(rng, _RUN, 0.012)
        values[:, INDEX[name]] = np.clip(turn, -limit, limit)
    for name, sigma in (("headX", 0.05), ("headY", 0.03), ("headZ", 0.05)):
        values[:, INDEX[name]] = rng.normal(0, sigma) + _drift(rng, _RUN, 0.01)
    values[:, INDEX["torsoBreath"]] = rng.uniform(0, 1)
    values[:, INDEX["torsoShrug"]] = rng.uniform(0, 0.4) if rng.random() < 0.1 else 0.0
    values[:, INDEX["torsoLean"]] = rng.normal(0, 0.03)
    values[:, INDEX["torsoSway"]] = rng.normal(0, 0.015)
