"""Wrong tokens by address: after ten within a minute an address waits, each time twice as long.

A token that is guessed is not looked at while its address waits, or guessing would go on. Whoever
sends none is not concerned, so that a single user on this machine never is. What has opened
something from the same address of late still does: one person who mistypes, or a page with an old
token, keeps nobody out who is signed in behind the same line.

An address is the client's as the server sees it, and behind a proxy as far as ``trusted_proxies``
believes its X-Forwarded-For; uvicorn works that out. A proxy that is trusted and names nobody
stands for everybody behind it, as this machine's own address does: from there a right token always
opens, and wrong ones are only answered otherwise. IPv6 addresses count by their /64, which is what
one customer has.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from visavis.streamer.errors import Forbidden, TooManyTries, Unauthorized

logger = logging.getLogger(__name__)
MOST: Final = 10  # wrong tokens ...
WITHIN_S: Final = 60.0  # ... in this time
FIRST_WAIT_S: Final = 30.0
LONGEST_WAIT_S: Final = 900.0
_FORGOTTEN_S: Final = 3600.0  # without a wrong token; then the first wait is short again
_ADDRESSES: Final = 4096  # that are remembered, those with the latest wrong tokens
_OPENED: Final = 2048  # pairs of address and token
_NOTED_EVERY_S: Final = 60.0  # at most one entry in the audit log, however many addresses try
_IPV6_PREFIX: Final = 64
# What a guess is told. One that was ours once (expired, taken back, used up) is none.
_GUESSES: Final = ("token", "ticket")


@dataclass
class _Tries:
    """Of one address: when wrong tokens came of late, until when it waits, and how often it did."""

    at: deque[float] = field(default_factory=lambda: deque[float](maxlen=MOST))
    until: float = -math.inf
    waits: int = 0


class Attempts:
    """Counts; used on the event loop.

    Args:
        now: monotonic seconds.
        shared: networks whose addresses stand for many: the trusted proxies.
        note: writes ``(event, subject)`` into the audit log; must not block.
    """

    def __init__(
        self,
        now: Callable[[], float],
        shared: Sequence[str] = (),
        note: Callable[[str, str], object] = lambda event, subject: None,
    ) -> None:
        self._now, self._note = now, note
        self._shared = tuple(ipaddress.ip_network(one, strict=False) for one in shared)
        self._tries: OrderedDict[str, _Tries] = OrderedDict()  # the latest wrong token last
        self._opened: OrderedDict[bytes, None] = OrderedDict()  # hashes; the latest last
        self._noted_at = -math.inf

    @contextmanager
    def checking(self, host: str, token: str) -> Generator[None, None, None]:
        """Check a token that somebody sends within this; a refusal in it counts.

        Args:
            host: the client's address; empty where there is none.
            token: what was sent; with an empty one nothing is tried.

        Raises:
            TooManyTries: this address waits, and the token is not even looked at.
        """
        address, many = self._known_as(host)
        pair = hashlib.sha256(f"{address}\0{token}".encode()).digest()
        if token and not many and pair not in self._opened:
            self._check_waiting(address)
        try:
            yield
        except (Unauthorized, Forbidden) as error:
            if token and error.code in _GUESSES:
                self._opened.pop(pair, None)
                self._take_wrong(address)
                if many:
                    self._check_waiting(address)
            raise
        if token:
            _keep(self._opened, pair, None, _OPENED)

    @property
    def remembered(self) -> tuple[int, int]:
        """How many addresses, and how many tokens that opened something, as hashes."""
        return len(self._tries), len(self._opened)

    def _known_as(self, host: str) -> tuple[str, bool]:
        """Return by what an address is counted, and whether it stands for many."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return host, not host  # a socket in the file system has no address at all
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._shared):
            return str(address), True
        if address.version == 6:
            network = ipaddress.ip_network((address, _IPV6_PREFIX), strict=False)
            return str(network), False
        return str(address), False

    def _check_waiting(self, address: str) -> None:
        tries = self._tries.get(address)
        left_s = tries.until - self._now() if tries is not None else 0.0
        if left_s > 0:
            raise TooManyTries(math.ceil(left_s))

    def _take_wrong(self, address: str) -> None:
        now, tries = self._now(), self._tries.get(address) or _Tries()
        if tries.at and now - tries.at[-1] > _FORGOTTEN_S:
            tries = _Tries()
        tries.at.append(now)
        _keep(self._tries, address, tries, _ADDRESSES)
        if now >= tries.until and len(tries.at) == MOST and now - tries.at[0] < WITHIN_S:
            wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(tries.waits, 16))
            tries.until, tries.waits = now + wait_s, tries.waits + 1
            last = tries.at[-1]
            tries.at.clear()
            tries.at.append(last)
            self._tell(now, wait_s)

    def _tell(self, now: float, wait_s: float) -> None:
        """Write it down, without the address: that is somebody's."""
        logger.warning("many wrong tokens came from one address, which waits %.0f s now", wait_s)
        if now - self._noted_at >= _NOTED_EVERY_S:
            self._noted_at = now
            self._note("token-guessing", "server")


def _keep(into: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    """Put a value last, and let the oldest go."""
    into[key] = value
    into.move_to_end(key)
    while len(into) > most:
        into.popitem(last=False)
