"""Files that were joined end to end (``cat a.wav b.wav``), taken apart again.

FFmpeg reads the first of them, or a chain only while nothing changes from link to link. What comes
after would be missing without a word.
"""

from __future__ import annotations

import io
import mmap
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

_MOST: Final = 1_000_000  # boxes or pages that are looked at
_FLAC: Final = b"fLaC\x00\x00\x00\x22"  # with the header of STREAMINFO, whose length is fixed
_ODD_SIZES: Final = (0, 0xFFFFFFFF)  # of a file whose writer could not go back to say


def parts(path: Path) -> Iterator[str | io.BufferedReader]:
    """Yield what to open: the file, or each of those that it was joined from."""
    starts = _starts(path)
    if len(starts) < 2:
        yield str(path)
        return
    for begin, end in zip(starts, [*starts[1:], path.stat().st_size], strict=True):
        with path.open("rb") as file:
            yield io.BufferedReader(_Section(file, begin, end))


def _starts(path: Path) -> list[int]:
    """Return where the files begin that a file was joined from; nothing for other kinds."""
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        for fits, find in _KINDS:
            if fits(head):
                return find(file)
    return []


def _ogg(file: BinaryIO) -> list[int]:
    """RFC 3533, section 4: a page of type "begin" after one that is not."""
    starts: list[int] = []
    at, first = 0, False
    for _ in range(_MOST):
        header = file.read(27)
        if len(header) < 27 or header[:4] != b"OggS":
            break
        begins = bool(header[5] & 2)
        if begins and not first:
            starts.append(at)
        first = begins
        at += 27 + header[26] + sum(file.read(header[26]))
        file.seek(at)
    return starts


def _chunks(mark: bytes, kinds: tuple[bytes, ...], order: str) -> Callable[[BinaryIO], list[int]]:
    """Return how to take RIFF's and AIFF's apart, whose header says how long the file is."""

    def find(file: BinaryIO) -> list[int]:
        starts: list[int] = []
        at = 0
        for _ in range(_MOST):
            file.seek(at)
            head = file.read(12)
            if len(head) < 12 or head[:4] != mark or head[8:] not in kinds:
                break
            starts.append(at)
            (size,) = struct.unpack(f"{order}I", head[4:8])
            if size in _ODD_SIZES:
                break
            at += 8 + size + size % 2
        return starts

    return find


def _boxes(file: BinaryIO) -> list[int]:
    """ISO/IEC 14496-12, 4.2: a file begins with a box of type "ftyp"."""
    starts: list[int] = []
    at = 0
    for _ in range(_MOST):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        size, kind = struct.unpack(">I4s", head[:8])
        if kind == b"ftyp":
            starts.append(at)
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if size < 8:  # 0 is to the end
            break
        at += size
    return starts


def _flac(file: BinaryIO) -> list[int]:
    """RFC 9639, section 8: its frames do not say how long they are, its beginning is unlikely."""
    starts: list[int] = []
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_FLAC)
        while at >= 0:
            starts.append(at)
            at = data.find(_FLAC, at + len(_FLAC))
    return starts


_KINDS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO], list[int]]], ...]] = (
    (lambda head: head[:4] == b"OggS", _ogg),
    (lambda head: head[:4] == b"RIFF", _chunks(b"RIFF", (b"WAVE", b"AVI "), "<")),
    (lambda head: head[:4] == b"FORM", _chunks(b"FORM", (b"AIFF", b"AIFC"), ">")),
    (lambda head: head[4:8] == b"ftyp", _boxes),
    (lambda head: head[:4] == b"fLaC", _flac),
)


class _Section(io.RawIOBase):
    """A stretch of a file, seen as a file."""

    def __init__(self, file: io.BufferedReader, begin: int, end: int) -> None:
        self._file, self._begin, self._length, self._at = file, begin, end - begin, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._length - self._at))
        self._file.seek(self._begin + self._at)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
