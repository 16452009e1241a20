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
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MEASURES = ("limits", "dies-with-parent", "network-namespace", "files", "syscalls")
"""Everything that can hold; a kernel may grant less."""

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2


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
        The measures that hold, of ``limits``, ``dies-with-parent``, ``network-namespace``,
        ``files`` (Landlock) and ``syscalls`` (seccomp: no sockets, no programs, no signals).
    """
    held = []
    _set_limits(limits)
    held.append("limits")
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


def _set_limits(limits: ProcessLimits) -> None:
    for kind, value in (
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_AS, limits.address_space),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (ceiling, ceiling))
    os.nice(limits.niceness)


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


# --- system calls: seccomp, https://docs.kernel.org/userspace-api/seccomp_filter.html ---------

_ALLOW, _DENY, _ABSENT = 0x7FFF0000, 0x00050001, 0x00050026  # yes; EPERM; ENOSYS
_KILL = 0x80000000
_CLONE_THREAD = 0x00010000
_X32_BIT = 0x40000000
# audit architecture, clone, clone3, then what a decoder of pictures has no use for: sockets
# (socket connect accept accept4 bind listen), programs (execve execveat fork vfork), other
# processes (kill rt_sigqueueinfo pidfd_send_signal ptrace process_vm_readv process_vm_writev),
# kernel doors (mount unshare setns bpf userfaultfd perf_event_open add_key keyctl io_uring_setup).
_SYSCALLS: dict[str, tuple[int, int, int, tuple[int, ...]]] = {
    "x86_64": (0xC000003E, 56, 435, (
        41, 42, 43, 288, 49, 50, 59, 322, 57, 58, 62, 129, 424, 101, 310, 311,
        165, 272, 308, 321, 323, 298, 248, 250, 425,
    )),
    "aarch64": (0xC00000B7, 220, 435, (
        198, 203, 202, 242, 200, 201, 221, 281, 129, 138, 424, 117, 270, 271,
        40, 97, 268, 280, 282, 241, 217, 219, 425,
    )),
}  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter_syscalls(libc: ctypes.CDLL) -> bool:
    known = _SYSCALLS.get(platform.machine())
    if known is None:
        return False
    code = _filter(*known)
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(architecture: int, clone: int, clone3: int, denied: Sequence[int]) -> bytes:
    """Assemble classic BPF; ``clone`` may make threads, not processes."""
    load, equal, at_least, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06

    def op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    program = [
        op(load, 4),  # seccomp_data.arch
        op(equal, architecture, yes=1),
        op(give, _KILL),
        op(load, 0),  # seccomp_data.nr
        op(at_least, _X32_BIT, no=1),
        op(give, _DENY),
        # glibc falls back from clone3, whose flags a filter cannot see, to clone.
        op(equal, clone3, no=1),
        op(give, _ABSENT),
    ]
    for number in denied:
        program += [op(equal, number, no=1), op(give, _DENY)]
    program += [
        op(equal, clone, no=3),
        op(load, 16),  # seccomp_data.args[0], low half: the flags
        op(bits, _CLONE_THREAD, yes=1),
        op(give, _DENY),
        op(give, _ALLOW),
    ]
    return b"".join(program)
