"""``visavis bench latency``: real Chromium against a server, click to lip and click to sound.

A word that begins with a click leaves the page's microphone; the page notes when the picture
answers and when the click is heard again, so everything between is in the figures: capture, Opus,
network, look-ahead, motion, drawing, encoding, the jitter buffers of both ends, decoding.

A Vis-à-vis server is asked to burn media time and a mark into the frame whose sound holds the
click. Any other server is measured by when its picture begins to change (benchmarks/README.md).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks import stages
from visavis.benchmarks.browser import Run, run_page
from visavis.benchmarks.common import (
    BenchmarkError,
    astronaut_jpeg,
    enrol,
    find_chromium,
    guarded,
    running_server,
    running_stock,
)
from visavis.benchmarks.latency.sound import RATE, synthetic_speech
from visavis.benchmarks.latency.summary import summarise
from visavis.benchmarks.latency.versus import alternate, verdict
from visavis.benchmarks.reporting import add_report_options, check_report_options, report
from visavis.benchmarks.signalling import PROTOCOLS, Target


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="length of the call")
    parser.add_argument("--connects", type=int, default=8, help="calls whose first frame is timed")
    parser.add_argument("--stops", type=int, default=40, help="half of them barge-ins")
    parser.add_argument("--versus", metavar="URL", help="another server, in turn with --url's")
    parser.add_argument("--rounds", type=int, default=4, help="of --versus: calls to each server")
    add_server_options(parser)
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is measured."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--url", help="a running server; default: one of our own is started")
    which.add_argument("--stock", action="store_true", help="the echo on plain aiortc")
    parser.add_argument("--whep", help="where to receive, if --url only takes (WHIP)")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="auto", help="of --url")
    parser.add_argument("--header", action="append", default=[], help="'Name: value', to --url")
    parser.add_argument("--request-data", default="{}", help="JSON sent along with JSON offers")
    parser.add_argument("--within-ms", type=float, default=700, help="the latest answer measured")
    parser.add_argument("--video-only", action="store_true", help="do not expect sound to return")
    parser.add_argument("--size", type=int, default=512, choices=(256, 384, 512))
    parser.add_argument("--photo", type=Path, help="default: the astronaut of scikit-image")
    parser.add_argument("--speech", type=Path, help="a recording to speak; default: synthetic")
    parser.add_argument("--look-ahead-ms", type=int, default=40, help="of our own server")


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    find_chromium()  # before anything is started
    if args.seconds < 20 or args.connects < 1 or args.stops < 0:
        raise BenchmarkError("A run needs at least 20 seconds and one connect.")
    if args.versus:
        return _versus(args)
    with targets(args) as (servers, about):
        ours = about["server"] == "visavis"
        run = _what_to_do(args, ours)
        base = servers[0].url if ours else ""
        before = read_stages(base)
        raw = asyncio.run(run_page(servers, run, speech(args.speech)))
        inside = stages.between(before, read_stages(base))
    result = {
        "benchmark": "latency",
        "settings": {**about, "seconds": args.seconds, "browser": raw["browser"]},
        **summarise(raw, args.within_ms),
        "stages_ms": inside,
        "viewer_stages_ms": stages.viewer(raw["stats"]),
    }
    report(args, result)
    return 0


def _what_to_do(args: argparse.Namespace, ours: bool) -> Run:
    return Run(
        seconds=args.seconds,
        connects=args.connects,
        stops=args.stops,
        grids="some" if ours else "all",
        grid_seconds=60.0,
        control=ours,
        wants_sound=not args.video_only,
        within_ms=args.within_ms,
    )


def _versus(args: argparse.Namespace) -> int:
    if not args.url:
        raise BenchmarkError("--versus compares with a running server: give that one as --url.")
    if args.rounds < 2 or args.seconds / args.rounds < 20:
        raise BenchmarkError("--versus needs two rounds, and 20 seconds of a call in each.")
    pair = [_elsewhere(args), _elsewhere(argparse.Namespace(**{**vars(args), "url": args.versus}))]
    runs = [_what_to_do(args, about["server"] == "visavis") for _, about in pair]
    results = alternate(
        (pair[0][0], pair[1][0]), (runs[0], runs[1]), speech(args.speech), args.rounds
    )
    first, second = ({"settings": about, **r} for (_, about), r in zip(pair, results, strict=True))
    sys.stderr.write(verdict(first, second) + "\n")
    settings = {"rounds": args.rounds, "seconds": args.seconds}
    report(args, {"benchmark": "versus", "settings": settings, "first": first, "second": second})
    return 0


@contextlib.contextmanager
def targets(args: argparse.Namespace) -> Iterator[tuple[list[Target], dict[str, Any]]]:
    """Start what is to be measured, or find it; yields where it is and what it is."""
    if args.stock:
        with running_stock(args.size) as server:
            yield [Target(server.url)], {"server": "plain aiortc echo", "size": args.size}
        return
    if args.url:
        yield _elsewhere(args)
        return
    photo = _photo(args.photo)
    settings = {"MEDIA_SIZE": str(args.size), "MEDIA_LOOK_AHEAD_MS": str(args.look_ahead_ms)}
    with running_server(**settings) as server:
        avatar, enrolment_s = enrol(server.url, photo)
        wishes = {"avatar_id": avatar, "size": args.size, "probe": True}
        about = {"server": "visavis", "size": args.size, "fps": 25}
        about |= {"look_ahead_ms": args.look_ahead_ms, "enrolment_s": round(enrolment_s, 2)}
        yield [Target(server.url, request_data=wishes)], about


def _elsewhere(args: argparse.Namespace) -> tuple[list[Target], dict[str, Any]]:
    try:
        wishes = json.loads(args.request_data)
        headers = dict(h.split(":", 1) for h in args.header)
    except ValueError as error:
        raise BenchmarkError("--request-data must be JSON and --header 'Name: value'.") from error
    if not isinstance(wishes, dict):
        raise BenchmarkError("--request-data must be a JSON object.")
    headers = {name.strip(): value.strip() for name, value in headers.items()}
    ours = _is_visavis(args.url, headers)
    if ours:
        wishes = {"probe": True, "size": args.size, **wishes}
    about = {"server": "visavis" if ours else "foreign", "url": args.url}
    first = Target(args.url, args.protocol, wishes, headers)
    return [first, *([Target(args.whep, "whep", {}, headers)] if args.whep else [])], about


def _is_visavis(url: str, headers: dict[str, str]) -> bool:
    Target(url)  # one sentence if it is no address at all
    try:
        answer = httpx.get(httpx.URL(url).join("/api/sessions"), headers=headers, timeout=10)
        body = answer.json()
        return isinstance(body, dict) and "worker_restarts" in body
    except httpx.ConnectError as error:
        raise BenchmarkError(f"The server at {url} cannot be reached.") from error
    except (httpx.HTTPError, ValueError):
        return False  # it may still take offers


def _photo(path: Path | None) -> bytes:
    try:
        return path.read_bytes() if path else astronaut_jpeg()
    except OSError as error:
        raise BenchmarkError(f"The photo {path} cannot be read.") from error


def read_stages(url: str) -> stages.Histograms:
    """Return the server's histograms, or none where it shows none."""
    if url:
        with contextlib.suppress(httpx.HTTPError):
            return stages.parse(httpx.get(httpx.URL(url).join("/metrics"), timeout=10).text)
    return {}


def speech(path: Path | None) -> NDArray[np.float32]:
    """Return what is spoken, mono at 48 kHz."""
    if path is None:
        return synthetic_speech(20)
    from visavis.streamer.errors import VisavisError
    from visavis.streamer.media.files.audio_file import read_all

    try:
        return np.asarray(read_all(path, RATE), np.float32)
    except VisavisError as error:
        raise BenchmarkError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
