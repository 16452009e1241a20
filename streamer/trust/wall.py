"""Wall-clock time that does not go back, for what expires."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_KEPT_EVERY_S: Final = 1.0


class WallTime:
    """The latest time that was ever seen, over restarts.

    Whoever sets the clock back gets nothing that had expired: time stands still until the clock has
    caught up. The latest time is the modification time of an empty file.

    Args:
        path: of that file; its folder must exist, or nothing is kept.
        now: UNIX time in seconds.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._latest = self._kept = 0.0
        with contextlib.suppress(OSError):
            self._latest = self._kept = path.stat().st_mtime

    def seconds(self) -> float:
        """Return UNIX time in seconds, never less than before."""
        self._latest = max(self._latest, self._now())
        if self._latest - self._kept >= _KEPT_EVERY_S:
            self._kept = self._latest
            with contextlib.suppress(OSError):
                self._path.touch(0o600)
                os.utime(self._path, (self._latest, self._latest))
        return self._latest

    def utc(self) -> datetime.datetime:
        """Return the same as a time in UTC."""
        return datetime.datetime.fromtimestamp(self.seconds(), datetime.UTC)

    def iso(self) -> str:
        """Return the same as ISO 8601."""
        return self.utc().isoformat(timespec="microseconds")
