"""The edge's end of one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from visavis.streamer import cpu
from visavis.streamer.trust.vault_keys import VARIABLE
from visavis.streamer.worker.pipeline.pipeline import WorkerSettings
from visavis.streamer.worker.protocol import Decoder, Kind, Message, ProtocolError

logger = logging.getLogger(__name__)
COMMAND = (sys.executable, "-P", "-m", "visavis.streamer.worker.worker")
MAX_UNSENT = 512 * 1024  # bytes that a worker may leave unread before it counts as hung


class WorkerClient(asyncio.Protocol):
    """Starts a worker and speaks with it.

    Args:
        received: told every message but READY.
        lost: told once when the process or its connection is gone.
    """

    def __init__(
        self, received: Callable[[Message], None], lost: Callable[[WorkerClient], None]
    ) -> None:
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(lambda f: f.cancelled() or f.exception())
        self._received = received
        self._lost = lost
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._gone = False

    async def start(self, command: Sequence[str], settings: WorkerSettings) -> None:
        """Start the process; :attr:`ready` holds what it says once it has loaded its models."""
        ours, theirs = socket.socketpair()
        try:
            environ = {**os.environ, **_threads(settings.threads)}
            environ.pop(VARIABLE, None)  # a worker is given the key of what it draws, no other
            self._process = await asyncio.create_subprocess_exec(
                *command,
                "--fd",
                str(theirs.fileno()),
                "--settings",
                json.dumps(asdict(settings)),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env=environ,
            )
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def was_ready(self) -> bool:
        """Whether it had loaded its models."""
        ready = self.ready
        return ready.done() and not ready.cancelled() and ready.exception() is None

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._gone

    def send(self, message: Message) -> None:
        """Send without waiting; a worker that stops reading is killed."""
        if self._transport is None or self._gone:
            return
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            logger.error("worker %d does not read any more", self.pid)
            self.kill()
            return
        self._transport.write(message.encode())

    def kill(self) -> None:
        """End it at once."""
        self._kill_process()
        if self._transport is not None:
            self._transport.abort()

    def _kill_process(self) -> None:
        # Not Process.kill(): it polls first and so takes the exit status from asyncio's watcher.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def close(self, limit_s: float = 2.0) -> None:
        """End it politely, then by force; returns when the process is gone."""
        self._gone = True  # nobody is to be told
        if not self.was_ready:  # it loads or compiles, and reads nothing meanwhile
            self._kill_process()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(Message(Kind.SHUTDOWN).encode())
            self._transport.close()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), limit_s)
            except TimeoutError:
                self._kill_process()
                await self._process.wait()
        self.ready.cancel()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand on complete messages."""
        try:
            for message in self._decoder.feed(data):
                if message.kind is Kind.READY:
                    if not self.ready.done():
                        self.ready.set_result(message.json())
                elif message.kind is Kind.FAILED:
                    self._fail(str(message.json().get("error", "")))
                else:
                    self._received(message)
        except ProtocolError as error:
            logger.error("worker %d speaks nonsense: %s", self.pid, error)
            self.kill()
        except (KeyError, TypeError, ValueError):  # a message without what it must hold
            logger.exception("worker %d speaks nonsense", self.pid)
            self.kill()

    def abandon(self, reason: str) -> None:
        """Let whoever waits for it to be ready wait no more."""
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        if not self.ready.done():
            sentence = f"The avatar engine could not start: {reason}"
            self.ready.set_exception(ConnectionError(sentence))

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so, once."""
        if not self._gone:
            self._gone = True
            self.kill()
            self._lost(self)

    async def reap(self) -> None:
        """Wait for a process that is ending, and say why, if it ended before it was ready."""
        if self._process is not None:
            code = await self._process.wait()
            self._fail(cpu.why_killed(code) or "it ended before it was ready.")


def _threads(count: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: str(count) for name in names}
