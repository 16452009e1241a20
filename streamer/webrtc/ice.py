"""ICE made safe for an unattended server, and able to restart under a running connection.

aioice takes datagrams from anybody before a pair is nominated and queues them without a limit,
never offers the loopback addresses, binds every interface, notices after half a minute that the
other side is gone, and cannot restart. :class:`IceConnection` mends the first four;
:class:`IceAgent` stands where aiortc keeps its one connection and carries one generation of checks
after another (RFC 8445, section 9): data goes over the old pair until the new one is nominated.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ipaddress
import logging
import random
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aioice import Candidate, Connection, ConnectionClosed, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol
from aiortc.rtcicetransport import RTCIceCandidate, candidate_to_aioice

logger = logging.getLogger(__name__)
MAX_QUEUED = 512  # datagrams that wait for the session
MAX_KNOWN = 64  # addresses that have shown the session's ICE password
LOOK_S = 1.0  # how often it is looked for a sign of life
QUIET_LOOKS = 4  # without one, each with a question that waits 0.5 s, until the other side is gone
CONSENT_LOOKS = 5  # between questions for consent to one that is heard (RFC 7675: every 5 s)
UNANSWERED = 6  # such questions until consent has run out (RFC 7675: 30 s)
_OVERLAP_S = 1.0  # that the old pair is still listened to after a restart
_RECEIVE_BUFFER = 1 << 20  # bytes in the kernel
_LOOPBACK = ("127.0.0.1", "::1")
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER of Linux, which Python does not name


@dataclass(frozen=True)
class Binding:
    """Where media sockets are bound.

    Attributes:
        loopback_only: reachable from this machine alone, as its HTTP server is. Its other
            addresses are bound all the same, since some clients (libnice, Firefox) do not pair
            them with 127.0.0.1, but the kernel lets nothing in there that comes from outside.
        ports: lowest and highest UDP port; any if both are 0.
        advertise: addresses offered besides, which somebody passes on to this machine port by port.
    """

    loopback_only: bool = False
    ports: tuple[int, int] = (0, 0)
    advertise: tuple[str, ...] = ()

    def addresses(self, found: Iterable[str]) -> list[str]:
        """Return the addresses to bind, of those that the machine has."""
        return [*dict.fromkeys([*found, *_LOOPBACK])]

    def open(self, address: str) -> socket.socket:
        """Return a bound socket.

        Raises:
            OSError: it cannot be had.
        """
        version = ipaddress.ip_address(address).version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if self.loopback_only and address not in _LOOPBACK:
                _refuse_outsiders(sock)
            self._bind(sock, address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        except OSError:
            sock.close()
            raise
        return sock

    def _bind(self, sock: socket.socket, address: str) -> None:
        low, high = self.ports
        ports = list(range(low, high + 1))
        random.shuffle(ports)  # a viewer's next session is not where its last one was
        for port in ports[:-1]:
            with contextlib.suppress(OSError):
                sock.bind((address, port))
                return
        sock.bind((address, ports[-1]))

    def advertised(self, candidate: Candidate) -> list[Candidate]:
        """Return what stands for a candidate of ours where others reach this machine."""
        if ipaddress.ip_address(candidate.host).is_loopback and not self.loopback_only:
            return []
        version = ipaddress.ip_address(candidate.host).version
        return [
            Candidate(
                foundation=candidate_foundation("srflx", "udp", address),
                component=candidate.component,
                transport="udp",
                priority=candidate_priority(candidate.component, "srflx"),
                host=address,
                port=candidate.port,
                type="srflx",
                related_address=candidate.host,
                related_port=candidate.port,
            )
            for address in self.advertise
            if ipaddress.ip_address(address).version == version
        ]


def _refuse_outsiders(sock: socket.socket) -> None:
    """Have the kernel drop what did not come over the loopback device.

    What a program sends to another address of its own machine comes that way too.

    Raises:
        OSError: this system cannot do it; the socket must not be used.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("only the loopback addresses can be kept from other machines here")
    device = socket.if_nametoindex("lo")
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0xFFFFF008),  # ld [ifindex]: SKF_AD_OFF + SKF_AD_IFINDEX
            (0x15, 0, 1, device),  # jeq the loopback device's, or go one further
            (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
            (0x06, 0, 0, 0),  # take nothing
        )
    )
    code = ctypes.create_string_buffer(program)
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", 4, ctypes.addressof(code)))


