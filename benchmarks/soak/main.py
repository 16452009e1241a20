"""``visavis bench soak``: connect, watch, hang up, again; nothing may grow."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil

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

_WARM_UP_CONNECTS = 60  # caches and logs of what has been fill; flat from here, or not at all


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench soak", description=__doc__)
    parser.add_argument("--connects", type=int, default=100)
    parser.add_argument("--watch-s", type=float, default=0.5, help="watched after the first frame")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    try:
        with running_server() as server:
            result = asyncio.run(_soak(server, args.connects, args.watch_s))
    except BenchmarkError as error:
        sys.stderr.write(f"visavis bench: {error}\n")
        return 1
    write_json(args.json, {"benchmark": "soak", **result})
    return 0


async def _soak(server: Server, connects: int, watch_s: float) -> dict[str, Any]:
    avatar, _ = await asyncio.to_thread(enrol, server.url, astronaut_jpeg())
    voice = synthetic_speech(5)
    firsts, counts = [], []
    for number in range(_WARM_UP_CONNECTS + connects):
        viewer = Viewer(server.url, avatar, voice)
        try:
            await viewer.connect()
            await asyncio.sleep(watch_s)
        finally:
            await viewer.close()
        if number >= _WARM_UP_CONNECTS:
            firsts.append(viewer.first_frame_s * 1000)
            counts.append(_count(server.pid))
    rss = np.array([c["rss_mb"] for c in counts])
    return {
        "connects": connects,
        "first_frame_ms": percentiles(firsts),
        "rss_mb": {"first": rss[0], "last": rss[-1], "max": float(rss.max())},
        # A line through all readings: what one more connect costs.
        "rss_kb_per_connect": round(float(np.polyfit(np.arange(len(rss)), rss, 1)[0]) * 1000, 1),
        "files": {"first": counts[0]["files"], "last": counts[-1]["files"]},
        "threads": {"first": counts[0]["threads"], "last": counts[-1]["threads"]},
    }


def _count(pid: int) -> dict[str, float]:
    server = psutil.Process(pid)
    processes = [server, *server.children(recursive=True)]
    return {
        "rss_mb": round(sum(p.memory_info().rss for p in processes) / 1e6, 2),
        "files": sum(p.num_fds() for p in processes),
        "threads": sum(p.num_threads() for p in processes),
    }


if __name__ == "__main__":
    sys.exit(main())
