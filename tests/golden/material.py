"""What goes in: faces, poses and a sound, all made by code from fixed seeds."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tests.golden.product import COUNT, INDEX, RATE, drawn_portrait

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

_RANDOM_POSES = 7
_ALL_SEED, _POSE_SEED, _SOUND_SEED = 11, 12, 13
_SIGNED = slice(52, 60)  # head and gaze; what comes after is breath and torso

# A name without Left or Right sets both sides.
_POSES: dict[str, dict[str, float]] = {
    "rest": {},
    "half blink": {"eyeBlink": 0.5},
    "blink": {"eyeBlink": 1.0},
    "wink": {"eyeBlinkLeft": 1.0, "eyeSquintLeft": 0.4},
    "eyes wide": {"eyeWide": 0.9, "browInnerUp": 0.5},
    "jaw .15": {"jawOpen": 0.15},
    "jaw .35": {"jawOpen": 0.35},
    "jaw .65": {"jawOpen": 0.65},
    "ah": {"jawOpen": 0.5, "mouthLowerDown": 0.25, "mouthUpperUp": 0.15},
    "eh": {"jawOpen": 0.25, "mouthStretch": 0.35, "mouthUpperUp": 0.2, "mouthLowerDown": 0.3},
    "oh": {"jawOpen": 0.35, "mouthFunnel": 0.6, "mouthPucker": 0.2},
    "oo": {"jawOpen": 0.12, "mouthPucker": 0.8, "mouthFunnel": 0.3},
    "smile": {"mouthSmile": 0.7, "cheekSquint": 0.4, "mouthDimple": 0.2},
    "smile and teeth": {"mouthSmile": 0.6, "mouthUpperUp": 0.4, "jawOpen": 0.1},
    "frown": {"mouthFrown": 0.6, "browDown": 0.7, "mouthShrugLower": 0.4},
    "m b p": {"jawOpen": 0.08, "mouthClose": 0.08, "mouthPress": 0.6, "mouthRollLower": 0.3,
              "mouthRollUpper": 0.3},
    "f v": {"jawOpen": 0.1, "mouthRollLower": 0.7, "mouthUpperUp": 0.35},
    "tongue": {"jawOpen": 0.3, "tongueOut": 0.6},
    "crooked": {"jawLeft": 0.5, "mouthLeft": 0.4, "mouthSmileRight": 0.5, "noseSneer": 0.5},
    "puffed": {"cheekPuff": 0.8, "mouthPress": 0.3, "jawForward": 0.4},
    "gaze up left": {"gazeYaw": -0.45, "gazePitch": -0.3},
    "gaze down right": {"gazeYaw": 0.45, "gazePitch": 0.35, "eyeBlink": 0.2},
    "brows up": {"browInnerUp": 0.9, "browOuterUp": 0.9},
    "brows down": {"browDown": 1.0, "eyeSquint": 0.6},
    "yaw +": {"headYaw": 0.35},
    "yaw -": {"headYaw": -0.35, "jawOpen": 0.3},
    "pitch +": {"headPitch": 0.25, "jawOpen": 0.3},
    "pitch -": {"headPitch": -0.25},
    "roll +": {"headRoll": 0.25, "jawOpen": 0.2},
    "roll -": {"headRoll": -0.25},
    "moved": {"headX": 0.15, "headY": -0.1, "headZ": 0.3, "torsoLean": 0.05, "torsoSway": 0.05},
    "breath and shrug": {"torsoBreath": 1.0, "torsoShrug": 0.8},
}  # fmt: skip


def poses() -> dict[str, Floats]:
    """Return the 40 coefficient vectors by name: made by hand, at random, and one of everything."""
    found = {name: _pose(values) for name, values in _POSES.items()}
    rng = np.random.default_rng(_POSE_SEED)
    for i in range(_RANDOM_POSES):
        vector = np.zeros(COUNT, np.float32)
        chosen = rng.permutation(_SIGNED.start)[:14]
        vector[chosen] = rng.uniform(0.05, 0.6, len(chosen))
        vector[_SIGNED] = rng.uniform(-0.15, 0.15, _SIGNED.stop - _SIGNED.start)
        vector[_SIGNED.stop :] = rng.uniform(0.0, 0.05, COUNT - _SIGNED.stop)
        found[f"random {i}"] = vector
    everything = np.random.default_rng(_ALL_SEED).uniform(0.1, 0.35, COUNT)
    everything[INDEX["jawOpen"]] = 0.5
    found["all at once"] = everything.astype(np.float32)
    return found


def _pose(values: dict[str, float]) -> Floats:
    vector = np.zeros(COUNT, np.float32)
    for name, value in values.items():
        sides = [n for n in (name, f"{name}Left", f"{name}Right") if n in INDEX]
        if not sides:
            raise KeyError(name)
        for side in sides:
            vector[INDEX[side]] = value
    return vector


def photos() -> dict[str, Image]:
    """Return the two photos by name."""
    from skimage.data import astronaut

    return {"astronaut": astronaut(), "drawn": _with_glasses(drawn_portrait())}


def _with_glasses(portrait: Image) -> Image:
    """Return the drawn person with glasses on.

    Synthetic people need OpenGL and portraits that are not in the repository, so the second face is
    the one that warms the product up. It has a shut mouth, which the astronaut has not; frames of
    glasses, which nothing else here draws, are added.
    """
    out, side = portrait.copy(), portrait.shape[0]
    rim, thick = (60, 20, 110), round(side / 110)
    for centre in EYES:
        at = (round(centre[0] * side), round(centre[1] * side))
        axes = (round(0.085 * side), round(0.068 * side))
        cv2.ellipse(out, at, axes, 0, 0, 360, rim, thick, cv2.LINE_AA)
    (left, y), (right, _) = EYES
    ends = [(round(x * side), round((y - 0.01) * side)) for x in (left + 0.085, right - 0.085)]
    cv2.line(out, ends[0], ends[1], rim, thick, cv2.LINE_AA)
    return out


EYES = ((0.408, 0.366), (0.595, 0.366))
"""Where the drawn person's eyes are, over the side of the picture."""

