"""A large sealed file that grows: AES-256-GCM in records, appended as they come.

A film is written for hours and must survive a crash, so it cannot be sealed as a whole. Each write
becomes a record of its own: where its bytes belong in the plain file, how many they are, a nonce
and the ciphertext, bound to the file's place and the record's number. A crash tears the last
record at most. What is written again (a container's header, say) is appended too, and the later
record counts; nothing on the disk is ever written over. Records cannot be changed, swapped or left
out in the middle unnoticed; that all of a finished file is there, and belongs where it says, the
caller checks by the size and the index that it kept elsewhere.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import os
import secrets
import struct
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from visavis.models.files import PRIVATE
from visavis.streamer.trust.sealed import Unsealable

MAGIC: Final = b"VISAVIS-STREAM-1"
_HEAD: Final = struct.Struct(">QI")  # where in the plain file, how many bytes
_NONCE: Final = 12  # bytes, NIST SP 800-38D, 8.2
_TAG: Final = 16
_MOST: Final = 1 << 20  # plain bytes of one record, which is opened as a whole
_BUFFER: Final = 1 << 18
_CHANGED: Final = "A recording was changed, or is not its own."
_SHORT: Final = "A recording was cut short."


class _Part(NamedTuple):
    """Plain bytes ``start`` to ``end``, of a record whose first byte belongs at ``begins``."""

    start: int
    end: int
    record: int
    begins: int


class SealedStream(io.RawIOBase):
    """The plain bytes of a sealed file, to be read and written anywhere; used by one thread.

    Args:
        path: where it lies.
        key: of 32 bytes.
        place: what it is bound to; must be the same when it is opened.
        new: make it; otherwise it is there, and may only be read.

    Raises:
        OSError: it cannot be made or opened.
        Unsealable: it is no such file.
    """

    def __init__(self, path: Path, key: bytes, place: str, *, new: bool = False) -> None:
        super().__init__()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL if new else os.O_RDONLY
        self._descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), PRIVATE)
        self._new = new
        self._cipher = AESGCM(key)
        self._place = place.encode()
        self._position = 0
        self._parts: list[_Part] = []
        self._records: list[tuple[int, int]] = []  # where each lies in the file, its plain size
        self._heads = hashlib.sha256()
        self._opened: tuple[int, bytes] = (-1, b"")
        self._size = 0
        self._next = len(MAGIC)
        try:
            self._write_magic() if new else self._look_through()
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ what a file can do

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def writable(self) -> bool:
        """Whether it can be written."""
        return self._new

    def seekable(self) -> bool:
        """Whether one can go elsewhere in it: always."""
        return True

    def tell(self) -> int:
        """Return the position in the plain bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere in the plain bytes; return where that is."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    @property
    def size(self) -> int:
        """How many plain bytes there are."""
        return self._size

    @property
    def index(self) -> str:
        """A hash of where every record belongs, hexadecimal."""
        return self._heads.hexdigest()

    def check_whole(self, size: int, index: str) -> None:
        """Check that nothing is missing at the end, nor was moved.

        Raises:
            Unsealable: something is.
        """
        if (self._size, self.index) != (size, index):
            raise Unsealable(_SHORT)

    # ------------------------------------------------------------------ writing

    def _write_magic(self) -> None:
        _write_all(self._descriptor, MAGIC)

    def write(self, data: Any) -> int:
        """Append what goes to the position; it is in the system's hands when this returns."""
        view = memoryview(data).cast("B")
        if len(view) and (hole := self._position - self._size) > 0:  # as a file does, with zeros
            self._position = self._size
            self.write(bytes(hole))
        for start in range(0, len(view), _MOST):
            self._append(bytes(view[start : start + _MOST]))
        return len(view)

    def _append(self, plain: bytes) -> None:
        head = _HEAD.pack(self._position, len(plain))
        nonce = secrets.token_bytes(_NONCE)
        text = self._cipher.encrypt(nonce, plain, self._bound(len(self._records), head))
        record = head + nonce + text
        os.lseek(self._descriptor, self._next, os.SEEK_SET)  # a torn one before is written over
        _write_all(self._descriptor, record)
        self._take(self._position, len(plain))
        self._next += len(record)
        self._position += len(plain)

    def _bound(self, number: int, head: bytes) -> bytes:
        return b"%s\0%d\0%s" % (self._place, number, head)

    def _take(self, start: int, length: int) -> None:
        """Note a record that lies at ``_next``; what it covers of older ones counts no more."""
        number, end = len(self._records), start + length
        self._heads.update(_HEAD.pack(start, length))
        self._records.append((self._next, length))
        self._size = max(self._size, end)
        if not length:
            return
        new = _Part(start, end, number, start)
        if not self._parts or self._parts[-1].end <= start:
            self._parts.append(new)
            return
        kept: list[_Part] = []
        for part in self._parts:
            if part.start < start:
                kept.append(part._replace(end=min(part.end, start)))
            if part.end > end:
                kept.append(part._replace(start=max(part.start, end)))
        bisect.insort(kept, new)
        self._parts = kept

    # ------------------------------------------------------------------ reading

    def _look_through(self) -> None:
        """Find every whole record; a torn one at the end never became one."""
        if os.pread(self._descriptor, len(MAGIC), 0) != MAGIC:
            raise Unsealable(_CHANGED)
        whole = os.fstat(self._descriptor).st_size
        while len(head := os.pread(self._descriptor, _HEAD.size, self._next)) == _HEAD.size:
            start, length = _HEAD.unpack(head)
            after = self._next + _HEAD.size + _NONCE + length + _TAG
            if length > _MOST:
                raise Unsealable(_CHANGED)
            if after > whole:
                break
            self._take(start, length)
            self._next = after

    def readinto(self, buffer: Any) -> int:
        """Read plain bytes from the position on; 0 at the end.

        Raises:
            Unsealable: they were changed.
        """
        into = memoryview(buffer).cast("B")
        count = max(0, min(len(into), self._size - self._position))
        done = 0
        while done < count:
            found = self._at(self._position, count - done)
            into[done : done + len(found)] = found
            done += len(found)
            self._position += len(found)
        return done

    def _at(self, position: int, most: int) -> bytes:
        """Return some bytes from a position on."""
        index = bisect.bisect_right(self._parts, position, key=lambda part: part.start)
        part = self._parts[index - 1] if index else None
        if part is None or part.end <= position:
            raise Unsealable(_CHANGED)  # nothing is written that leaves a hole
        plain = self._open_record(part)
        begin = position - part.begins
        return plain[begin : begin + min(most, part.end - position)]

    def _open_record(self, part: _Part) -> bytes:
        if self._opened[0] != part.record:
            where, length = self._records[part.record]
            size = _HEAD.size + _NONCE + length + _TAG
            record = os.pread(self._descriptor, size, where)
            head, rest = record[: _HEAD.size], record[_HEAD.size :]
            try:
                bound = self._bound(part.record, head)
                plain = self._cipher.decrypt(rest[:_NONCE], rest[_NONCE:], bound)
            except (InvalidTag, ValueError) as error:
                raise Unsealable(_CHANGED) from error
            self._opened = (part.record, plain)
        return self._opened[1]


def is_stream(path: Path) -> bool:
    """Whether a file is one of these."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def buffered(stream: SealedStream) -> io.BufferedRandom:
    """Return the stream for one who writes a few bytes at a time."""
    return io.BufferedRandom(stream, _BUFFER)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
