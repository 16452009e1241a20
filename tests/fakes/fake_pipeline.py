"""A pipeline that costs nothing: grey pictures whose brightness follows the sound.

A frame's coefficients are its own loudness, its number, and how loud the other side was when it was
made. The picture's top-left 64 px block shows the frame number's parity, the middle the loudness; a
bundle file named ``broken`` cannot be opened, one named ``raising`` fails while drawing, one named
``slow`` takes 60 ms a frame, and one named ``noisy`` fills its packets to the brim.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.models.motion.stream import eager_ms
from visavis.streamer.worker.pipeline.pipeline import RATE, SlotSpec
from visavis.streamer.worker.pipeline.view import View


class FakeDrawer:
    def __init__(self, bundle: str, size: int, view: View | None = None) -> None:
        path = Path(bundle)  # the product names every bundle the same, and its folder by the id
        self.name = path.parent.name if path.stem == "identity" else path.stem
        self.size = size
        self.shape = (size, size) if view is None else view.picture_size[::-1]
        self.shade = 40 + sum(self.name.encode()) % 60
        self.drawn = 0

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        self.drawn += 1
        if self.name == "raising" and self.drawn > 10:
            raise ValueError("this avatar always fails")
        if self.name == "slow":
            time.sleep(0.06)
        level = int(min(1.0, float(coefficients[0]) * 4) * 150)
        picture = np.full((*self.shape, 3), self.shade + level, np.uint8)
        if self.name == "noisy":
            noise = np.random.default_rng(self.drawn)
            picture[:] = noise.integers(0, 255, picture.shape, np.uint8)
        picture[:64, :64] = 255 * (int(coefficients[1]) % 2)
        return picture


class FakePipeline:
    """Emits frame n once its samples and the look-ahead were pushed, like the real one."""

    changed = None

    def __init__(self, spec: SlotSpec) -> None:
        self.drawer = FakeDrawer(spec.bundle, spec.size, spec.view)
        self._step = RATE // spec.fps
        early_ms = eager_ms(spec.fps, spec.look_ahead_ms)
        self._ahead = (spec.look_ahead_ms - early_ms) * RATE // 1000
        self._sound = np.zeros(0, np.float32)
        self._frames = 0
        self.resets = 0
        self.mood = "neutral"
        self.heard: NDArray[np.float32] | None = None

    def push(
        self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        self.heard = heard
        other = 0.0 if heard is None else float(np.abs(heard).max(initial=0.0))
        self._sound = np.concatenate([self._sound, pcm])
        rows = []
        while len(self._sound) >= self._step + self._ahead:
            loudness = float(np.sqrt(np.mean(self._sound[: self._step] ** 2)))
            rows.append([loudness, self._frames, other])
            self._frames += 1
            self._sound = self._sound[self._step :]
        return np.asarray(rows, np.float32).reshape(-1, 3)

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        return self.drawer.render(coefficients)

    def reset(self, shown: NDArray[np.float32] | None = None) -> None:
        self.resets += 1
        self._sound[:] = 0

    def show(self, drawer: FakeDrawer) -> None:
        self.drawer = drawer

    def set_mood(self, name: str, style: float = 1.0) -> None:
        self.mood, self.style = name, style


class FakePipelines:
    light = None

    def open(self, spec: SlotSpec) -> FakePipeline:
        self.drawer(spec.bundle, spec.size)
        return FakePipeline(spec)

    def drawer(self, bundle: str, size: int, view: View | None = None) -> FakeDrawer:
        if Path(bundle).stem == "broken" or not Path(bundle).exists():
            raise ValueError("this bundle cannot be read")
        return FakeDrawer(bundle, size, view)
