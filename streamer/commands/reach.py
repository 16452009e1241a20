"""Who can reach a server that is set up like this, and with a microphone: checks of the doctor."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from visavis.streamer.addresses import reachable_addresses
from visavis.streamer.clock import MonotonicClock
from visavis.streamer.commands.checks import Check
from visavis.streamer.config import Config
from visavis.streamer.hosts import is_loopback

_GATHER_S = 10.0
_OPEN_UP = (
    "To let a phone in, serve with --host 0.0.0.0 --tls-self-signed and a token (VISAVIS_TOKEN)."
)


async def gather(config: Config) -> list[tuple[str, str]]:
    """Return the type and address of every candidate that a session would have."""
    from visavis.streamer.webrtc.ice.agent import IceAgent
    from visavis.streamer.webrtc.ice.servers import IceServers
    from visavis.streamer.webrtc.ice.sockets import Binding

    asks = bool(config.ice.servers) and config.ice.relay
    servers = IceServers(config.ice, MonotonicClock(), time.time) if asks else None
    agent = IceAgent(Binding(servers=servers))
    try:
        await asyncio.wait_for(agent.gather_candidates(), _GATHER_S)
        return [(candidate.type, candidate.host) for candidate in agent.local_candidates]
    finally:
        await agent.close()


def offered(config: Config, gathered: list[str]) -> Iterator[Check]:
    """Say which addresses a browser is offered for the media.

    Args:
        config: of the server.
        gathered: the addresses of a session's own candidates.
    """
    beyond = sorted({a for a in gathered if not a.startswith("127.") and a != "::1"})
    extra = config.ice.advertise
    if beyond or extra:
        low, high = config.ice.udp_port_min, config.ice.udp_port_max
        ports = f", UDP ports {low}-{high}" if high else ""
        words = f"A browser is offered {', '.join([*beyond, *extra])}{ports}."
        yield Check("network", "ok", words)
    elif gathered and is_loopback(config.server.host):
        yield Check("network", "ok", "A browser on this machine is offered the loopback.")
    elif gathered:
        yield Check(
            "network",
            "warn",
            "Only this machine itself can call: there is no other address.",
            "Connect a network if calls shall come from elsewhere.",
        )
    else:
        yield Check("network", "fail", "No address can be used.", "Bring the loopback up.")


def ice_servers(config: Config, gathered: list[tuple[str, str]]) -> Iterator[Check]:
    """Say what the STUN and TURN servers of the settings answered; nothing where there are none.

    Args:
        config: of the server.
        gathered: type and address of a session's own candidates.
    """
    if not config.ice.servers:
        return
    name, told = "STUN and TURN", ", ".join(config.ice.servers)
    if not config.ice.relay:
        yield Check(name, "ok", f"Clients are told of {told}; this server does not ask itself.")
        return
    relayed = [address for kind, address in gathered if kind == "relay"]
    mapped = [address for kind, address in gathered if kind == "srflx"]
    words = [f"a relay at {a}" for a in relayed] + [f"{a} as this machine's own" for a in mapped]
    asked = {server.split(":")[0].rstrip("s") for server in config.ice.servers}
    if ("turn" in asked and not relayed) or ("stun" in asked and not (mapped or relayed)):
        yield Check(
            name,
            "warn",
            f"{told} gave no {'relay' if 'turn' in asked else 'address'}.",
            "Check that it runs, that its port is open, and the secret or password.",
        )
    else:
        yield Check(name, "ok", f"{told} gave {' and '.join(words)}.")


def other_devices(config: Config) -> Iterator[Check]:
    """Say whether a phone in the same network can open the page, and use its microphone there."""
    name, server = "other devices", config.server
    proxied = [o for o in server.allowed_origins if urlsplit(o).scheme == "https"]
    if is_loopback(server.host):
        if proxied:
            words = f"A proxy shows the page at {', '.join(proxied)}, where a microphone works."
            yield Check(name, "ok", words)
        else:
            yield Check(name, "ok", "Only this machine opens the page.", _OPEN_UP)
        return
    hosts = reachable_addresses() if server.host in ("0.0.0.0", "::") else [server.host]
    if not hosts:
        yield Check(name, "warn", "There is no address that a phone could open.", "Connect one.")
        return
    host = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
    port = f":{server.port}{server.root_path}"
    if not server.tls:
        yield Check(
            name,
            "warn",
            f"A phone opens http://{host}{port}, but gets no microphone there: "
            "browsers want TLS for that.",
            "Serve with --tls-self-signed, or behind a proxy that has a certificate.",
        )
    elif server.tls_self_signed:
        words = f"A phone can call at https://{host}{port} once it trusts this server."
        yield Check(name, "ok", words, "visavis certificate says how.")
    else:
        yield Check(name, "ok", f"A phone can call at https://{host}{port}.")


def event_loop() -> Iterator[Check]:
    """Say that a faster event loop is there and is not used."""
    if importlib.util.find_spec("uvloop") is not None:
        words = "uvloop is installed beside us and not used: WebRTC does not work on it."
        yield Check("event loop", "ok", words)
