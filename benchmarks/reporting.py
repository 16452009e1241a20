"""What becomes of a benchmark's result: JSON, a table, pictures, the ratio to an earlier one."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from visavis.benchmarks.common import BenchmarkError, machine, read_result, write_json
from visavis.benchmarks.figures import plots
from visavis.benchmarks.figures.compare import compare
from visavis.benchmarks.figures.tables import table
from visavis.benchmarks.speed import between, machine_speed


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add where results go."""
    parser.add_argument("--json", type=Path, help="where the result goes; default: stdout")
    parser.add_argument("--markdown", type=Path, help="also as a table")
    parser.add_argument("--plots", type=Path, help="a folder for PNG pictures")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="print the ratio to a result")


def check_report_options(args: argparse.Namespace) -> None:
    """Find out before a long measurement whether its result can be kept, and time the machine.

    Folders on the way to a result are made, by every benchmark alike, and not before there is one.

    Raises:
        BenchmarkError: a result cannot be written there, or the earlier one cannot be read.
    """
    for path in (args.json, args.markdown):
        if path is not None:
            check_writable(path)
    if args.plots is not None:
        check_writable(args.plots / "plot.png")
    if args.compare:
        read_result(args.compare)
    args.speed_before = machine_speed()


def check_writable(path: Path) -> None:
    """Check that a file can be written, in folders that may have to be made; makes nothing.

    Raises:
        BenchmarkError: it cannot; the sentence names what is in the way.
    """
    if path.is_dir():
        raise BenchmarkError(f"{path} is a folder; name a file in it.")
    if path.exists() and not os.access(path, os.W_OK):
        raise BenchmarkError(f"{path} cannot be written to.")
    above = path.absolute().parent
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise BenchmarkError(f"{above} is a file, so that nothing can be written below it.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise BenchmarkError(f"The folder {above} cannot be written to.")


def report(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Write a result in every shape that was asked for."""
    earlier = read_result(args.compare) if args.compare else None
    result = {"machine_speed": between(args.speed_before, machine_speed()), **result}
    write_json(args.json, result)
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(table({"machine": machine(), **result}) + "\n", "utf-8")
    if earlier is not None:
        text = compare(earlier, {"machine": machine(), **result}, args.compare.stem, "now")
        sys.stderr.write(text + "\n")
    if args.plots:
        for path in plots.draw(result, args.plots):
            sys.stderr.write(f"{path}\n")
