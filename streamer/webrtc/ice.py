"""ICE made safe for an unattended server, one connection at a time.

aioice takes datagrams from anybody before a pair is nominated and queues them without a limit; it
never offers the loopback addresses, without which two programs on a machine without a network
cannot meet. Both are changed here on single connections, nothing globally.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from aioice import Connection, stun
from aiortc import RTCPeerConnection

MAX_QUEUED = 512  # datagrams that wait for the session
_MAX_KNOWN = 64  # addresses that have shown the session's ICE password
_LOOPBACK = ("127.0.0.1", "::1")


def connections(peer: RTCPeerConnection) -> list[Connection]:
    """Return the ICE connections of a peer connection (one, when everything is bundled)."""
    private: Any = peer
    return [transport._connection for transport in private._RTCPeerConnection__iceTransports]


def harden(connection: Connection) -> None:
    """Offer loopback too, drop strangers' datagrams, bound the queue; call before gathering."""
    private: Any = connection
    known: dict[tuple[str, int], None] = {}
    check, gather = private.check_incoming, private.get_component_candidates
    receive, respond = private.data_received, private.request_received

    def remember(address: tuple[str, int]) -> None:
        if len(known) < _MAX_KNOWN:
            known[address] = None

    def check_incoming(message: stun.Message, address: tuple[str, int], protocol: Any) -> None:
        remember(address)
        check(message, address, protocol)

    def request_received(message: stun.Message, address: tuple[str, int], protocol: Any) -> None:
        early = len(private._early_checks)
        respond(message, address, protocol)
        if len(private._early_checks) > early:  # it showed the password before we had theirs
            remember(address)

    def data_received(data: bytes, component: int) -> None:
        if private._queue.qsize() < MAX_QUEUED:
            receive(data, component)

    async def get_component_candidates(component: int, addresses: list[str]) -> list[Any]:
        found = await gather(component, [*addresses, *_LOOPBACK])
        for protocol in private._protocols:
            _filter(connection, protocol, known)
        return found

    private.check_incoming = check_incoming
    private.request_received = request_received
    private.data_received = data_received
    private.get_component_candidates = get_component_candidates


def _filter(connection: Any, protocol: Any, known: dict[tuple[str, int], None]) -> None:
    """Let only STUN pass from addresses that have not proved themselves."""
    receive = protocol.datagram_received

    def datagram_received(data: bytes, address: tuple[Any, ...]) -> None:
        sender = (address[0], address[1])
        # STUN's two highest bits are zero (RFC 8489); DTLS and SRTP start at 20 and 128.
        looks_like_stun = len(data) >= 20 and data[0] < 4
        if looks_like_stun or sender in known or _answered(connection, protocol, sender):
            receive(data, address)

    protocol.datagram_received = datagram_received


def _answered(connection: Any, protocol: Any, address: tuple[str, int]) -> bool:
    """Whether one of our own checks to this address was answered with the password."""
    return any(
        pair.protocol is protocol
        and pair.remote_addr == address
        and pair.state is type(pair).State.SUCCEEDED
        for pair in connection._check_list
    )


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
