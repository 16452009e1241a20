"""Small networks made of the kernel's network namespaces: links, routers with NAT, firewalls.

Nothing in them leads out: the addresses, public ones too, exist only there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

TOOLS = {"ip": "iproute2", "nft": "nftables"}


class Missing(RuntimeError):
    """What namespaces need is not there; the message says what."""


@dataclass
class Network:
    """Some namespaces.

    Attributes:
        names: the kernel's names of the namespaces, by ours.
    """

    prefix: str
    names: dict[str, str] = field(default_factory=dict)
    links: int = 0

    def command(self, where: str, *command: str) -> list[str]:
        """Return a command that runs in a namespace."""
        return ["ip", "netns", "exec", self.names[where], *command]

    def run(self, where: str, *command: str) -> None:
        """Run a command in a namespace; what it says is told if it fails."""
        _run(self.command(where, *command))

    def add(self, where: str) -> None:
        """Make a namespace in which nothing but the loopback is up; it passes packets on."""
        name = f"{self.prefix}-{where}"
        _run(["ip", "netns", "add", name])
        self.names[where] = name
        self.run(where, "ip", "link", "set", "lo", "up")
        forward = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.run(where, "sysctl", "-q", "-w", *forward)

    def link(self, one: tuple[str, str], other: tuple[str, str], mtu: int = 1500) -> None:
        """Put a cable between two namespaces; each end is ``(namespace, address/bits)``.

        The device is called ``to-`` and the namespace at the other end.
        """
        self.links += 1
        ends = [f"v{os.getpid() % 10**6}x{self.links}{side}" for side in "ab"]
        _run(["ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]])
        for (where, address), device, far in zip((one, other), ends, (other, one), strict=True):
            name = f"to-{far[0]}"
            _run(["ip", "link", "set", device, "netns", self.names[where], "name", name])
            no_wait = ("nodad",) if ":" in address else ()
            self.run(where, "ip", "addr", "add", address, "dev", name, *no_wait)
            self.run(where, "ip", "link", "set", "dev", name, "mtu", str(mtu), "up")

    def route(self, where: str, via: str, to: str = "default") -> None:
        """Send what is for elsewhere to a router."""
        self.run(where, "ip", "route", "add", to, "via", via)

    def nft(self, where: str, rules: str) -> None:
        """Load rules of nftables."""
        _run(self.command(where, "nft", "-f", "-"), rules)


def nat(outside: str, *, symmetric: bool, passes_on: str = "") -> str:
    """Return a home router's rules: its own address outwards, nothing in that was not asked for.

    Args:
        outside: the device of its outer side.
        symmetric: another port towards every peer, as many office routers have it.
        passes_on: ``port address`` of a TCP port that it passes on.
    """
    port, _, address = passes_on.partition(" ")
    inward = f"iifname {outside} tcp dport {port} dnat to {address}:{port};" if passes_on else ""
    return f"""
table ip home {{
  chain before {{ type nat hook prerouting priority -100; {inward} }}
  chain after {{
    type nat hook postrouting priority 100;
    oifname {outside} masquerade {"fully-random" if symmetric else ""};
  }}
  chain through {{
    type filter hook forward priority 0;
    iifname {outside} ct status dnat accept;
    iifname {outside} ct state established,related accept;
    iifname {outside} drop;
  }}
  chain in {{
    type filter hook input priority 0;
    iifname {outside} meta l4proto udp ct state new drop;
  }}
}}
"""


NO_UDP = """table inet office { chain through { type filter hook forward priority -1;
  meta l4proto udp drop; }; }"""
# What tells a sender that its packets are too large gets lost, as on many a real path.
BLACK_HOLE = """table inet hole { chain out { type filter hook output priority 0;
  icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }"""


@contextlib.contextmanager
def network(prefix: str) -> Iterator[Network]:
    """Make a network; all of it is gone in the end.

    Raises:
        Missing: this system or this user cannot have one.
    """
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed: apt-get install {package}")
    made = Network(prefix)
    try:
        try:
            made.add("probe")
            made.nft("probe", nat("lo", symmetric=True))
        except RuntimeError as error:
            raise Missing(f"no network namespaces with NAT here ({error})") from error
        yield made
    finally:
        for name in made.names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _run(command: Sequence[str], said: str | None = None) -> None:
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, check=False, timeout=20
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:8])}: {done.stderr.strip()[:200]}")
