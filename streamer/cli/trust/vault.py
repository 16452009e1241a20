"""``visavis vault``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.streamer.cli.options import ConfigOption, DataOption, load
from visavis.streamer.errors import BadRequest, VisavisError

if TYPE_CHECKING:
    from visavis.streamer.trust.vault import Vault


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
        state = one.init(key, lambda avatar: sys.stderr.write(f"sealed {avatar}\n"))
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
