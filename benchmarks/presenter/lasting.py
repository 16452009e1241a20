"""Hours on a simulated clock: does anything grow, does picture part from sound?

The loop, the timeline, the delay, the slot with its ring and conversion, and the sound's cutter are
the product's own; the clock, the microphone (30 ppm fast), the output and the drawing are not. What
drawing and hearing take is drawn from a distribution with a tail, as a laptop has it.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError, percentiles
from visavis.streamer.config import MediaConfig
from visavis.streamer.presenter.presenter import Presenter
from visavis.streamer.presenter.script.sources import BLOCK, Block
from visavis.streamer.worker.frames import Shown
from visavis.streamer.worker.pipeline.pipeline import RATE as MODEL_RATE
from visavis.streamer.worker.pipeline.pipeline import Boxes, Drawer, SlotSpec
from visavis.streamer.worker.slot import Slot

RATE = 48_000
_PPM = 30.0
_STEP_S = 0.002
_BLOCK_STEPS = 5  # the output takes a block of 10 ms
_HELD_S = 0.020
_WARM_S = 120.0
_LOOK_S = 60.0
_LOUD = 24_000
_TAIL_MS = (14.0, 2.0, 0.004, 25.0)  # usual, spread, share of hiccups, what these take more


class _Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep_until(self, deadline: float) -> None:
        raise NotImplementedError


class _Pipeline:
    """Frames whose brightness is their sound; a box of the picture changes."""

    def __init__(self, spec: SlotSpec) -> None:
        width, height = spec.picture_size
        self._picture = np.zeros((height, width, 3), np.uint8)
        self._box = (width // 4, height // 8, 3 * width // 4, height)
        self._sound = np.zeros(0, np.float32)
        self._step = MODEL_RATE // spec.fps
        self._wait = self._step + spec.look_ahead_ms * MODEL_RATE // 1000

    @property
    def changed(self) -> Boxes | None:
        return [self._box]

    def push(
        self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        self._sound = np.concatenate([self._sound, pcm])
        rows = []
        while len(self._sound) >= self._wait:
            rows.append([float(np.abs(self._sound[: self._step]).max())])
            self._sound = self._sound[self._step :]
        return np.array(rows, np.float32).reshape(-1, 1)

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        left, top, right, bottom = self._box
        self._picture[top:bottom, left:right] = 200 if coefficients[0] > 0.3 else 40
        return self._picture

    def reset(self) -> None: ...

    def show(self, drawer: Drawer) -> None: ...

    def set_mood(self, name: str, style: float = 1.0) -> None: ...


class _Avatar:
    """Draws as ``LiveAvatar`` does, but in simulated time and without threads."""

    failure = ""
    loading = False
    early_ms = 0

    def __init__(self, spec: SlotSpec, clock: _Clock, draw_s: Callable[[], float]) -> None:
        self._clock, self._draw_s = clock, draw_s
        self._slot = Slot(spec, _Pipeline(spec), clock.now, raw="i420")
        self._free_at = 0.0

    def start(self) -> None: ...

    def close(self) -> None: ...

    def mood(self, name: str) -> None: ...

    def look(self, where: str) -> None: ...

    def feed(self, position: int, samples: NDArray[np.int16]) -> None:
        self._slot.feed(position, samples)
        self._free_at = max(self._free_at, self._clock.now()) + self._draw_s()

    def work(self) -> None:
        while self._clock.now() >= self._free_at and self._slot.deadline() is not None:
            self._slot.work()

    def ready(self, frame: int) -> bool:
        return self._slot.ready(frame)

    def release(self, frame: int) -> Shown | None:
        return self._slot.release(frame)


class _Microphone:
    problem = ""
    paused = ended = False

    def __init__(self) -> None:
        self._began: float | None = None
        self._given = 0
        self._sound = np.zeros(RATE, np.int16)
        self._sound[10 * 1920 : 11 * 1920] = _LOUD

    def take(self, now: float) -> list[Block]:
        self._began = now if self._began is None else self._began
        due = (now - self._began) * RATE * (1 + _PPM * 1e-6)
        blocks = []
        while self._given + BLOCK <= due:
            at = self._given % RATE
            self._given += BLOCK
            blocks.append(Block(self._sound[at : at + BLOCK]))
        return blocks

    def close(self) -> None: ...


class _Camera:
    problem = ""

    def __init__(self, clock: _Clock) -> None:
        self._clock, self._bright = clock, False
        self.onsets: list[float] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def show(self, picture: NDArray[np.uint8]) -> None:
        height, width = picture.shape[0] * 2 // 3, picture.shape[1]
        bright = bool(picture[height // 2, width // 2] > 120)
        if bright and not self._bright:
            self.onsets.append(self._clock.now())
        self._bright = bright


class _Output:
    def __init__(self, clock: _Clock) -> None:
        self._clock, self._loud = clock, False
        self.onsets: list[float] = []
        self.latency_s = _HELD_S

    def write(self, samples: NDArray[np.int16]) -> None:
        loud = np.abs(samples.astype(np.int32)) > _LOUD // 2
        if loud.any() and not self._loud:
            at = self._clock.now() + _HELD_S + int(np.argmax(loud)) / RATE
            self.onsets.append(at)
        self._loud = bool(loud[-1])

    def close(self) -> None: ...


def simulate(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let ``args.simulated_hours`` pass; return what grew.

    Raises:
        BenchmarkError: that is too short to say anything.
    """
    seconds = 3600.0 * args.simulated_hours
    if seconds < 3 * _WARM_S:
        raise BenchmarkError("At least a tenth of an hour is needed.")
    world = _World(SlotSpec("", look_ahead_ms=args.look_ahead_ms, canvas=args.canvas))
    began, held = time.monotonic(), []
    while world.passed < seconds:
        world.let_pass(_LOOK_S)
        if world.passed >= _WARM_S:
            gc.collect()
            resident = psutil.Process().memory_info().rss / 1e6
            held.append((resident, float(sys.getallocatedblocks())))
    took = time.monotonic() - began
    figures, skew = world.presenter.figures, world.skew_ms()
    resident, blocks = np.array(held).T
    return {
        "settings": {
            "canvas": args.canvas, "look_ahead_ms": args.look_ahead_ms,
            "microphone_ppm": _PPM, "hours": args.simulated_hours,
        },
        "times_real_time": round(seconds / took, 1),
        "frames": figures.shown,
        "late_share": round(figures.late / figures.shown, 5),
        "av_skew_ms": {
            **percentiles(skew), "least": round(float(skew.min()), 1),
            "most": round(float(skew.max()), 1),
            "within_20": round(float((np.abs(skew) <= 20).mean()), 5),
        },
        "delay_ms": round(world.presenter.delay_ms, 1),
        "memory_mb": {
            "first": round(float(resident[0]), 1), "last": round(float(resident[-1]), 1),
            "most": round(float(resident.max()), 1),
        },
        "python_blocks": {"first": int(blocks[0]), "last": int(blocks[-1])},
    }  # fmt: skip


