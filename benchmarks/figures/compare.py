"""``visavis bench compare A.json B.json``: two results side by side, and what the ratio is worth.

Where both results keep their single readings, the ratio of the medians has a 95 % interval from a
moving-block bootstrap; if it holds 1, the difference may be noise. Two runs also differ by what
else the machines did: an interval speaks of the readings of these runs only.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from visavis.benchmarks.common import BenchmarkError, guarded, read_result
from visavis.benchmarks.figures.intervals import ratio_interval
from visavis.benchmarks.figures.tables import NAMES, figures

_SAME_MACHINE = ("cpu", "cores")


def main(argv: list[str] | None = None) -> int:
    """Print the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench compare", description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    args = parser.parse_args(argv)

    def run() -> int:
        first, second = read_result(args.first), read_result(args.second)
        sys.stdout.write(compare(first, second, args.first.stem, args.second.stem) + "\n")
        return 0

    return guarded(run)


def compare(
    first: dict[str, Any], second: dict[str, Any], name_a: str = "A", name_b: str = "B"
) -> str:
    """Return the comparison as Markdown.

    Raises:
        BenchmarkError: the two have no figure in common.
    """
    a, b = figures(first), figures(second)
    common = [key for key in a if key in b and a[key]["n"] and b[key]["n"]]
    if not common:
        raise BenchmarkError("The two results have no figure in common.")
    lines = [
        f"| p50, ms | {name_a} | {name_b} | ratio | 95 % | p95 ratio | n | verdict |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [_row(key, a[key], b[key], first, second) for key in common]
    return "\n".join([*lines, "", *_remarks(first, second)])


def _row(
    key: str, a: dict[str, Any], b: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> str:
    samples = [r.get("samples", {}).get(key) for r in (first, second)]
    interval = ratio_interval(*samples) if all(samples) else None
    if interval is None:
        span, verdict = "", "no interval: too few readings, or of both signs"
        if not all(samples):
            verdict = "no interval: readings not kept"
    else:
        span = f"{interval.low:.2f}-{interval.high:.2f}"
        verdict = "differs" if interval.excludes(1.0) else "within noise"
    name = NAMES.get(key, f"`{key.removesuffix('_ms')}`")
    return (
        f"| {name} | {a['p50']:.0f} | {b['p50']:.0f} | {_ratio(a['p50'], b['p50'])} | {span} | "
        f"{_ratio(a['p95'], b['p95'])} | {a['n']}, {b['n']} | {verdict} |"
    )


def _ratio(a: float, b: float) -> str:
    return f"{b / a:.2f}" if a > 0 and b > 0 else ""


def _remarks(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    out = []
    machines = first.get("machine", {}), second.get("machine", {})
    if any(machines[0].get(k) != machines[1].get(k) for k in _SAME_MACHINE):
        out.append("The machines differ; the ratio is theirs as much as the servers'.")
    speeds = [r.get("machine_speed", {}).get("index") for r in (first, second)]
    if all(speeds):
        out.append(
            f"Machine speed {speeds[0]:.2f} and {speeds[1]:.2f} (visavis.benchmarks.speed): of a "
            f"ratio of times, {speeds[0] / speeds[1]:.2f} is the machine's where it computes."
        )
    settings = first.get("settings", {}), second.get("settings", {})
    changed = sorted(
        k for k in settings[0].keys() | settings[1].keys()
        if settings[0].get(k) != settings[1].get(k) and k != "enrolment_s"
    )  # fmt: skip
    if changed:
        pairs = (f"{k} {settings[0].get(k)} / {settings[1].get(k)}" for k in changed)
        out.append(f"Settings that differ: {', '.join(pairs)}.")
    methods = [r.get("method", {}).get("picture") for r in (first, second)]
    if methods[0] != methods[1]:
        out.append(
            f"Pictures were timed by {methods[0]} and by {methods[1]}: a change is seen up to a "
            "frame after the picture that a stamp names, and once the mouth has moved a sixth."
        )
    out.append("Intervals hold for these runs; another hour on the same machine may differ more.")
    return out


if __name__ == "__main__":
    sys.exit(main())
