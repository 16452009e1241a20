"""Background work of one owner: kept while it runs, told of when it fails, cancelled at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

logger = logging.getLogger(__name__)
_HELD_UP_S = 0.02  # by less than this nothing is waiting that mattered
_DATAGRAM_S = 0.01  # a microphone sends one at least as often as this
_MOST_TURNS = 128
ResultT = TypeVar("ResultT")


async def let_in(late_s: float) -> None:
    """Let what waits in the sockets be read before anything is decided for want of it.

    asyncio reads one datagram a socket in each turn of its loop, so a task that wakes up late would
    find none of those that came meanwhile.

    Args:
        late_s: by how many seconds the loop has come late to the task that asks.
    """
    if late_s > _HELD_UP_S:
        for _ in range(min(_MOST_TURNS, 4 + 2 * round(late_s / _DATAGRAM_S))):
            await asyncio.sleep(0)


async def in_daemon(work: Callable[[], ResultT], name: str) -> ResultT:
    """Return what comes of work that may take minutes; a server that stops does not wait for it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ResultT] = loop.create_future()

    def settle(result: ResultT | None, error: Exception | None) -> None:
        if done.done():  # cancelled
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(ResultT, result))

    def run() -> None:
        result: ResultT | None = None
        error: Exception | None = None
        try:
            result = work()
        except Exception as raised:  # raised where it is waited for
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


class OwnedTasks:
    """The tasks of a session or a viewer.

    Args:
        owner: its name in the log.
        failed: told, after it was logged, that a task has raised.
    """

    def __init__(self, owner: str, failed: Callable[[], None]) -> None:
        self._owner = owner
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin some work."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def cancel(self) -> None:
        """Cancel all but the task that asks, and wait until they are over."""
        others = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", self._owner, exc_info=error)
            self._failed()


class logged(contextlib.AbstractContextManager[None]):
    """Log what goes wrong in one step of an end, and go on.

    Args:
        step: its name in the log.
    """

    def __init__(self, step: str) -> None:
        self._step = step

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, Exception):
            logger.error("ending: %s went wrong", self._step, exc_info=error)
            return True
        return False
