"""Streaming state as an object of its own, updated in place under masks.

The habit follows Moshi's streaming modules: a part that remembers makes its state with
``init_state(batch)``, and a step may restart single slots (``reset_mask``) or leave slots
without data exactly as they are (``exec_mask``). Whatever the chunking, the output equals that
of the whole sequence at once; every streaming part carries that test.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from visavis.models.arrays import Mask

StateT = TypeVar("StateT")


class StreamingModule(Protocol[StateT]):
    """A stateful part that runs many sessions as one batch."""

    def init_state(self, batch: int) -> StateT:
        """Return a fresh state for ``batch`` slots."""
        ...

    def reset(self, state: StateT, reset_mask: Mask) -> None:
        """Restart the slots where ``reset_mask`` (batch,) is true, in place."""
        ...
