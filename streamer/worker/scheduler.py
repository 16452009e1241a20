"""Earliest deadline first over the slots, on one compute thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from streamer.worker.slot import Slot

logger = logging.getLogger(__name__)


class Scheduler:
    """Runs the models of all slots, the most urgent frame first.

    Args:
        failed: told ``(index, error)`` when a slot's models raised; that slot is gone, the others
            go on.
        now: monotonic seconds.
    """

    def __init__(
        self,
        failed: Callable[[int, Exception], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failed = failed
        self._now = now
        self._slots: dict[int, Slot] = {}
        self._wake = threading.Condition()
        self._stopping = False
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)

    def start(self) -> None:
        """Start the compute thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the piece of work in hand."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout=2)

    @property
    def busy_s(self) -> float:
        """How long the piece of work in hand has been going on; 0 when idle."""
        since = self._busy_since
        return 0.0 if since is None else self._now() - since

    @property
    def idle(self) -> bool:
        """Whether no slot is filled."""
        return not self._slots

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

    def wake(self) -> None:
        """Say that there is work."""
        with self._wake:
            self._wake.notify()

    def pick(self) -> tuple[int, Slot] | None:
        """Return the slot whose work is due first."""
        due = [(d, i) for i, s in list(self._slots.items()) if (d := s.deadline()) is not None]
        if not due:
            return None
        index = min(due)[1]
        slot = self._slots.get(index)
        return None if slot is None else (index, slot)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and (chosen := self.pick()) is None:
                    self._wake.wait()
                if self._stopping:
                    return
            index, slot = chosen
            self._busy_since = self._now()
            try:
                slot.work()
            except Exception as error:  # a model's bug must stay in its slot
                logger.exception("slot %d failed", index)
                if self._slots.get(index) is slot:
                    self.remove(index)
                    self._failed(index, error)
            finally:
                self._busy_since = None
