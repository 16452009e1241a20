"""The deployment's watermark key, and what its watermarks say."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from visavis.models.files import atomic_write
from visavis.streamer.errors import BadRequest
from visavis.streamer.trust.marks.watermark import payload_of, session_number

_KEY_BYTES: Final = 32


def watermark_key(data_dir: Path) -> bytes:
    """Return the key that the watermark's tags are made with; made where there is none.

    Raises:
        BadRequest: it cannot be read or written.
    """
    path = data_dir.expanduser().absolute() / "trust" / "watermark.key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            atomic_write(path, secrets.token_bytes(_KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise BadRequest(f"The watermark's key {path} cannot be used: {error.strerror}.") from error
    if len(key) != _KEY_BYTES:
        raise BadRequest(f"The watermark's key {path} is damaged; put back a copy of it.")
    return key


def payload_for(data_dir: Path, session: str) -> bytes:
    """Return the 8 bytes that the pictures of a session carry."""
    return payload_of(watermark_key(data_dir), session_number(session)).to_bytes()
