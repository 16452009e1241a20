"""Earliest deadline first over the slots, on a few compute threads.

The heavy parts of drawing, encoding and graphs hold no interpreter lock, so two threads draw two
sessions side by side. A slot is one thread's at a time: its models have state.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from visavis.streamer.worker.slot import Slot

logger = logging.getLogger(__name__)


class Scheduler:
    """Runs the models of all slots, the most urgent frame first.

    Args:
        failed: told ``(index, slot, error)`` when a slot's models raised; that slot is gone, the
            others go on.
        now: monotonic seconds.
        threads: how many slots may be worked on at once.
    """

    def __init__(
        self,
        failed: Callable[[int, Slot, Exception], None],
        now: Callable[[], float] = time.monotonic,
        *,
        threads: int = 1,
    ) -> None:
        self._failed = failed
        self._now = now
        self._slots: dict[int, Slot] = {}
        self._wake = threading.Condition()
        self._stopping = False
        self._in_hand: dict[Slot, float] = {}  # slots being worked on, and since when
        self._threads = [
            threading.Thread(target=self._run, name=f"compute-{i}", daemon=True)
            for i in range(threads)
        ]

    def start(self) -> None:
        """Start the compute threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop after the pieces of work in hand."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        deadline = self._now() + 2
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - self._now()))

    @property
    def busy_s(self) -> float:
        """How long the oldest piece of work in hand has been going on; 0 when idle."""
        since = min(list(self._in_hand.values()), default=None)
        return 0.0 if since is None else self._now() - since

    @property
    def idle(self) -> bool:
        """Whether no slot is filled."""
        return not self._slots

    @property
    def count(self) -> int:
        """How many slots are filled."""
        return len(self._slots)

    def slots(self) -> list[Slot]:
        """Return every filled slot."""
        return list(self._slots.values())

    def get(self, index: int) -> Slot | None:
        """Return the slot at an index."""
        return self._slots.get(index)

    def put(self, index: int, slot: Slot) -> None:
        """Fill a slot."""
        with self._wake:
            self._slots[index] = slot
            self._wake.notify()

    def remove(self, index: int) -> None:
        """Empty a slot; what it was doing is finished and thrown away."""
        with self._wake:
            self._slots.pop(index, None)

    def _take_out(self, index: int, slot: Slot) -> bool:
        """Empty a slot if this is still what fills it."""
        with self._wake:
            present = self._slots.get(index) is slot
            if present:
                del self._slots[index]
            return present

    def wake(self) -> None:
        """Say that there is work."""
        with self._wake:
            self._wake.notify()

    def pick(self) -> tuple[int, Slot] | None:
        """Return the slot whose work is due first, of those that nobody is working on."""
        due = [
            (deadline, index)
            for index, slot in list(self._slots.items())
            if slot not in self._in_hand and (deadline := slot.deadline()) is not None
        ]
        if not due:
            return None
        index = min(due)[1]
        slot = self._slots.get(index)
        return None if slot is None else (index, slot)

    def _run(self) -> None:
        while True:
            with self._wake:
                chosen = None
                while not self._stopping and (chosen := self.pick()) is None:
                    self._wake.wait()
                if self._stopping or chosen is None:
                    return
                index, slot = chosen
                self._in_hand[slot] = self._now()
            try:
                slot.work()
            except Exception as error:  # a model's bug, or no memory left, must stay in its slot
                logger.exception("slot %d failed", index)
                if self._take_out(index, slot):
                    self._failed(index, slot, error)
            finally:
                with self._wake:
                    self._in_hand.pop(slot, None)
