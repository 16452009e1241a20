"""``visavis bench trust``: exits x attacks, detection rate and wrong bits, and false alarms.

Clips are avatars of the given photos, each speaking different sentences with another seed; the
last of each person stands before a plain colour. Every clip has a payload of its own and counts as
read only if that very payload comes back. What is known is kept in a folder: the same command goes
on where it was broken off.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visavis.benchmarks.common import percentiles, write_json
from visavis.benchmarks.trust import alarms, table
from visavis.benchmarks.trust.attacks import FPS, KBPS, timed
from visavis.benchmarks.trust.clips import SECONDS, Wanted
from visavis.streamer.trust.marks.watermark import Watermark
from visavis.streamer.trust.marks.watermark_detector import detect

_ROUNDS = 300


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Fill the table in as far as time allows, and return it."""
    cv2.setNumThreads(1)
    until = time.monotonic() + 60 * args.minutes
    wanted = Wanted(args.photos, args.speech, args.people, args.each, args.size)
    whole = table.measure(wanted, args.kept, args.exits.split(","), args.clips, until)
    if whole and args.real is not None:
        alarms.measure(args.real, wanted, args.kept)
    known = table.cells(args.kept)
    psnr = {c.clip: c.psnr_db for c in known}
    nothing = [np.zeros((args.size, args.size), np.uint8)] * 12
    return {
        "bench": "trust",
        "command": "visavis bench trust --photos FOLDER --speech FILE --kept FOLDER --real FILES… "
        f"--people {args.people} --each {args.each} --size {args.size}",
        "clips": len(psnr),
        "seconds": SECONDS,
        "size": args.size,
        "kbps": KBPS,
        "psnr_db": percentiles(list(psnr.values()), 2),
        "least_psnr_db": min(psnr.values(), default=None),
        "embed_ms": _cost(args.size),
        "table": table.rows(known),
        "unmarked": {
            **alarms.summary(alarms.scores(args.kept)),
            "false_alarm_rate_by_theory": detect(timed(nothing)).chance,
        },
    }


def _cost(size: int) -> dict[str, Any]:
    """Return what marking a luma plane costs, by processor time, on one core."""
    mark, rng = Watermark(bytes(8), size, size, FPS), np.random.default_rng(1)
    ground = cv2.resize(rng.integers(40, 200, (size // 4, size // 4), np.uint8), (size, size))
    spent = []
    for number in range(_ROUNDS):
        luma = ground.copy()
        began = time.thread_time()
        mark.add(luma, number)
        spent.append(1e3 * (time.thread_time() - began))
    return percentiles(spent, 3)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench trust", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of portraits, JPEG")
    parser.add_argument("--speech", type=Path, required=True, help="a sound file of speech")
    parser.add_argument("--kept", type=Path, required=True, help="a folder: clips, what is known")
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--each", type=int, default=4, help="clips of each person")
    parser.add_argument("--clips", type=int, default=40, help="at most")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--exits", default=",".join(table.EXITS), help="which, in which order")
    parser.add_argument("--minutes", type=float, default=600.0, help="then it stops and writes")
    parser.add_argument("--real", type=Path, nargs="*", help="unmarked videos, for false alarms")
    parser.add_argument("--json", type=Path, help="where the result goes; default: stdout")
    args = parser.parse_args(sys.argv[1:] if argv is None else argv)
    write_json(args.json, measure(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
