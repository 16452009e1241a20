"""Portraits animated by the product's own renderer: shut eyes, open mouths, gaze, turned heads.

Photographs of people hardly show them; the teacher reads the landmarks off every drawn frame, and
a frame that it doubts is left out.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.tracker import MediaPipeTracker
from visavis.models.appearance.tracker.training.label import CROP, cut, is_held_out, portraits
from visavis.models.coefficients import COUNT, INDEX
from visavis.models.renderer.renderer import Renderer

_SIZE = 384
# (name, how often, largest value); pairs of sides move together but for a tenth.
_MOVES = (
    ("eyeBlink", 0.45, 1.0), ("eyeSquint", 0.2, 1.0), ("eyeWide", 0.15, 1.0),
    ("mouthSmile", 0.3, 0.9), ("mouthFrown", 0.15, 0.8), ("mouthStretch", 0.15, 0.8),
    ("mouthLowerDown", 0.2, 0.8), ("mouthUpperUp", 0.2, 0.8), ("mouthPress", 0.1, 0.8),
    ("browDown", 0.2, 1.0), ("browOuterUp", 0.2, 1.0), ("noseSneer", 0.1, 0.8),
    ("mouthDimple", 0.1, 0.8), ("cheekSquint", 0.1, 0.8),
)  # fmt: skip
_MIDDLE = (
    ("jawOpen", 0.55, 0.9), ("mouthFunnel", 0.2, 0.9), ("mouthPucker", 0.2, 0.9),
    ("browInnerUp", 0.2, 1.0), ("mouthRollLower", 0.1, 0.7), ("mouthRollUpper", 0.1, 0.7),
    ("mouthLeft", 0.1, 0.7), ("mouthRight", 0.1, 0.7), ("jawLeft", 0.08, 0.7),
    ("jawRight", 0.08, 0.7), ("cheekPuff", 0.08, 0.8),
)  # fmt: skip
_TURNS = (("headPitch", 0.22), ("headYaw", 0.4), ("headRoll", 0.15), ("gazeYaw", 0.5))


def draw_coefficients(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return ``(COUNT,)`` of a random expression and pose."""
    values = np.zeros(COUNT, np.float32)
    for name, often, most in _MIDDLE:
        if rng.random() < often:
            values[INDEX[name]] = most * rng.random()
    for name, often, most in _MOVES:
        if rng.random() < often:
            amount = most * rng.random() ** 0.7
            for side in ("Left", "Right"):
                values[INDEX[name + side]] = amount
            if rng.random() < 0.1:
                values[INDEX[name + "Left"]] = 0.0
    for name, spread in _TURNS:
        values[INDEX[name]] = np.clip(rng.normal(0, spread), -2 * spread, 2 * spread)
    values[INDEX["gazePitch"]] = rng.normal(0, 0.25)
    return values


def animate(faces: Path, out: Path, *, people: int, frames: int, minutes: float) -> None:
    """Write ``moved_all.npy`` and ``moved_points.npy``, as many as can be made in time.

    Args:
        faces: folder of portraits.
        out: where ``label`` wrote.
        people: portraits to animate.
        frames: of each.
        minutes: after which it stops.
    """
    until = time.monotonic() + 60 * minutes
    cv2.setNumThreads(1)
    rng = np.random.default_rng(7)
    chosen = [p for i, p in portraits(faces) if not is_held_out(i)]
    chosen = [chosen[i] for i in rng.permutation(len(chosen))[:people]]
    shape = (people * frames, CROP, CROP, 3)
    crops = np.lib.format.open_memmap(out / "moved_all.npy", "w+", np.uint8, shape)
    points: list[NDArray[np.float32]] = []
    tracker = MediaPipeTracker()
    for path in chosen:
        photo = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        try:
            renderer = Renderer(enrol(photo, tracker=tracker, size=_SIZE), size=_SIZE)
        except EnrolmentRefused:
            continue
        for _ in range(frames):
            frame = renderer.render(draw_coefficients(rng)).copy()
            found = tracker.detect(frame)
            if len(found) == 1:
                crops[len(points)], marks = cut(frame, found[0])
                points.append(marks)
        if time.monotonic() > until:
            break
    if points:
        np.save(out / "moved_points.npy", np.stack(points))
    print(f"{len(points)} animated frames", flush=True)
