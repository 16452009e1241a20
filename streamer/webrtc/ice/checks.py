"""ICE made safe for an unattended server: one generation of checks.

aioice takes datagrams from anybody before a pair is nominated and queues them without a limit,
never offers the loopback addresses, binds every interface, and notices after half a minute that the
other side is gone. :class:`IceConnection` mends that; ``ice_agent`` carries one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import Any, Protocol

from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol

from visavis.streamer.webrtc.ice.sockets import Binding

logger = logging.getLogger(__name__)
MAX_KNOWN = 64  # addresses that have shown the session's ICE password
LOOK_S = 1.0  # how often it is looked for a sign of life
QUIET_LOOKS = 4  # without one, each with a question that waits 0.5 s, until the other side is gone
CONSENT_LOOKS = 5  # between questions for consent to one that is heard (RFC 7675: every 5 s)
_RELAY_CLOSE_S = 1.0
UNANSWERED = 6  # such questions until consent has run out (RFC 7675: 30 s)


class Carrier(Protocol):
    """Who gets what a generation of checks receives: the agent."""

    def take(self, data: bytes) -> None:
        """Take a datagram."""

    def lost(self, generation: IceConnection) -> None:
        """Note that a generation's socket broke."""

    def closed(self, generation: IceConnection) -> None:
        """Note that a generation is over."""


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


class _Relay(_Socket):
    """The same over a TURN server, which need not answer when it is over."""

    async def close(self) -> None:
        """Give the relayed address back, if the TURN server answers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELAY_CLOSE_S):
                await super().close()


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
        agent: Carrier,
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
        if self._binding.servers is not None:
            more = await self._binding.servers.ask(self._protocols, lambda: _Relay(self))
            found += [candidate for candidate, _ in more]
            self._protocols += [relay for _, relay in more if relay is not None]
        return found

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
            transport = protocol.transport
            transport.close() if isinstance(protocol, _Relay) else transport.abort()
        self._agent.closed(self)
