"""Shut this process in before it touches untrusted bytes: limits, no network, no other files.

Everything here needs no privilege and is taken as far as the kernel lets it; what held is
returned, so that it can be recorded and shown instead of believed. Nothing is undone: call it in a
child that exists for one job. Only the standard library is imported, because a namespace can be
entered only while there is one thread.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visavis.streamer.avatars import syscalls

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MEASURES = ("limits", "dies-with-parent", "network-namespace", "files", "syscalls")
"""Everything that can hold; a kernel may grant less."""

WORDS = {
    "limits": "limits on memory and time",
    "dies-with-parent": "ending with the server",
    "network-namespace": "no network",
    "files": "no files",
    "syscalls": "no other system calls",
}
"""The measures in words."""

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2


def demanded(setting: str) -> tuple[str, ...]:
    """Return the measures without which no photo is read; ``required`` means all of them."""
    return MEASURES if setting == "required" else ()


@dataclass(frozen=True)
class ProcessLimits:
    """What a confined process may use up.

    Attributes:
        cpu_s: seconds of processor time over all threads.
        address_space: bytes of virtual memory; MediaPipe and numba reserve about 1.5 GB.
        file_bytes: size of any file it writes.
        open_files: file descriptors.
        niceness: added to its priority, so that live sessions go first.
    """

    cpu_s: int = 120
    address_space: int = 4 << 30
    file_bytes: int = 128 << 20
    open_files: int = 128
    niceness: int = 5


def confine(
    limits: ProcessLimits, *, readable: Sequence[Path] = (), writable: Sequence[Path] = ()
) -> tuple[str, ...]:
    """Confine this process for good.

    Args:
        limits: what it may use up.
        readable: files and folders to read besides the interpreter and its libraries.
        writable: folders to create files in.

    Returns:
        The measures that hold, of :data:`MEASURES`: limits, dying with the parent, an empty
        network namespace, ``files`` (Landlock) and ``syscalls`` (seccomp: a list of what is
        allowed). Other systems than Linux have the first at most.
    """
    held = ["limits"] if _set_limits(limits) else []
    if platform.system() != "Linux":
        return tuple(held)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0:
        held.append("dies-with-parent")
    if _leave_network(libc):
        held.append("network-namespace")
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        if _restrict_files(libc, readable, writable):
            held.append("files")
        if _filter_syscalls(libc):
            held.append("syscalls")
    return tuple(held)


def _set_limits(limits: ProcessLimits) -> bool:
    """Set every limit; return whether all of them hold."""
    if hasattr(os, "nice"):
        os.nice(limits.niceness)
    if resource is None:
        return False
    held = True
    for kind, value in (
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_AS, limits.address_space),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (ceiling, ceiling))
        except (OSError, ValueError):  # macOS takes no limit on address space
            held = False
    return held


def _leave_network(libc: ctypes.CDLL) -> bool:
    """Enter an empty network namespace, where not even loopback is up."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError:
        pass  # unmapped is "nobody": files are still created as the owner
    return True


# --- files: Landlock, https://docs.kernel.org/userspace-api/landlock.html ---------------------

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE = 1 << 14
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu",
    "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip


def _restrict_files(libc: ctypes.CDLL, readable: Sequence[Path], writable: Sequence[Path]) -> bool:
    abi = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    handled = _RIGHTS_BY_ABI[min(abi, 3)]
    attributes = struct.pack("=Q", handled)
    rules = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        read = _READ_FILE | _READ_DIR | _EXECUTE
        prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, *_interpreter_folders()}
        for path in (*_SYSTEM, *sorted(prefixes), *map(str, readable)):
            _allow(libc, rules, path, read & handled)
        for folder in sys.path:  # names only: what imports must list to find a package
            _allow(libc, rules, folder, _READ_DIR)
        _allow(libc, rules, "/dev/null", (_READ_FILE | _WRITE_FILE) & handled)
        for path in map(str, writable):
            _allow(libc, rules, path, handled & ~_EXECUTE)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _interpreter_folders() -> set[str]:
    """Return where the standard library and installed packages lie, user packages too."""
    wanted = ("site-packages", "dist-packages", "lib-dynload", f"python{sys.version_info.major}.")
    return {p for p in sys.path if any(w in os.path.basename(p) for w in wanted)}


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    try:
        where = os.open(path or ".", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this machine
    try:
        if not os.path.isdir(path or "."):
            rights &= _FILE_RIGHTS
        libc.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", rights, where), 0)
    finally:
        os.close(where)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter_syscalls(libc: ctypes.CDLL) -> bool:
    machine = platform.machine()
    if machine not in syscalls.AUDIT:
        return False
    code = syscalls.program(machine, os.getpid())
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)
