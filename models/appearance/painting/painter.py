"""Few steps from noise to the inside of a mouth, and the choice among several paintings."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.painting.canvas import (
    HEIGHT,
    LOWER,
    RELIEF,
    TONGUE,
    UPPER,
    WIDTH,
    Canvas,
)
from visavis.models.shipped import checked

Floats = NDArray[np.float32]

PAINT_GRAPH = Path(__file__).resolve().parents[2] / "weights" / "painting" / "mouth.onnx"
CANDIDATES = 8
STEPS = 4
TEMPERATURE = 0.8  # of the noise; less variety, fewer monsters
_SHARP = 0.3  # log of the wanted sharpness over that of a portrait at the canvas's own size
_MOST_TEETH = 0.75  # of the hole; portraits show no more
_WIDE = 2.5  # pixels; a front tooth is nine wide
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


class Graph(Protocol):
    """What the painter needs of an engine."""

    def run(self, inputs: dict[str, NDArray]) -> dict[str, NDArray]:
        """Run the graph."""
        ...


def paint_graph() -> Path:
    """Return the shipped graph after checking it against its manifest.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: the file is not the one its manifest describes.
    """
    return checked(PAINT_GRAPH, "painting", "visavis train painting")


def paint(
    graph: Graph,
    canvas: Canvas,
    *,
    seed: int = 0,
    candidates: int = CANDIDATES,
    steps: int = STEPS,
) -> Floats:
    """Paint the hole several times, ``(candidates, HEIGHT, WIDTH, 3)`` RGB in 0-255.

    A rectified flow (Liu, Gong and Liu 2023) whose network knows the length of its step (Frans
    et al. 2024, shortcut models): ``x <- x - d * v(x, t, d)`` from noise at t = 1 to the picture at
    t = 0. Same seed, same paintings.

    Args:
        graph: maps ``x`` (B, 3, H, W), ``conditions``, ``t`` (B, 1), ``d`` (B, 1) and ``about``
            (B, 3) to ``v`` (B, 3, H, W).
        canvas: what is around the hole, and what belongs there.
        seed: of the noise.
        candidates: how many paintings.
        steps: of each.
    """
    hole = canvas.to_paint()
    known = canvas.picture.transpose(2, 0, 1) / np.float32(127.5) - 1.0
    conditions = np.repeat(canvas.conditions()[None], candidates, 0)
    about = np.repeat(_about(canvas)[None], candidates, 0)
    noise = np.random.default_rng(seed)
    x = noise.standard_normal((candidates, 3, HEIGHT, WIDTH)).astype(np.float32)
    x *= np.float32(TEMPERATURE)
    length = np.full((candidates, 1), 1.0 / steps, np.float32)
    for step in range(steps):
        time = np.full((candidates, 1), 1.0 - step / steps, np.float32)
        seen = x * hole + known * (1.0 - hole)
        found = graph.run({
            "x": seen, "conditions": conditions, "t": time, "d": length, "about": about,
        })["v"]  # fmt: skip
        x = x - length[:, :, None, None] * found
    x = np.clip(x, -1, 1) * hole + known * (1.0 - hole)
    return ((x.transpose(0, 2, 3, 1) + 1.0) * np.float32(127.5)).astype(np.float32)


def _about(canvas: Canvas) -> Floats:
    """Return the wanted sharpness, how much of the hole is teeth, and that there are maps."""
    inside = canvas.hole > 0.5
    teeth = canvas.maps[..., UPPER] + canvas.maps[..., LOWER]
    share = float(teeth[inside].mean()) if inside.any() else 0.0
    return np.array([_SHARP, min(share, _MOST_TEETH), 1.0], np.float32)


def settle(paintings: Floats, best: int, canvas: Canvas) -> Floats:
    """Return the best painting with the colours that all of them agree on.

    What is wider than a tooth (how bright, how warm, how dark towards the corners) is taken from
    the mean of all paintings, in which single flaws drown; the teeth themselves from the best one.

    Args:
        paintings: ``(N, HEIGHT, WIDTH, 3)`` in 0-255.
        best: which of them.
        canvas: that they were painted on.
    """
    hole = canvas.to_paint()[..., None]
    off = (paintings.mean(0) - paintings[best]) * hole
    wide = cv2.GaussianBlur(off, (0, 0), _WIDE)
    share = cv2.GaussianBlur(hole, (0, 0), _WIDE)[..., None]
    settled = paintings[best] + hole * wide / np.maximum(share, 1e-3)
    return np.clip(settled, 0, 255).astype(np.float32)


def choose(paintings: Floats, canvas: Canvas, teeth: tuple[float, float, float]) -> int:
    """Return the painting that shows its teeth where they belong, sharp and of likely colour.

    Args:
        paintings: ``(N, HEIGHT, WIDTH, 3)`` in 0-255.
        canvas: that they were painted on.
        teeth: the colour that the person's teeth should have in this light.
    """
    return int(np.argmax([merit(p, canvas, teeth) for p in paintings]))


def merit(painting: Floats, canvas: Canvas, teeth: tuple[float, float, float]) -> float:
    """Return how good a painting is; only differences between those of one canvas mean anything."""
    inside = canvas.hole > 0.5
    upper, lower = canvas.maps[..., UPPER], canvas.maps[..., LOWER]
    tooth = inside & (upper + lower > 0.6)
    if tooth.sum() < 12:
        return 0.0
    grey = painting @ _GREY
    level = max(float(np.mean(teeth)), 30.0)
    # Teeth are bright where the map has them, and their gaps lie in its gaps.
    other = inside & (upper + lower + canvas.maps[..., TONGUE] < 0.3)
    contrast = float(grey[tooth].mean() - (grey[other].mean() if other.sum() > 8 else 0.5 * level))
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 2.5)
    relief = canvas.maps[..., RELIEF]
    fits = _correlation(fine[tooth], (relief - cv2.GaussianBlur(relief, (0, 0), 2.5))[tooth])
    sharp = float(np.abs(fine[tooth]).mean()) / level
    colour = np.median(painting[tooth], 0)
    off = float(np.abs(colour / max(colour.mean(), 1.0) - np.array(teeth) / level).max())
    dark = abs(float(colour.mean()) / level - 1.0)
    return contrast / level + fits + 2.0 * min(sharp, 0.12) - 2.0 * off - 0.7 * dark


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.sqrt((a**2).sum() * (b**2).sum()) + 1e-6))
