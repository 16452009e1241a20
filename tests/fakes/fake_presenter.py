"""An avatar that draws while it is fed, a microphone and a sound device on a simulated clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.fakes.fake_pipeline import FakePipelines
from visavis.streamer.presenter.script.sources import Block
from visavis.streamer.worker.frames import Shown
from visavis.streamer.worker.pipeline.pipeline import SlotSpec
from visavis.streamer.worker.slot import Slot

RATE = 48_000
BLOCK = RATE // 100


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep_until(self, deadline: float) -> None:
        raise AssertionError("nobody sleeps here")


class InlineAvatar:
    """What ``LiveAvatar`` is to the presenter, without threads."""

    def __init__(self, bundle: str, now: Callable[[], float], look_ahead_ms: int = 40) -> None:
        spec = SlotSpec(bundle, look_ahead_ms=look_ahead_ms, size=128)
        self.pipeline = FakePipelines().open(spec)
        self.slot = Slot(spec, self.pipeline, now, raw="i420")
        self.failure = ""
        self.loading = False
        self.told: list[tuple[str, object]] = []

    def start(self) -> None: ...

    def close(self) -> None: ...

    def feed(self, position: int, samples: NDArray[np.int16]) -> None:
        self.slot.feed(position, samples)
        while self.slot.deadline() is not None:
            self.slot.work()

    early_ms = 0

    def ready(self, frame: int) -> bool:
        return self.slot.ready(frame)

    def release(self, frame: int) -> Shown | None:
        return self.slot.release(frame)

    def look(self, where: str) -> None:
        self.told.append(("look", where))

    def mood(self, name: str) -> None:
        self.told.append(("mood", name))

    def change(self, told: Callable[[str], None], **fields: str) -> None:
        self.told.append(("change", fields))


class SimulatedMicrophone:
    """Hands out a sound at the pace of a clock of its own.

    Args:
        sound: what is said, for ever repeated.
        ppm: by how much its clock is fast.
    """

    def __init__(self, sound: NDArray[np.int16], ppm: float = 0.0) -> None:
        self._sound = sound
        self._pace = 1 + ppm * 1e-6
        self._began: float | None = None
        self.given = 0
        self.problem = ""
        self.paused = self.ended = False
        self.silent = False

    def take(self, now: float) -> list[Block]:
        if self._began is None:
            self._began = now
        due = (now - self._began) * RATE * self._pace
        blocks = []
        while self.given + BLOCK <= due:
            at = self.given % len(self._sound)
            self.given += BLOCK
            if not self.silent:
                blocks.append(Block(self._sound[at : at + BLOCK]))
        return blocks

    def close(self) -> None: ...


class SimulatedDevice:
    """A sound device that holds a few blocks; remembers when which sample was heard."""

    def __init__(self, now: Callable[[], float], held_s: float = 0.02) -> None:
        self._now = now
        self.held_s = held_s
        self.heard: deque[tuple[float, NDArray[np.int16]]] = deque(maxlen=500)

    @property
    def latency_s(self) -> float:
        return self.held_s

    def write(self, samples: NDArray[np.int16]) -> None:
        self.heard.append((self._now() + self.held_s, samples))

    def close(self) -> None: ...
