"""``visavis bench capacity``: more and more sessions until frames come late."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    BenchmarkError,
    Server,
    astronaut_jpeg,
    enrol,
    percentiles,
    running_server,
    write_json,
)
from benchmarks.latency.sound import synthetic_speech
from benchmarks.viewer import Viewer

_LATE_MS = 40.0  # one frame at 25 fps


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench capacity", description=__doc__)
    parser.add_argument("--size", type=int, default=256, choices=(256, 384, 512))
    parser.add_argument("--max-sessions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15, help="watched for each count")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    settings = {"MEDIA_SIZE": str(args.size), "LIMITS_MAX_SESSIONS": str(args.max_sessions)}
    try:
        with running_server(**settings) as server:
            steps = asyncio.run(_climb(server, args.max_sessions, args.seconds))
    except BenchmarkError as error:
        sys.stderr.write(f"visavis bench: {error}\n")
        return 1
    held = [s["sessions"] for s in steps if s["held"]]
    result = {"size": args.size, "sessions_held": max(held, default=0), "steps": steps}
    write_json(args.json, {"benchmark": "capacity", **result})
    return 0


async def _climb(server: Server, most: int, seconds: float) -> list[dict[str, Any]]:
    avatar, _ = await asyncio.to_thread(enrol, server.url, astronaut_jpeg())
    voice = synthetic_speech(5)
    viewers: list[Viewer] = []
    steps: list[dict[str, Any]] = []
    try:
        while len(viewers) < most:
            viewer = Viewer(server.url, avatar, voice)
            await viewer.connect()
            viewers.append(viewer)
            began = time.monotonic() + 2.0  # the newcomer's start is not held against the rest
            await asyncio.sleep(2.0 + seconds)
            steps.append(_judge(viewers, began))
            if not steps[-1]["held"]:
                break
    finally:
        await asyncio.gather(*(viewer.close() for viewer in viewers))
    return steps


def _judge(viewers: list[Viewer], began: float) -> dict[str, Any]:
    gaps: list[float] = []
    rates = []
    for viewer in viewers:
        times = np.array([t for t in viewer.frame_times if t >= began])
        if len(times) > 2:
            gaps += list(np.diff(times) * 1000)
            rates.append((len(times) - 1) / (times[-1] - times[0]))
    interval = percentiles(gaps)
    slowest = round(float(min(rates, default=0.0)), 2)
    held = len(rates) == len(viewers) and slowest > 24.5 and interval["p99"] < 40 + _LATE_MS
    return {
        "sessions": len(viewers),
        "held": bool(held),
        "slowest_fps": slowest,
        "interval_ms": interval,
    }


if __name__ == "__main__":
    sys.exit(main())
