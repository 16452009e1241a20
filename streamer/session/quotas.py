"""Quotas: how much of this server one holder may have, and what they have had today.

A holder is a token, an invitation to a call, or the owner: everybody who uses the server's own
token, or needs none. What was used today is kept in one small file, which processes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from visavis.models.files import atomic_write
from visavis.streamer.config import QuotasConfig
from visavis.streamer.errors import OverQuota
from visavis.streamer.locks import hold, let_go
from visavis.streamer.trust.callers import Caller

logger = logging.getLogger(__name__)
_OWNER: Final = "owner"  # as the file and the audit log name them
_KEPT_EVERY_S: Final = 10.0  # what a crash forgets at most
_SPENT: Final = "The minutes of this access for today ({}) are used up; more begin at 0:00 UTC."


class Metered(Protocol):
    """A session, as it is counted."""

    id: str
    caller: Caller
    began_at: float

    async def end(self, reason: str, cause: str) -> None:
        """Hang up."""


def _unwritten(event: str, holder: str) -> None:
    """Keep no journal."""


class Quotas:
    """What the settings allow.

    Args:
        config: how much; 0 is any.
        note: writes ``(event, holder)`` of a refusal into the audit log; must not block.
    """

    def __init__(
        self,
        config: QuotasConfig = QuotasConfig(),  # noqa: B008  frozen
        note: Callable[[str, str], object] = _unwritten,
    ) -> None:
        self.config = config
        self._note = note

    def refusal(self, caller: Caller, what: str, words: str) -> OverQuota:
        """Return the refusal of something, which is written down."""
        self._note(f"quota-{what}", caller.holder or _OWNER)
        return OverQuota(words, code=f"quota-{what}")

    def check_avatars(self, caller: Caller, count: int) -> None:
        """Check that somebody may make one more avatar.

        Args:
            caller: who asks.
            count: of those they have.

        Raises:
            OverQuota: they may not.
        """
        if (most := self.config.avatars) and count >= most:
            words = f"This access may have {_number(most, 'avatar')}; erase one first."
            raise self.refusal(caller, "avatars", words)

    def check_sessions(self, caller: Caller, count: int) -> None:
        """Check that somebody may begin one more session; raises OverQuota."""
        if (most := self.config.sessions) and count >= most:
            words = f"This access may have {_number(most, 'session')} at a time; end one first."
            raise self.refusal(caller, "sessions", words)

    def recording_bytes_left(self, caller: Caller, used: Callable[[], int]) -> int:
        """Return how large somebody's next recording may become; 0 is any size.

        Raises:
            OverQuota: there is nothing left.
        """
        if not (most := self.config.recordings_mb * 1_000_000):
            return 0
        if (left := most - used()) <= 0:
            words = f"This access may keep {most // 1_000_000} MB of recordings; erase one first."
            raise self.refusal(caller, "recordings", words)
        return left


class Usage:
    """The seconds that each holder's sessions have lasted today, shared by processes.

    Args:
        path: of the file.
        wall: UNIX time in seconds, which does not go back.
    """

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall

    def add(self, spent: dict[str, float]) -> dict[str, float] | None:
        """Add seconds to holders' days; return what everybody has used today.

        None where nothing can be written, which is told; what was to be added is still to be.
        """
        lock = -1
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = hold(self._path.with_suffix(".lock"), wait=True)
            today = datetime.datetime.fromtimestamp(self._wall(), datetime.UTC).date().isoformat()
            used = self._read(today)
            for name, seconds in spent.items():
                used[name] = used.get(name, 0.0) + seconds
            if spent:
                kept = {"day": today, "seconds": {k: round(s, 1) for k, s in used.items()}}
                atomic_write(self._path, json.dumps(kept).encode())
            return used
        except OSError as error:
            logger.error("what was used today could not be kept: %s", error)
            return None
        finally:
            let_go(lock)

    def _read(self, today: str) -> dict[str, float]:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            kept = json.loads(self._path.read_bytes())
            if kept["day"] == today:
                return {str(name): float(s) for name, s in kept["seconds"].items()}
        return {}


class Meter:
    """Counts sessions and their minutes against the quotas.

    Args:
        quotas: what is allowed.
        usage: of today; None where minutes are not counted.
        now: monotonic seconds.
    """

    def __init__(
        self,
        quotas: Quotas | None = None,
        usage: Usage | None = None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._quotas = quotas or Quotas()
        self._usage = usage if self._quotas.config.minutes_a_day else None
        self._now = now
        self._counted: dict[str, float] = {}  # until when each session has been counted
        self._owed: defaultdict[str, float] = defaultdict(float)  # seconds not in the file yet
        self._used: dict[str, float] = (self._usage.add({}) if self._usage else None) or {}
        self._kept_at = now()

    def check(self, caller: Caller, sessions: Iterable[Metered], besides: str = "") -> None:
        """Check that somebody may begin a session.

        Args:
            caller: who asks.
            sessions: that are there.
            besides: id of one that is about to end, as its client starts over.

        Raises:
            OverQuota: they may not.
        """
        theirs = [s for s in sessions if s.caller.holder == caller.holder and s.id != besides]
        self._quotas.check_sessions(caller, len(theirs))
        most = self._quotas.config.minutes_a_day
        if most and self._spent(caller, theirs) >= 60.0 * most:
            raise self._quotas.refusal(caller, "minutes", _SPENT.format(most))

    def ended(self, session: Metered) -> None:
        """Take that a session is over."""
        if self._usage is not None:
            self._count(session)
        self._counted.pop(session.id, None)

    async def look(self, sessions: Iterable[Metered]) -> None:
        """End what has had its minutes; called twice a second."""
        if self._usage is None:
            return
        live = list(sessions)
        for session in live:
            self._count(session)
        if self._now() - self._kept_at >= _KEPT_EVERY_S:
            await self.keep()
        most = self._quotas.config.minutes_a_day
        for session in live:
            if self._spent(session.caller, ()) >= 60.0 * most:
                refusal = self._quotas.refusal(session.caller, "minutes", _SPENT.format(most))
                await session.end(str(refusal), "quota")

    async def keep(self) -> None:
        """Write down what was used; waits for the disk."""
        if self._usage is not None:
            owed, self._owed, self._kept_at = dict(self._owed), defaultdict(float), self._now()
            used = await asyncio.to_thread(self._usage.add, owed)
            if used is not None:
                self._used = used
                return
            for name, seconds in owed.items():
                self._owed[name] += seconds

    def _count(self, session: Metered) -> None:
        since, now = self._counted.get(session.id, session.began_at), self._now()
        self._owed[session.caller.holder or _OWNER] += now - since
        self._counted[session.id] = now

    def _spent(self, caller: Caller, sessions: Iterable[Metered]) -> float:
        name, now = caller.holder or _OWNER, self._now()
        running = (now - self._counted.get(s.id, s.began_at) for s in sessions)
        return self._used.get(name, 0.0) + self._owed.get(name, 0.0) + sum(running)


def _number(most: int, noun: str) -> str:
    return f"one {noun}" if most == 1 else f"{most} {noun}s"
