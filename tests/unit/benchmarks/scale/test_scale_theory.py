"""Closed forms against known values, and the simulation against closed forms."""

from __future__ import annotations

import pytest

pytest.importorskip("simpy")

from visavis.benchmarks.figures.intervals import Interval
from visavis.benchmarks.scale.theory import erlang_b, erlang_c, interval, mean_wait_s
from visavis.benchmarks.scale.validate import Verdict, validate


@pytest.mark.parametrize(
    ("servers", "erlangs", "refused"),
    [(1, 1.0, 0.5), (2, 1.0, 0.2), (3, 2.0, 4 / 19), (10, 5.0, 0.018385)],
)
def test_erlang_b_by_hand(servers: int, erlangs: float, refused: float) -> None:
    """(a^c/c!) / Σ a^k/k!: for 3 and 2 that is (8/6) / (1+2+2+8/6)."""
    assert erlang_b(servers, erlangs) == pytest.approx(refused, rel=1e-4)


def test_erlang_c_by_hand() -> None:
    assert erlang_c(1, 0.5) == pytest.approx(0.5)  # M/M/1: as often as it is busy
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert mean_wait_s(1, 0.5, 60) == pytest.approx(60)  # ρ/(1-ρ) of a minute


def test_the_interval_is_student_s() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.high - 2 == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_a_verdict_can_fail() -> None:
    assert not Verdict("x", 1.0, Interval(1.2, 1.1, 1.3)).holds()
    assert not Verdict("x", 1.0, Interval(1.09, 1.11, 1.2)).holds()
    assert Verdict("x", 1.0, Interval(1.05, 0.9, 1.2)).holds()


def test_the_simulation_agrees_with_theory() -> None:
    for verdict in validate(runs=8, lasts_s=120_000):
        assert verdict.holds(), verdict
        assert verdict.simulated.high - verdict.simulated.low < 0.5 * verdict.theory, verdict
