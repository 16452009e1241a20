"""``visavis bench soak``: connect, watch, hang up or be killed, again; nothing may grow.

One viewer stays for the whole time, for drift between sound and picture. Beside it others come and
go; every so often one is a process of its own that is killed without a word, as when a laptop's
lid closes, and the server has to notice by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from visavis.benchmarks import stages
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
from visavis.benchmarks.soak.summary import drift, growth, skew_over_time
from visavis.benchmarks.viewer import Viewer

_WARM_UP_CONNECTS = 60  # caches and logs of what has been fill; flat from here, or not at all
_RELEASE_LIMIT_S = 90.0  # for the server to notice that a viewer was killed
_FREE_LIMIT_S = 300.0  # a busy machine refuses for a while; a soak waits and counts it
_VICTIM_LIMIT_S = 100.0


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench soak", description=__doc__)
    parser.add_argument("--connects", type=int, default=100, help="after the warm-up")
    parser.add_argument("--hours", type=float, help="go on for so long instead of --connects")
    parser.add_argument("--warm-up", type=int, default=_WARM_UP_CONNECTS, help="connects")
    parser.add_argument("--kill-every", type=int, default=20, help="0: never")
    parser.add_argument("--watch-s", type=float, default=0.5, help="watched after the first frame")
    parser.add_argument("--size", type=int, default=256, choices=(256, 384, 512))
    parser.add_argument("--no-stayer", action="store_true", help="without the viewer that stays")
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    if args.connects < 2 or (args.hours is not None and args.hours <= 0) or args.kill_every < 0:
        raise BenchmarkError("A soak needs at least two connects, or some hours.")
    settings = {"MEDIA_SIZE": str(args.size), "LIMITS_MAX_SESSIONS": "4"}
    with running_server(**settings) as server:
        result = asyncio.run(_soak(server, args))
    report(args, {"benchmark": "soak", **result})
    return 0


@dataclass
class _Log:
    firsts: list[float] = field(default_factory=list)
    counts: list[dict[str, float]] = field(default_factory=list)
    released: list[float] = field(default_factory=list)
    kills: int = 0
    refusals: int = 0


async def _soak(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    avatar, _ = await asyncio.to_thread(enrol, server.url, astronaut_jpeg())
    voice = synthetic_speech(5)
    stayer = Viewer(server.url, avatar, voice, args.size)
    log, began = _Log(), time.monotonic()
    try:
        if not args.no_stayer:
            await stayer.connect_when_free(_FREE_LIMIT_S)
        number = 0
        while not _done(args, number, began):
            kill = args.kill_every and number % args.kill_every == args.kill_every - 1
            if kill:
                await _kill_one(server, avatar, args.size, log)
            else:
                viewer = Viewer(server.url, avatar, voice, args.size)
                log.refusals += await _visit(viewer, args.watch_s)
                log.firsts += [1e3 * viewer.first_frame_s] if number >= args.warm_up else []
            number += 1
            if number > args.warm_up:
                log.counts.append(await _count(server))
    finally:
        await stayer.close()
    if len(log.counts) < 2:
        raise BenchmarkError("The soak was over before its warm-up was; give it more time.")
    return _result(args, log, stayer, time.monotonic() - began)


def _done(args: argparse.Namespace, number: int, began: float) -> bool:
    if args.hours is not None:
        return time.monotonic() - began > 3600 * args.hours
    return bool(number >= args.warm_up + args.connects)


def _result(args: argparse.Namespace, log: _Log, stayer: Viewer, seconds: float) -> dict[str, Any]:
    times, skew = skew_over_time(stayer.pictures, stayer.sounds)
    return {
        "settings": {"size": args.size, "kill_every": args.kill_every, "watch_s": args.watch_s,
                     "warm_up": args.warm_up},
        "connects": len(log.counts),
        "killed": log.kills,
        "refused_for_a_while": log.refusals,
        "seconds": round(seconds),
        "first_frame_ms": percentiles(log.firsts),
        **growth(log.counts, log.released),
        **({} if args.no_stayer else drift(stayer.pictures, stayer.sounds)),
        "samples": {
            "rss_mb": [c["rss_mb"] for c in log.counts],
            "files": [c["files"] for c in log.counts],
            "skew_at_s": [round(float(t)) for t in times],
            "skew_ms": [round(float(s), 2) for s in skew],
        },
    }  # fmt: skip


async def _visit(viewer: Viewer, watch_s: float) -> int:
    """Connect, watch, hang up; return how often the server said that it is full."""
    try:
        refusals = await viewer.connect_when_free(_FREE_LIMIT_S)
        await asyncio.sleep(watch_s)
    finally:
        await viewer.close()
    return refusals


async def _kill_one(server: Server, avatar: str, size: int, log: _Log) -> None:
    """Kill a watching process and wait until the server has let its session go."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "visavis.benchmarks.soak.victim", server.url, avatar, str(size),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _VICTIM_LIMIT_S)
    except TimeoutError:
        line = b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if not line.startswith(b"watching "):
        raise BenchmarkError("The viewer that was to be killed never saw a picture.")
    name, killed = line.split()[1].decode(), time.monotonic()
    log.kills += 1
    while name in await _sessions(server.url):
        if time.monotonic() - killed > _RELEASE_LIMIT_S:
            raise BenchmarkError(
                f"The server kept the session of a killed viewer for {_RELEASE_LIMIT_S:.0f} s."
            )
        await asyncio.sleep(0.2)
    log.released.append(time.monotonic() - killed)


async def _sessions(url: str) -> set[str]:
    try:
        async with httpx.AsyncClient(timeout=10) as http:
            body = (await http.get(f"{url}/api/sessions")).json()
    except httpx.HTTPError as error:
        raise BenchmarkError("The server does not answer any more.") from error
    return {s["pc_id"] for s in body["sessions"]}


async def _count(server: Server) -> dict[str, Any]:
    """Return what the server and its workers hold."""
    process = psutil.Process(server.pid)
    processes = [process, *process.children(recursive=True)]
    async with httpx.AsyncClient(timeout=10) as http:
        text = (await http.get(f"{server.url}/metrics")).text
    return {
        "rss_mb": round(sum(p.memory_info().rss for p in processes) / 1e6, 2),
        "files": sum(p.num_fds() for p in processes),
        "threads": sum(p.num_threads() for p in processes),
        "tasks": stages.value(text, "visavis_asyncio_tasks"),
        "sessions": len(await _sessions(server.url)),
    }


if __name__ == "__main__":
    sys.exit(main())
