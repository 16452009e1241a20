"""HTTP connections that cannot be held for nothing.

uvicorn limits how long a connection may rest *after* an answer. It has no limit before the first
request, none for headers that come a byte at a time and none on how many there are; a few hundred
idle connections then take every descriptor of the process. Here a connection has
``header_timeout_s`` to send a whole header, and when there are as many as there may be, the one
that has owed a request the longest makes room for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final, cast

import h11
from uvicorn.config import Config as UvicornConfig
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from visavis.streamer.http.security.tls import Certificate

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_EARLY_BYTES: Final = 256 * 1024  # what asyncio decrypts at a time, at most
_UNSENT_MS: Final = 30_000  # that a client may leave an answer unread
_KEPT_FILES: Final = 40  # of a process: models, worker, avatars, listening sockets
_SHARE: Final = 0.5  # of the remaining descriptors that HTTP may have; sessions need the others
_FEWEST: Final = 8


class Connections:
    """The connections of one server.

    Args:
        most: how many there may be.
        header_timeout_s: how long one may take to send a whole header.
    """

    def __init__(self, most: int, header_timeout_s: float) -> None:
        self.most = most
        self.header_timeout_s = header_timeout_s
        self.dropped = 0  # to make room
        self._all: set[BoundedProtocol] = set()
        self._owing: dict[BoundedProtocol, None] = {}  # a request, the longest first

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, connection: BoundedProtocol) -> bool:
        """Take a connection in; False if there is no room and nobody to make it."""
        if len(self._all) >= self.most:
            if not self._owing:
                return False
            self.dropped += 1
            next(iter(self._owing)).drop()
        self._all.add(connection)
        self._owing[connection] = None
        return True

    def owes(self, connection: BoundedProtocol, owing: bool) -> None:
        """Note whether a connection still has to send a whole request."""
        if not owing:
            self._owing.pop(connection, None)
        elif connection in self._all:
            self._owing.setdefault(connection)

    def leave(self, connection: BoundedProtocol) -> None:
        """Forget a connection."""
        self._all.discard(connection)
        self._owing.pop(connection, None)


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a limit on waiting for a header.

    Args:
        bounds: of all connections together.
        encrypted: shown to clients; None for plain HTTP.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: of the lifespan.
        _loop: the running one by default.
    """

    def __init__(
        self,
        bounds: Connections,
        encrypted: Certificate | None,
        config: UvicornConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = bounds
        self._encrypted = encrypted
        self._handshake: asyncio.Task[None] | None = None
        self._raw: asyncio.Transport | None = None  # below TLS
        self._ready = False  # uvicorn knows of the connection
        self._upgraded = False  # to a WebSocket, whose protocol it is now
        self._early = bytearray()  # came before that
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection if there is room; one clock runs over handshake and header."""
        _limit_unsent(transport)
        self._raw = transport
        if not self._bounds.enter(self):
            transport.abort()
            return
        self._await_header()
        if self._encrypted is None:
            self._hand_over(transport)
        else:
            self._handshake = self.loop.create_task(self._encrypt(transport, self._encrypted))

    async def _encrypt(self, transport: asyncio.Transport, encrypted: Certificate) -> None:
        # uvicorn would leave TLS to asyncio, which tells no protocol of a connection before the
        # handshake is over: those that never begin one could neither be counted nor dropped.
        try:
            context = encrypted.context()
            secure = await self.loop.start_tls(transport, self, context, server_side=True)
        except (OSError, asyncio.CancelledError):  # TLS errors are among them
            self.drop()
            return
        if secure is None or transport.is_closing():
            self.drop()
            return
        self._hand_over(secure)

    def _hand_over(self, transport: asyncio.Transport) -> None:
        self._raw = transport
        super().connection_made(transport)
        self._ready = True
        if self._early:
            early, self._early = bytes(self._early), bytearray()
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Read on, with the clock running for as long as the header is not whole."""
        if not self._ready:  # a client may send its request along with the end of its handshake
            self._early += data
            if len(self._early) > _EARLY_BYTES:
                self.drop()
            return
        super().data_received(data)
        self._look(begun=True)

    def on_response_complete(self) -> None:
        """Start the clock of the next request where it has begun already."""
        super().on_response_complete()
        self._look(begun=bool(self.conn.trailing_data[0]))

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to another protocol, which minds its own time."""
        self._upgraded = True
        self._stop_clock()
        self._bounds.owes(self, False)
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._stop_clock()
        self._bounds.leave(self)
        if self._handshake is not None:
            self._handshake.cancel()
        if self._ready:
            super().connection_lost(exc)

    def drop(self) -> None:
        """End it at once, whatever waits to be sent."""
        self._stop_clock()
        self._bounds.leave(self)
        if self._raw is not None:
            self._raw.abort()

    def _look(self, *, begun: bool) -> None:
        """See what the client owes: a header, the rest of a body, or nothing.

        Args:
            begun: bytes of the next request are here, at which uvicorn stops its own clock.
        """
        if self._upgraded or self.transport.is_closing():
            return
        cycle = cast(RequestResponseCycle | None, self.cycle)  # whose type leaves the None out
        if cycle is None or cycle.response_complete:
            self._bounds.owes(self, True)
            if begun:
                self._await_header()
            return
        self._stop_clock()
        self._bounds.owes(self, cycle.more_body)

    def _await_header(self) -> None:
        if self._deadline is None:
            limit_s = self._bounds.header_timeout_s
            self._deadline = self.loop.call_later(limit_s, self.drop)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _limit_unsent(transport: asyncio.Transport) -> None:
    """Have the kernel end a connection whose client does not read what it asked for."""
    sock = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux
    if sock is not None and option is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_MS)


def affordable_connections(wanted: int) -> int:
    """Return how many connections there may be, by the descriptors that this process may open.

    The soft limit is raised to the hard one first: servers are told to by systemd's documentation,
    since the low soft limit only protects programs that use select(2).
    """
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS refuses "unlimited"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(_FEWEST, min(wanted, int((soft - _KEPT_FILES) * _SHARE)))
