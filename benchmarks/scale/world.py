"""The world that ``bench scale`` simulates: what was measured here, and what is assumed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from visavis.benchmarks.common import BenchmarkError, read_result
from visavis.benchmarks.scale.scenario import DAY_H, HOUR_S, Demand, Flash, Nodes, Region, Scenario
from visavis.streamer.cost.capacity import Capacity
from visavis.streamer.cost.model import HOURS_A_YEAR, year
from visavis.streamer.cost.prices import read_prices
from visavis.streamer.cost.study import study

REGIONS = (Region("Europe", 0.40, 1.0), Region("Americas", 0.35, -5.0), Region("Asia", 0.25, 8.0))
_P95 = 1.645  # of the normal distribution, in its deviations
_FLASH_LASTS_S = 600.0
_SFU_GBIT_S, _SFU_USED = 10.0, 0.6  # what an SFU's network card carries, and how much of it is used


@dataclass(frozen=True)
class Parameter:
    """One input of the simulation with where it is from.

    Attributes:
        name: of it, with its unit.
        value: of it.
        kind: measured here, scaled from that in proportion, stated on the command line, or assumed.
        source: where it is from.
    """

    name: str
    value: float
    kind: Literal["measured", "scaled", "stated", "assumed"]
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Return it for a result file."""
        return {"value": round(self.value, 4), "kind": self.kind, "source": self.source}


@dataclass(frozen=True)
class Measured:
    """What the result files of this repository, or of one's own machine, say.

    Attributes:
        join_s: from offer to first picture, median.
        join_sigma: of the logarithm of that.
        worker_restart_s: pictures stand still when the process that draws ends.
        mbit_s: that one viewer is sent.
        held: sessions at 256² on ``cores``.
        cores: of the machine they were measured on.
    """

    join_s: float
    join_sigma: float
    worker_restart_s: float
    mbit_s: float
    held: int
    cores: int


def read_measured(results: Path) -> Measured:
    """Read the measurements that a simulation begins with.

    Raises:
        BenchmarkError: one is missing, or says that no session is held.
    """
    latency, room, capacity = (
        read_result(results / f"{name}.json") for name in ("latency", "room", "capacity")
    )
    join = _at(latency, "first_frame_ms", "p50"), _at(latency, "first_frame_ms", "p95")
    sent = _at(latency, "last_stats", "video.bytesReceived"), _at(latency, "settings", "seconds")
    held = int(_at(capacity, "sessions_256", "held"))
    if held < 1:
        raise BenchmarkError("The capacity result holds no session at 256²; give --places.")
    return Measured(
        join_s=join[0] / 1e3,
        join_sigma=math.log(join[1] / join[0]) / _P95,
        worker_restart_s=_at(room, "worker_death", "longest_gap_ms") / 1e3,
        mbit_s=8e-6 * sent[0] / sent[1],
        held=held,
        cores=int(_at(capacity, "machine", "cores")),
    )


