"""What drawing a frame costs one core, without anything beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from visavis.benchmarks.common import percentiles
from visavis.benchmarks.latency.sound import synthetic_speech
from visavis.streamer.worker.i420 import Still
from visavis.streamer.worker.pipeline.pipeline import (
    RATE,
    AvatarPipelines,
    SlotSpec,
    WorkerSettings,
    changed_of,
)

_SECONDS, _WARM = 12.0, 25


def drawing_cpu_ms(bundle: Path, canvas: str, background: str = "own") -> dict[str, Any]:
    """Return processor milliseconds a frame: the plain 512 square, the canvas, and its I420."""
    pipelines = AvatarPipelines(WorkerSettings(compute=1))
    spec = SlotSpec(str(bundle), look_ahead_ms=40, canvas=canvas, background=background)
    pipeline = pipelines.open(spec)
    rows = pipeline.push(synthetic_speech(_SECONDS)[:: 48_000 // RATE])
    square = pipelines.drawer(str(bundle), 512)
    drawn = pipelines.drawer(str(bundle), 512, spec.view)
    spent: dict[str, list[float]] = {"square_512": [], "canvas": [], "to_i420": [], "push": []}
    still = Still()
    for row in rows:
        began = time.thread_time()
        square.render(row)
        middle = time.thread_time()
        picture = drawn.render(row)
        end = time.thread_time()
        still.convert(picture, changed_of(drawn))
        spent["square_512"].append(1e3 * (middle - began))
        spent["canvas"].append(1e3 * (end - middle))
        spent["to_i420"].append(1e3 * (time.thread_time() - end))
    fresh = pipelines.open(spec)
    sound = synthetic_speech(_SECONDS)[:: 48_000 // RATE].astype(np.float32)
    for at in range(0, len(sound) - RATE // 25, RATE // 25):
        began = time.thread_time()
        fresh.push(sound[at : at + RATE // 25])
        spent["push"].append(1e3 * (time.thread_time() - began))
    return {name: percentiles(values[_WARM:]) for name, values in spent.items()}
