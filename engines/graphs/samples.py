"""Seeded inputs in the ranges a graph sees in use, for parity checks and timing.

Sound features come from the real front end on a drawn voice; states start at zero and are what the
graph itself gave back; pictures are smooth. A ``ranges`` table in the manifest next to a graph,
``{"name": [low, high]}``, overrules the guess for what is neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.engines.graphs.export import BATCH, Signature, TensorSpec
from visavis.models.motion.features import FEATURES, HOP, FrontEnd
from visavis.models.motion.layout import STEP_HOPS

DIMS: Mapping[str, int] = {"hops": STEP_HOPS}
"""Sizes of the free dimensions of shipped graphs; the batch apart."""

_RATE = 16_000
_CHOICES = ("look_ahead", "steps")  # one of several, each slot its own


class Samples:
    """Endless steps of inputs for one batch.

    Args:
        signature: of the graph.
        batch: slots.
        seed: same seed, same inputs.
        ranges: low and high of inputs by name.
    """

    def __init__(
        self,
        signature: Signature,
        batch: int,
        *,
        seed: int = 0,
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._specs = signature.inputs
        self.states = signature.states
        self._dims = {**DIMS, BATCH: batch}
        self._batch = batch
        self._random = np.random.default_rng(seed)
        self._ranges = dict(ranges or {})
        self._front = FrontEnd()
        self._ears = {t.name: self._front.init_state(batch) for t in self._specs if _is_sound(t)}
        self._time = 0

    def __iter__(self) -> Iterator[dict[str, NDArray[np.generic]]]:
        """Yield inputs without the states after the first step; the caller feeds those back."""
        first = True
        while True:
            step = {
                t.name: self._value(t) for t in self._specs if first or t.name not in self.states
            }
            first = False
            self._time += 1
            yield step

    def _value(self, spec: TensorSpec) -> NDArray[np.generic]:
        shape = spec.concrete(self._dims)
        if spec.name in self.states:
            return np.zeros(shape, spec.dtype)
        if _is_sound(spec):
            voice = self._voice(shape[1])
            return self._front.step(voice, self._ears[spec.name], None).astype(spec.dtype)
        if spec.name in self._ranges:
            low, high = self._ranges[spec.name]
            return self._random.uniform(low, high, shape).astype(spec.dtype)
        if spec.name.startswith("noise"):
            return self._random.standard_normal(shape).astype(spec.dtype)
        if spec.name in _CHOICES:
            chosen = self._random.integers(0, shape[1], shape[0])  # pyright: ignore[reportUnknownMemberType]
            return np.eye(shape[1], dtype=spec.dtype)[chosen]
        if len(shape) == 4:
            return self._picture(shape).astype(spec.dtype)
        return self._random.uniform(-1.0, 1.0, shape).astype(spec.dtype)

    def _voice(self, hops: int) -> NDArray[np.float32]:
        """Return (batch, hops * 160): harmonics under syllables, and breath; pauses between."""
        samples = hops * HOP
        t = (self._time * samples + np.arange(samples)) / _RATE
        pitch = 110.0 + 20.0 * np.arange(self._batch)[:, None] % 90.0
        harmonics = np.stack([np.sin(2 * np.pi * k * pitch * t) / k for k in range(1, 9)])
        syllables = np.clip(np.sin(2 * np.pi * 3.7 * t + np.arange(self._batch)[:, None]), 0, 1)
        breath = 0.05 * self._random.standard_normal((self._batch, samples))
        return (0.12 * syllables * (harmonics.sum(axis=0) + breath)).astype(np.float32)

    def _picture(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return noise at an eighth of the size, enlarged, plus a little grain."""
        small = (*shape[:2], -(-shape[2] // 8), -(-shape[3] // 8))
        coarse = self._random.uniform(0.0, 1.0, small).repeat(8, axis=2).repeat(8, axis=3)
        grain = self._random.uniform(-0.05, 0.05, shape)
        return np.clip(coarse[:, :, : shape[2], : shape[3]] + grain, 0.0, 1.0)


def ranges_of(graph: Path) -> dict[str, tuple[float, float]]:
    """Return the ``ranges`` table of the manifest next to a graph, empty if there is none."""
    manifest = graph.parent / "manifest.json"
    if not manifest.is_file():
        return {}
    table = json.loads(manifest.read_text("utf-8")).get("ranges", {})
    return {name: (float(low), float(high)) for name, (low, high) in table.items()}


def _is_sound(spec: TensorSpec) -> bool:
    return len(spec.shape) == 3 and spec.shape[2] == FEATURES and spec.shape[1] in ("hops", 4)
