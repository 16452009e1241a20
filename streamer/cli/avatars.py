"""``visavis enroll`` and ``visavis avatars``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from visavis.streamer.cli.options import (
    ConfigOption,
    ConsentOption,
    DataOption,
    ForceOption,
    agreed,
    load,
    progress_bar,
    read_photo,
)
from visavis.streamer.cli.trust import (
    ExpiresOption,
    PresenceOption,
    PurposesOption,
    WhoOption,
)
from visavis.streamer.errors import BadRequest

if TYPE_CHECKING:
    from visavis.streamer.avatars.record import AvatarRecord
    from visavis.streamer.avatars.store import AvatarStore


def enroll(
    photo: Annotated[Path, typer.Argument(help="One face: JPEG, PNG, WEBP, HEIC, AVIF.")],
    name: Annotated[str, typer.Option(help="What to call the avatar.")],
    consent: ConsentOption = False,
    who: WhoOption = "",
    purposes: PurposesOption = "",
    expires: ExpiresOption = "",
    presence: PresenceOption = "",
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an avatar from one photo and print its id."""
    from visavis.streamer.avatars.record import plain_line
    from visavis.streamer.commands.enroll import enrol_into_store
    from visavis.streamer.trust.consent import read_terms

    settings = load(config, data)
    terms = read_terms(who, purposes, expires, presence)
    consent = consent or agreed()
    if not consent:
        raise BadRequest(
            "An avatar needs the consent of the person in the photo; "
            "--consent says that it is given."
        )
    if not plain_line(name):
        raise BadRequest("The name is empty; --name says what to call the avatar.")
    picture = read_photo(photo, settings)
    with progress_bar("Enrolling", 1.0) as (bar, task):
        record = enrol_into_store(
            settings,
            picture,
            name,
            consent,
            lambda done, stage: bar.update(task, completed=done, description=stage),
            terms,
        )
    for note in record.notes:
        sys.stderr.write(f"note: {note}\n")
    typer.echo(record.id)


def avatars(
    action: Annotated[str, typer.Argument(help="list, show, export or erase")] = "list",
    avatar_id: Annotated[str, typer.Argument(metavar="[ID]")] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="export: the .zip to write.")
    ] = None,
    force: ForceOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="erase: do not ask.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List the avatars, show one, export or erase one and everything kept of it."""
    from dataclasses import asdict

    from visavis.streamer.avatars.store import AvatarStore
    from visavis.streamer.commands.outputs import plain

    settings = load(config, data)
    store = AvatarStore(settings.data_dir, settings.limits, settings.media.size)
    if action == "list":
        table = Table()
        table.add_column("id", no_wrap=True, min_width=32)  # to be copied whole
        for column in ("name", "status", "created"):
            table.add_column(column)
        for record in store.list():
            created = (record.created or "")[:10]
            table.add_row(record.id, plain(record.name), _state_of(store, record), created)
        Console().print(table)
    elif action == "show" and avatar_id:
        typer.echo(json.dumps(asdict(store.get(avatar_id)), indent=2, ensure_ascii=False))
    elif action == "erase" and avatar_id:
        if sys.stdin.isatty() and not yes:
            name = plain(store.get(avatar_id).name)
            typer.confirm(f"Erase {name}, and every film of it, for good?", abort=True, err=True)
        receipt = store.erase(avatar_id)
        key = "its key destroyed first, " if receipt.key_destroyed else ""
        typer.echo(
            f"Erased {avatar_id}: {key}{receipt.files} files, {receipt.bytes} bytes overwritten; "
            f"receipt in trust/receipts/{avatar_id}.json."
        )
    elif action == "export" and avatar_id and output is not None:
        from visavis.streamer.commands.export import export_subject

        export_subject(store, avatar_id, output, force=force)
        typer.echo(f"Everything kept of {avatar_id} is in {output}.")
    else:
        raise BadRequest(
            "Use: visavis avatars, avatars show ID, avatars export ID -o FILE.zip or erase ID."
        )


def _state_of(store: AvatarStore, record: AvatarRecord) -> str:
    """Return in a word or two what can be done with an avatar."""
    from visavis.streamer.avatars.record import CLOSED
    from visavis.streamer.trust.consent import PURPOSES

    if record.reason_code == CLOSED:
        return "locked"
    refused = all(store.refusal(record.id, purpose) for purpose in PURPOSES)
    return "no consent" if record.status == "ready" and refused else record.status
