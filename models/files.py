"""Files that a reader sees whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

PRIVATE, SHARED = 0o600, 0o644


def atomic_write(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Write bytes in one step that survives a crash and a power cut.

    Args:
        path: what to write; the old file stays until the new one is whole.
        data: all of it.
        mode: permissions, before the process's mask.

    Raises:
        OSError: the disk does not take it; nothing is left beside ``path``.
    """
    with atomic_path(path, mode=mode) as partial, partial.open("wb") as file:
        file.write(data)


@contextlib.contextmanager
def atomic_path(path: Path, *, mode: int = PRIVATE) -> Iterator[Path]:
    """Yield a hidden path beside ``path`` for a library to write to; it moves there at the end.

    The suffix stays, as libraries choose a format by it. The file exists, empty, from the start.

    Raises:
        OSError: the disk does not take it; nothing is left beside ``path``.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}.partial{path.suffix}")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
