"""What start-up made does not put full collections off until they take long."""

from __future__ import annotations

import gc

from visavis.streamer.worker.memory import settle

LOADED = 600_000  # objects that start-up is taken to have made
SINCE = 100_000  # and those of some connections: less than a quarter of it


def test_full_collections_come_while_they_are_small() -> None:
    """The collector waits for a quarter of what it last left: not of what was set aside."""
    loaded: list[list[int]] = [[] for _ in range(LOADED)]
    settle()
    try:
        before = gc.get_stats()[2]["collections"]
        since: list[list[int]] = [[] for _ in range(SINCE)]
        assert gc.get_stats()[2]["collections"] > before
        assert gc.get_freeze_count() > len(loaded) > len(since)
    finally:
        gc.unfreeze()
