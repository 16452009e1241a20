"""A result as JSON, as a Markdown table and as pictures; two results side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

NAMES = {
    "mouth_to_lip_ms": "microphone to lip",
    "mic_to_sound_ms": "microphone to sound",
    "av_skew_ms": "sound after picture",
    "first_frame_ms": "connect to first frame",
    "barge_in_ms": "barge-in to still mouth",
    "stop_to_still_ms": "silence to still mouth",
    "barge_in_seen_ms": "barge-in to a picture without movement",
    "stop_to_still_seen_ms": "silence to a picture without movement",
    "mouth_seen_moving_ms": "microphone to first movement seen",
    "lateness_ms": "picture against its media time",
}


_BEGIN, _END = "<!-- figures -->", "<!-- /figures -->"


def show_figures(page: Path, text: str, about: str | None, argv: list[str] | None) -> int:
    """Print a table, or with ``--write`` put it between the markers of a page; exit code 0.

    Args:
        page: Markdown with a pair of markers.
        text: the table.
        about: what ``--help`` says.
        argv: arguments; None means the process's own.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--write", action="store_true", help=f"into {page.name}")
    if not parser.parse_args(argv).write:
        sys.stdout.write(text + "\n")
        return 0
    head, rest = page.read_text("utf-8").split(_BEGIN)
    _, tail = rest.split(_END)
    page.write_text(f"{head}{_BEGIN}\n{text}\n{_END}{tail}", "utf-8")
    return 0


def is_figure(value: object) -> bool:
    """Whether a value is percentiles with their number."""
    return isinstance(value, dict) and {"p50", "p95", "p99", "n"} <= value.keys()


def figures(result: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return every set of percentiles in a result by its dotted key, in order."""
    out: dict[str, dict[str, Any]] = {}
    for key, value in result.items():
        if is_figure(value):
            out[prefix + key] = value
        elif isinstance(value, dict) and key not in ("samples", "at_s", "last_stats"):
            out.update(figures(value, f"{prefix}{key}."))
    return out


def _speed(result: dict[str, Any]) -> str:
    """Return the machine's speed at that time, if the result holds it."""
    index = result.get("machine_speed", {}).get("index")
    return f", machine speed {index:.2f} (1: the reference, quiet)" if index else ""


def table(result: dict[str, Any]) -> str:
    """Return a result as a Markdown table with the machine and settings above."""
    machine_, settings = result.get("machine", {}), result.get("settings", {})
    lines = [
        f"**{result.get('benchmark', 'result')}**, {machine_.get('cores', '?')} cores of "
        f"{machine_.get('cpu', 'an unknown CPU')}, {machine_.get('date', 'undated')}"
        + _speed(result),
        "",
        ", ".join(f"{key} {value}" for key, value in settings.items()),
        "",
        "| milliseconds | p50 | p95 | p99 | n |",
        "|---|---:|---:|---:|---:|",
    ]
    for key, value in figures(result).items():
        if value["n"]:
            name = NAMES.get(key, f"`{key.removesuffix('_ms')}`")
            marks = " | ".join(f"{value[p]:.0f}" for p in ("p50", "p95", "p99"))
            lines.append(f"| {name} | {marks} | {value['n']} |")
    return "\n".join(lines)
