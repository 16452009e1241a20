"""A study as JSON and as CSV, for programs and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from visavis.streamer.cost.labels import NAMES, PARTS
from visavis.streamer.cost.study import Compared, Study

_DIGITS = 6


def as_dict(study: Study) -> dict[str, Any]:
    """Return everything of a study but the single draws."""
    cost = study.cost
    return {
        "prices": {"date": study.prices.date, "machine": study.prices.machine.name},
        "capacity": asdict(study.capacity),
        "inputs": {name: q.model_dump() for name, q in study.quantities.items()},
        "year": {
            **{part: round(getattr(cost, part), 2) for part in PARTS},
            "capex": round(cost.capex, 2),
            "opex": round(cost.opex, 2),
            "session_hours": round(cost.session_hours, 1),
            "kwh": round(cost.kwh, 1),
            "kg_co2e": round(cost.kg, 1),
        },
        "session_hour": {
            "eur": round(cost.eur_per_session_hour, _DIGITS),
            "kwh": round(cost.kwh_per_session_hour, _DIGITS),
            "g_co2e": round(cost.g_per_session_hour, 2),
        },
        "monte_carlo": {
            "draws": len(study.draws.eur),
            "seed": study.draws.seed,
            "eur_p5": round(study.draws.p5, _DIGITS),
            "eur_p50": round(study.draws.p50, _DIGITS),
            "eur_p95": round(study.draws.p95, _DIGITS),
        },
        "tornado": [asdict(swing) for swing in study.swings],
        "offers": [_offer(compared) for compared in study.offers],
        "notes": list(study.notes),
    }


def _offer(compared: Compared) -> dict[str, Any]:
    return {
        **compared.offer.model_dump(),
        "eur_per_session_hour": compared.eur_per_session_hour,
        "hired_sessions": compared.sessions,
        "break_even": None if compared.meets is None else asdict(compared.meets),
        "own_cheaper_share": compared.own_cheaper,
        "why_not": compared.why_not,
    }


def as_json(study: Study) -> str:
    """Return the study as indented JSON."""
    return json.dumps(as_dict(study), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(study: Study) -> str:
    """Return the study as one table: ``section, name, value, low, high, unit, kind, source``."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("section", "name", "value", "low", "high", "unit", "kind", "source"))
    for name, q in study.quantities.items():
        unit = "" if NAMES[name][1].startswith("%") else NAMES[name][1]
        table.writerow(("input", name, q.value, q.low, q.high, unit, q.kind, _plain(q.source)))
    whole = as_dict(study)
    for section, unit in (("year", ""), ("session_hour", ""), ("monte_carlo", "")):
        for name, value in whole[section].items():
            table.writerow((section, name, value, "", "", unit, "computed", ""))
    for swing in study.swings:
        row = ("tornado_eur", swing.name, study.cost.eur_per_session_hour)
        table.writerow((*row, swing.at_low, swing.at_high, "€ a session-hour", "computed", ""))
    for compared in study.offers:
        name, price = _plain(compared.offer.name), compared.eur_per_session_hour
        source = _plain(compared.offer.source)
        table.writerow(("offer", name, price, "", "", "€ a session-hour", "listed", source))
        used = None if compared.meets is None else compared.meets.utilisation
        table.writerow(("break_even_utilisation", name, used, "", "", "", "computed", ""))
    return out.getvalue()


def _plain(text: str) -> str:
    """Keep a spreadsheet from taking text of a list for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
