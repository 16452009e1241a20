"""What happens to sessions, and what is counted of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("simpy")

from visavis.benchmarks.scale.fleet import Counts, Fleet
from visavis.benchmarks.scale.main import main
from visavis.benchmarks.scale.policies import POLICIES, least_load
from visavis.benchmarks.scale.scenario import Demand, Draws, Flash, Nodes, Region, Scenario
from visavis.benchmarks.scale.tables import policies, theory
from visavis.benchmarks.scale.world import REGIONS, Wanted, build, read_measured

ONE = (Region("one", 1.0, 0.0),)
TWO = (Region("one", 0.7, 0.0), Region("two", 0.3, 12.0))
LEVEL = Demand(ONE, arrivals_per_s=1.0, mean_session_s=30, daily_swing=0, audience_share=0)
SOUND = Nodes((20,), 2, mtbf_h=math.inf, worker_mtbf_h=math.inf)


def run(demand: Demand, nodes: Nodes, policy: str = "least load", seed: int = 0) -> Counts:
    return Fleet(Scenario(demand, nodes, 2000, 300, seed), POLICIES[policy]).run()


@pytest.mark.parametrize("policy", POLICIES)
def test_everybody_is_accounted_for(policy: str) -> None:
    crowded = replace(LEVEL, regions=TWO, patience_s=5)
    counts = run(crowded, replace(SOUND, of_region=(7, 4)), policy)
    waiting = counts.offered - counts.started - counts.refused
    assert 0 <= waiting <= 10  # at the end, within their patience
    assert counts.refused > 0
    assert counts.queued >= counts.refused
    assert len(counts.wait_s) == counts.started == len(counts.queue_s)
    assert max(counts.queue_s) <= 5
    assert counts.most <= 22


def test_all_policies_meet_the_same_crowd_and_a_seed_repeats_it() -> None:
    offered = {run(LEVEL, SOUND, policy).offered for policy in POLICIES}
    assert len(offered) == 1
    one, two, other = (run(LEVEL, SOUND, "random", seed) for seed in (5, 5, 6))
    assert one.wait_s == two.wait_s
    assert one.offered != other.offered


@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_the_beginning_is_as_full_as_the_rest(sigma: float) -> None:
    """M/G/∞ holds λ·mean at any time, if who is there already has the right time left."""
    plenty = replace(SOUND, of_region=(400,))
    demand = replace(LEVEL, arrivals_per_s=10, sigma=sigma)
    scenario = Scenario(demand, plenty, 60, 0, 1)
    early = Fleet(scenario, least_load).run().session_s / 60
    late = Fleet(replace(scenario, warm_s=600), least_load).run().session_s / 60
    assert early == pytest.approx(300, rel=0.1)
    assert late == pytest.approx(300, rel=0.1)


def test_an_idle_fleet_waits_for_joining_and_for_what_it_has_not() -> None:
    nodes = replace(SOUND, of_region=(500,), join_sigma=0, join_s=1, fetch_s=0.5, cached=1)
    counts = run(replace(LEVEL, avatars=1), nodes)
    assert set(np.round(counts.wait_s, 6)) <= {1.0, 1.5}
    assert counts.hits == sum(wait == pytest.approx(1.0) for wait in counts.wait_s)


def test_joins_on_one_node_wait_for_one_another() -> None:
    nodes = replace(SOUND, of_region=(1,), places=100, join_sigma=0, join_s=1, fetch_s=0)
    at_once = replace(LEVEL, arrivals_per_s=0.9, mean_session_s=10)
    assert max(run(at_once, nodes).wait_s) > 2
    assert min(run(at_once, nodes).wait_s) >= 1 - 1e-9


def test_a_full_region_sends_to_another_and_that_takes_longer() -> None:
    demand = replace(LEVEL, regions=TWO, patience_s=0)
    nodes = replace(SOUND, of_region=(5, 30), join_sigma=0, join_s=1, fetch_s=0, overflow_s=0.25)
    counts = run(demand, nodes)
    assert counts.elsewhere > 0
    assert counts.refused == 0
    assert max(counts.wait_s) >= 1.25
    alone = run(demand, replace(nodes, overflow=False))
    assert alone.elsewhere == 0
    assert alone.refused > 0


def test_who_loses_a_node_finds_another_or_is_lost() -> None:
    breaks = replace(SOUND, mtbf_h=0.2, repair_s=60)  # each node every 12 minutes
    spare = run(LEVEL, replace(breaks, of_region=(60,)))
    assert spare.moved > 10
    assert spare.lost == 0
    assert len(spare.gap_s) == spare.moved
    assert min(spare.gap_s) >= breaks.notice_s
    tight = run(LEVEL, replace(breaks, of_region=(16,)))
    assert tight.lost > 0


def test_a_worker_that_ends_stops_pictures_and_moves_nobody() -> None:
    counts = run(LEVEL, replace(SOUND, worker_mtbf_h=0.1, worker_restart_s=1.5))
    assert counts.moved == counts.lost == 0
    assert set(counts.gap_s) == {1.5}


def test_nothing_breaks_where_nothing_can() -> None:
    assert not run(LEVEL, SOUND).gap_s


def test_the_day_has_its_peak_where_it_should() -> None:
    demand = Demand(TWO, 1.0, daily_swing=0.5, peak_hour=20)
    assert demand.rate(0, 20 * 3600) == pytest.approx(0.7 * 1.5)
    assert demand.rate(0, 8 * 3600) == pytest.approx(0.7 * 0.5)
    assert demand.rate(1, 8 * 3600) == pytest.approx(0.3 * 1.5)  # its clock is 12 hours on


def test_a_crowd_comes_when_and_where_it_is_said() -> None:
    flash = Flash(region=0, after_s=500, lasts_s=500, factor=4)
    demand = replace(LEVEL, flashes=(flash,))
    draws = Draws(Scenario(demand, SOUND, 1000), 0)
    at, came = 0.0, list[float]()
    while at < 1000:
        crowd, at = draws.slice_from(at, 1000)
        came += crowd.at_s
    assert came == sorted(came)
    early = sum(when < 500 for when in came)
    assert (len(came) - early) / early == pytest.approx(4, rel=0.2)


def test_the_world_peaks_at_what_is_asked_for(tmp_path: Path) -> None:
    asked = Wanted(2000, 1.0, 4, 0.3, 300.0, crowd=1.0, seed=0)
    scenario, parameters = build(asked, read_measured(results(tmp_path)))
    assert len(scenario.nodes.of_region) == len(REGIONS)
    counts = Fleet(scenario, least_load).run()
    assert counts.most == pytest.approx(2000, rel=0.08)
    assert {p.kind for p in parameters} == {"measured", "stated", "assumed"}
    assert {p.name: p.kind for p in parameters}["join, median s"] == "measured"


def results(folder: Path, **changed: object) -> Path:
    kinds: dict[str, object] = {
        "latency": {
            "first_frame_ms": {"p50": 800, "p95": 900},
            "last_stats": {"video.bytesReceived": 7_500_000},
            "settings": {"seconds": 60},
        },
        "room": {"worker_death": {"longest_gap_ms": 1600}},
        "capacity": {"sessions_256": {"held": 2}, "machine": {"cores": 2}},
        **changed,
    }
    for name, content in kinds.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return folder


def test_what_was_measured_is_read(tmp_path: Path) -> None:
    measured = read_measured(results(tmp_path))
    assert measured.join_s == 0.8
    assert measured.mbit_s == pytest.approx(1.0)
    assert math.exp(1.645 * measured.join_sigma) == pytest.approx(900 / 800)
    scaled, parameters = build(Wanted(100, 0.1, None, 0, 60, 1, 0), measured)
    assert scaled.nodes.places == 8  # 2 on 2 cores, on the 8 of the price list
    assert {p.name: p.kind for p in parameters}["places a node"] == "scaled"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--concurrent", "0"], "concurrent sessions"),
        (["--hours", "0"], "0.05 to 48 hours"),
        (["--hours", "nan"], "0.05 to 48 hours"),
        (["--places", "0"], "places a node"),
        (["--headroom", "-1"], "headroom"),
        (["--crowd", "0.5"], "crowd"),
        (["--mean-session-s", "0"], "mean session"),
        (["--results", "nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_simulated_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--no-validation"]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"capacity": {"sessions_256": {"held": 0}, "machine": {"cores": 2}}},
        {"room": {}},
        {"latency": {"first_frame_ms": {"p50": None}}},
    ],
)
def test_a_result_that_says_too_little_is_one_sentence(
    tmp_path: Path, changed: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(tmp_path, **changed)
    assert main(["--results", str(folder), "--no-validation"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_small_run_writes_its_result(tmp_path: Path) -> None:
    out = tmp_path / "scale.json"
    arguments = ["--concurrent", "200", "--hours", "0.1", "--no-validation", "--json", str(out)]
    assert main([*arguments, "--results", str(results(tmp_path)), "--policy", "random"]) == 0
    result = json.loads(out.read_text("utf-8"))
    found = result["policies"]["random"]
    assert found["most_at_once"] >= 150
    assert found["wait_ms"]["n"] > 0
    assert found["eur_per_session_hour"] > 0
    assert "no real cluster" in result["settings"]["simulated"]


def test_the_tables_of_the_docs_are_those_of_the_result() -> None:
    root = Path(__file__).resolve().parents[4]
    result = json.loads((root / "benchmarks/results/scale.json").read_text("utf-8"))
    page = (root / "docs/cost.md").read_text("utf-8")
    assert theory(result) in page
    assert policies(result) in page
    assert all(case["holds"] for case in result["against_theory"])
    assert all(found["most_at_once"] >= 100_000 for found in result["policies"].values())
    assert all(found["cpu_s"] <= 60 for found in result["policies"].values())
