"""Locks that the system gives back when their holder dies; elsewhere than on Unix there are none.

Windows has no ``flock``. One process at a time uses a data folder there, and says so in the doctor.
"""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

KEPT = fcntl is not None
"""Whether this system keeps locks between processes."""


def hold(path: Path, *, wait: bool = False) -> int:
    """Take the lock and return its descriptor.

    Args:
        path: the lock's file, made if needed.
        wait: for as long as another process holds it.

    Raises:
        BlockingIOError: another process, or another descriptor of this one, holds it.
        OSError: the file cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        lock(descriptor, wait=wait)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock(descriptor: int, *, wait: bool = True) -> None:
    """Lock an open file until it is closed; raises as :func:`hold`."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def let_go(descriptor: int) -> None:
    """Give a lock back; a negative descriptor is none."""
    if descriptor >= 0:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether somebody holds the lock right now."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        lock(descriptor, wait=False)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
