"""The refiner of a call: the mouth's crop through the network and back into the frame."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.renderer.refine.bridge import SIGMA, STUDENT_STEPS, sample
from models.renderer.refine.crop import (
    CHANNELS,
    GATE,
    SIDE,
    STATE,
    STEP,
    TIME,
    WARPED,
    mouth_box,
    pack,
    take,
)
from models.renderer.refiner import Box, Places, Refinement, RefinerInput

Floats = NDArray[np.float32]

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "renderer"
MODES = ("auto", "off", *map(str, STUDENT_STEPS))
_NOISE_SEED = 7


class Graph(Protocol):
    """The part of an engine that the refiner needs."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Map ``x`` (B, CHANNELS, SIDE, SIDE) to ``residual`` and ``alpha``."""
        ...


def endpoints(graph: Graph, x: Floats) -> Floats:
    """Return the network's pictures (B, 3, SIDE, SIDE): warp plus gated residual, -1 to 1."""
    found = graph.run({"x": x})
    return x[:, WARPED] + np.asarray(found["alpha"]) * np.asarray(found["residual"])


def walk(graph: Graph, x: Floats, steps: int, *, noise: bool) -> Floats:
    """Return the pictures after ``steps`` steps of the bridge, for a batch of inputs.

    Args:
        graph: the network.
        x: (B, CHANNELS, SIDE, SIDE) as ``pack`` makes it; not kept.
        steps: network runs.
        noise: start with the bridge's noise, the same in every frame; a plain regression has none.
    """
    x = x.copy()
    start = x[:, WARPED].copy()
    if noise:
        fixed = np.random.default_rng(_NOISE_SEED).standard_normal((3, SIDE, SIDE))
        start += SIGMA * x[:, GATE] * fixed.astype(np.float32)

    def predict(state: Floats, t: float, step: float) -> Floats:
        x[:, STATE], x[:, TIME], x[:, STEP] = state, t, step
        return endpoints(graph, x)

    return sample(start, predict, steps)


class MouthRefiner:
    """Repairs the open mouth of one session; keeps nothing between frames.

    The network looks at one frame only: what it makes of a still picture stands still, it cannot
    drift, and a restart needs no run-in. Closed lips cost nothing.
    """

    def __init__(self, graph: Graph, *, steps: int = 1, noise: bool = False) -> None:
        """Use a loaded network.

        Args:
            graph: the network; may be shared by sessions.
            steps: of the bridge, 1, 2 or 4.
            noise: the network was trained as a bridge.
        """
        if steps not in STUDENT_STEPS:
            raise ValueError(f"The refiner takes 1, 2 or 4 steps, not {steps}.")
        self._graph, self._steps, self._noise = graph, steps, noise
        self._box: Box = (0, 0, 0, 0)
        self._unit = 1.0

    def box(self, size: int, places: Places) -> Box | None:
        """Choose the square around the open mouth."""
        found = mouth_box(size, places)
        if found is not None:
            self._box, self._unit = found, places.unit
        return found

    def prepare(self, frame: RefinerInput) -> Floats:
        """Return the network's input ``(CHANNELS, SIDE, SIDE)`` of a frame."""
        return pack(take(frame, self._box, self._unit))

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return residual and gate for one frame."""
        x = self.prepare(frame)[None]
        return self.finish(x[0], walk(self._graph, x, self._steps, noise=self._noise)[0])

    def finish(self, x: Floats, picture: Floats) -> Refinement:
        """Bring the network's change back to the frame's own resolution.

        Only the change is resampled: what the network leaves alone keeps every bit.
        """
        side = self._box[2] - self._box[0]
        change = (picture - x[WARPED]).transpose(1, 2, 0) * np.float32(127.5)
        alpha = np.ascontiguousarray(x[GATE][0])
        size = (side, side)
        wide = cv2.resize(np.ascontiguousarray(change), size, interpolation=cv2.INTER_CUBIC)
        open_ = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR) > 1 / 255
        return Refinement(wide.astype(np.float32), open_.astype(np.float32))

    def reset(self) -> None:
        """Forget nothing: there is no past."""


def refine_together(
    graph: Graph, refiners: Sequence[MouthRefiner], frames: Sequence[RefinerInput], *,
    steps: int = 1, noise: bool = False,
) -> list[Refinement]:  # fmt: skip
    """Refine one frame of each of several sessions in one run of the network."""
    x = np.stack([r.prepare(f) for r, f in zip(refiners, frames, strict=True)])
    pictures = walk(graph, x, steps, noise=noise)
    return [r.finish(x[i], pictures[i]) for i, r in enumerate(refiners)]


def read_manifest(folder: Path = WEIGHTS) -> dict | None:
    """Return the manifest of the shipped network, or None where there is none.

    Raises:
        ValueError: the graph is not the one its manifest describes.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    manifest = json.loads(path.read_text("utf-8"))
    graph = folder / manifest["file"]
    if not graph.is_file() or hashlib.sha256(graph.read_bytes()).hexdigest() != manifest["sha256"]:
        raise ValueError("The refiner's weights do not match their manifest; reinstall them.")
    return manifest


def open_refiner(
    load: Callable[[Path], Graph], mode: str = "auto", folder: Path = WEIGHTS
) -> Callable[[], MouthRefiner | None]:
    """Load the shipped network once and return a maker of refiners, one per session.

    Args:
        load: turns a graph's path into an engine.
        mode: ``auto`` as the manifest says, ``off``, or a number of steps.
        folder: where the weights are.

    Raises:
        ValueError: the mode is unknown, or the weights are not those of the manifest.
    """
    if mode not in MODES:
        raise ValueError(f"renderer.refiner must be one of {', '.join(MODES)}, not {mode}.")
    manifest = None if mode == "off" else read_manifest(folder)
    if manifest is None or (mode == "auto" and not manifest["on_by_default"]):
        return lambda: None
    allowed = manifest["steps"]
    steps = int(allowed[0]) if mode == "auto" else int(mode)
    steps = max(s for s in allowed if s <= steps)
    graph = load(folder / manifest["file"])
    return lambda: MouthRefiner(graph, steps=steps, noise=bool(manifest["noise"]))


def empty_input(batch: int = 1) -> Floats:
    """Return zeros of the network's shape, for warming up."""
    return np.zeros((batch, CHANNELS, SIDE, SIDE), np.float32)
