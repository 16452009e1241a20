"""The report: one HTML page that opens offline, on a phone and in the dark; nothing is loaded."""

from __future__ import annotations

from html import escape
from typing import Final

from visavis.streamer.cost import charts
from visavis.streamer.cost.labels import NAMES, euros, number, quantity
from visavis.streamer.cost.study import Compared, Study

_STYLE: Final = """
:root { color-scheme: light dark; --bg: #f4f5f3; --surface: #fff; --ink: #161a19; --muted: #59615e;
  --line: #d8dcd8; --accent: #0b6e5d; --wash: #e1efeb; }
@media (prefers-color-scheme: dark) { :root { --bg: #101312; --surface: #191d1c; --ink: #eef1ef;
  --muted: #a0aaa6; --line: #2c3230; --accent: #6fd3bd; --wash: #16302a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 4rem; }
h1 { font-size: clamp(1.6rem, 1.2rem + 2vw, 2.3rem); line-height: 1.15; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.muted, td small { color: var(--muted); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(9.5rem, 44%), 1fr));
  gap: .8rem; margin: 1.4rem 0; padding: 0; list-style: none; }
.cards li { background: var(--surface); border: 1px solid var(--line); border-radius: 12px;
  padding: .8rem 1rem; }
.cards b { display: block; font-size: 1.5rem; line-height: 1.25; color: var(--accent); }
.cards span { font-size: .9rem; color: var(--muted); }
figure { margin: .8rem 0; padding: .8rem; background: var(--surface); border-radius: 12px;
  border: 1px solid var(--line); }
figure svg { display: block; width: 100%; height: auto; }
.narrow { display: none; }
@media (max-width: 40rem) { .wide { display: none; } .narrow { display: block; } }
@media (min-width: 50rem) { .cards { grid-template-columns: repeat(3, 1fr); } }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 12px;
  background: var(--surface); }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .5rem .8rem; border-top: 1px solid var(--line);
  vertical-align: top; }
thead th { border-top: 0; color: var(--muted); font-weight: 600; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead th.n { white-space: normal; }
td:first-child { min-width: 15rem; }
td small { display: block; overflow-wrap: anywhere; }
@media (max-width: 40rem) { table, tbody, tr, td { display: block; } thead { display: none; }
  tr { border-top: 1px solid var(--line); padding: .5rem 0; } td, td.n { border: 0; min-width: 0;
  padding: .15rem .8rem; text-align: left; white-space: normal; }
  td[data-label]::before { content: attr(data-label) ": "; color: var(--muted); }
  td.n small { display: inline; } }
.notes { background: var(--wash); border-radius: 12px; padding: .7rem 1rem .7rem 2.2rem; }
.kind { white-space: nowrap; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_NEVER: Final = "never"


def as_html(study: Study) -> str:
    """Return the whole page."""
    parts = (
        _head(study),
        _utilisation(study),
        _offers(study),
        _split(study),
        _sure(study),
        _sources(study),
    )
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>What a session costs</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _figure(plot: charts.Plot, study: Study, says: str) -> str:
    """Draw a plot for both widths; its sentence stands for it where it cannot be seen."""
    wide, narrow = (charts.svg(plot, study, narrow=n) for n in (False, True))
    return (
        f'<figure role="img" aria-label="{escape(says)}">'
        f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div></figure>'
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]], numbers: set[int]) -> str:
    """Return a table; cells are HTML already."""

    def row(cells: tuple[str, ...]) -> str:
        return "".join(
            f"<td{right(n)}{label(n)}>{cell}</td>" for n, cell in enumerate(cells) if cell
        )

    def label(n: int) -> str:  # on a phone, where rows are stacked and the head is not shown
        return f' data-label="{head[n]}"' if n else ""

    def right(n: int) -> str:
        return ' class="n"' if n in numbers else ""

    titles = "".join(f'<th scope="col"{right(n)}>{text}</th>' for n, text in enumerate(head))
    body = "\n".join(f"<tr>{row(cells)}</tr>" for cells in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _head(study: Study) -> str:
    cost, draws = study.cost, study.draws
    cards = (
        (quantity("utilisation", study.inputs.utilisation), "of its places in use, over a year"),
        (euros(cost.eur_per_session_hour), "an hour of one session"),
        (f"{number(draws.p5)} to {euros(draws.p95)}", "in 90 % of the draws over all ranges"),
        (f"{number(1000 * cost.kwh_per_session_hour)} Wh", "an hour of one session"),
        (f"{number(cost.g_per_session_hour)} g CO₂e", "an hour of one session"),
        (number(study.inputs.sessions), "sessions the machine holds"),
    )
    items = "".join(f"<li><b>{escape(b)}</b><span>{escape(s)}</span></li>" for b, s in cards)
    notes = "".join(f"<li>{escape(note)}</li>" for note in study.notes)
    return (
        "<h1>What a session costs</h1>\n"
        f'<p class="muted">{escape(study.prices.machine.name)}. Sessions: '
        f"{escape(study.capacity.words)}. Price list of {escape(study.prices.date)}.</p>\n"
        f'<ul class="cards">{items}</ul>\n<ul class="notes">{notes}</ul>'
    )


def _utilisation(study: Study) -> str:
    used, cost = study.inputs.utilisation, study.cost
    says = (
        f"At {quantity('utilisation', used)} a session-hour costs "
        f"{euros(cost.eur_per_session_hour)} on one's own machine; the offers are level lines."
    )
    return (
        "<h2>Utilisation first</h2>\n"
        "<p>A machine that is owned costs nearly the same whether anybody is live or not, so the "
        "share of its places that are in use decides more than any price. The dot is this study; "
        "where the line falls below an offer, owning is cheaper. Both scales are logarithmic.</p>\n"
        + _figure(charts.by_utilisation, study, says)
    )


def _offers(study: Study) -> str:
    rows = [_offer_row(study, compared) for compared in study.offers]
    head = ("offer", "€ a session-hour", "own is cheaper from", "paid back after", "own cheaper in")
    cheapest = min(
        (o for o in study.offers if o.eur_per_session_hour is not None),
        key=lambda o: o.eur_per_session_hour or 0.0,
        default=None,
    )
    used = quantity("utilisation", study.prices.hired.utilisation.value)
    says = "Money spent over the months on one's own machine and on each offer."
    if cheapest is not None:
        says += f" The cheapest offer is {cheapest.offer.name}."
    return (
        "<h2>Against listed prices</h2>\n"
        "<p>“Own is cheaper from” is the utilisation of one’s own machine at which both cost the "
        "same, and in brackets how many hours of sessions a day that is. “Paid back” takes the "
        "utilisation of this study. “Own cheaper in” is the share of the draws in which one’s own "
        "machine costs less. Hired machines run the same software, need the same work, and are "
        f"taken as used {used} of the hours that are paid for, as they come and go with the load. "
        "Services are other products; some bring speech and language models with them.</p>\n"
        + _table(head, rows, {1, 2, 3, 4})
        + _figure(charts.paid_back, study, says)
    )


def _offer_row(study: Study, compared: Compared) -> tuple[str, ...]:
    offer = compared.offer
    held = "" if compared.sessions is None else f"{number(compared.sessions)} sessions a machine. "
    told = f"{held}{offer.note}{'. ' if offer.note else ''}{offer.source}"
    name = f"{escape(offer.name)}<small>{escape(told)}</small>"
    if compared.eur_per_session_hour is None or compared.meets is None:
        return (f"{name}<small>{escape(compared.why_not)}</small>", "?", "?", "?", "?")
    meets = compared.meets
    hours, used = meets.session_hours, meets.utilisation
    if hours is None or used is None:
        reach = _NEVER
    elif meets.within_reach():
        reach = f"{100 * used:.2g} % <small>({number(hours / 365)} session-hours a day)</small>"
    else:
        reach = f"{_NEVER} <small>it would take {number(100 * used)} %</small>"
    months = meets.payback_months
    late = months is not None and months > 12 * study.inputs.lifetime_years
    back = _NEVER if months is None else _months(months)
    back += " <small>after its end</small>" if late else ""
    return (
        name,
        euros(compared.eur_per_session_hour),
        reach,
        back,
        f"{100 * (compared.own_cheaper or 0):.0f} %",
    )


def _months(months: float) -> str:
    return "less than a month" if months < 1 else f"{months:.0f} months"


def _split(study: Study) -> str:
    cost = study.cost
    whole = cost.capex + cost.opex
    says = f"Of {euros(whole)} a year {euros(cost.capex)} are capital, the rest is running cost."
    return (
        "<h2>Where the money goes</h2>\n"
        f"<p>A year costs {euros(whole)}: {euros(cost.capex)} bound in the machine (CapEx, "
        f"{100 * cost.capex / whole:.0f} %) and {euros(cost.opex)} paid as it runs (OpEx). It "
        f"takes {number(cost.kwh)} kWh and serves {number(cost.session_hours)} session-hours; "
        f"with the making of the machine that is {number(cost.kg)} kg CO₂e.</p>\n"
        + _figure(charts.split, study, says)
    )


def _sure(study: Study) -> str:
    draws, swings = study.draws, study.swings
    widest = NAMES[swings[0].name][0] if swings else "nothing"
    swung = f"The input that moves the cost most is: {widest}."
    half = f"Half of the draws cost less than {euros(draws.p50)} a session-hour."
    return (
        "<h2>How sure this is</h2>\n"
        f"<p>One input at a time, from its low to its high, all others as they are. {swung}</p>\n"
        + _figure(charts.tornado, study, swung)
        + f"<p>All at once: {len(draws.eur)} draws (seed {draws.seed}), each input from a triangle "
        f"over its range and independent of the others. 90 % of them lie between {euros(draws.p5)} "
        f"and {euros(draws.p95)}. The interval is as good as the ranges: where those are guessed, "
        "so is it.</p>\n" + _figure(charts.spread, study, half)
    )


def _sources(study: Study) -> str:
    rows = [
        (
            f"{escape(NAMES[name][0])}<small>{escape(q.source)}</small>",
            escape(quantity(name, q.value)),
            ""
            if q.low == q.high
            else escape(f"{quantity(name, q.low)} to {quantity(name, q.high)}"),
            f'<span class="kind">{q.kind}</span>',
        )
        for name, q in study.quantities.items()
    ]
    return (
        "<h2>What it is computed from</h2>\n"
        "<p>Listed: a public list or report. Measured: with this product. Stated: by whoever runs "
        "the machine. Assumed: a guess that nobody looked up.</p>\n"
        + _table(("input", "value", "range", "kind"), rows, {1, 2})
    )
