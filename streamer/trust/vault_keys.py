"""Where a vault's master keys come from: a file, a variable or the system's keyring.

A source holds one key, or two while a rotation is under way: the first wraps what is new, every one
opens what it has wrapped.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Final

from visavis.models.files import atomic_write
from visavis.streamer.errors import BadRequest, VisavisError
from visavis.streamer.trust.sealed import KEY_BYTES

VARIABLE: Final = "VISAVIS_VAULT_KEY"
_SERVICE: Final = "visavis vault"
_HEX: Final = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


class KeyMissing(VisavisError):
    """The vault's key is not where it should be; the message says where that is."""

    status = 409
    usual_code = "vault-locked"


def key_id(key: bytes) -> str:
    """Return the name of a master key, which tells nothing of it."""
    return hashlib.sha256(b"visavis master key" + key).hexdigest()[:16]


def default_source(vault: str) -> str:
    """Return the key's place where none is named: a file outside of the data folder."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return f"file:{base / 'visavis' / f'vault-{vault}.key'}"


def check_source(source: str) -> str:
    """Return a source as it is kept.

    Raises:
        BadRequest: it is none.
    """
    kind, _, rest = source.partition(":")
    if kind == "file" and rest:
        return f"file:{Path(rest).expanduser().absolute()}"
    if source in ("env", "keyring"):
        return source
    raise BadRequest("The key comes from file:PATH, env or keyring.")


def load(source: str, vault: str) -> list[bytes]:
    """Return the keys of a source, the one for what is new first.

    Raises:
        KeyMissing: they are not there, or are no keys.
    """
    where = describe(source)
    try:
        text = _text(source, vault)
    except OSError as error:
        raise KeyMissing(f"The vault is locked: its key is not in {where}.") from error
    words = text.replace(",", " ").split()
    if not words:
        raise KeyMissing(f"The vault is locked: its key is not in {where}.")
    if not all(_HEX.fullmatch(word) for word in words):
        raise KeyMissing(f"The vault is locked: what is in {where} is no key.")
    return [bytes.fromhex(word) for word in words]


def save(source: str, vault: str, keys: list[bytes]) -> None:
    """Put keys where the source keeps them.

    Raises:
        BadRequest: it cannot be written to.
        OSError: the disk does not take them.
    """
    text = "".join(f"{key.hex()}\n" for key in keys)
    if source.startswith("file:"):
        path = Path(source.removeprefix("file:"))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic_write(path, text.encode())
    elif source == "keyring":
        keyring = _keyring()
        try:
            keyring.set_password(_SERVICE, vault, text)
        except keyring.errors.KeyringError as error:
            raise BadRequest(
                f"The system's keyring does not take the key: {_why(error)}"
            ) from error
    else:
        raise BadRequest(
            f"Put the new key first into {VARIABLE}, the old one behind it with a comma between, "
            "and run this again."
        )


def describe(source: str) -> str:
    """Return where a source is, in words."""
    if source.startswith("file:"):
        return f"the file {source.removeprefix('file:')}"
    return f"the variable {VARIABLE}" if source == "env" else "the system's keyring"


def _text(source: str, vault: str) -> str:
    if source.startswith("file:"):
        return Path(source.removeprefix("file:")).read_bytes()[:1024].decode("ascii", "replace")
    if source == "env":
        return os.environ.get(VARIABLE, "")
    keyring = _keyring()
    try:
        return str(keyring.get_password(_SERVICE, vault) or "")
    except keyring.errors.KeyringError as error:
        said = f"The vault is locked: the system's keyring cannot be asked: {_why(error)}"
        raise KeyMissing(said) from error


def _why(error: Exception) -> str:
    """Return what a backend says, as one sentence."""
    if type(error).__name__ == "NoKeyringError":
        return "there is none here. Use file:PATH or env."
    said = " ".join(str(error).split()) or type(error).__name__
    return said.rstrip(".")[:200] + "."


def _keyring() -> Any:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        raise BadRequest("The system's keyring needs: pip install keyring.") from error
    return keyring
