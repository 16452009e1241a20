"""What the photo child may ask of the kernel: a list of what is allowed, all else is refused.

Assembled as classic BPF for seccomp (https://docs.kernel.org/userspace-api/seccomp_filter.html).
Numbers are those of ``asm/unistd_64.h`` and, for arm64, ``asm-generic/unistd.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

# Files that are open or that Landlock lets be opened, memory, threads, clocks, and itself; None
# where the architecture has no such call. Absent, among others: sockets, programs, signals to
# others, tracing and reading other processes, name spaces, keys, io_uring, and all of mount.
# fmt: off
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "pread64": (17, 67), "pwrite64": (18, 68),
    "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69), "pwritev": (296, 70),
    "lseek": (8, 62), "close": (3, 57), "close_range": (436, 436), "open": (2, None),
    "openat": (257, 56), "openat2": (437, 437), "creat": (85, None), "stat": (4, None),
    "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "statfs": (137, 43), "fstatfs": (138, 44), "access": (21, None), "faccessat": (269, 48),
    "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78),
    "getdents": (78, None), "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49),
    "fchdir": (81, 50), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None),
    "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "ftruncate": (77, 46), "truncate": (76, 45), "fallocate": (285, 47),
    "fsync": (74, 82), "fdatasync": (75, 83), "flock": (73, 32), "fcntl": (72, 25),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "pipe": (22, None),
    "pipe2": (293, 59), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "umask": (95, 166), "utimensat": (280, 88), "utime": (132, None), "fadvise64": (221, 223),
    "copy_file_range": (326, 285), "sendfile": (40, 71), "memfd_create": (319, 279),
    "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10), "ioctl": (16, 29),
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216),
    "msync": (26, 227), "madvise": (28, 233), "mincore": (27, 232), "brk": (12, 214),
    "mlock": (149, 228), "mlock2": (325, 284), "munlock": (150, 229), "membarrier": (324, 283),
    "get_mempolicy": (239, 236), "futex": (202, 98), "futex_waitv": (449, 449),
    "set_robust_list": (273, 99), "get_robust_list": (274, 100), "set_tid_address": (218, 96),
    "rseq": (334, 293), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121), "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126),
    "sched_getattr": (315, 275), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "select": (23, None), "pselect6": (270, 72), "poll": (7, None), "ppoll": (271, 73),
    "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21),
    "epoll_wait": (232, None), "epoll_pwait": (281, 22), "eventfd": (284, None),
    "eventfd2": (290, 19), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "time": (201, None), "times": (100, 153), "setitimer": (38, 103), "getitimer": (36, 102),
    "timerfd_create": (283, 85), "timerfd_settime": (286, 86), "timerfd_gettime": (287, 87),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158),
    "getpgrp": (111, None), "getpgid": (121, 155), "getsid": (124, 156), "getresuid": (118, 148),
    "getresgid": (120, 150), "getrusage": (98, 165), "getrlimit": (97, 163), "sysinfo": (99, 179),
    "uname": (63, 160), "getcpu": (309, 168), "getrandom": (318, 278), "arch_prctl": (158, None),
    "capget": (125, 90), "exit": (60, 93), "exit_group": (231, 94),
}
# Allowed with conditions on their first argument; see _conditions.
BOUND: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220), "clone3": (435, 435), "prlimit64": (302, 261), "tgkill": (234, 131),
    "sched_setaffinity": (203, 122), "prctl": (157, 167),
}
# fmt: on
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Architectures as the kernel's audit names them; elsewhere there is no filter."""

_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_DENY, _ABSENT = 0x00050001, 0x00050026  # EPERM; ENOSYS, from which libraries fall back
_LOAD, _EQUAL, _AT_LEAST, _BITS, _GIVE = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARG0, _ARG0_HIGH = 0, 4, 16, 20  # offsets in seccomp_data
_X32_BIT = 0x40000000
_CLONE_THREAD = 0x00010000
_RECENT = 424  # from here on calls are younger than the libraries that must do without them
_PR_GET_DUMPABLE, _PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 3, 15, 16, 0x53564D41


def numbers(machine: str, calls: dict[str, tuple[int | None, int | None]]) -> dict[str, int]:
    """Return the numbers that calls have on an architecture, by name."""
    column = list(AUDIT).index(machine)
    return {name: n for name, pair in calls.items() if (n := pair[column]) is not None}


def program(machine: str, pid: int) -> bytes:
    """Return the filter.

    Args:
        machine: a key of ``AUDIT``.
        pid: of the process that takes the filter on; it may signal and limit itself only.
    """
    bound = numbers(machine, BOUND)
    code = [
        _op(_LOAD, _ARCH),
        _op(_EQUAL, AUDIT[machine], yes=1),
        _op(_GIVE, _KILL),
        _op(_LOAD, _NR),
        _op(_AT_LEAST, _X32_BIT, no=1),
        _op(_GIVE, _DENY),
        # glibc falls back from clone3, whose flags a filter cannot see, to clone.
        _op(_EQUAL, bound["clone3"], no=1),
        _op(_GIVE, _ABSENT),
    ]
    own = (0, pid)
    harmless = (_PR_GET_DUMPABLE, _PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA)
    for name, arguments in (
        ("prlimit64", own),
        ("sched_setaffinity", own),
        ("tgkill", (pid,)),
        ("prctl", harmless),  # not PR_SET_PDEATHSIG: it dies with its parent
    ):
        code += _only(bound[name], arguments)
    code += _threads(bound["clone"])
    for number in numbers(machine, ALLOWED).values():
        code += [_op(_EQUAL, number, no=1), _op(_GIVE, _ALLOW)]
    code += [_op(_AT_LEAST, _RECENT, no=1), _op(_GIVE, _ABSENT), _op(_GIVE, _DENY)]
    return b"".join(code)


def _only(number: int, arguments: Sequence[int]) -> list[bytes]:
    """Allow a call where the low half of its first argument is one of these."""
    checks: list[bytes] = []
    for argument in arguments:
        checks += [_op(_EQUAL, argument, no=1), _op(_GIVE, _ALLOW)]
    body = [_op(_LOAD, _ARG0), *checks, _op(_GIVE, _DENY)]
    return [_op(_EQUAL, number, no=len(body)), *body]


def _threads(clone: int) -> list[bytes]:
    """``clone`` may make threads, not processes."""
    body = [
        _op(_LOAD, _ARG0),
        _op(_BITS, _CLONE_THREAD, yes=1),
        _op(_GIVE, _DENY),
        _op(_GIVE, _ALLOW),
    ]
    return [_op(_EQUAL, clone, no=len(body)), *body]


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
