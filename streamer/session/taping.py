"""A session's recording: who speaks in it asks for it and so agrees; nobody else is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from visavis.streamer.errors import Conflict, message_of
from visavis.streamer.trust.callers import OWNER, Caller
from visavis.streamer.webrtc.feed import Feed

_NO_DISK = "The recording could not be begun: the disk does not take it."
_NOWHERE = "Nothing can be recorded here."


class Tape(Protocol):
    """A recording while it runs."""

    @property
    def problem(self) -> str:
        """Why it cannot go on, in a sentence; empty while it can."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return its id, how long and how large it is."""
        ...

    async def end(self) -> None:
        """Finish its file."""


Record = Callable[[Feed, Caller], Tape]
"""Begins to record a session's feed for who speaks in it.

Raises OSError where the disk does not take it, and VisavisError where it may not be.
"""


class Taping:
    """What one session records of itself.

    Args:
        record: begins a recording; None where there is nowhere to write.
        send: tells the page.
        run: has something done beside.
        caller: who speaks in the session.
    """

    def __init__(
        self,
        record: Record | None,
        send: Callable[[dict[str, Any]], None],
        run: Callable[[Any], object],
        caller: Caller = OWNER,
    ) -> None:
        self._caller = caller
        self._record, self._send, self._run = record, send, run
        self._tape: Tape | None = None

    @property
    def running(self) -> bool:
        """Whether something is recorded."""
        return self._tape is not None

    def ask(self, feed: Feed | None, on: bool) -> None:
        """Begin, or stop; either is told.

        Raises:
            Conflict: it cannot be.
        """
        if not on:
            self._stop()
        elif self._tape is None:
            if self._record is None or feed is None:
                raise Conflict(_NOWHERE, code="recording-failed")
            try:
                self._tape = self._record(feed, self._caller)
            except OSError as error:
                raise Conflict(_NO_DISK, code="recording-failed") from error
            self._send({"type": "recording", "stage": "running", **self._tape.describe()})

    def look(self) -> None:
        """Tell how long and how large it is; stop where it cannot go on."""
        if self._tape is None:
            return
        if problem := self._tape.problem:
            self._send(message_of(Conflict(problem, code="recording-stopped")))
            self._stop()
        else:
            self._send({"type": "recorded", **self._tape.describe()})

    def _stop(self) -> None:
        if self._tape is not None:
            self._run(self.end())

    async def end(self) -> None:
        """Finish what runs."""
        tape, self._tape = self._tape, None
        if tape is not None:
            await tape.end()
            self._send({"type": "recording", "stage": "off", **tape.describe()})
