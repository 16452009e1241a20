"""``visavis doctor`` and ``visavis settings``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from visavis.streamer.cli.options import ConfigOption, DataOption, load
from visavis.streamer.errors import BadRequest

_AIR_GAP_S = 60.0  # of idling in the proof


def doctor(
    data: DataOption = None,
    config: ConfigOption = None,
    air_gap: Annotated[
        bool, typer.Option("--air-gap", help="Prove below Python that nothing calls out: minutes.")
    ] = False,
) -> None:
    """Check everything this product needs here, each with a verdict and what to do."""
    from visavis.streamer.commands.doctor import run_checks
    from visavis.streamer.commands.outputs import plain

    settings = load(config, data)
    table = Table("check", "verdict", "detail", "what to do")
    styles = {"ok": "green", "warn": "yellow", "fail": "red"}
    checks = run_checks(settings, air_gap_s=_AIR_GAP_S if air_gap else None)
    for check in checks:
        verdict = f"[{styles[check.verdict]}]{check.verdict}[/]"
        table.add_row(check.name, verdict, plain(check.detail), plain(check.advice))
    Console().print(table)
    if failed := [check.name for check in checks if check.verdict == "fail"]:
        raise BadRequest(f"Something needs your attention: {', '.join(failed)}.")


def settings(
    data: DataOption = None,
    config: ConfigOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/settings.md.")] = False,
) -> None:
    """Show every setting: what it is now, what it may be and what it does."""
    from visavis.streamer.commands.settings import as_markdown, as_table

    if markdown:
        typer.echo(as_markdown(), nl=False)
    else:
        Console().print(as_table(load(config, data)))
