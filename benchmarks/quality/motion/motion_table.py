"""``quality_motion.json`` as tables.

``python -m visavis.benchmarks.quality.motion.motion_table [--write]``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visavis.benchmarks.figures.tables import show_figures

_RESULT = Path(__file__).parents[2] / "results" / "quality_motion.json"
_README = Path(__file__).parents[3] / "models" / "motion" / "README.md"
_SHOWN = {
    "closure_recall_5": "bilabials closed",
    "closure_recall_5_hops": "at 5 % of vowel time",
    "labiodental_recall_5": "F, V",
    "place_auc": "place AUC",
    "aperture_r": "aperture r",
    "aperture_lag_ms": "lag ms",
    "rounding_d": "rounding d′",
    "rounding_d_inner": "d′, inner part",
    "viseme_accuracy": "visemes",
    "vowels_shut": "vowels shut",
}
_ABLATED = ("closure_recall_5", "place_auc", "aperture_r", "rounding_d")
_METHODS = ("network", "before", "energy")


def markdown(result: Mapping[str, Any]) -> str:
    """Return every table of a result that has something in it."""
    makers = (lips, look_ahead, no_voice, capture, life, ablation, cost)
    return "\n\n".join(text for make in makers if (text := make(result)))


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(r) + " |" for r in rows)


def _figure(value: float | None, digits: int = 2) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.{digits}f}".replace("-0.00", "0.00")


def lips(result: Mapping[str, Any]) -> str:
    """Return network / before / energy for every kind of speech."""
    rows = result.get("rows")
    if not rows:
        return ""
    methods = [m for m in _METHODS if any(m in r for r in rows.values())]
    lines = []
    for name, by_method in rows.items():
        cells = []
        for key in _SHOWN:
            digits = 0 if key == "aperture_lag_ms" else 2
            cells.append(
                " / ".join(_figure(by_method.get(m, {}).get(key), digits) for m in methods)
            )
        lines.append([name, *cells])
    text = f"Lips ({' / '.join(methods)}):\n\n" + _table(["speech", *_SHOWN.values()], lines)
    if (errors := result.get("warping", {}).get("errors_ms")) is not None:
        text += (
            "\n\nTimes by warping, against the known ones of "
            f"{errors['recordings']:.0f} English prompts: starts of phones off by a median of "
            f"{errors['start_error_p50']:.0f} ms (90 %: {errors['start_error_p90']:.0f}), ends by "
            f"{errors['end_error_p50']:.0f} ms ({errors['end_error_p90']:.0f}). The last two rows "
            "say what that costs each figure."
        )
    return text


def look_ahead(result: Mapping[str, Any]) -> str:
    """Return the table of look-aheads."""
    rows = result.get("look_ahead")
    if not rows:
        return ""
    lines = [
        [n, *(_figure(r.get(k), 0 if k == "aperture_lag_ms" else 2) for k in _SHOWN)]
        for n, r in rows.items()
    ]
    return "Look-ahead, clean real speech:\n\n" + _table(["", *_SHOWN.values()], lines)


def no_voice(result: Mapping[str, Any]) -> str:
    """Return apertures at sounds without a voice, 95th percentile and largest."""
    rows = result.get("no_voice")
    if not rows:
        return ""
    methods = [m for m in _METHODS if any(m in r for r in rows.values())]
    lines = [
        [n, *(f"{_figure(r[m]['p95'])} ({_figure(r[m]['max'])})" for m in methods if m in r)]
        for n, r in rows.items()
    ]
    head = "Aperture where nobody speaks, in units of jawOpen, 95th percentile (largest):"
    return f"{head}\n\n" + _table(["", *methods], lines)


def capture(result: Mapping[str, Any]) -> str:
    """Return jaws against captured ones."""
    rows = result.get("capture")
    if not rows:
        return ""
    lines = []
    for take, by_method in rows.items():
        for method in _METHODS:
            if (r := by_method.get(method)) is None:
                continue
            lines.append(
                [
                    f"{take}, {method}", _figure(r["r"]), _figure(r["lag_ms"], 0),
                    f"{_figure(r['p50'])} / {_figure(r['captured_p50'])}",
                    f"{_figure(r['p95'])} / {_figure(r['captured_p95'])}",
                    f"{_figure(r['speed_p99'], 1)} / {_figure(r['captured_speed_p99'], 1)}",
                    f"{_figure(r['jerk'] / 1000, 1)} / {_figure(r['captured_jerk'] / 1000, 1)}",
                ]
            )  # fmt: skip
    head = ["jaw", "r (1.2-8 Hz)", "lag ms", "p50 ours / captured", "p95", "speed p99 /s",
            "jerk 10³/s³"]  # fmt: skip
    title = (
        "Jaw against captured performance (Mandarin; the present network was trained on every take "
        "but the one held out):"
    )
    return f"{title}\n\n" + _table(head, lines)


def life(result: Mapping[str, Any]) -> str:
    """Return head, blinks and gaze against what is published."""
    found = result.get("life")
    if not found:
        return ""
    columns = {
        f"{kind}, {where}": f[where]
        for kind, f in found.items()
        for where in ("talking", "listening", "silent room")
        if where in f
    }
    wanted = (
        ("head σ pitch, °", "0.3-1.5 reading, 3-5 free", ("head", "sigma_pitch"), 2),
        ("head σ yaw, °", "", ("head", "sigma_yaw"), 2),
        ("head σ roll, °", "", ("head", "sigma_roll"), 2),
        ("power below 2.5 Hz", "most", ("head", "power_below_2_5_hz"), 2),
        ("half of the power below, Hz", "", ("head", "half_power_hz"), 2),
        ("nods a minute", "", ("head", "nods_per_minute"), 1),
        ("blinks a minute", "26 talking, 17 at rest", ("blinks", "per_minute"), 1),
        ("lid down / up, ms", "90 / 240", ("blinks", "down_ms"), 0),
        ("gaze held, s", "3.1 talking, 7.9 listening", ("gaze", "hold_s"), 1),
        ("gaze averted, s", "0.93, 0.43", ("gaze", "avert_s"), 2),
        ("aversion p90, °", "below 15", ("gaze", "avert_degrees_p90"), 1),
    )
    lines = []
    for title, published, (part, key), digits in wanted:
        cells = []
        for figures in columns.values():
            cell = _figure(figures[part][key], digits)
            if key == "down_ms":
                cell += f" / {_figure(figures[part]['up_ms'], 0)}"
            cells.append(cell)
        lines.append([title, published, *cells])
    text = "Head, lids and eyes:\n\n" + _table(["", "published", *columns], lines)
    seeds = []
    for kind, f in found.items():
        d = f["diversity"]
        seeds.append(
            [
                kind, _figure(d["head_degrees"]), _figure(d["head_r"]), _figure(d["brows"], 3),
                _figure(d["lips"], 4), _figure(f["talking"].get("stress_r")),
            ]
        )  # fmt: skip
    head = ["four seeds on the same speech", "heads apart, °", "their r", "brows apart",
            "lips apart", "pitch follows loudness, r"]  # fmt: skip
    return f"{text}\n\n{_table(head, seeds)}"


def ablation(result: Mapping[str, Any]) -> str:
    """Return what short trainings of equal length with something left out reach."""
    found = result.get("ablation")
    if not found:
        return ""
    lines = []
    for arm, rows in found["arms"].items():
        cells = []
        for kind, r in rows.items():
            if kind == "no voice":
                cells.append(_figure(r["aperture_p95"]))
            elif kind == "cost":
                cells.append(_figure(r["cpu_ms_per_step"], 0))
            else:
                cells.append(" / ".join(_figure(r.get(k)) for k in _ABLATED))
        lines.append([arm, *cells])
    titles = {"no voice": "no voice, aperture", "cost": "CPU ms a step"}
    conditions = [titles.get(k, k) for k in next(iter(found["arms"].values()))]
    head = (
        f"Augmentation groups, each trained anew for {found['steps']} steps, a smaller network "
        "(bilabials / place AUC / aperture r / rounding d′):"
    )
    return f"{head}\n\n" + _table(["trained with", *conditions], lines)


def cost(result: Mapping[str, Any]) -> str:
    """Return times of one 40 ms step."""
    found = result.get("cost_ms_per_40_ms")
    if not found:
        return ""
    lines = [[n, *(_figure(t[p]) for p in ("p50", "p95", "p99"))] for n, t in found.items()]
    where = result.get("cost_measured", "")
    title = f"Cost, ms per 40 ms on one core{f' ({where})' if where else ''}:"
    return f"{title}\n\n" + _table(["", "p50", "p95", "p99"], lines)


def main(argv: list[str] | None = None) -> int:
    """Print the tables, or put them between the markers of the motion README."""
    return show_figures(_README, markdown(json.loads(_RESULT.read_text("utf-8"))), __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
