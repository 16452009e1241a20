"""Who can reach a server that is set up like this, and with a microphone: checks of the doctor."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from urllib.parse import urlsplit

from visavis.streamer.addresses import reachable_addresses
from visavis.streamer.commands.checks import Check
from visavis.streamer.config import Config
from visavis.streamer.http.security.guard import is_loopback

_OPEN_UP = (
    "To let a phone in, serve with --host 0.0.0.0 --tls-self-signed and a token (VISAVIS_TOKEN)."
)


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
