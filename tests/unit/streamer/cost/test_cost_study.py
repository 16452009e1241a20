"""Offers, ranges, draws and what is written of them."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from visavis.streamer.cost.capacity import Capacity, on_cores, stated
from visavis.streamer.cost.outputs import as_csv, as_json
from visavis.streamer.cost.prices import SHIPPED, Offer, Prices, Quantity, read_prices
from visavis.streamer.cost.report import as_html
from visavis.streamer.cost.study import Study, study, swings_of
from visavis.streamer.errors import BadRequest

EIGHT = Capacity(4, 8, "stated", measured=False)


@pytest.fixture(scope="module")
def prices() -> Prices:
    return read_prices()


@pytest.fixture(scope="module")
def found(prices: Prices) -> Study:
    return study(prices, EIGHT, draws=2000, seed=3)


def with_offer(prices: Prices, **entries: object) -> Prices:
    offer = Offer.model_validate({"name": "X", "kind": "service", **entries})
    return prices.model_copy(update={"offer": [offer]})


@pytest.mark.parametrize(
    ("price", "per", "hour"), [(0.1, "minute", 6), (0.05, "second", 180), (73, "month", 0.1)]
)
def test_offers_come_to_an_hour(price: float, per: str, hour: float) -> None:
    offer = Offer.model_validate({"name": "X", "kind": "service", "price": price, "per": per})
    assert offer.eur_per_hour(0.5) == pytest.approx(hour)
    dollars = offer.model_copy(update={"currency": "USD"})
    assert dollars.eur_per_hour(0.5) == pytest.approx(hour / 2)


def test_a_hired_machine_by_hand(prices: Prices) -> None:
    """16 cores hold 8 of our sessions; 0.60 of the hours are used.

    0.48 € an hour, and an hour of work at 60 € a month of 730 hours, over 4.8; 0.55 GB at 0.1 ct.
    """
    one = with_offer(prices, kind="machine", price=0.48, per="hour", cores=16)
    compared = study(one, EIGHT, draws=100, seed=0).offers[0]
    assert compared.sessions == 8
    assert compared.eur_per_session_hour == pytest.approx((0.48 + 60 / 730) / 4.8 + 0.00055)


def test_what_was_seen_on_a_hired_machine_goes_before_scaling(prices: Prices) -> None:
    one = with_offer(prices, kind="machine", price=0.48, per="hour", cores=16, sessions=3)
    assert study(one, EIGHT, draws=100, seed=0).offers[0].sessions == 3


def test_without_cores_a_hired_machine_is_not_compared(prices: Prices) -> None:
    one = with_offer(prices, kind="machine", price=1, per="hour", cores=4)
    compared = study(one, stated(4, None), draws=100, seed=0).offers[0]
    assert compared.eur_per_session_hour is None
    assert "not known how many" in compared.why_not
    assert "?" in as_html(study(one, stated(4, None), draws=100, seed=0))


def test_draws_repeat_with_their_seed_and_lie_in_the_ranges(prices: Prices, found: Study) -> None:
    again = study(prices, EIGHT, draws=2000, seed=3)
    assert np.array_equal(found.draws.eur, again.draws.eur)
    other = study(prices, EIGHT, draws=2000, seed=4)
    assert not np.array_equal(found.draws.eur, other.draws.eur)
    assert found.draws.p5 < found.draws.p50 < found.draws.p95
    assert found.draws.eur[0] <= found.draws.p5


def test_the_interval_of_one_uncertain_input_is_that_of_its_triangle(prices: Prices) -> None:
    """Only the price of energy is uncertain, and it is the whole cost: quantiles by hand.

    A triangle of 0.1, 0.2, 0.4: the 5 % quantile is 0.1 + sqrt(0.05 · 0.3 · 0.1).
    """
    none = Quantity(value=0, low=0, high=0)
    fixed = {name: none for name in ("purchase_eur", "hosting_eur_per_month", "embodied_kg")}
    machine = prices.machine.model_copy(
        update={
            **fixed,
            "admin_hours_per_month": none,
            "idle_watts": Quantity(value=1000, low=1000, high=1000),
            "busy_watts": Quantity(value=1000, low=1000, high=1000),
        }
    )
    one = Quantity(value=1, low=1, high=1)
    use = {"utilisation": one, "sessions_factor": one, "eur_per_gb": none}
    energy = {"pue": one, "eur_per_kwh": Quantity(value=0.2, low=0.1, high=0.4)}
    only = prices.model_copy(
        update={
            "machine": machine,
            "use": prices.use.model_copy(update=use),
            "energy": prices.energy.model_copy(update=energy),
        }
    )
    draws = study(only, stated(1, 8), draws=20_000, seed=1).draws
    assert draws.p5 == pytest.approx(0.1 + (0.05 * 0.3 * 0.1) ** 0.5, abs=0.003)
    assert draws.p95 == pytest.approx(0.4 - (0.05 * 0.3 * 0.2) ** 0.5, abs=0.003)


def test_the_tornado_is_sorted_and_holds_what_matters(found: Study) -> None:
    widths = [swing.width for swing in found.swings]
    assert widths == sorted(widths, reverse=True)
    names = [swing.name for swing in found.swings]
    assert "utilisation" in names
    assert "grid_g_per_kwh" not in names  # CO₂ costs nothing here
    use = next(swing for swing in found.swings if swing.name == "utilisation")
    assert use.at_low > found.cost.eur_per_session_hour > use.at_high


def test_ranges_that_overlap_never_draw_less_under_load(prices: Prices) -> None:
    wide = {
        "idle_watts": Quantity(value=50, low=10, high=300),
        "busy_watts": Quantity(value=60, low=20, high=300),
    }
    odd = prices.model_copy(update={"machine": prices.machine.model_copy(update=wide)})
    found = study(odd, EIGHT, draws=500, seed=0)
    at = {s.name: s for s in swings_of(found.inputs, found.quantities)}
    assert at["busy_watts"].at_low <= found.cost.eur_per_session_hour


def test_json_and_csv_say_the_same(found: Study) -> None:
    whole = json.loads(as_json(found))
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    by = {(row["section"], row["name"]): row for row in rows}
    assert float(by["session_hour", "eur"]["value"]) == whole["session_hour"]["eur"]
    assert len([r for r in rows if r["section"] == "offer"]) == len(whole["offers"])
    assert by["input", "pue"]["kind"] == "listed"
    assert whole["year"]["capex"] + whole["year"]["opex"] == pytest.approx(
        found.cost.eur_per_session_hour * found.cost.session_hours, abs=0.05
    )


def test_a_spreadsheet_takes_no_text_for_a_formula(prices: Prices) -> None:
    odd = with_offer(prices, name='=HYPERLINK("x")', price=1, per="hour", source="@x")
    rows = as_csv(study(odd, EIGHT, draws=100, seed=0))
    assert "=HYPERLINK" not in re.sub(r"'=HYPERLINK", "", rows)


def test_the_page_loads_nothing_and_escapes_everything(prices: Prices) -> None:
    odd = with_offer(prices, name="<script>alert(1)</script>", price=1, per="hour")
    page = as_html(study(odd, EIGHT, draws=100, seed=0))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page.replace('xlink:href="#', "#"))
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\((?!#)", page)


def test_every_plot_is_drawn_wide_and_narrow_in_the_colour_of_the_page(found: Study) -> None:
    page = as_html(found)
    drawn = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawn) == 10
    for text in drawn:
        assert "currentColor" in text
        assert "#010203" not in text
        ET.fromstring(text)  # well-formed by itself
    assert page == as_html(found)  # nothing of the day or the process in it


def test_notes_say_what_does_not_fit(prices: Prices) -> None:
    two = Capacity(1, 2, "measured", measured=True)
    assert any("--cores 8" in note for note in study(prices, two, draws=100, seed=0).notes)
    scaled = on_cores(two, 8)
    assert scaled.sessions == 4
    assert not scaled.measured
    assert "assumed" in scaled.words
    with pytest.raises(BadRequest, match="on how many"):
        on_cores(stated(3, None), 8)


def test_the_shipped_list_is_dated_and_everything_listed_has_a_source(prices: Prices) -> None:
    text = SHIPPED.read_text("utf-8")
    assert prices.date in text
    assert all(offer.source for offer in prices.offer)
    groups = (prices.exchange, prices.use, prices.machine, prices.energy, prices.hired)
    for group in groups:
        for name in type(group).model_fields:
            q = getattr(group, name)
            if isinstance(q, Quantity) and q.kind in ("listed", "measured"):
                assert q.source, name


def test_a_plain_number_is_a_stated_one(tmp_path: Path) -> None:
    text = SHIPPED.read_text("utf-8")
    own = re.sub(r"^purchase_eur = .*$", "purchase_eur = 999", text, flags=re.M)
    path = tmp_path / "own.toml"
    path.write_text(own, "utf-8")
    q = read_prices(path).machine.purchase_eur
    assert (q.value, q.low, q.high, q.kind) == (999, 999, 999, "stated")


def test_without_matplotlib_the_page_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from visavis.streamer.cost import command

    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(BadRequest, match="pip install matplotlib"):
        command._Outputs(tmp_path / "r.html", None, None).check((), force=False)
    command._Outputs(None, tmp_path / "r.json", None).check((), force=False)
