"""The plots of a report as SVG that stands inside the page: no file, no font, no script beside it.

Drawn with matplotlib, which MediaPipe brings where that installs. Text stays text, in the page's
own font; black is handed over as ``currentColor``, so a plot is as dark or as light as the page
around it. Each is drawn wide and narrow, since a wide one shrunk to a phone cannot be read.
"""

from __future__ import annotations

# matplotlib ships hints that pyright takes for partly unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from visavis.streamer.cost.labels import NAMES, PARTS, euros, number, quantity
from visavis.streamer.cost.model import year
from visavis.streamer.cost.study import Study

_INK: Final = "#010203"  # becomes currentColor
_COLOURS: Final = (
    *("#2a8f7b", "#d07a2d", "#7d6bc4", "#c45b72", "#4c87c9"),
    *("#8f8f3a", "#6b7a80", "#b06fb0", "#9a6b4f"),
)  # fmt: skip
_WIDE: Final = (7.6, 3.9)
_NARROW: Final = (3.7, 4.2)
_MOST_SWINGS: Final = 10
_PART_NAMES: Final = {"admin": "work on it", "capital": "capital (CapEx)"}

Plot = Callable[[Any, Study, bool], None]


def svg(plot: Plot, study: Study, *, narrow: bool) -> str:
    """Return one plot as an ``<svg>`` element.

    Args:
        plot: draws on axes.
        study: what is shown.
        narrow: for a phone.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {  # its keys are literals to matplotlib's hints
        "svg.fonttype": "none",
        "svg.hashsalt": f"{plot.__name__}{narrow}",
        "font.family": "sans-serif",
        "font.size": 10 if narrow else 10.5,
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=_NARROW if narrow else _WIDE, layout="constrained")
        axes = figure.subplots()
        plot(axes, study, narrow)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return _inline(out.getvalue())


def _inline(text: str) -> str:
    """Cut the document down to its element, and give the page's colour and font to it."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"font:\s*([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = re.sub(r"font-family:[^;\"]*;?", "", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace(_INK, "currentColor").replace("<svg ", '<svg aria-hidden="true" ', 1)


def by_utilisation(axes: Any, study: Study, narrow: bool) -> None:
    """Draw what a session-hour costs over the utilisation, beside the offers."""
    used = np.geomspace(0.01, 1, 120)
    own = [year(replace(study.inputs, utilisation=float(u))).eur_per_session_hour for u in used]
    axes.plot(100 * used, own, color=_COLOURS[0], lw=2.6, label="own machine")
    known = [o for o in study.offers if o.eur_per_session_hour is not None]
    for compared, colour in zip(known, (_COLOURS[1:] * 9)[: len(known)], strict=True):
        dashes = "--" if compared.offer.kind == "service" else ":"
        axes.axhline(
            compared.eur_per_session_hour,
            color=colour,
            ls=dashes,
            lw=1.6,
            label=compared.offer.name,
        )
    at = study.inputs.utilisation
    axes.plot([100 * at], [study.cost.eur_per_session_hour], "o", color=_COLOURS[0], ms=8)
    axes.set_yscale("log")
    axes.set_xscale("log")
    marks = [1, 3, 10, 30, 100]
    axes.set_xticks(marks, [f"{m} %" for m in marks])
    axes.xaxis.set_minor_locator(_nothing("Locator"))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(_nothing("Formatter"))
    axes.set(xlabel="utilisation", ylabel="€ a session-hour")
    axes.grid(alpha=0.2, color=_INK)
    axes.get_figure().legend(
        loc="outside lower center" if narrow else "outside right center", fontsize=8
    )


def split(axes: Any, study: Study, narrow: bool) -> None:
    """Draw what a year is made of."""
    values = {part: getattr(study.cost, part) for part in PARTS}
    whole = sum(values.values())
    parts = sorted(values, key=lambda part: values[part])
    colours = [_COLOURS[1] if part == "capital" else _COLOURS[0] for part in parts]
    bars = axes.barh(
        [_PART_NAMES.get(p, p) for p in parts],
        [values[p] for p in parts],
        color=colours,
        height=0.62,
    )
    texts = [f"{euros(values[p])}, {100 * values[p] / whole:.0f} %" for p in parts]
    axes.bar_label(bars, texts, padding=4, fontsize=9)
    axes.set_xlim(0, 1.02 * max(values.values()) * (1.75 if narrow else 1.3))
    axes.set(xlabel="€ a year")
    axes.tick_params(axis="y", length=0)
    _few_ticks(axes, narrow)


