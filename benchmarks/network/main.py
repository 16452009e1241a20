"""``visavis bench network``: a call whose packets are lost, delayed and swapped for a while.

Every packet between Chromium and the server passes a relay in this process (benchmarks/relay.py).
First the network is clean, then bad, then clean again. The figures say what the trouble cost while
it lasted, how long until pictures were as timely as before, and whether latency has grown for good.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import asdict
from typing import Any

from visavis.benchmarks.browser import Run, run_page
from visavis.benchmarks.common import BenchmarkError, find_chromium, guarded
from visavis.benchmarks.latency.main import add_server_options, speech, targets
from visavis.benchmarks.network.summary import Phases, summarise
from visavis.benchmarks.relay import CLEAN, Impairment, Relay
from visavis.benchmarks.reporting import add_report_options, check_report_options, report
from visavis.benchmarks.signalling import Target

_LEAST_S = 10.0  # of a clean phase: a start-up and a handful of clicks


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench network", description=__doc__)
    parser.add_argument("--before-s", type=float, default=20, help="clean at first")
    parser.add_argument("--during-s", type=float, default=30, help="then bad")
    parser.add_argument("--after-s", type=float, default=30, help="then clean again")
    parser.add_argument("--loss", type=float, default=0.05, help="share of packets, both ways")
    parser.add_argument("--jitter-ms", type=float, default=30, help="random wait up to this")
    parser.add_argument("--reorder", type=float, default=0.0, help="share that overtake others")
    parser.add_argument("--delay-ms", type=float, default=0, help="each way, besides")
    parser.add_argument("--seed", type=int, default=0, help="of the network")
    add_server_options(parser)
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    find_chromium()
    impairment = Impairment(args.loss, args.jitter_ms, args.reorder, args.delay_ms)
    if min(args.before_s, args.after_s) < _LEAST_S or args.during_s <= 0:
        raise BenchmarkError(f"The clean phases need at least {_LEAST_S:.0f} seconds.")
    with targets(args) as (servers, about):
        ours = about["server"] == "visavis"
        raw, phases, lanes = asyncio.run(_call(servers, args, impairment, ours))
    result = {
        "benchmark": "network",
        "settings": {**about, **asdict(impairment), "seed": args.seed, "browser": raw["browser"],
                     "before_s": args.before_s, "during_s": args.during_s,
                     "after_s": args.after_s},
        "relay": lanes,
        **summarise(raw, phases, args.within_ms),
    }  # fmt: skip
    report(args, result)
    return 0


async def _call(
    servers: list[Target], args: argparse.Namespace, impairment: Impairment, ours: bool
) -> tuple[dict[str, Any], Phases, dict[str, Any]]:
    relays: list[Relay] = []
    marks: dict[str, float] = {}
    weather: list[asyncio.Task[None]] = []

    def make() -> Relay:
        relays.append(Relay(args.seed + len(relays)))
        return relays[-1]

    async def change() -> None:
        await asyncio.sleep(args.before_s)
        marks["from"] = _impair(relays, impairment)
        await asyncio.sleep(args.during_s)
        marks["until"] = _impair(relays, CLEAN)

    async def began() -> None:
        weather.append(asyncio.ensure_future(change()))

    run = Run(
        seconds=args.before_s + args.during_s + args.after_s,
        grids="none",
        control=ours,
        wants_sound=not args.video_only,
        within_ms=args.within_ms,
    )
    try:
        raw = await run_page(servers, run, speech(args.speech), relay=make, began=began)
    finally:
        for task in weather:
            task.cancel()
    phases = Phases(raw["began"], marks["from"], marks["until"], raw["stopped"])
    lanes = {
        name: {"packets": sum(x.taken for x in found), "lost": sum(x.lost for x in found)}
        for name, found in (("up", [r.up for r in relays]), ("down", [r.down for r in relays]))
    }
    return raw, phases, lanes


def _impair(relays: list[Relay], impairment: Impairment) -> float:
    """Change the network; return the wall-clock milliseconds of the change."""
    for relay in relays:
        relay.impair(impairment)
    return time.time() * 1000


if __name__ == "__main__":
    sys.exit(main())
