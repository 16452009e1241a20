"""The deployment's watermark key, and what its watermarks say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from visavis.streamer.trust.key_file import kept_key
from visavis.streamer.trust.marks.watermark import payload_of, session_number


def watermark_key(data_dir: Path) -> bytes:
    """Return the key that the watermark's tags are made with; made where there is none.

    Raises:
        BadRequest: it cannot be read or written.
    """
    path = data_dir.expanduser().absolute() / "trust" / "watermark.key"
    return kept_key(path, "The watermark's key")


def payloads(data_dir: Path) -> Callable[[str], bytes]:
    """Return what tells the 8 bytes that a session's pictures carry; the key is read once, now.

    Raises:
        BadRequest: the key cannot be read or written.
    """
    key = watermark_key(data_dir)
    return lambda session: payload_of(key, session_number(session)).to_bytes()


def payload_for(data_dir: Path, session: str) -> bytes:
    """Return the 8 bytes that the pictures of a session carry; raises as ``payloads``."""
    return payloads(data_dir)(session)
