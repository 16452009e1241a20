"""The lock on a recording that runs or is being finished: it goes with whoever holds it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Final

from visavis.streamer import locks

_LOCK: Final = "running.lock"


@contextlib.contextmanager
def held(folder: Path) -> Generator[None, None, None]:
    """Keep others from finishing or erasing a recording.

    Raises:
        BlockingIOError: somebody holds it already.
        OSError: the disk does not take it.
    """
    path = folder / _LOCK
    lock = locks.hold(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows, where it is open
            path.unlink()
        locks.let_go(lock)


def is_held(folder: Path) -> bool:
    """Whether a recording runs, or is being finished, in whatever process."""
    return locks.is_held(folder / _LOCK)
