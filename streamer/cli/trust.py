"""Commands for consent, keys, tokens, the audit log and where files come from."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from visavis.streamer.cli.options import ConfigOption, ConsentOption, DataOption, agreed, load
from visavis.streamer.errors import BadRequest, NotFound, VisavisError

if TYPE_CHECKING:
    from visavis.streamer.trust.vault import Vault

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


def vault(
    action: Annotated[str, typer.Argument(help="init, status, lock, unlock or rotate")] = "status",
    key: Annotated[
        str, typer.Option("--key", help="init: file:PATH, env (VISAVIS_VAULT_KEY) or keyring.")
    ] = "",
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Encrypt what is kept of avatars, under a key of yours."""
    from visavis.streamer.avatars.store import AvatarStore
    from visavis.streamer.rooms.recording.shelf import Recordings
    from visavis.streamer.trust.audit import AuditLog
    from visavis.streamer.trust.vault import Vault
    from visavis.streamer.trust.vault_keys import describe

    settings = load(config, data)
    one = Vault(settings.data_dir)
    audit = AuditLog(settings.data_dir / "audit.jsonl")
    if action == "status":
        typer.echo(json.dumps(one.describe(), indent=2))
        return
    if action == "init":
        AvatarStore(settings.data_dir, settings.limits, settings.media.size)  # signs old consents

        def told(avatar: str) -> None:
            sys.stderr.write(f"sealed {avatar}\n")

        recordings = Recordings(settings.data_dir, one)
        state = one.init(key, told, recordings.seal)
        typer.echo(
            f"The vault {state.id} is open. Its key is in {describe(state.source)}: keep a copy "
            "elsewhere, for without it nothing can be read again."
        )
    elif action == "lock":
        one.lock()
        typer.echo("Locked: what is live ends now, and nothing can be opened until vault unlock.")
    elif action == "unlock":
        one.unlock()
        typer.echo("Open.")
    elif action == "rotate":
        _rotate(one)
    else:
        raise BadRequest("Use: visavis vault init, status, lock, unlock or rotate.")
    audit.record(f"vault-{action}", "vault")


def _rotate(one: Vault) -> None:
    done = 0

    def told(avatar: str) -> None:
        nonlocal done
        done += 1

    try:
        done, lost = one.rotate(told)
    except OSError as error:
        raise VisavisError(
            f"The disk took no more after {done} avatars ({error.strerror}); nothing is lost. "
            "Make room and run this again."
        ) from error
    typer.echo(f"The keys of {done} avatars are wrapped by the new master key.")
    for avatar in lost:
        sys.stderr.write(f"note: no key here opens {avatar}; it was left as it is.\n")
    if one.state is not None and one.state.source == "env" and not lost:
        typer.echo("Take the old key out of VISAVIS_VAULT_KEY now.")


def tokens(
    action: Annotated[str, typer.Argument(help="create, list or revoke")] = "list",
    token_id: Annotated[str, typer.Argument(metavar="[ID]")] = "",
    scope: Annotated[str, typer.Option(help="watch, speak, enrol or administer.")] = "speak",
    avatar: Annotated[str, typer.Option(help="The only avatar that is spoken as or watched.")] = "",
    lasts: Annotated[str, typer.Option(help="Such as 90m, 12h or 7d.")] = "1h",
    once: Annotated[bool, typer.Option("--once", help="It begins one thing only.")] = False,
    name: Annotated[str, typer.Option(help="What to call it in the list.")] = "",
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Let somebody do one thing for a while: watch, speak as an avatar, make avatars."""
    from visavis.streamer.avatars.store import AvatarStore
    from visavis.streamer.commands.outputs import plain
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
        table = Table()
        table.add_column("id", no_wrap=True, min_width=16)  # to be copied whole
        for column in ("scope", "avatar", "until", "state", "name"):
            table.add_column(column, overflow="fold")
        for record in office.all():
            until = datetime.datetime.fromtimestamp(record.expires, datetime.UTC)
            used = record.single and office.was_used(record.id)
            state = office.ended(record.id) or ("Used." if used else "Valid.")
            words = (record.id, record.scope, record.avatar[:8] or "any", f"{until:%Y-%m-%d %H:%M}")
            table.add_row(*words, state, plain(record.name))
        Console().print(table)
    elif action == "revoke" and token_id:
        office.revoke(token_id)
        store.note("token-revoke", token_id)
        typer.echo(f"Taken back: {token_id}. What was begun with it ends within a second.")
    else:
        raise BadRequest("Use: visavis tokens create, tokens list or tokens revoke ID.")


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
        entries = list(entries_about(path, subject))
        if subject and not entries:
            raise NotFound(f"There is nothing about {subject} in the log.")
        for entry in entries:
            if as_json:
                typer.echo(json.dumps(entry))
                continue
            details = " ".join(f"{name}={value}" for name, value in entry["details"].items())
            words = (entry["time"][:19], entry["event"], entry["subject"], details)
            typer.echo(" ".join(word for word in words if word))
    else:
        raise BadRequest("Use: visavis audit verify, audit show or audit show ID.")


_UNREADABLE, _UNMARKED = 2, 3


def verify(
    files: Annotated[list[Path], typer.Argument(help="Videos, in any format FFmpeg reads.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Say whether videos were made by such a server: watermark, label, C2PA manifest.

    Exit code 0: every file is marked; 3: one is not; 2: one cannot be read.
    """
    from visavis.streamer.trust.marks.verdict import verify_file

    data_dir = load(config, data).data_dir
    key_file = data_dir / "trust" / "watermark.key"
    key = key_file.read_bytes() if key_file.is_file() else None
    code = 0
    for path in files:
        try:
            if not path.is_file():
                what = "is no ordinary file; name a video" if path.exists() else "does not exist"
                raise BadRequest(f"{path} {what}.")
            verdict = verify_file(path, key, data_dir)
        except BadRequest as error:
            sys.stderr.write(f"visavis: {error}\n")
            code = _UNREADABLE
            continue
        typer.echo(json.dumps(verdict.describe()) if as_json else f"{path}: {verdict.words}")
        if not verdict.is_marked:
            code = code or _UNMARKED
    if code:
        raise typer.Exit(code)
