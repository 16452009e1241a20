"""``--versus``: two servers in turn, in one run, so that what the machine does befalls both.

A server measured today and another tomorrow differ by the machine's day as well. Here rounds
alternate, and who begins alternates too: A B, B A, A B …; the ratio then is the servers'.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.browser import Run, run_page
from visavis.benchmarks.common import percentiles
from visavis.benchmarks.figures.compare import compare
from visavis.benchmarks.latency.summary import summarise
from visavis.benchmarks.signalling import Target

Readings = dict[str, list[float]]


def order(rounds: int) -> list[tuple[int, int]]:
    """Return which of the two comes first and second in each round."""
    return [(0, 1) if number % 2 == 0 else (1, 0) for number in range(rounds)]


def alternate(
    servers: tuple[list[Target], list[Target]],
    runs: tuple[Run, Run],
    speech: NDArray[np.float32],
    rounds: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure both servers ``rounds`` times in turn.

    Args:
        servers: where each is.
        runs: what to do with each; the seconds and the stops of a whole run, which the rounds
            share out.
        speech: mono at 48 kHz.
        rounds: of a call to each.

    Returns:
        A result for each server, of all its rounds together.

    Raises:
        BenchmarkError: a call could not be made.
    """
    parts: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for pair in order(rounds):
        for which in pair:
            run = dataclasses.replace(
                runs[which],
                seconds=runs[which].seconds / rounds,
                stops=runs[which].stops // rounds,
                connects=max(1, runs[which].connects // rounds),
            )
            raw = asyncio.run(run_page(servers[which], run, speech))
            parts[which].append(summarise(raw, run.within_ms))
    return together(parts[0]), together(parts[1])


def together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one result of several rounds: all readings in one, frames added up."""
    samples: Readings = {}
    for part in parts:
        for name, values in part["samples"].items():
            samples.setdefault(name, []).extend(values)
    shown = [part["frames"] for part in parts if "expected" in part["frames"]]
    count = sum(frames["shown"] for frames in shown)
    expected = sum(frames["expected"] for frames in shown)
    late = sum(frames["late_percent"] * frames["shown"] for frames in shown)
    return {
        **{name: percentiles(values) for name, values in samples.items()},
        "method": parts[0]["method"],
        "frames": {
            "shown": count,
            "expected": expected,
            "missing_percent": round(100 * max(0.0, 1 - count / expected), 3) if expected else None,
            "late_percent": round(late / count, 3) if count else None,
        },
        "samples": samples,
        "rounds": len(parts),
    }


def verdict(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Return the two results side by side, as Markdown."""
    return compare(first, second, "A", "B")
