"""Sittings that hosts have ended: their tickets stay void, also when the server starts again."""

from __future__ import annotations

import json
import logging
from collections import deque
from pathlib import Path

from visavis.models.files import atomic_write

logger = logging.getLogger(__name__)
_KEPT = 1024  # of which the tickets of the oldest have expired long since
_BYTES = 1 << 20


class Ended:
    """The last sittings that were ended.

    Args:
        path: where they are kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sittings: deque[str] = deque(maxlen=_KEPT)
        try:
            if path.is_file() and path.stat().st_size < _BYTES:
                self._sittings.extend(str(word) for word in json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            logger.warning("%s cannot be read: %s", path.name, error)

    def __contains__(self, sitting: object) -> bool:
        return sitting in self._sittings

    def add(self, sitting: str) -> None:
        """Keep one more."""
        self._sittings.append(sitting)
        try:
            atomic_write(self._path, json.dumps(list(self._sittings)).encode())
        except OSError as error:  # it holds until the server stops
            logger.warning("%s cannot be written: %s", self._path.name, error)
