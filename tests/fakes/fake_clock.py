"""A clock that a test turns by hand; whoever waits for it is woken in order."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class FakeClock:
    """Starts at 100 s; :meth:`advance` moves it and lets every waiter run at its own time."""

    def __init__(self, now: float = 100.0) -> None:
        self._now = now
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def set(self, now: float) -> None:
        """Move it without running anybody who waits."""
        self._now = now

    async def sleep_until(self, deadline: float) -> None:
        if deadline <= self._now:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (deadline, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        end = self._now + seconds
        await self._settle()
        while self._waiting and self._waiting[0][0] <= end:
            deadline, _, woken = heapq.heappop(self._waiting)
            self._now = max(self._now, deadline)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._now = end

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
