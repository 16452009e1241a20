"""``visavis audit``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from visavis.streamer.cli.options import ConfigOption, DataOption, load
from visavis.streamer.errors import BadRequest


def audit(
    action: Annotated[str, typer.Argument(help="verify or show")] = "verify",
    subject: Annotated[str, typer.Argument(metavar="[ID]", help="show: about this id only.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="show: whole entries, one a line.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Check that nobody has changed the audit log, or show what is in it."""
    from visavis.streamer.trust.audit import entries_about, verify

    path = load(config, data).data_dir / "audit.jsonl"
    if action == "verify":
        last = None
        count = verify(path)
        for entry in entries_about(path):
            last = entry
        end = f"; the last hash is {last['hash']}" if last else ""
        typer.echo(f"{count} entries, and every hash fits{end}.")
    elif action == "show":
        for entry in entries_about(path, subject):
            if as_json:
                typer.echo(json.dumps(entry))
                continue
            details = " ".join(f"{name}={value}" for name, value in entry["details"].items())
            words = (entry["time"][:19], entry["event"], entry["subject"], details)
            typer.echo(" ".join(word for word in words if word))
    else:
        raise BadRequest("Use: visavis audit verify, audit show or audit show ID.")
