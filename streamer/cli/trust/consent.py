"""``visavis consent``."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from typing import Annotated

import typer

from visavis.streamer.cli.options import ConfigOption, ConsentOption, DataOption, agreed, load
from visavis.streamer.errors import BadRequest

WhoOption = Annotated[str, typer.Option("--who", help="The person in the photo.")]
PurposesOption = Annotated[
    str, typer.Option("--purposes", help="call, present, dub, record; with commas. All else.")
]
ExpiresOption = Annotated[str, typer.Option("--expires", help="A date; else until withdrawn.")]
PresenceOption = Annotated[
    str, typer.Option("--presence", help="How it was shown that the person was there.")
]


def consent(
    action: Annotated[str, typer.Argument(help="show, withdraw or renew")],
    avatar_id: Annotated[str, typer.Argument(metavar="ID")],
    who: WhoOption = "",
    purposes: PurposesOption = "",
    expires: ExpiresOption = "",
    presence: PresenceOption = "",
    statement: Annotated[str, typer.Option(help="The text that was agreed to.")] = "",
    agree: ConsentOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show, withdraw or renew the consent that an avatar exists by."""
    from visavis.streamer.avatars.store import AvatarStore
    from visavis.streamer.trust.consent import read_terms

    settings = load(config, data)
    store = AvatarStore(settings.data_dir, settings.limits, settings.media.size)
    record = store.get(avatar_id)
    if action == "show":
        known = store.consents.of(avatar_id)
        typer.echo(json.dumps(known.describe(), indent=2, ensure_ascii=False))
        if refused := store.consents.refusal(avatar_id, known.purposes[0]):
            sys.stderr.write(f"note: {refused}\n")
    elif action == "withdraw":
        asyncio.run(store.withdraw(avatar_id))
        typer.echo(f"Withdrawn; {avatar_id} is kept, unused, until it is erased.")
    elif action == "renew":
        if not (agree or agreed()):
            raise BadRequest("A new consent needs the person's agreement: --consent.")
        terms = read_terms(who, purposes, expires, presence)
        if statement:
            old = dataclasses.replace(record.consent, statement=statement)
            record = dataclasses.replace(record, consent=old)
        given = store.consents.give(record, terms)
        store.note("consent-renew", avatar_id, consent=given.id)
        typer.echo(f"The consent {given.id} holds until {given.expires or 'it is withdrawn'}.")
    else:
        raise BadRequest("Use: visavis consent show, withdraw or renew ID.")
