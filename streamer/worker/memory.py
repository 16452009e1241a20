"""Memory that goes back to the machine when a session ends.

glibc keeps an arena per thread and gives freed pages back late; a server that connects and
disconnects all day would look as if it leaked, and on a small machine it would as well.
"""

from __future__ import annotations

import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2
_MIDDLE_ONES = 2  # collections of the middle generation before a full one; Python's own is 10


def limit_arenas() -> None:
    """Let all threads share few arenas; only glibc knows them."""
    if (mallopt := getattr(_libc(), "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """Spare full collections what start-up made, which lives as long as the process.

    Without this a full collection looks at all of it and stops everything for 100-350 ms, in the
    middle of everybody's picture. The second collection, of what is left when that is set aside,
    tells the collector how little there is: it puts a full one off until a quarter as much has come
    as the last one left, and a quarter of everything imported is a hundred connections' garbage,
    which takes as long to free (measured: 70-190 ms). A connection leaves 2000-4000 objects in
    cycles; full collections five times as often as usual free 7000 of them in 6 ms.
    """
    gc.collect()
    gc.freeze()
    gc.collect()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _MIDDLE_ONES)


def give_back() -> None:
    """Collect cycles and return free pages; some 50 ms, so only when nobody is live."""
    gc.collect()
    if (malloc_trim := getattr(_libc(), "malloc_trim", None)) is not None:
        malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