class _Socket(StunProtocol):
    """Lets only STUN pass from addresses that have not proved themselves."""

    receiver: IceConnection

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram."""
        assert isinstance(data, bytes)
        sender = (addr[0], addr[1])
        known = self.receiver.knows(self, sender)
        if known:
            self.receiver.received += 1
        # STUN's two highest bits are zero (RFC 8489); DTLS and SRTP start at 20 and 128.
        if known or (len(data) >= 20 and data[0] < 4):
            super().datagram_received(data, sender)


class IceConnection(Connection):
    """One generation of checks.

    Args:
        agent: gets the data.
        binding: where sockets are bound.
        username: local user name fragment; made up if None.
        password: local password; made up if None.

    Attributes:
        received: datagrams from the other side so far, of any kind.
        checked: whether a check with the password has come.
    """

    def __init__(
        self,
        agent: IceAgent,
        binding: Binding,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        super().__init__(ice_controlling=False, local_username=username, local_password=password)
        self.received = 0
        self.checked = False
        self._agent = agent
        self._binding = binding
        self._known: dict[tuple[str, int], None] = {}

    def knows(self, protocol: StunProtocol, address: tuple[str, int]) -> bool:
        """Whether an address has shown the password, or answered a check of ours with it."""
        return address in self._known or any(
            pair.protocol is protocol
            and pair.remote_addr == address
            and pair.state is CandidatePair.State.SUCCEEDED
            for pair in self._check_list
        )

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109
    ) -> list[Candidate]:
        """Bind the sockets and return their candidates."""
        loop = asyncio.get_running_loop()
        found: list[Candidate] = []
        for address in self._binding.addresses(addresses):
            try:
                sock = self._binding.open(address)
            except OSError as error:
                logger.debug("no media socket on %s: %s", address, error)
                continue
            _, protocol = await loop.create_datagram_endpoint(lambda: _Socket(self), sock=sock)
            host, port = sock.getsockname()[:2]
            protocol.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", host),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host"),
                host=host,
                port=port,
                type="host",
            )
            found += [protocol.local_candidate, *self._binding.advertised(protocol.local_candidate)]
            self._protocols.append(protocol)
        return [*found, *await super().get_component_candidates(component, [], timeout)]

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """Take a check that showed the password; a stranger beyond the limit is not learnt."""
        if self._remember(addr):
            super().check_incoming(message, addr, protocol)

    def request_received(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """Answer a check; before we know the other side's password, it shows ours."""
        early = len(self._early_checks)
        super().request_received(message, addr, protocol)
        if len(self._early_checks) > early:
            self._remember(addr)

    def _remember(self, address: tuple[str, int]) -> bool:
        self.checked = True
        if address not in self._known and len(self._known) >= MAX_KNOWN:
            return False
        self._known[address] = None
        return True

    def data_received(self, data: bytes, component: int) -> None:
        """Hand data on."""
        self._agent.take(data)

    def protocol_lost(self, protocol: StunProtocol) -> None:
        """The socket that carries the data is gone."""
        if any(pair.protocol is protocol for pair in self._nominated.values()):
            self._agent.lost(self)

    async def query_consent(self) -> None:
        """Ask for consent every few seconds, and at once when nothing is heard.

        A viewer that was killed is gone after ``QUIET_LOOKS`` questions; what is heard in between
        is a sign of life whatever it is. The server's own sleep is not taken for silence: looks
        are counted, not seconds.
        """
        quiet = unanswered = looks = 0
        while quiet < QUIET_LOOKS and unanswered < UNANSWERED:
            before = self.received
            await asyncio.sleep(LOOK_S * random.uniform(0.8, 1.2))
            silent, looks = self.received == before, looks + 1
            quiet = quiet + 1 if silent else 0
            if not silent and looks % CONSENT_LOOKS:
                continue
            if await self._ask():
                quiet = unanswered = 0
            elif not silent:
                unanswered += 1
        self._query_consent_task = None
        await self.close()

    async def _ask(self) -> bool:
        assert self.remote_password is not None
        answered = False
        for pair in list(self._nominated.values()):
            with contextlib.suppress(stun.TransactionError):
                await pair.protocol.request(
                    self.build_request(pair, nominate=False),
                    pair.remote_addr,
                    integrity_key=self.remote_password.encode(),
                    retransmissions=0,
                )
                answered = True
        return answered

    async def close(self) -> None:
        """Close the sockets and tell the agent."""
        await super().close()
        self._agent.closed(self)

    def abort(self) -> None:
        """Close the sockets without waiting for anything."""
        self._closing = self._closed = True
        for task in (self._query_consent_task, *(pair.task for pair in self._check_list)):
            if task is not None:
                task.cancel()
        for protocol in self._protocols:
            protocol.transport.abort()
        self._agent.closed(self)


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

    def _run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def acceptable_candidate(address: str) -> bool:
    """Whether checks may be sent to an address that a client names.

    Only addresses of the local network are; a viewer from elsewhere, or one that hides behind an
    mDNS name, speaks first and is learnt from its own authenticated check. So nobody can make this
    server send datagrams into the world, or ask the network for a name.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.teredo is not None or ip.sixtofour is not None:  # both lead out over IPv4
            return False
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return True
    return not (ip.is_global or ip.is_multicast or ip.is_unspecified or ip.is_reserved)
