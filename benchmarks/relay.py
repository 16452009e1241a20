"""A bad network in the harness's own process: a UDP relay that loses, delays and swaps packets.

Kernel queues (netem) need root and a module that many machines lack; this needs neither, is seeded,
and does the same on every machine. Both peers are told only the relay's addresses: the candidates
in the offer and the answer are replaced, ICE then runs through the relay like through a NAT.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from visavis.benchmarks.common import BenchmarkError

_OWN_CANDIDATE = "a=candidate:1 1 udp 2130706431 {host} {port} typ host"


@dataclass(frozen=True)
class Impairment:
    """What happens to packets, in each direction by itself.

    Attributes:
        loss: share of packets lost.
        jitter_ms: each packet waits a uniformly random time up to this; order is kept, as queues
            keep it.
        reorder: share of packets that do not wait and so overtake others.
        delay_ms: every packet waits this besides.
    """

    loss: float = 0.0
    jitter_ms: float = 0.0
    reorder: float = 0.0
    delay_ms: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.loss < 1 and 0 <= self.reorder <= 1):
            raise BenchmarkError("Loss and reorder are shares between 0 and 1.")
        if self.jitter_ms < 0 or self.delay_ms < 0:
            raise BenchmarkError("Jitter and delay cannot be negative.")


CLEAN = Impairment()


class Lane:
    """One direction: decides when, if at all, each packet goes on.

    Args:
        seed: of the lane's own random numbers.
    """

    def __init__(self, seed: int) -> None:
        self.impairment = CLEAN
        self.taken = self.lost = 0
        self._random = random.Random(seed)
        self._last = 0.0

    def due(self, now: float) -> float | None:
        """Return when a packet that arrives now goes on, in seconds; None if it is lost."""
        rule = self.impairment
        self.taken += 1
        if rule.loss and self._random.random() < rule.loss:
            self.lost += 1
            return None
        at = now + rule.delay_ms / 1000
        if rule.reorder and self._random.random() < rule.reorder:
            return at
        if rule.jitter_ms:
            at += self._random.uniform(0, rule.jitter_ms) / 1000
        self._last = max(self._last, at)
        return self._last


class _Port(asyncio.DatagramProtocol):
    def __init__(self, arrived: Callable[[bytes, Any], None]) -> None:
        self._arrived = arrived
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._arrived(data, addr)


class Relay:
    """Stands between one viewer and one server.

    Args:
        seed: of all that is random.
    """

    def __init__(self, seed: int = 0) -> None:
        self.up, self.down = Lane(2 * seed), Lane(2 * seed + 1)
        self._viewer: Any = None  # learnt from its packets
        self._server: Any = None  # from the answer
        self._facing_viewer = _Port(self._from_viewer)
        self._facing_server = _Port(self._from_server)
        self._waiting: list[tuple[float, int, _Port, bytes, Any]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def impair(self, impairment: Impairment) -> None:
        """Let the network be like this from now on, both ways."""
        self.up.impairment = self.down.impairment = impairment

    async def offer(self, sdp: str) -> str:
        """Open the relay; return the viewer's offer with the relay's address in it."""
        host = first_candidate(sdp)[0]
        loop = asyncio.get_running_loop()
        for port in (self._facing_viewer, self._facing_server):
            await loop.create_datagram_endpoint(lambda p=port: p, local_addr=(host, 0))
        return replace_candidates(sdp, *self._address(self._facing_server))

    def answer(self, sdp: str) -> str:
        """Return the server's answer with the relay's address in it."""
        self._server = first_candidate(sdp)
        return replace_candidates(sdp, *self._address(self._facing_viewer))

    def close(self) -> None:
        """Close both sides; what waits is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        for port in (self._facing_viewer, self._facing_server):
            if port.transport is not None:
                port.transport.close()

    def _address(self, port: _Port) -> tuple[str, int]:
        assert port.transport is not None
        name = port.transport.get_extra_info("sockname")
        return name[0], name[1]

    def _from_viewer(self, data: bytes, addr: Any) -> None:
        self._viewer = addr
        self._pass(self.up, self._facing_server, data, self._server)

    def _from_server(self, data: bytes, addr: Any) -> None:
        self._server = addr
        self._pass(self.down, self._facing_viewer, data, self._viewer)

    def _pass(self, lane: Lane, port: _Port, data: bytes, to: Any) -> None:
        now = asyncio.get_running_loop().time()
        due = lane.due(now)
        if due is None or to is None:
            return
        if due <= now:
            self._send(port, data, to)
            return
        self._count += 1
        heapq.heappush(self._waiting, (due, self._count, port, data, to))
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._waiting[0][0], self._flush)

    def _flush(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, port, data, to = heapq.heappop(self._waiting)
            self._send(port, data, to)
        self._timer = None
        self._arm()

    def _send(self, port: _Port, data: bytes, to: Any) -> None:
        if port.transport is not None and not port.transport.is_closing():
            port.transport.sendto(data, to)


def _is_host_udp(line: str) -> bool:
    parts = line.split()
    return line.startswith("a=candidate:") and len(parts) >= 8 and parts[2].lower() == "udp"


def first_candidate(sdp: str) -> tuple[str, int]:
    """Return the address of the first IPv4 UDP candidate of a description.

    Raises:
        BenchmarkError: there is none.
    """
    for line in filter(_is_host_udp, sdp.splitlines()):
        parts = line.split()
        if ":" not in parts[4] and not parts[4].endswith(".local"):
            return parts[4], int(parts[5])
    raise BenchmarkError("The description has no IPv4 candidate that could be relayed.")


def replace_candidates(sdp: str, host: str, port: int) -> str:
    """Return the description with one candidate, in its first section (the others are bundled)."""
    out: list[str] = []
    sections = 0
    for line in sdp.splitlines():
        if line.startswith(("a=candidate:", "a=end-of-candidates")):
            continue
        if line.startswith("m="):
            sections += 1
            if sections == 2:
                out.append(_OWN_CANDIDATE.format(host=host, port=port))
        out.append(line)
    if sections == 1:
        out.append(_OWN_CANDIDATE.format(host=host, port=port))
    return "\r\n".join(out) + "\r\n"
