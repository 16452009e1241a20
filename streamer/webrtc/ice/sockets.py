"""Where media sockets are bound, and which addresses may be spoken to."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import random
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

_RECEIVE_BUFFER = 1 << 20  # bytes in the kernel
_LOOPBACK = ("127.0.0.1", "::1")
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER of Linux, which Python does not name


class AddressServers(Protocol):
    """STUN and TURN servers."""

    async def ask(
        self, sockets: Sequence[StunProtocol], relay: Callable[[], StunProtocol]
    ) -> list[tuple[Candidate, StunProtocol | None]]:
        """Return what they make of this side, each with its protocol where it is a relay."""
        ...


@dataclass(frozen=True)
class Binding:
    """Where media sockets are bound.

    Attributes:
        loopback_only: reachable from this machine alone, as its HTTP server is. Its other
            addresses are bound all the same, since some clients (libnice, Firefox) do not pair
            them with 127.0.0.1, but the kernel lets nothing in there that comes from outside.
        ports: lowest and highest UDP port; any if both are 0.
        advertise: addresses offered besides, which somebody passes on to this machine port by port.
        servers: asked for addresses of this side beyond its own; nobody is if None.
    """

    loopback_only: bool = False
    ports: tuple[int, int] = (0, 0)
    advertise: tuple[str, ...] = ()
    servers: AddressServers | None = None

    @property
    def speaks_first(self) -> bool:
        """Whether checks go to addresses of the world as well: a NAT or relay lets none in else."""
        return self.servers is not None

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


def acceptable_candidate(address: str, *, anywhere: bool = False) -> bool:
    """Whether checks may be sent to an address that a client names.

    Only addresses of the local network are; a viewer from elsewhere, or one that hides behind an
    mDNS name, speaks first and is learnt from its own authenticated check. So nobody can make this
    server send datagrams into the world, or ask the network for a name.

    Args:
        address: an IP address, or what stands in its place.
        anywhere: addresses of the world too: a server behind a NAT, or a relay, has to speak first.
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
    if ip.is_global and anywhere and not ip.is_multicast:
        return True
    return not (ip.is_global or ip.is_multicast or ip.is_unspecified or ip.is_reserved)
