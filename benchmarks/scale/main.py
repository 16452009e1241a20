"""``visavis bench scale``: 10⁵ concurrent sessions, simulated from what one machine does.

Arrivals with daily curves in several regions and a crowd that comes at once, session lengths, nodes
and workers that fail, audiences behind SFUs; four ways to place a session are compared. Before
that, a small fleet is held against queueing theory. Nothing of it ran on a real cluster.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError, guarded
from visavis.benchmarks.reporting import add_report_options, check_report_options, report
from visavis.benchmarks.scale.fleet import Counts, Fleet
from visavis.benchmarks.scale.policies import POLICIES
from visavis.benchmarks.scale.scenario import HOUR_S, Scenario
from visavis.benchmarks.scale.validate import validate
from visavis.benchmarks.scale.world import (
    Measured,
    Wanted,
    build,
    node_eur_per_hour,
    read_measured,
    sfu_nodes,
)

_RESULTS = Path(__file__).parents[1] / "results"
_MOST_SESSIONS = 2_000_000  # concurrent; some 300 bytes each
_AFTER_FLASH_S = 300.0  # who comes so soon after a crowd meets it too


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench scale", description=__doc__)
    parser.add_argument("--concurrent", type=int, default=100_000, help="at the daily peak")
    parser.add_argument("--hours", type=float, default=1.0, help="around that peak")
    parser.add_argument("--places", type=int, help="of a node; default: as measured, scaled")
    parser.add_argument("--headroom", type=float, default=0.05, help="beyond each region's peak")
    parser.add_argument("--mean-session-s", type=float, default=900.0)
    parser.add_argument("--crowd", type=float, default=3.0, help="factor, in Europe, ten minutes")
    parser.add_argument("--policy", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder of measurements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-validation", action="store_true")
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def wanted(args: argparse.Namespace) -> Wanted:
    """Return what is asked for.

    Raises:
        BenchmarkError: a number of it cannot be.
    """
    checks = (
        (1 <= args.concurrent <= _MOST_SESSIONS, f"1 to {_MOST_SESSIONS} concurrent sessions"),
        (0.05 <= args.hours <= 48, "0.05 to 48 hours"),
        (args.places is None or 1 <= args.places <= 1000, "1 to 1000 places a node"),
        (0 <= args.headroom <= 10, "a headroom of 0 to 10"),
        (1 <= args.mean_session_s <= 86_400, "a mean session of 1 to 86400 seconds"),
        (1 <= args.crowd <= 100, "a crowd of 1 to 100 times the usual"),
        (args.seed >= 0, "a seed of at least 0"),
    )
    for fine, what in checks:
        if not fine:
            raise BenchmarkError(f"A simulation takes {what}.")
    return Wanted(
        concurrent=args.concurrent,
        hours=args.hours,
        places=args.places,
        headroom=args.headroom,
        mean_session_s=args.mean_session_s,
        crowd=args.crowd,
        seed=args.seed,
    )


def _run(args: argparse.Namespace) -> int:
    asked = wanted(args)
    check_report_options(args)
    measured = read_measured(args.results)
    scenario, parameters = build(asked, measured)
    verdicts = [] if args.no_validation else validate()
    for verdict in verdicts:
        _say(f"{verdict.what}: theory {verdict.theory:.4g}, {100 * verdict.off:+.1f} %")
    if wrong := [v.what for v in verdicts if not v.holds()]:
        raise BenchmarkError(f"The simulation disagrees with theory: {', '.join(wrong)}.")
    policies: dict[str, Any] = {}
    for name in args.policy:
        wall, cpu = time.perf_counter(), time.process_time()
        counts = Fleet(scenario, POLICIES[name]).run()
        took = {
            "wall_s": round(time.perf_counter() - wall, 1),
            "cpu_s": round(time.process_time() - cpu, 1),
        }
        policies[name] = {**summary(counts, scenario, measured), **took}
        _say(f"{name}: {policies[name]['most_at_once']} at once, {took['wall_s']} s")
    result = {
        "benchmark": "scale",
        "settings": {"simulated": "yes; no real cluster", **vars(asked)},
        "parameters": {p.name: p.as_dict() for p in parameters},
        "nodes": dict(zip(_names(scenario), scenario.nodes.of_region, strict=True)),
        "against_theory": [verdict.as_dict() for verdict in verdicts],
        "policies": policies,
    }
    report(args, result)
    return 0


def summary(counts: Counts, scenario: Scenario, measured: Measured) -> dict[str, Any]:
    """Return the figures of one run."""
    nodes, hours = scenario.nodes, scenario.seconds / HOUR_S
    fleet = sum(nodes.of_region)
    session_h = counts.session_s / HOUR_S
    used = session_h / hours / (fleet * nodes.places)
    node_eur = node_eur_per_hour(nodes.places, used)
    came, wait = np.frombuffer(counts.came_s), np.frombuffer(counts.wait_s)
    flash = scenario.demand.flashes[0] if scenario.demand.flashes else None
    within = np.zeros(len(came), bool)
    if flash is not None:
        until = flash.after_s + flash.lasts_s + _AFTER_FLASH_S
        within = (came >= flash.after_s) & (came < until)
    return {
        "most_at_once": counts.most,
        "offered": counts.offered,
        "events": counts.events,
        "refused_percent": _percent(counts.refused, counts.offered),
        "queued_percent": _percent(counts.queued, counts.offered),
        "elsewhere_percent": _percent(counts.elsewhere, counts.started),
        "avatar_there_percent": _percent(counts.hits, counts.started),
        "wait_ms": _marks(wait),
        "wait_before_and_after_ms": _marks(wait[~within]),
        "wait_in_the_crowd_ms": _marks(wait[within]),
        "utilisation_percent": round(100 * used, 1),
        "moved": counts.moved,
        "lost": counts.lost,
        "gap_ms": _marks(np.frombuffer(counts.gap_s)),
        "eur_per_session_hour": round(node_eur * fleet * hours / max(session_h, 1e-9), 4),
        "most_viewers": counts.most_viewers,
        "sfu_nodes": sfu_nodes(counts.most_viewers, measured.mbit_s),
        "sfu_egress_gb": round(counts.viewer_s * measured.mbit_s / 8e3),
    }


def _marks(seconds: NDArray[np.float64]) -> dict[str, float | int | None]:
    if not len(seconds):
        return {"p50": None, "p95": None, "p99": None, "n": 0}
    marks = np.percentile(seconds * 1e3, [50, 95, 99])
    return {
        **{f"p{p}": round(float(m), 1) for p, m in zip((50, 95, 99), marks, strict=True)},
        "n": len(seconds),
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 3) if whole else math.nan


def _names(scenario: Scenario) -> list[str]:
    return [region.name for region in scenario.demand.regions]


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