class _World:
    def __init__(self, spec: SlotSpec) -> None:
        rng = np.random.default_rng(0)
        usual, spread, share, more = _TAIL_MS

        def draw_s() -> float:
            hiccup = more * float(rng.random()) if rng.random() < share else 0.0
            return 1e-3 * (usual + spread * abs(float(rng.standard_normal())) + hiccup)

        self.clock = _Clock()
        self._avatar = _Avatar(spec, self.clock, draw_s)
        self.presenter = Presenter(
            self._avatar,  # type: ignore[arg-type]
            MediaConfig(look_ahead_ms=spec.look_ahead_ms),
            _Microphone(),
            clock=self.clock,
        )
        self._camera, self._output = _Camera(self.clock), _Output(self.clock)
        self.presenter.feed_camera(self._camera)  # type: ignore[arg-type]
        self.presenter.feed_speaker(lambda: self._output)
        self.presenter.path.begin()
        self._steps = 0

    @property
    def passed(self) -> float:
        return self._steps * _STEP_S

    def let_pass(self, seconds: float) -> None:
        speaker = self.presenter.speaker
        assert speaker is not None
        for _ in range(round(seconds / _STEP_S)):
            self._steps += 1
            self.clock.time = 1000.0 + self._steps * _STEP_S
            self._avatar.work()
            self.presenter.step()
            if self._steps % _BLOCK_STEPS == 0:
                speaker._step(self._output)

    def skew_ms(self) -> NDArray[np.float64]:
        """Sound after picture, burst by burst; bursts are a frame long and begin with one."""
        seen, heard = np.array(self._camera.onsets), np.array(self._output.onsets)
        nearest = seen[np.clip(np.searchsorted(seen, heard - 0.5), 0, len(seen) - 1)]
        skew = 1e3 * (heard - nearest)
        settled = heard > 1000.0 + _WARM_S
        return np.asarray(skew[settled & (np.abs(skew) < 500)])
