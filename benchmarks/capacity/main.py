"""``visavis bench capacity``: more sessions until one shows late or repeated pictures."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import httpx
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

_SETTLE_S = 2.0
_SLOWEST_FPS = 24.5
_MOST_STALE_PERCENT = 1.0  # of a session's frames


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
            await asyncio.sleep(_SETTLE_S)  # the newcomer's start is not held against the rest
            began, before = time.monotonic(), await _counters(server.url)
            await asyncio.sleep(seconds)
            steps.append(_judge(viewers, began, before, await _counters(server.url)))
            if not steps[-1]["held"]:
                break
    finally:
        await asyncio.gather(*(viewer.close() for viewer in viewers))
    return steps


async def _counters(url: str) -> dict[str, tuple[int, int]]:
    """Return ``(sent, late or repeated)`` of every session.

    Something is sent at every tick, so arrivals alone would not show that a picture was old.
    """
    async with httpx.AsyncClient(timeout=10) as http:
        sessions = (await http.get(f"{url}/api/sessions")).json()["sessions"]
    return {s["pc_id"]: (s["sent"], s["late"] + s["repeated"]) for s in sessions}


def _judge(
    viewers: list[Viewer],
    began: float,
    before: dict[str, tuple[int, int]],
    after: dict[str, tuple[int, int]],
) -> dict[str, Any]:
    gaps: list[float] = []
    rates = []
    for viewer in viewers:
        times = np.array([t for t in viewer.frame_times if t >= began])
        if len(times) > 2:
            gaps += list(np.diff(times) * 1000)
            rates.append((len(times) - 1) / (times[-1] - times[0]))
    stale = [
        100 * (after[k][1] - before[k][1]) / max(1, after[k][0] - before[k][0])
        for k in before.keys() & after.keys()
    ]
    slowest, worst = float(min(rates, default=0.0)), float(max(stale, default=100.0))
    everybody = len(rates) == len(viewers) == len(stale)
    return {
        "sessions": len(viewers),
        "held": everybody and slowest > _SLOWEST_FPS and worst < _MOST_STALE_PERCENT,
        "slowest_fps": round(slowest, 2),
        "late_or_repeated_percent_of_the_worst": round(worst, 2),
        "interval_ms": percentiles(gaps),
    }


if __name__ == "__main__":
    sys.exit(main())
