"""``visavis bench capacity``: more sessions until the pictures of one come late.

Viewers run on the same machine; they take packets without decoding, so what they cost is small and
the figure is the server's. A session holds while 99 % of its pictures come within a frame period
of their pace and fewer than 1 % of what is sent was late or repeated at the server.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import (
    BenchmarkError,
    Server,
    astronaut_jpeg,
    enrol,
    guarded,
    percentiles,
    running_server,
)
from visavis.benchmarks.latency.sound import synthetic_speech
from visavis.benchmarks.reporting import add_report_options, check_report_options, report
from visavis.benchmarks.viewer import Refused, Viewer

SIZES = (256, 384, 512)
_SETTLE_S = 3.0
_SLOWEST_FPS = 24.5
_PERIOD_MS = 40.0
_MOST_STALE_PERCENT = 1.0  # of a session's frames


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench capacity", description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512], choices=SIZES)
    parser.add_argument("--max-sessions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15, help="watched for each count")
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    if args.seconds < 2 or args.max_sessions < 1:
        raise BenchmarkError("Each count needs at least 2 seconds, and there is at least one.")
    result: dict[str, Any] = {
        "benchmark": "capacity",
        "settings": {"seconds": args.seconds, "viewers": "on the same machine, not decoding"},
    }
    for size in args.size:
        settings = {"MEDIA_SIZE": str(size), "LIMITS_MAX_SESSIONS": str(args.max_sessions)}
        with running_server(**settings) as server:
            steps = asyncio.run(_climb(server, args.max_sessions, args.seconds, size))
        held = max((s["sessions"] for s in steps if s["held"]), default=0)
        result[f"sessions_{size}"] = {"held": held, "steps": steps}
    report(args, result)
    return 0


async def _climb(server: Server, most: int, seconds: float, size: int) -> list[dict[str, Any]]:
    avatar, _ = await asyncio.to_thread(enrol, server.url, astronaut_jpeg())
    voice = synthetic_speech(5)
    viewers: list[Viewer] = []
    steps: list[dict[str, Any]] = []
    try:
        while len(viewers) < most:
            viewers.append(Viewer(server.url, avatar, voice, size))
            try:
                await viewers[-1].connect()
            except Refused as error:
                steps.append({"sessions": len(viewers), "held": False, "refused": str(error)})
                break
            await asyncio.sleep(_SETTLE_S)  # the newcomer's start is not held against the rest
            began, before = time.monotonic(), await _counters(server.url)
            await asyncio.sleep(seconds)
            steps.append(judge(viewers, began, before, await _counters(server.url)))
            _judge_effort(steps[-1], await _effort(server.url))
            if not steps[-1]["held"]:
                break
    finally:
        await asyncio.gather(*(viewer.close() for viewer in viewers))
    return steps


async def _counters(url: str) -> dict[str, tuple[int, int]]:
    """Return ``(sent, late, repeated or halved)`` of every session.

    Something is sent at every tick, so arrivals alone would not show that a picture was old.
    """
    async with httpx.AsyncClient(timeout=10) as http:
        sessions = (await http.get(f"{url}/api/sessions")).json()["sessions"]
    return {
        s["pc_id"]: (s["sent"], s["late"] + s["repeated"] + s.get("halved", 0)) for s in sessions
    }


async def _effort(url: str) -> str:
    async with httpx.AsyncClient(timeout=10) as http:
        return str((await http.get(f"{url}/api/sessions")).json().get("effort", "FULL"))


def _judge_effort(step: dict[str, Any], effort: str) -> None:
    """A server that draws every second frame only, or less well, does not hold its sessions."""
    step["effort"] = effort
    step["held"] = step["held"] and effort == "FULL"


def lateness_ms(viewer: Viewer, began: float) -> NDArray[np.float64]:
    """Return how much each picture trails the median pace of its own session."""
    wall = np.array(viewer.pictures.wall)
    late = 1e3 * (wall - np.array(viewer.pictures.media))[wall >= began]
    return late - np.median(late) if len(late) else late


def judge(
    viewers: list[Viewer],
    began: float,
    before: dict[str, tuple[int, int]],
    after: dict[str, tuple[int, int]],
) -> dict[str, Any]:
    """Return the figures of one count of sessions and whether all of them held."""
    late = [lateness_ms(viewer, began) for viewer in viewers]
    rates = []
    for viewer in viewers:
        media = np.array(viewer.pictures.media)[np.array(viewer.pictures.wall) >= began]
        wall = np.array([t for t in viewer.pictures.wall if t >= began])
        if len(wall) > 2:
            rates.append(len(np.unique(media)) / (wall[-1] - wall[0] + _PERIOD_MS / 1e3))
    stale = [
        100 * (after[k][1] - before[k][1]) / max(1, after[k][0] - before[k][0])
        for k in before.keys() & after.keys()
    ]
    slowest, worst = float(min(rates, default=0.0)), float(max(stale, default=100.0))
    p99 = max((float(np.percentile(v, 99)) for v in late if len(v)), default=float("inf"))
    everybody = len(rates) == len(viewers) == len(stale)
    smooth = slowest > _SLOWEST_FPS and p99 < _PERIOD_MS
    return {
        "sessions": len(viewers),
        "held": everybody and smooth and worst < _MOST_STALE_PERCENT,
        "slowest_fps": round(slowest, 2),
        "p99_lateness_ms_of_the_worst": round(p99, 1),
        "late_or_repeated_percent_of_the_worst": round(worst, 2),
        "lateness_ms": percentiles(np.concatenate(late)),
    }


if __name__ == "__main__":
    sys.exit(main())
