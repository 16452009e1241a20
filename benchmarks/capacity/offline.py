"""``visavis bench offline``: how much faster than real time.

The whole path of ``visavis render`` without enrolment: reading, motion, drawing, H.264 and AAC.
Beside it, what one frame costs on one thread, drawing alone.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from visavis.benchmarks.common import astronaut_jpeg, percentiles, write_json
from visavis.benchmarks.latency.sound import synthetic_speech, write_wav
from visavis.engines import select
from visavis.models.appearance.identity import Identity
from visavis.models.motion.stream import MOTION_GRAPH, MotionStream
from visavis.models.renderer.renderer import Renderer
from visavis.streamer.avatars.enrolment import enrol_photo
from visavis.streamer.commands.render import render_file
from visavis.streamer.media.files.audio_file import duration_s, read_all
from visavis.streamer.worker.pipeline.cores import usable_cores
from visavis.streamer.worker.pipeline.film import MOST
from visavis.streamer.worker.pipeline.picture_models import load_pictures


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--speech", type=Path, help="a recording; default: 20 s of synthetic vowels"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        result = _measure(Path(scratch), args.speech, args.runs)
    write_json(args.json, {"benchmark": "offline", **result})
    return 0


def _measure(scratch: Path, speech: Path | None, runs: int) -> dict[str, Any]:
    if speech is None:
        speech = scratch / "speech.wav"
        write_wav(speech, 0.3 * synthetic_speech(20))
    bundle = scratch / "identity.vav"
    began = time.perf_counter()
    asyncio.run(enrol_photo(astronaut_jpeg(), bundle, size=512, timeout_s=60, progress=None))
    result: dict[str, Any] = {"enrolment_s": round(time.perf_counter() - began, 2)}
    identity = Identity.load(bundle)
    for size in (512, 256):
        pictures = load_pictures("cpu")
        drawers = [pictures.renderer(identity, size) for _ in range(min(usable_cores(), MOST))]
        ratios = []
        for _ in range(runs):
            motion = MotionStream(select.load(MOTION_GRAPH, "cpu"), fps=25)
            began = time.perf_counter()
            film = scratch / "o.mp4"
            render_file(motion, drawers, speech, film, size=size, fps=25, force=True)
            ratios.append((duration_s(speech) or 0) / (time.perf_counter() - began))
        result[f"render_{size}"] = {
            "times_real_time": round(float(np.median(ratios)), 2),
            "drawers": len(drawers),
            "draw_ms": _draw_ms(drawers[0], speech),
        }
    return result


def _draw_ms(renderer: Renderer, speech: Path) -> dict[str, Any]:
    motion = MotionStream(select.load(MOTION_GRAPH, "cpu"), fps=25)
    frames = motion.push(read_all(speech, motion.SAMPLE_RATE))
    costs = []
    for values in frames:
        began = time.perf_counter()
        renderer.render(values)
        costs.append((time.perf_counter() - began) * 1000)
    return percentiles(costs)


if __name__ == "__main__":
    sys.exit(main())
