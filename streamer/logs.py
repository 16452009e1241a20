"""What ``serve`` writes to stderr, and a limit on how much of the same it may be."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

PER_S: Final = 10.0
MOST: Final = 5  # records of one kind in that time
_KINDS: Final = 256  # remembered
_HEAD: Final = 80  # characters that tell kinds apart, where a message was put together already
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RateLimit(logging.Filter):
    """Lets a few records of a kind through and counts the rest.

    A client decides how often most lines are written: without a limit it decides how full the
    disk gets. The next line of a kind that is let through says how many were not.

    Args:
        now: monotonic seconds.
        most: records of a kind in ``per_s`` seconds.
        per_s: the length of the window in seconds.
    """

    def __init__(self, now: Callable[[], float], most: int = MOST, per_s: float = PER_S) -> None:
        super().__init__()
        self._now = now
        self._most = most
        self._per_s = per_s
        self._kinds: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        kind = (record.name, record.levelno, str(record.msg)[:_HEAD])
        now = self._now()
        with self._lock:
            began, count = self._kinds.pop(kind, (now, 0))
            unsaid = 0
            if now - began >= self._per_s:
                unsaid = max(0, count - self._most)
                began, count = now, 0
            self._kinds[kind] = (began, count + 1)
            while len(self._kinds) > _KINDS:
                self._kinds.popitem(last=False)
        if count >= self._most:
            return False
        if unsaid:
            record.msg = f"{record.getMessage()} ({unsaid} more like this were not written)"
            record.args = None
        return True


def configure(level: int, now: Callable[[], float]) -> None:
    """Write records from ``level`` on to stderr, every kind at a bounded rate."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(RateLimit(now))
    logging.basicConfig(level=level, handlers=[handler])
