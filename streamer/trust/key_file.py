"""Secrets of a deployment: made once, whoever comes first, and read from then on."""

from __future__ import annotations

import os
import secrets
import uuid
from pathlib import Path
from typing import Final

from visavis.models.files import atomic_write
from visavis.streamer.errors import BadRequest

KEY_BYTES: Final = 32


def kept_key(path: Path, name: str) -> bytes:
    """Return the 32 random bytes kept at ``path``; they are made where there are none.

    Two processes that begin at once end up with the same key: who comes second takes what is there.

    Args:
        path: of the file, which only its owner may read; its folder is made if needed.
        name: of the key, for sentences, as in "The signing key".

    Raises:
        BadRequest: it cannot be read or written, or is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{name} {path} cannot be used: {error.strerror}.") from error
    if len(key) != KEY_BYTES:
        raise BadRequest(f"{name} {path} is damaged; put back a copy of it.")
    return key


def _make(path: Path) -> None:
    whole = path.with_name(f".{uuid.uuid4().hex}.new")
    atomic_write(whole, secrets.token_bytes(KEY_BYTES))
    try:
        os.link(whole, path)  # unlike a rename, never takes another's place
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)
