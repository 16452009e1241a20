"""``visavis bench room``: several people with real avatars in one call.

Everybody is a stand-in: it speaks, takes everybody's packets and decodes nothing, in a process of
its own, so that the figures are the server's. ``--screen`` puts somebody into the call besides who
speaks from a real Chromium, and a listener in it who decodes them: from that microphone to that
screen, as ``visavis bench latency`` measures it. Where the cores cannot bear the browser beside the
server, what was measured without it is kept, one sentence says what is missing, and the exit code
is 2.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psutil

from visavis.benchmarks.common import (
    FAILED,
    BenchmarkError,
    Server,
    astronaut_jpeg,
    enrol,
    find_chromium,
    guarded,
    percentiles,
    running_server,
)
from visavis.benchmarks.reporting import add_report_options, check_report_options, report
from visavis.benchmarks.room import page, screen
from visavis.benchmarks.room.page import TooFewCores
from visavis.benchmarks.room.summary import comings, steady, verdict

ROOM = "bench"
_SETTLE_S = 3.0
_AFTER_DEATH_S = 6.0
_STANDBY_S = 40.0
_PATIENCE_S, _AGAIN_S = 40.0, 2.0  # of who is refused because a browser has just begun to decode


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench room", description=__doc__)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--size", type=int, default=256, choices=(256, 384, 512))
    parser.add_argument("--seconds", type=float, default=30, help="of the call that just goes on")
    parser.add_argument("--joins", type=int, default=20, help="comings and goings, and returns")
    parser.add_argument("--screen", action="store_true", help="also microphone to screen")
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    if args.people < 2 or args.seconds < 5 or args.joins < 1:
        raise BenchmarkError("A call needs two people, five seconds and one who comes and goes.")
    if args.screen:
        find_chromium()
    # Whatever a frame costs here: the figures say whether it was too much.
    settings = {
        "MEDIA_SIZE": str(args.size),
        "LIMITS_MAX_SESSIONS": str(args.people + 1),
        "ROOMS_PEOPLE": str(args.people + 2),
    }
    with running_server(**settings) as server:
        result = asyncio.run(_measure(server, args))
    about = {"people": args.people, "size": args.size, "fps": 25, "seconds": args.seconds}
    about["viewers"] = "stand-ins on the same machine that take packets and do not decode"
    report(args, {"benchmark": "room", "settings": about, **result})
    for why in result.get("not_measured", {}).values():
        sys.stderr.write(f"visavis bench: {why}\n")
    return FAILED if "not_measured" in result else 0


async def _measure(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    avatars = [(await asyncio.to_thread(enrol, server.url, astronaut_jpeg()))[0] for _ in range(2)]
    await _standby(server)
    result: dict[str, Any] = {}
    async with _guests(server, args.people, args.size) as guests:
        names = [f"Person {n + 1}" for n in range(args.people)]
        for n, name in enumerate(names):
            await guests.do("come", name=name, avatar=avatars[n % 2], turn=n)
        await asyncio.sleep(_SETTLE_S)
        result["steady"] = await _steady(server, guests, args.seconds)
        result |= await _come_and_go(guests, names[-1], avatars[0], args.joins)
        result["left_behind"] = await _left(server, args.people)
        result["worker_death"] = await _worker_death(server, guests)
    result["goals_met"] = verdict(result)
    if args.screen:
        for name, part in (("page", _page), ("screen", _screen)):
            try:
                result[name] = await part(server, args, avatars)
            except TooFewCores as error:  # the rest is as good as without --screen
                result.setdefault("not_measured", {})[name] = str(error)
    return result


async def _steady(server: Server, guests: Guests, seconds: float) -> dict[str, Any]:
    before, cpu = await _counters(server.url), _cpu(server, guests.pid)
    began = time.monotonic()
    streams = (await guests.do("watch", seconds=seconds))["streams"]
    took = time.monotonic() - began
    used = {k: round(100 * (v - cpu[k]) / took, 1) for k, v in _cpu(server, guests.pid).items()}
    figures = steady(streams, before, await _counters(server.url))
    return {**figures, "percent_of_a_core": used}


async def _come_and_go(guests: Guests, name: str, avatar: str, times: int) -> dict[str, Any]:
    """Have somebody leave and join, and lose their line and return, over and over."""
    joins, leaves, returns = [], [], []
    for n in range(times):
        leaves += (await guests.do("go", name=name))["seen_ms"]
        joins.append(await guests.do("come", name=name, avatar=avatar, turn=n))
    for _ in range(max(1, times // 4)):
        returns.append(await guests.do("drop", name=name))
    return {
        "joins": comings(joins),
        "leave_seen_ms": percentiles(leaves),
        "reconnect": {
            "ms": percentiles([r["all"] for r in returns]),
            "same_id": all(r["same_id"] for r in returns),
        },
    }


async def _left(server: Server, people: int) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=10) as http:
        sessions = (await http.get(f"{server.url}/api/sessions")).json()["sessions"]
        before = (await http.get(f"{server.url}/api/rooms/{ROOM}")).json()["people"]
    return {"sessions": len(sessions) - people, "people": len(before) - people}


async def _worker_death(server: Server, guests: Guests) -> dict[str, Any]:
    """Kill the process that draws; return the longest time without a picture."""
    await _standby(server)
    watching = asyncio.create_task(guests.do("watch", seconds=_AFTER_DEATH_S))
    await asyncio.sleep(1.0)
    _busiest(server).kill()
    streams = (await watching)["streams"]
    return {"longest_gap_ms": max(s["gap_ms"] for s in streams)}


def _busiest(server: Server) -> psutil.Process:
    workers = psutil.Process(server.pid).children(recursive=True)
    return max(workers, key=lambda process: sum(process.cpu_times()[:2]))


async def _standby(server: Server) -> None:
    """Wait until the second worker has loaded and is at rest, as it is after a minute."""
    deadline, last = time.monotonic() + _STANDBY_S, -1.0
    while time.monotonic() < deadline:
        workers = psutil.Process(server.pid).children(recursive=True)
        idlest = min(sum(w.cpu_times()[:2]) for w in workers)
        if len(workers) > 1 and idlest - last < 0.05:
            return
        last = idlest
        await asyncio.sleep(1.0)


async def _page(server: Server, args: argparse.Namespace, avatars: list[str]) -> dict[str, Any]:
    """Put the product's own page among one stand-in less."""
    others = args.people - 1
    async with _guests(server, args.people, args.size) as guests:
        names = [f"Person {n + 1}" for n in range(others)]
        ids, last = {}, names[-1]
        for name in names:
            came = await let_in(guests, server.url, name=name, avatar=avatars[0], turn=0)
            ids[name] = came["id"]

        async def go() -> tuple[str, float]:
            began = 1e3 * time.time()
            await guests.do("go", name=last)
            return ids[last], began

        async def come() -> None:
            came = await let_in(guests, server.url, name=last, avatar=avatars[0], turn=0)
            ids[last] = came["id"]

        return await page.measure(server.url, ROOM, others, min(args.joins, 8), go, come)


