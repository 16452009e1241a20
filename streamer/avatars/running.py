"""An enrolment while it runs, and what runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from visavis.streamer.avatars.enrolment import EnrolmentResult
from visavis.streamer.avatars.record import AvatarRecord
from visavis.streamer.locks import let_go
from visavis.streamer.trust.consent import Terms


class Enroller(Protocol):
    """Makes a bundle from untrusted bytes; ``enrol_photo`` is the real one."""

    def __call__(
        self,
        data: bytes,
        out: Path,
        *,
        size: int,
        timeout_s: float,
        progress: Callable[[float, str], None] | None,
        max_bytes: int,
        max_pixels: int,
        demand: tuple[str, ...],
    ) -> Awaitable[EnrolmentResult]:
        """Write the bundle to ``out`` or raise EnrolmentRefused or EnrolmentFailed."""
        ...


@dataclass
class Running:
    """An enrolment that is under way, or waits for its turn.

    Attributes:
        record: what is known of the avatar by now.
        terms: what was agreed to for it.
        created: done when the folder is made, or it is known why not.
        lock: the folder's; -1 for none.
        task: the enrolment itself.
    """

    record: AvatarRecord
    terms: Terms
    created: asyncio.Future[None]
    lock: int = -1
    task: asyncio.Task[AvatarRecord] | None = None

    def tell(self, error: Exception | None = None) -> None:
        """Tell whoever asked that the folder is made, or why not."""
        if self.created.done():
            return
        if error is None:
            self.created.set_result(None)
        else:
            self.created.set_exception(error)
            self.created.exception()  # whoever asked may be gone

    def let_go(self) -> None:
        """Give the folder's lock back, once."""
        lock, self.lock = self.lock, -1
        let_go(lock)