def _at(result: dict[str, Any], group: str, key: str) -> float:
    try:
        value = float(result[group][key])
    except (KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(
            f"A result lacks {group}.{key}, which the simulation needs."
        ) from error
    if not math.isfinite(value) or value < 0:
        raise BenchmarkError(f"A result has no usable {group}.{key}.")
    return value


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        concurrent: sessions at the daily peak.
        hours: that are counted, around that peak.
        places: of a node; None for what was measured, scaled to the cores of the price list.
        headroom: nodes beyond each region's own daily peak.
        mean_session_s: how long people stay.
        crowd: factor on arrivals in Europe for ten minutes at the peak; 1 for none.
        seed: of every draw.
    """

    concurrent: int
    hours: float
    places: int | None
    headroom: float
    mean_session_s: float
    crowd: float
    seed: int


def build(wanted: Wanted, measured: Measured) -> tuple[Scenario, list[Parameter]]:
    """Return the scenario, and where each of its parameters is from."""
    cores = read_prices().machine.cores
    places = wanted.places or max(1, math.floor(measured.held * cores / measured.cores))
    demand = _demand(wanted)
    peak_of = [demand.arrivals_per_s * r.share * (1 + demand.daily_swing) for r in demand.regions]
    busiest = [rate * demand.mean_session_s * (1 + wanted.headroom) for rate in peak_of]
    nodes = Nodes(
        of_region=tuple(math.ceil(sessions / places) for sessions in busiest),
        places=places,
        join_s=measured.join_s,
        join_sigma=measured.join_sigma,
        worker_restart_s=measured.worker_restart_s,
    )
    scenario = Scenario(demand, nodes, wanted.hours * HOUR_S, warm_s=300.0, seed=wanted.seed)
    return scenario, _parameters(wanted, measured, scenario, cores)


def _demand(wanted: Wanted) -> Demand:
    """Return demand whose sum over regions peaks at what is wanted, in the middle of the run."""
    usual = Demand(REGIONS, arrivals_per_s=1.0, mean_session_s=wanted.mean_session_s)

    def together(hour: float) -> float:
        return sum(r.share * usual.level(r, hour) for r in REGIONS)

    hours = [n / 20 for n in range(round(20 * DAY_H))]
    peak_hour = max(hours, key=together)
    seconds = wanted.hours * HOUR_S
    return replace(
        usual,
        arrivals_per_s=wanted.concurrent / wanted.mean_session_s / together(peak_hour),
        start_hour_utc=peak_hour - wanted.hours / 2,
        flashes=(Flash(0, seconds / 2, min(_FLASH_LASTS_S, seconds / 4), wanted.crowd),),
    )


def _parameters(
    wanted: Wanted, measured: Measured, scenario: Scenario, cores: int
) -> list[Parameter]:
    demand, nodes = scenario.demand, scenario.nodes
    scaled = (
        f"capacity.json: {measured.held} at 256² on {measured.cores} cores; in proportion to "
        f"{cores} cores, which is assumed"
    )
    guess = "assumed"
    return [
        Parameter("join, median s", nodes.join_s, "measured", "latency.json, first_frame_ms"),
        Parameter("join, sigma", nodes.join_sigma, "measured", "latency.json, p95 over p50"),
        Parameter("worker restart s", nodes.worker_restart_s, "measured", "room.json"),
        Parameter("Mbit/s a viewer", measured.mbit_s, "measured", "latency.json, 60 s at 512²"),
        Parameter(
            "places a node",
            nodes.places,
            "stated" if wanted.places else "scaled",
            "command line" if wanted.places else scaled,
        ),
        Parameter("mean session s", demand.mean_session_s, "stated", "command line"),
        Parameter("session length, sigma", demand.sigma, guess, "lognormal, as calls are"),
        Parameter("daily swing", demand.daily_swing, guess, "a peak of 1.6 times at 20:00"),
        Parameter("headroom", wanted.headroom, "stated", "command line"),
        Parameter("flash crowd, factor", wanted.crowd, "stated", "Europe, ten minutes"),
        Parameter("patience s", demand.patience_s, guess, "for a free place"),
        Parameter("avatars", demand.avatars, guess, "asked for by Zipf's law, exponent 0.9"),
        Parameter("avatars kept by a node", nodes.cached, guess, "least recently used goes"),
        Parameter("fetching an avatar s", nodes.fetch_s, guess, "from shared storage"),
        Parameter("another region s", nodes.overflow_s, guess, "added to joining"),
        Parameter("node MTBF h", nodes.mtbf_h, guess, ""),
        Parameter("node repair s", nodes.repair_s, guess, ""),
        Parameter("dead node noticed s", nodes.notice_s, guess, "the cluster is not built yet"),
        Parameter("worker MTBF h", nodes.worker_mtbf_h, guess, ""),
        Parameter("sessions with an audience", demand.audience_share, guess, "pushed to an SFU"),
        Parameter("viewers of one, median", demand.viewers_median, guess, "lognormal, sigma 1.5"),
        Parameter("Gbit/s of an SFU", _SFU_GBIT_S * _SFU_USED, guess, "of a card of 10"),
    ]


def node_eur_per_hour(places: int, utilisation: float) -> float:
    """Return what a node costs an hour by the shipped price list, traffic apart."""
    prices = read_prices()
    words = "simulated"
    capacity = Capacity(places, prices.machine.cores, words, measured=False)
    inputs = study(prices, capacity, draws=100, seed=0).inputs
    cost = year(replace(inputs, utilisation=min(1.0, utilisation), eur_per_gb=0.0))
    return (cost.capex + cost.opex) / HOURS_A_YEAR


def sfu_nodes(viewers: float, mbit_s: float) -> int:
    """Return how many SFUs carry so many viewers at once, by their network cards alone."""
    return math.ceil(viewers * mbit_s / 1e3 / (_SFU_GBIT_S * _SFU_USED))