def tornado(axes: Any, study: Study, narrow: bool) -> None:
    """Draw what each input does alone."""
    swings = list(reversed(study.swings[:_MOST_SWINGS]))
    middle = study.cost.eur_per_session_hour
    for row, swing in enumerate(swings):
        for value, colour in ((swing.at_low, _COLOURS[4]), (swing.at_high, _COLOURS[1])):
            axes.barh(row, value - middle, left=middle, color=colour, height=0.62)
        low, high = (quantity(swing.name, end) for end in (swing.low, swing.high))
        if not narrow:
            ends = sorted(((swing.at_low, low), (swing.at_high, high)))
            for (x, text), (side, away) in zip(ends, (("right", -4), ("left", 4)), strict=True):
                axes.annotate(
                    text, (x, row), (away, 0), textcoords="offset points", ha=side, va="center",
                    fontsize=8,
                )  # fmt: skip
    axes.axvline(middle, color=_INK, lw=1)
    axes.set_yticks(range(len(swings)), [NAMES[s.name][0] for s in swings])
    axes.tick_params(axis="y", length=0)
    ends = [end for s in swings for end in (s.at_low, s.at_high)] or [middle]
    room = 0 if narrow else 0.28 * (max(ends) - min(ends))
    axes.set_xlim(max(0.0, min(ends) - room) if narrow else min(ends) - room, max(ends) + room)
    axes.set(xlabel="€ a session-hour")
    axes.plot([], [], "s", color=_COLOURS[4], label="input at its low")
    axes.plot([], [], "s", color=_COLOURS[1], label="at its high")
    axes.legend(fontsize=8, loc="lower right")
    _few_ticks(axes, narrow)


def spread(axes: Any, study: Study, narrow: bool) -> None:
    """Draw the Monte-Carlo draws."""
    draws = study.draws
    edge = float(np.percentile(draws.eur, 99))
    axes.hist(draws.eur[draws.eur <= edge], bins=40, color=_COLOURS[0], alpha=0.75)
    for value, text in ((draws.p5, "5 %"), (draws.p50, "half"), (draws.p95, "95 %")):
        axes.axvline(value, color=_INK, lw=1, ls="--")
        axes.annotate(
            f"{text}\n{number(value)}", (value, 1), (3, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=8,
        )  # fmt: skip
    axes.set(xlabel="€ a session-hour", ylabel="draws")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.18)
    _few_ticks(axes, narrow)


def paid_back(axes: Any, study: Study, narrow: bool) -> None:
    """Draw money spent over the months, at the utilisation of the study."""
    months = np.arange(0, 12 * study.inputs.lifetime_years + 1)
    hours = study.cost.session_hours / 12
    own = study.inputs.purchase_eur + months * study.cost.opex / 12
    axes.plot(months, own, color=_COLOURS[0], lw=2.6, label="own machine")
    known = [o for o in study.offers if o.eur_per_session_hour is not None]
    for compared, colour in zip(known, (_COLOURS[1:] * 9)[: len(known)], strict=True):
        spent = months * hours * float(compared.eur_per_session_hour or 0)
        dashes = "--" if compared.offer.kind == "service" else ":"
        axes.plot(months, spent, color=colour, ls=dashes, lw=1.6, label=compared.offer.name)
    axes.set_yscale("symlog", linthresh=max(1.0, study.inputs.purchase_eur / 10))
    axes.yaxis.set_major_formatter(_amount)
    axes.set(xlabel="months", ylabel="€ spent", ylim=(0, None))
    axes.grid(alpha=0.2, color=_INK)
    axes.get_figure().legend(
        loc="outside lower center" if narrow else "outside right center", fontsize=8
    )


def _few_ticks(axes: Any, narrow: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 7))


def _amount(value: float, _: int) -> str:
    return number(value)


def _nothing(what: str) -> Any:
    from matplotlib import ticker

    return {"Locator": ticker.NullLocator, "Formatter": ticker.NullFormatter}[what]()
