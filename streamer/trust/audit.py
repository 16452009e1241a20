"""An audit log that shows tampering: JSON lines, each carrying the hash of the one before.

It names avatars and sessions by their random ids and holds no personal data, so that it survives
an erasure. A changed, removed or inserted entry breaks the chain. What a chain without a key
cannot show is a log cut off at its end or written anew as a whole: keep a copy of the last hash
elsewhere where that matters.

A log that has grown is set aside as ``audit-000001.jsonl`` and so on; the chain goes on in the next
file, and :func:`verify` follows it through all of them.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from visavis.streamer.errors import VisavisError
from visavis.streamer.locks import lock

GENESIS = "0" * 64
LONGEST = 8 << 20  # bytes of a file, some 30,000 entries
_LAST_ENTRY_BYTES = 16_384
_FIELDS = ("n", "time", "event", "subject", "details", "prev", "hash")


class AuditError(VisavisError):
    """The log does not fit its hashes; the message says where."""


@dataclass(frozen=True)
class AuditEntry:
    """One thing that happened.

    Attributes:
        n: position, from 1.
        time: UTC, ISO 8601.
        event: ``enrol``, ``ready``, ``refused``, ``erase``, ``session-start``, ``session-end``...
        subject: the random id it happened to.
        details: numbers and short words; never a name, a photo or an address.
        prev: hash of the entry before.
        hash: SHA-256 over all of the above.
    """

    n: int
    time: str
    event: str
    subject: str
    details: Mapping[str, str | int | float | bool]
    prev: str
    hash: str


def _utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


class AuditLog:
    """Appends to one file; several processes may share it.

    Args:
        path: the file; made on the first entry, readable by its owner only.
        now: returns the time to write.
    """

    def __init__(
        self, path: Path, now: Callable[[], str] = _utc_now, *, longest: int = LONGEST
    ) -> None:
        self.path = path
        self._now = now
        self._longest = longest

    def record(self, event: str, subject: str, **details: str | int | float | bool) -> AuditEntry:
        """Append one entry and wait until it is on the disk.

        Raises:
            AuditError: the log's last entry cannot be continued.
            OSError: the disk does not take it; the log is as it was.
        """
        descriptor = self._open()
        with os.fdopen(descriptor, "r+b", buffering=0):
            n, prev = self._last(descriptor)
            body = {
                "n": n + 1,
                "time": self._now(),
                "event": event,
                "subject": subject,
                "details": details,
                "prev": prev,
            }
            entry = {**body, "hash": _hash(body)}
            self._append(descriptor, _line(entry))
            if os.fstat(descriptor).st_size >= self._longest:
                with contextlib.suppress(OSError):  # the entry is kept; the next one tries again
                    self._set_aside()
        return AuditEntry(**entry)  # type: ignore[arg-type]

    def _open(self) -> int:
        """Open and lock the file that has the path now; another process may be setting it aside."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        while True:
            descriptor = os.open(self.path, flags, 0o600)
            try:
                lock(descriptor)
                if _is_at(descriptor, self.path):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _append(self, descriptor: int, line: bytes) -> None:
        """Write a whole entry or none."""
        before = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise

    def _set_aside(self) -> None:
        number = len(_set_aside_before(self.path)) + 1
        os.rename(self.path, self.path.with_name(f"{self.path.stem}-{number:06d}.jsonl"))

    def _last(self, descriptor: int) -> tuple[int, str]:
        size = os.fstat(descriptor).st_size
        if size == 0:
            before = _set_aside_before(self.path)
            return _end_of(before[-1]) if before else (0, GENESIS)
        tail = os.pread(descriptor, _LAST_ENTRY_BYTES, max(0, size - _LAST_ENTRY_BYTES))
        whole, newline, torn = tail.rpartition(b"\n")
        if torn:  # the power went while this was written: it never became an entry
            os.ftruncate(descriptor, size - len(torn))
        if not newline:
            return 0, GENESIS
        entry = _parse(whole.rpartition(b"\n")[2] + b"\n", "the last entry")
        return entry["n"], entry["hash"]


def entries_about(path: Path, subject: str = "") -> Iterator[dict[str, Any]]:
    """Yield the entries about a subject, or all of them, the oldest first, as they stand.

    Raises:
        AuditError: an entry cannot be read.
    """
    count = 0
    for file in (*_set_aside_before(path), path):
        if not file.is_file():
            continue
        with file.open("rb") as lines:
            for line in lines:
                count += 1
                entry = _parse(line, f"entry {count}")
                details = entry["details"].values()
                if not subject or entry["subject"] == subject or subject in details:
                    yield entry


def verify(path: Path) -> int:
    """Check every hash of a log, through all the files it was set aside to.

    Returns:
        The number of entries.

    Raises:
        AuditError: an entry was changed, removed or inserted; the message says which.
    """
    prev, count = GENESIS, 0
    for file in (*_set_aside_before(path), path):
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            if file == path and count:
                continue  # just set aside
            raise AuditError(f"The audit log {file} cannot be read: it is not there.") from None
        except OSError as error:
            raise AuditError(f"The audit log {file} cannot be read: {error.strerror}.") from error
        if data and not data.endswith(b"\n"):
            raise AuditError("The audit log ends in the middle of an entry.")
        for line in data.split(b"\n")[:-1]:
            count += 1
            entry = _parse(line + b"\n", f"entry {count}")
            if entry["n"] != count or entry["prev"] != prev:
                raise AuditError(
                    f"The audit log is broken at entry {count}: it does not follow on."
                )
            prev = entry["hash"]
    return count


def _set_aside_before(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.stem}-[0-9]*.jsonl"))


def _end_of(path: Path) -> tuple[int, str]:
    entry = _parse(path.read_bytes().rstrip(b"\n").rpartition(b"\n")[2] + b"\n", "the last entry")
    return entry["n"], entry["hash"]


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _parse(line: bytes, where: str) -> dict[str, Any]:
    """Return an entry whose bytes are exactly what its hash was made over."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    found = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    if tuple(found) != _FIELDS or _line(found) != line:
        raise AuditError(f"The audit log is broken at {where}: it is not as it was written.")
    body = {name: found[name] for name in _FIELDS[:-1]}
    if _hash(body) != found["hash"]:
        raise AuditError(f"The audit log is broken at {where}: its hash does not fit.")
    return found


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_line(body)).hexdigest()
