"""Proof that nothing leaves the machine, taken below Python: from the kernel's own calls.

A command runs in a network namespace that has nothing but loopback, under ``strace``, and every
address it connects or sends to is read from the trace. What native code does is seen as well, and
what fails for want of a network too: asking is what counts.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from visavis.streamer.errors import VisavisError

CALLS = ("connect", "sendto", "sendmmsg", "sendmsg")
_NAME_PORTS = (53, 5353, 5355)  # DNS, mDNS and LLMNR, at whatever address the resolver is
_ADDRESS = re.compile(
    r"sin6?_port=htons\((\d+)\).*?"
    r'(?:inet_addr\("([0-9.]+)"\)|inet_pton\(AF_INET6, "([0-9a-fA-F:.]+)")'
)
_RESOLVER = re.compile(r'sun_path="([^"]*(?:systemd/resolve|avahi)[^"]*)"')
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


class CannotProve(VisavisError):
    """What the proof needs is missing here; the message says what."""

    status = 501


@dataclass(frozen=True)
class Contact:
    """Something that was asked for beyond this machine, or a name that was looked up.

    Attributes:
        address: whom; the path of a socket for a resolver on this machine.
        port: 0 for a path.
        line: as traced.
    """

    address: str
    port: int
    line: str

    def __str__(self) -> str:
        where = f"port {self.port} of {self.address}" if self.port else self.address
        return f"a name at {where}" if self.port in _NAME_PORTS or not self.port else where


@dataclass(frozen=True)
class Traced:
    """What one traced command did.

    Attributes:
        code: its exit code.
        output: what it printed.
        calls: system calls that could have carried something out.
        contacts: those that would have left, or asked for a name.
    """

    code: int
    output: str
    calls: int
    contacts: tuple[Contact, ...]


def contacts(trace: Iterable[str]) -> list[Contact]:
    """Return what a trace of ``strace`` shows of other machines and of names, each once."""
    found: dict[tuple[str, int], Contact] = {}
    for line in trace:
        for port, four, six in _ADDRESS.findall(line):
            address = ipaddress.ip_address(four or six)
            if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            # 0.0.0.0 reaches this machine only.
            own = address.is_loopback or address.is_unspecified
            if not own or int(port) in _NAME_PORTS:
                key = (str(address), int(port))
                found.setdefault(key, Contact(*key, line.strip()))
        for path in _RESOLVER.findall(line):
            found.setdefault((path, 0), Contact(path, 0, line.strip()))
    return list(found.values())


def trace(command: Sequence[str], folder: Path, *, timeout_s: float) -> Traced:
    """Run a command and all its children without a network, under trace.

    Args:
        command: what to run; it brings loopback up itself, with :func:`raise_loopback`.
        folder: where the trace is written.
        timeout_s: seconds after which all of it is killed.

    Raises:
        CannotProve: ``strace`` or ``unshare`` is missing or not permitted, or time ran out.
    """
    log = folder / "calls.strace"
    tracer = [
        *_tools(), "strace", "--follow-forks", "--seccomp-bpf", "-qq", "--string-limit=0",
        f"--trace={','.join(CALLS)}", f"--output={log}", "--", *command,
    ]  # fmt: skip
    process = subprocess.Popen(
        tracer,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise CannotProve(f"The proof was stopped after {timeout_s:g} seconds.") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if not log.is_file():
        raise CannotProve(f"The trace could not be taken: {output.strip()[-300:]}.")
    with log.open(errors="replace") as lines:
        calls = [line for line in lines if any(f" {call}" in line for call in CALLS)]
    return Traced(process.returncode, output, len(calls), tuple(contacts(calls)))


def _tools() -> list[str]:
    """Return how to enter a namespace here."""
    for tool, package in (("strace", "strace"), ("unshare", "util-linux")):
        if shutil.which(tool) is None:
            raise CannotProve(f"{tool} is missing: apt-get install {package}.")
    for entry in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        tried = subprocess.run([*entry, "true"], capture_output=True, check=False, timeout=30)
        if tried.returncode == 0:
            return [*entry, "--"]
    raise CannotProve("This system lets nobody make a network namespace, so nothing can be proved.")


def raise_loopback() -> None:
    """Bring loopback up in a fresh namespace.

    Raises:
        OSError: it is not ours to change.
    """
    import fcntl  # not on Windows, where there are no namespaces either

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = bytearray(struct.pack("16sH14x", b"lo", 0))
        fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("H", request, 16)
        struct.pack_into("H", request, 16, flags | _IFF_UP)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
