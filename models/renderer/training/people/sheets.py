"""Contact sheets of synthetic people: faces, mouths and eyes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from visavis.models.arrays import Floats, Image
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.training.people.clips import random_motion
from visavis.models.renderer.training.people.shards import read_shards
from visavis.models.renderer.training.people.studio import Studio

_GRID = 8
_TILE = 192
_OFTEN = 8  # times that one person may appear
_MOUTHS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.25},
    {"jawOpen": 0.6, "mouthLowerDown": 0.2},
    {"mouthPucker": 0.6, "mouthFunnel": 0.3, "jawOpen": 0.15},
    {"mouthFunnel": 0.45, "jawOpen": 0.3},
    {"mouthSmile": 0.6, "jawOpen": 0.12, "mouthUpperUp": 0.25, "mouthLowerDown": 0.25},
    {"mouthStretch": 0.3, "mouthLowerDown": 0.5, "mouthUpperUp": 0.3, "jawOpen": 0.07},
    {"mouthRollLower": 0.55, "jawOpen": 0.08, "mouthUpperUp": 0.15, "mouthClose": 0.05},
)
_EYES: tuple[dict[str, float], ...] = (
    {},
    {"gazeYaw": 0.4},
    {"gazeYaw": -0.4},
    {"gazePitch": -0.25},
    {"gazePitch": 0.3},
    {"eyeBlink": 0.5},
    {"eyeBlink": 1.0},
    {"eyeWide": 0.7, "browInnerUp": 0.5},
)


def coefficients_of(weights: dict[str, float]) -> Floats:
    """Return coefficients; names of pairs stand for both sides."""
    values = neutral()
    for name, value in weights.items():
        for full in [name] if name in INDEX else [name + "Left", name + "Right"]:
            values[INDEX[full]] = value
    return values


def write_sheet(studio: Studio, show: str, seed: int) -> Image:
    """Return a sheet: 64 random frames, or eight people's mouths or eyes."""
    if show == "people":
        tiles = []
        for number in range(_GRID * _GRID):
            person, _, rng = studio.person(number, seed)
            motion = random_motion(rng, 2)
            studio.canvas.dress(person.look)
            frame = studio.canvas.draw(
                person.corners(motion.frames[int(rng.integers(len(motion.frames)))]), person.groups
            )
            tiles.append(_shrink(frame.picture))
        return _stack(tiles)
    tiles = []
    for number in range(_GRID):
        person, _, _ = studio.person(number, seed)
        studio.canvas.dress(person.look)
        marks = studio.landmarks(person, neutral())
        part = (13, 14) if show == "mouths" else (33, 263)
        middle = marks[list(part), :2].mean(0)
        half = 0.24 * np.ptp(marks[:468, 0])
        for weights in _MOUTHS if show == "mouths" else _EYES:
            frame = studio.canvas.draw(person.corners(coefficients_of(weights)), person.groups)
            tiles.append(_cut(frame.picture, middle, half, show == "eyes"))
    return _stack(tiles)


def sheet_of_shards(folder: Path, seed: int) -> Image:
    """Return a sheet of random frames of a folder of shards, every person once if they suffice.

    Raises:
        ValueError: there are no shards, or a damaged one.
    """
    rng = np.random.default_rng(seed)
    people: list[list[Image]] = []
    for clip in read_shards(folder):
        frames = rng.permutation(len(clip.targets))[:_OFTEN]
        people.append([_shrink(clip.targets[int(i)]) for i in frames])
    if not people:
        raise ValueError(f"There are no shards in {folder}.")
    order = rng.permutation(len(people))
    chosen = []
    for i in range(_GRID * _GRID):
        frames = people[order[i % len(order)]]
        chosen.append(frames[i // len(order) % len(frames)])
    return _stack(chosen)


def _shrink(picture: Image) -> Image:
    return cv2.resize(picture, (_TILE, _TILE), interpolation=cv2.INTER_AREA)


def _cut(picture: Image, middle: Floats, half: float, wide: bool) -> Image:
    across, down = (1.7 * half, 0.85 * half) if wide else (1.15 * half, 1.15 * half)
    size = (_TILE, _TILE // 2) if wide else (_TILE, _TILE)
    x = middle[0] + np.linspace(-across, across, size[0], dtype=np.float32)
    shift = 0.0 if wide else 0.25 * half
    y = middle[1] + shift + np.linspace(-down, down, size[1], dtype=np.float32)
    grid = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return cv2.remap(picture, *grid, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _stack(tiles: list[Image]) -> Image:
    rows = [np.hstack(tiles[i : i + _GRID]) for i in range(0, len(tiles), _GRID)]
    return np.vstack(rows)
