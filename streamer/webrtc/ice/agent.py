"""ICE that can restart under a running connection (RFC 8445, section 9).

:class:`IceAgent` stands where aiortc keeps its one aioice connection and carries one generation of
checks after another: data goes over the old pair until the new one is nominated.
"""

# This folder is where aioice's private names are known.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from typing import Any

from aioice import Candidate, ConnectionClosed
from aiortc.rtcicetransport import RTCIceCandidate, candidate_to_aioice

from visavis.streamer.webrtc.ice.checks import IceConnection
from visavis.streamer.webrtc.ice.sockets import Binding

logger = logging.getLogger(__name__)
MAX_QUEUED = 512  # datagrams that wait for the session
_OVERLAP_S = 1.0  # that the old pair is still listened to after a restart


class IceAgent:
    """What aiortc takes for its ICE connection.

    Args:
        binding: where sockets are bound.
        username: local user name fragment; made up if None.
        password: local password; made up if None.
    """

    def __init__(
        self, binding: Binding, username: str | None = None, password: str | None = None
    ) -> None:
        self._binding = binding
        self._carrying = IceConnection(self, binding, username, password)
        self._checking: IceConnection | None = None
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._settled = asyncio.Event()
        self._dead = False
        self._event: asyncio.Future[ConnectionClosed] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------ as aiortc uses it

    @property
    def _newest(self) -> IceConnection:
        return self._checking or self._carrying

    @property
    def ice_controlling(self) -> bool:
        """Whether this side nominates."""
        return self._newest.ice_controlling

    @ice_controlling.setter
    def ice_controlling(self, value: bool) -> None:
        self._newest.ice_controlling = value

    @property
    def local_username(self) -> str:
        """User name fragment of the newest generation."""
        return self._newest.local_username

    @property
    def local_password(self) -> str:
        """Password of the newest generation."""
        return self._newest.local_password

    @property
    def local_candidates(self) -> list[Candidate]:
        """Candidates of the newest generation."""
        return self._newest.local_candidates

    @property
    def remote_candidates(self) -> list[Candidate]:
        """The other side's candidates, of the newest generation."""
        return self._newest.remote_candidates

    @property
    def remote_is_lite(self) -> bool:
        """Whether the other side only answers checks."""
        return self._newest.remote_is_lite

    @remote_is_lite.setter
    def remote_is_lite(self, value: bool) -> None:
        self._newest.remote_is_lite = value

    @property
    def remote_username(self) -> str | None:
        """The other side's user name fragment."""
        return self._newest.remote_username

    @remote_username.setter
    def remote_username(self, value: str | None) -> None:
        if self._checking is None:
            self._carrying.remote_username = value

    @property
    def remote_password(self) -> str | None:
        """The other side's password."""
        return self._newest.remote_password

    @remote_password.setter
    def remote_password(self, value: str | None) -> None:
        if self._checking is None:
            self._carrying.remote_password = value

    async def gather_candidates(self) -> None:
        """Bind the sockets."""
        await self._newest.gather_candidates()

    async def add_remote_candidate(self, candidate: Candidate | None) -> None:
        """Take a candidate of the other side; None is its last word, and is not waited for."""
        if candidate is not None:
            await self._newest.add_remote_candidate(candidate)

    async def connect(self) -> None:
        """Return when a pair is nominated, of whichever generation.

        Raises:
            ConnectionError: there will be none.
        """
        self._run(self._check(self._carrying))
        await self._settled.wait()
        if self._dead:
            raise ConnectionError("The connection was closed.")

    async def recv(self) -> bytes:
        """Return the next datagram.

        Raises:
            ConnectionError: there will be none.
        """
        if self._dead and self._queue.empty():
            raise ConnectionError("The connection was closed.")
        data = await self._queue.get()
        if data is None:
            raise ConnectionError("The connection was closed.")
        return data

    async def send(self, data: bytes) -> None:
        """Send a datagram.

        Raises:
            ConnectionError: no pair is nominated.
        """
        await self._carrying.sendto(data, 1)

    async def get_event(self) -> ConnectionClosed:
        """Wait until the connection is closed."""
        if self._dead:
            return ConnectionClosed()
        if self._event is None:
            self._event = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._event)

    async def close(self) -> None:
        """Close every generation."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._checking is not None:
            await self._checking.close()
        await self._carrying.close()

    # ------------------------------------------------------------------ beyond aiortc

    @property
    def checked(self) -> bool:
        """Whether the other side has ever shown the password."""
        return self._carrying.checked or self._newest.checked

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets of all generations."""
        generations = [self._carrying, *([self._checking] if self._checking else [])]
        found = [
            protocol.transport.get_extra_info("socket")
            for generation in generations
            for protocol in generation._protocols
        ]
        return [sock for sock in found if sock is not None]

    async def restart(self, username: str, password: str) -> None:
        """Begin another generation against the other side's new credentials.

        Until it has nominated a pair, everything goes on over the present one.

        Raises:
            ConnectionError: the connection is over.
        """
        await self.prepare()
        self.check(username, password)

    async def prepare(self) -> None:
        """Make another generation, with credentials and candidates of its own.

        Raises:
            ConnectionError: the connection is over.
        """
        if self._dead:
            raise ConnectionError("The connection was closed.")
        superseded, fresh = self._checking, IceConnection(self, self._binding)
        fresh.ice_controlling = self.ice_controlling
        await fresh.gather_candidates()
        self._checking = fresh
        if superseded is not None:
            await superseded.close()

    def check(self, username: str, password: str) -> None:
        """Begin to check the generation that was prepared."""
        fresh = self._checking
        assert fresh is not None
        fresh.remote_username, fresh.remote_password = username, password
        self._run(self._check(fresh))

    async def take_candidate(self, candidate: RTCIceCandidate) -> None:
        """Take a candidate of the other side for the newest generation."""
        await self._newest.add_remote_candidate(candidate_to_aioice(candidate))

    def take(self, data: bytes) -> None:
        """Queue a datagram of any generation, if there is room."""
        if self._queue.qsize() < MAX_QUEUED:
            self._queue.put_nowait(data)

    def lost(self, generation: IceConnection) -> None:
        """Note that a generation's socket broke."""
        if generation is self._carrying:
            self._queue.put_nowait(None)

    def closed(self, generation: IceConnection) -> None:
        """Note that a generation is over; a new one that is being checked may yet take over."""
        if generation is self._checking:
            self._checking = None
            return
        if generation is not self._carrying or self._checking is not None or self._dead:
            return
        self._dead = True
        self._settled.set()
        self._queue.put_nowait(None)
        if self._event is not None and not self._event.done():
            self._event.set_result(ConnectionClosed())

    def abort(self) -> None:
        """Close all sockets without waiting for anything."""
        for task in self._tasks:
            task.cancel()
        if self._checking is not None:
            self._checking.abort()
        self._carrying.abort()

    async def _check(self, generation: IceConnection) -> None:
        try:
            await generation.connect()
        except ConnectionError as error:
            logger.debug("checks failed: %s", error)
            await generation.close()
            return
        old = self._carrying
        if generation is self._checking:
            self._carrying, self._checking = generation, None
        self._settled.set()
        if old is not generation:
            await asyncio.sleep(_OVERLAP_S)  # what is on its way over the old pair
            await old.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
