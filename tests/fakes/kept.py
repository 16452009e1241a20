"""How much an object keeps, whatever it is made of."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np


def kept(thing: object) -> int:
    """Return how many samples, bytes and entries an object of ours holds, with all it owns.

    For tests that nothing grows: a new buffer is counted like an old one, by whatever name.
    """
    return _count(thing, set())


def _count(thing: Any, seen: set[int]) -> int:
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return int(thing.size)
    if isinstance(thing, (bytes, bytearray)):
        return len(thing)
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, (list, tuple, set, deque)):
        return len(thing) + sum(_count(item, seen) for item in thing)
    if type(thing).__module__.startswith("visavis."):
        return sum(_count(value, seen) for value in getattr(thing, "__dict__", {}).values())
    return 0
