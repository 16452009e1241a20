"""What a session tells somebody who stands behind it, and asks of them: a room's participant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.session.channels.control import Command


class Guest(Protocol):
    """A participant of a room, as their session knows them."""

    @property
    def commands(self) -> Mapping[str, Command]:
        """What the channel ``control`` takes besides; by message type."""
        ...

    def opened(self) -> None:
        """Take that the channel ``control`` is open."""

    def live(self) -> None:
        """Take that media may flow."""

    def hears(self, at: float, count: int) -> NDArray[np.int16] | None:
        """Return what the others say, mono int16 at 16 kHz; None for silence.

        Args:
            at: when the first sample is heard, in monotonic seconds.
            count: of samples.
        """

    def spoke(self, at: float, samples: NDArray[np.int16]) -> None:
        """Take the microphone's sound, mono int16 at 16 kHz, likewise."""

    def wears(self, avatar_id: str) -> None:
        """Take that another avatar is shown."""

    def gone(self, connection: object) -> None:
        """Take that this connection has ended."""
