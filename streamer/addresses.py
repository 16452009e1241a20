"""The addresses of this machine, as others see them."""

from __future__ import annotations

import ipaddress

import ifaddr


def own_addresses() -> list[str]:
    """Return the addresses of every network adapter, loopback too; no name is looked up."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            found.append(text.partition("%")[0])
    return list(dict.fromkeys(found))


def reachable_addresses() -> list[str]:
    """Return those that another device may use, IPv4 first; link-local ones need a zone."""
    addresses = [ipaddress.ip_address(text) for text in own_addresses()]
    usable = [a for a in addresses if not a.is_loopback and not a.is_link_local]
    return [str(a) for a in sorted(usable, key=lambda a: a.version)]
