"""``python -m visavis.benchmarks.scale.tables --write``: the tables of docs/cost.md, from results.

Figures are never typed by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visavis.benchmarks.common import read_result
from visavis.benchmarks.figures.tables import show_figures

_RESULT = Path(__file__).parents[1] / "results" / "scale.json"
_PAGE = Path(__file__).parents[2] / "docs" / "cost.md"


def main(argv: list[str] | None = None) -> int:
    """Print the tables, or write them; returns the exit code."""
    result = read_result(_RESULT)
    return show_figures(_PAGE, f"{theory(result)}\n\n{policies(result)}", __doc__, argv)


def theory(result: dict[str, Any]) -> str:
    """Return what was held against theory."""
    lines = ["| against theory | closed form | simulated, 95 % interval | off |"]
    lines.append("|---|---:|---:|---:|")
    for case in result["against_theory"]:
        spread = f"{case['simulated']:.4g} ({case['low']:.4g} to {case['high']:.4g})"
        lines.append(
            f"| {case['what']} | {case['theory']:.4g} | {spread} | {case['off_percent']:+.1f} % |"
        )
    return "\n".join(lines)


def policies(result: dict[str, Any]) -> str:
    """Return the policies side by side."""
    lines = [
        "| policy | at once | p50 and p99 wait, s | p99 in the crowd | refused | abroad "
        "| avatar there | lost with a node | € a session-hour | simulated in |",
        "|---|" + "---:|" * 9,
    ]  # fmt: skip
    for name, found in result["policies"].items():
        cells = (
            name,
            f"{found['most_at_once']:,}".replace(",", " "),
            f"{found['wait_before_and_after_ms']['p50'] / 1e3:.2f}, "
            f"{found['wait_before_and_after_ms']['p99'] / 1e3:.2f}",
            f"{found['wait_in_the_crowd_ms']['p99'] / 1e3:.2f}",
            f"{found['refused_percent']:.2f} %",
            f"{found['elsewhere_percent']:.1f} %",
            f"{found['avatar_there_percent']:.0f} %",
            f"{found['lost']} of {found['lost'] + found['moved']}",
            f"{found['eur_per_session_hour']:.3f}",
            f"{found['wall_s']:.0f} s ({found['cpu_s']:.0f} s of a core)",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