_VOWELS = {
    "a": (730.0, 1090.0, 2440.0, 3400.0),
    "e": (530.0, 1840.0, 2480.0, 3500.0),
    "i": (300.0, 2300.0, 3000.0, 3600.0),
    "o": (450.0, 800.0, 2600.0, 3300.0),
    "u": (320.0, 700.0, 2300.0, 3300.0),
    "m": (250.0, 1000.0, 2200.0, 3200.0),
}
_PHRASES = ("mamo upi safe", "tako shima ebu", "fipu masao")


def utterance() -> Floats:
    """Return some 7 s of speech-like sound at 16 kHz: buzzed vowels, hums, hisses, stops."""
    rng = np.random.default_rng(_SOUND_SEED)
    pieces = [np.zeros(RATE // 2)]
    for phrase in _PHRASES:
        for letter in phrase:
            pieces.append(_sound(letter, rng))
        pieces.append(np.zeros(int(rng.uniform(0.4, 0.7) * RATE)))
    sound = np.concatenate(pieces) + 1e-4 * rng.standard_normal(sum(map(len, pieces)))
    # As it comes out of a decoder, and the same where another processor rounds otherwise.
    return (np.rint(sound.clip(-1, 1) * 32767) / 32768).astype(np.float32)


def reply() -> Floats:
    """Return what the other side says meanwhile: the same words, from the end on, and louder."""
    return np.clip(1.2 * np.roll(utterance(), RATE), -1, 1).astype(np.float32)


def _sound(letter: str, rng: np.random.Generator) -> NDArray[np.float64]:
    if letter == " ":
        return np.zeros(int(0.12 * RATE))
    if letter in "ptkb":
        burst = rng.standard_normal(int(0.02 * RATE)) * 0.15
        return np.concatenate([np.zeros(int(0.07 * RATE)), burst])
    if letter in "sfh":
        level = {"s": 0.12, "f": 0.05, "h": 0.03}[letter]
        hiss = rng.standard_normal(int(0.1 * RATE)) * level
        return lfilter([1.0, -0.9], [1.0], hiss)
    count = int((0.08 if letter == "m" else rng.uniform(0.14, 0.24)) * RATE)
    pitch = rng.uniform(100, 150) * (1 + 0.03 * np.sin(2 * np.pi * 4 * np.arange(count) / RATE))
    wave = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0.0)
    wave = lfilter([1.0], [1.0, -0.95], wave)
    for formant in _VOWELS[letter]:
        radius = np.exp(-np.pi * 90.0 / RATE)
        wave = lfilter(
            [1.0], [1.0, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2], wave
        )
    fade = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / 480.0)
    peak = 0.08 if letter == "m" else rng.uniform(0.2, 0.4)
    return peak * fade * wave / np.abs(wave).max()
