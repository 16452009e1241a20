"""STUN and TURN servers of one's own: what clients are told of them, and what this side asks them.

Nobody is asked unless the settings name a server. A client behind a strict firewall reaches this
server over TURN; this side asks too, so that it may itself be behind a NAT that passes nothing on.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aioice import Candidate
from aioice.ice import StunProtocol, relayed_candidate, server_reflexive_candidate

from visavis.streamer.clock import Clock
from visavis.streamer.config import IceConfig
from visavis.streamer.values import ICE_SERVER

logger = logging.getLogger(__name__)
ANSWER_S: Final = 2.0  # that an answer to a viewer waits for a server of these
REST_S: Final = 30.0  # that one which did not answer is not asked again
NO_SERVERS_S: Final = 300  # for which a client may keep that there are none
_GRACE_S: Final = 0.1  # that a second answer may be later than the first
_PORT: Final = 3478
_TLS_PORT: Final = 5349
_COMPONENT: Final = 1
_USER: Final = "visavis"
Found = tuple[Candidate, StunProtocol | None]


@dataclass(frozen=True)
class IceServer:
    """One server.

    Attributes:
        url: as in the settings.
        scheme: ``stun``, ``turn`` or ``turns``.
        host: name or address.
        port: the scheme's own if the URL has none.
        transport: ``udp`` or ``tcp``, from here to the server.
    """

    url: str
    scheme: str
    host: str
    port: int
    transport: str

    @classmethod
    def parse(cls, url: str) -> IceServer:
        """Read a URL that the settings have checked.

        Raises:
            ValueError: it is none.
        """
        found = ICE_SERVER.fullmatch(url)
        if found is None:
            raise ValueError(f"{url!r} is no address of a STUN or TURN server.")
        scheme, host = found["scheme"], found["host"].strip("[]")
        port = int(found["port"] or (_TLS_PORT if scheme == "turns" else _PORT))
        usual = "tcp" if scheme == "turns" else "udp"
        return cls(url, scheme, host, port, found["transport"] or usual)


class IceServers:
    """The servers of the settings.

    Args:
        config: which they are, and how they are opened.
        clock: monotonic time.
        wall: Unix time in seconds.
    """

    def __init__(self, config: IceConfig, clock: Clock, wall: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._wall = wall
        self._servers = [IceServer.parse(url) for url in config.servers]
        self._rest_until: dict[str, float] = {}

    @property
    def lasts_s(self) -> int:
        """Seconds for which what :meth:`described` returns is good."""
        return self._config.lasts_s if self._servers else NO_SERVERS_S

    def described(self) -> list[dict[str, Any]]:
        """Return the servers as ``RTCConfiguration.iceServers`` wants them."""
        stun = [server.url for server in self._servers if server.scheme == "stun"]
        turn = [server.url for server in self._servers if server.scheme != "stun"]
        found: list[dict[str, Any]] = [{"urls": stun}] if stun else []
        if turn:
            username, password = self._credentials()
            found.append({"urls": turn, "username": username, "credential": password})
        return found

    def links(self) -> list[str]:
        """Return a ``Link`` header's values for WHIP and WHEP (RFC 9725, 4.6)."""
        username, password = self._credentials()
        opens = f'; username="{username}"; credential="{password}"; credential-type="password"'
        return [
            f'<{server.url}>; rel="ice-server"' + ("" if server.scheme == "stun" else opens)
            for server in self._servers
        ]

    def _credentials(self) -> tuple[str, str]:
        """Return a user name and its password.

        Made from the secret they are those of the "REST API for access to TURN services"
        (draft-uberti-behave-turn-rest-00), which coturn knows as ``use-auth-secret``.
        """
        if not self._config.secret:
            return self._config.username, self._config.password
        username = f"{int(self._wall()) + self._config.lasts_s}:{_USER}"
        made = hmac.new(self._config.secret.encode(), username.encode(), hashlib.sha1)
        return username, base64.b64encode(made.digest()).decode()

    # ------------------------------------------------------------------ what this side asks

    async def ask(
        self, sockets: Sequence[StunProtocol], relay: Callable[[], StunProtocol]
    ) -> list[Found]:
        """Return what this side is called beyond its NAT, and a relayed address.

        Args:
            sockets: this side's own.
            relay: makes what takes the place of a socket for the relayed address.
        """
        if not self._config.relay:
            return []
        asked: list[tuple[IceServer, Awaitable[list[Found]]]] = []
        behind = [protocol for protocol in sockets if _may_be_behind_nat(protocol)]
        if behind and (stun := self._first("stun")) is not None:
            asked.append((stun, _reflexive(behind, stun)))
        if (turn := self._first("turn", "turns")) is not None:
            asked.append((turn, self._relayed(turn, relay)))
        found: list[Found] = []
        answers = await asyncio.gather(*(each for _, each in asked), return_exceptions=True)
        for (server, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, list):
                found += answer
            elif isinstance(answer, Exception):
                self._rest_until[server.url] = self._clock.now() + REST_S
                why = str(answer) or "no answer in time"
                logger.warning("%s gave no address: %s", server.url, why)
            else:
                raise answer
        return found

    def _first(self, *schemes: str) -> IceServer | None:
        """Return the server to ask, UDP before TCP; none of those that lately did not answer."""
        now = self._clock.now()
        fit = [
            server
            for server in self._servers
            if server.scheme in schemes and self._rest_until.get(server.url, 0.0) <= now
        ]
        return min(fit, key=lambda server: server.transport != "udp", default=None)

    async def _relayed(self, server: IceServer, relay: Callable[[], StunProtocol]) -> list[Found]:
        username, password = self._credentials()
        async with asyncio.timeout(ANSWER_S):
            found = await relayed_candidate(
                component=_COMPONENT,
                hide_related_address=True,  # nobody needs to know where this side is
                protocol_factory=relay,
                turn_server=(server.host, server.port),
                turn_username=username,
                turn_password=password,
                turn_ssl=server.scheme == "turns",
                turn_transport=server.transport,
            )
        return [found]


async def _reflexive(sockets: Sequence[StunProtocol], server: IceServer) -> list[Found]:
    """Ask from every socket; the first answer ends the wait but for a moment.

    Sockets of adapters that lead nowhere (containers', say) would cost every viewer seconds.

    Raises:
        ConnectionError: there was no answer at all.
    """
    where = (server.host, server.port)
    tasks = {asyncio.ensure_future(server_reflexive_candidate(s, where)) for s in sockets}
    pending, found, loop = tasks, list[Found](), asyncio.get_running_loop()
    until = loop.time() + ANSWER_S
    try:
        while pending and (left := until - loop.time()) > 0:
            done, pending = await asyncio.wait(
                pending, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            found += [task.result() for task in done if task.exception() is None]
            if found:
                until = min(until, loop.time() + _GRACE_S)
    finally:
        for task in pending:
            task.cancel()
    if not found:
        raise ConnectionError("no answer")
    return found


def _may_be_behind_nat(protocol: StunProtocol) -> bool:
    """Whether STUN can say something of a socket: aioice asks by IPv4 only."""
    address = ipaddress.ip_address(protocol.local_candidate.host)
    return address.version == 4 and not address.is_loopback and not address.is_link_local
