"""The arithmetic, against cases computed by hand."""

from __future__ import annotations

import dataclasses

import pytest

from visavis.streamer.cost.model import Inputs, annuity, break_even, marginal_eur, watts, year

# A machine of 1000 € over 4 years that brings nothing at the end, no interest: 250 € a year.
# 2 places used half the time: 8760 session-hours. 100 W mean at PUE 1.5: 1314 kWh, at 0.20 €:
# 262.80 €. Hosting 10 € a month, an hour of work at 50 € a month, 5 % maintenance; 0.5 GB at 1 ct.
CASE = Inputs(
    sessions=2,
    utilisation=0.5,
    purchase_eur=1000,
    lifetime_years=4,
    residual_share=0,
    interest_share=0,
    maintenance_share=0.05,
    hosting_eur_per_month=10,
    admin_hours_per_month=1,
    admin_eur_per_hour=50,
    idle_watts=60,
    busy_watts=140,
    pue=1.5,
    eur_per_kwh=0.20,
    gb_per_session_hour=0.5,
    eur_per_gb=0.01,
    grid_g_per_kwh=400,
    embodied_kg=200,
)


def test_a_year_by_hand() -> None:
    cost = year(CASE)
    assert cost.session_hours == 8760
    assert watts(CASE) == 100
    assert cost.kwh == pytest.approx(1314)
    assert cost.capital == 250
    assert cost.maintenance == 50
    assert cost.hosting == 120
    assert cost.admin == 600
    assert cost.energy == pytest.approx(262.80)
    assert cost.traffic == pytest.approx(43.80)
    assert cost.capex == 250
    assert cost.opex == pytest.approx(1076.60)
    assert cost.eur_per_session_hour == pytest.approx(1326.60 / 8760)
    assert cost.kwh_per_session_hour == pytest.approx(0.15)
    # 1314 kWh · 0.4 kg and 200 kg over 4 years
    assert cost.kg == pytest.approx(525.6 + 50)
    assert cost.g_per_session_hour == pytest.approx(575.6e3 / 8760)


def test_the_annuity_by_hand() -> None:
    """1000 € at 10 % over two years: 1000 · 0.1 · 1.21 / 0.21 = 576.19 €."""
    loan = dataclasses.replace(CASE, lifetime_years=2, interest_share=0.10)
    assert annuity(loan) == pytest.approx(576.190476)
    # 210 € left at the end are worth 100 € a year less: 210 · 0.1 / 0.21
    left = dataclasses.replace(loan, residual_share=0.21)
    assert annuity(left) == pytest.approx(476.190476)
    # Whatever the interest, what was paid back and what is left make up the price.
    present = sum(annuity(left) / 1.1**n for n in (1, 2)) + 210 / 1.1**2
    assert present == pytest.approx(1000)


def test_interest_of_nearly_nothing_is_like_none() -> None:
    nearly = dataclasses.replace(CASE, interest_share=1e-9, residual_share=0.2)
    assert annuity(nearly) == pytest.approx(200, rel=1e-6)


def test_break_even_by_hand() -> None:
    """Fixed: 250 + 50 + 120 + 600 + 60 W idle (157.68 €) = 1177.68 €.

    A further session-hour: 40 W · 1.5 · 0.20 €/kWh = 0.012 €, and 0.005 € of traffic.
    """
    assert marginal_eur(CASE) == pytest.approx(0.017)
    meets = break_even(CASE, 0.617)
    assert meets.session_hours == pytest.approx(1177.68 / 0.60)
    assert meets.utilisation == pytest.approx(1962.8 / 17520)
    assert meets.within_reach()
    # 8760 · 0.617 - 1076.60 = 4328.32 € saved a year
    assert meets.payback_months == pytest.approx(12 * 1000 / 4328.32)


def test_at_the_break_even_both_cost_the_same() -> None:
    price = 0.3
    used = break_even(CASE, price).utilisation
    assert used is not None
    at = year(dataclasses.replace(CASE, utilisation=used))
    assert at.eur_per_session_hour == pytest.approx(price)


def test_a_price_below_the_next_hour_is_never_met() -> None:
    meets = break_even(CASE, 0.016)
    assert meets.session_hours is None
    assert meets.utilisation is None
    assert meets.payback_months is None
    assert not meets.within_reach()


def test_a_price_that_one_machine_cannot_meet() -> None:
    meets = break_even(CASE, 0.03)
    assert meets.utilisation is not None
    assert meets.utilisation > 1
    assert not meets.within_reach()
