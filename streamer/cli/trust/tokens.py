"""``visavis tokens``."""

from __future__ import annotations

import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from visavis.streamer.cli.options import ConfigOption, DataOption, load
from visavis.streamer.errors import BadRequest


def tokens(
    action: Annotated[str, typer.Argument(help="create, list or revoke")] = "list",
    token_id: Annotated[str, typer.Argument(metavar="[ID]")] = "",
    scope: Annotated[str, typer.Option(help="watch, speak, enrol or administer.")] = "speak",
    avatar: Annotated[str, typer.Option(help="The only avatar it is for.")] = "",
    lasts: Annotated[str, typer.Option(help="Such as 90m, 12h or 7d.")] = "1h",
    once: Annotated[bool, typer.Option("--once", help="It begins one thing only.")] = False,
    name: Annotated[str, typer.Option(help="What to call it in the list.")] = "",
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Let somebody do one thing for a while: watch, speak as an avatar, make avatars."""
    from visavis.streamer.avatars.store import AvatarStore
    from visavis.streamer.trust.tokens import read_duration

    settings = load(config, data)
    store = AvatarStore(settings.data_dir, settings.limits, settings.media.size)
    office = store.tokens
    if action == "create":
        consent = ""
        if avatar:
            store.get(avatar)
            consent = store.consents.check(avatar, "call").id
        text, record = office.create(
            scope, read_duration(lasts), name=name, avatar=avatar, consent=consent, single=once
        )
        store.note("token-create", record.id, scope=record.scope)
        typer.echo(text)
        typer.echo(f"It is told this once. In a browser: http://HOST:PORT/#token={text}", err=True)
    elif action == "list":
        table = Table("id", "scope", "avatar", "until", "state", "name")
        for record in office.all():
            until = datetime.datetime.fromtimestamp(record.expires, datetime.UTC)
            used = record.single and office.was_used(record.id)
            state = office.ended(record.id) or ("Used." if used else "Valid.")
            words = (record.id, record.scope, record.avatar[:8] or "any", f"{until:%Y-%m-%d %H:%M}")
            table.add_row(*words, state, record.name)
        Console().print(table)
    elif action == "revoke" and token_id:
        office.revoke(token_id)
        store.note("token-revoke", token_id)
        typer.echo(f"Taken back: {token_id}. What was begun with it ends within a second.")
    else:
        raise BadRequest("Use: visavis tokens create, tokens list or tokens revoke ID.")