async def let_in(guests: Guests, url: str = "", **who: Any) -> dict[str, Any]:
    """Have somebody join who asks again, as people do, while the server is overloaded.

    Raises:
        TooFewCores: it is overloaded all the time; the sentence says by how much.
        BenchmarkError: they are refused for something else.
    """
    deadline, before = time.monotonic() + _PATIENCE_S, None
    while True:
        try:
            return await guests.do("come", **who)
        except BenchmarkError as error:
            if "overloaded" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise TooFewCores(await _too_few(url, before or {})) from error
        if before is None and url:
            before = await _counters(url)
        await asyncio.sleep(_AGAIN_S)


async def _too_few(url: str, before: dict[str, tuple[int, int]]) -> str:
    """Say what came late while somebody was kept out, as the server itself counts it."""
    share = ""
    if before:
        worst = steady([], before, await _counters(url))["late_or_repeated_percent_of_the_worst"]
        share = f" ({worst:.0f} % of the worst avatar's)"
    return (
        f"The {psutil.cpu_count()} cores of this machine do not bear so many faces and a browser "
        f"that decodes them beside the server: too many pictures came late{share}, so that it let "
        f"nobody else in for {_PATIENCE_S:.0f} s; ask for fewer --people or use a larger machine."
    )


async def _screen(server: Server, args: argparse.Namespace, avatars: list[str]) -> dict[str, Any]:
    async def fill() -> None:
        for n in range(args.people - 1):
            name = f"Person {n + 1}"
            await let_in(guests, server.url, name=name, avatar=avatars[n % 2], turn=n)

    async with _guests(server, args.people + 1, args.size) as guests:
        seconds = max(20.0, args.seconds)
        return await screen.measure(server.url, ROOM, avatars[1], args.size, seconds, fill)


# ---------------------------------------------------------------------- the people's process


class Guests:
    """The process in which the people are."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def do(self, what: str, **details: Any) -> dict[str, Any]:
        """Have something done.

        Raises:
            BenchmarkError: it did not work.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
        line = await self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "The people are gone."}
        if "error" in answer:
            raise BenchmarkError(str(answer["error"]))
        return answer


@contextlib.asynccontextmanager
async def _guests(server: Server, people: int, size: int) -> AsyncIterator[Guests]:
    command = [sys.executable, "-P", "-m", "visavis.benchmarks.room.guests"]
    process = await asyncio.create_subprocess_exec(
        *command, server.url, ROOM, str(people - 1), str(size),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    guests = Guests(process)
    try:
        yield guests
        await guests.do("quit")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _cpu(server: Server, guests: int) -> dict[str, float]:
    """Return the processor seconds so far of the server's parts and of the people."""
    edge = psutil.Process(server.pid)
    return {
        "edge": sum(edge.cpu_times()[:2]),
        "workers": sum(sum(w.cpu_times()[:2]) for w in edge.children(recursive=True)),
        "stand_ins": sum(psutil.Process(guests).cpu_times()[:2]),
    }


async def _counters(url: str) -> dict[str, tuple[int, int]]:
    async with httpx.AsyncClient(timeout=10) as http:
        sessions = (await http.get(f"{url}/api/sessions")).json()["sessions"]
    return {
        s["pc_id"]: (s["sent"], s["late"] + s["repeated"] + s.get("halved", 0)) for s in sessions
    }


if __name__ == "__main__":
    sys.exit(main())
