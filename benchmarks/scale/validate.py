"""The simulation held against theory: a small fleet of one region, where closed forms exist."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from visavis.benchmarks.figures.intervals import Interval
from visavis.benchmarks.scale import theory
from visavis.benchmarks.scale.fleet import Counts, Fleet
from visavis.benchmarks.scale.policies import least_load
from visavis.benchmarks.scale.scenario import Demand, Nodes, Region, Scenario

WITHIN = 0.10
_NODES, _PLACES = 5, 2
_ERLANGS = 7.0
_MEAN_S = 60.0
_WARM_S = 1_000.0


@dataclass(frozen=True)
class Verdict:
    """One figure of the simulation beside what theory says.

    Attributes:
        what: of the case.
        theory: closed form.
        simulated: mean of independent runs with its 95 % interval.
    """

    what: str
    theory: float
    simulated: Interval

    @property
    def off(self) -> float:
        """Return how far the mean is off, as a share of theory."""
        return self.simulated.value / self.theory - 1

    def holds(self) -> bool:
        """Whether the mean is within a tenth, and theory within a tenth of the whole interval."""
        return (
            abs(self.off) <= WITHIN
            and self.simulated.low <= self.theory * (1 + WITHIN)
            and self.simulated.high >= self.theory * (1 - WITHIN)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for a result file."""
        return {
            "what": self.what,
            "theory": round(self.theory, 5),
            "simulated": round(self.simulated.value, 5),
            "low": round(self.simulated.low, 5),
            "high": round(self.simulated.high, 5),
            "off_percent": round(100 * self.off, 2),
            "holds": self.holds(),
        }


def validate(runs: int = 20, lasts_s: float = 200_000.0) -> list[Verdict]:
    """Return all cases; each is simulated ``runs`` times, with seeds of its own."""
    servers = _NODES * _PLACES
    refused = theory.erlang_b(servers, _ERLANGS)
    loss = [_run(seed, lasts_s, patience_s=0, sigma=0) for seed in range(runs)]
    talk = [_run(100 + seed, lasts_s, patience_s=0, sigma=1) for seed in range(runs)]
    wait = [_run(200 + seed, lasts_s, patience_s=math.inf, sigma=0) for seed in range(runs)]
    lost = [c.refused / c.offered for c in loss]
    lost_talk = [c.refused / c.offered for c in talk]
    waited = [c.queued / c.offered for c in wait]
    mean = [float(np.mean(c.queue_s)) for c in wait]
    busy = [c.session_s / lasts_s for c in loss]
    found = (
        ("M/M/c/c: refused (Erlang B)", refused, lost),
        ("M/M/c/c: sessions at once", _ERLANGS * (1 - refused), busy),
        ("M/G/c/c, lognormal: refused (Erlang B)", refused, lost_talk),
        ("M/M/c: have to wait (Erlang C)", theory.erlang_c(servers, _ERLANGS), waited),
        ("M/M/c: mean wait, s", theory.mean_wait_s(servers, _ERLANGS, _MEAN_S), mean),
    )
    return [Verdict(what, exact, theory.interval(values)) for what, exact, values in found]


def _run(seed: int, lasts_s: float, *, patience_s: float, sigma: float) -> Counts:
    demand = Demand(
        regions=(Region("one", 1.0, 0.0),),
        arrivals_per_s=_ERLANGS / _MEAN_S,
        mean_session_s=_MEAN_S,
        sigma=sigma,
        daily_swing=0.0,
        patience_s=patience_s,
        avatars=10,
        audience_share=0.0,
        slice_s=5000.0,  # every hour is alike
    )
    nodes = Nodes(
        of_region=(_NODES,),
        places=_PLACES,
        fetch_s=0.0,
        join_s=0.0,
        overflow=False,
        mtbf_h=math.inf,
        worker_mtbf_h=math.inf,
    )
    return Fleet(Scenario(demand, nodes, lasts_s, _WARM_S, seed), least_load).run()
