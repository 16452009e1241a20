"""How much of a film that was cut off is whole: up to its last complete fragment or cluster.

MP4 is ISO/IEC 14496-12: boxes of a size, a kind and what is in them; a fragment is a ``moof`` and
the ``mdat`` behind it. WebM is EBML (RFC 8794): elements of an id, a size and what is in them; what
a cluster holds is whole with it. Only sizes are read, and nothing is believed of them that does not
fit the file.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, Final

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_LONGEST_ID: Final = 4
_LONGEST_SIZE: Final = 8


def whole_bytes(file: BinaryIO, suffix: str) -> int:
    """Return how many bytes from the beginning are whole; 0 where no picture is among them.

    Args:
        file: readable and seekable.
        suffix: ``.mp4`` or ``.webm``.
    """
    size = file.seek(0, os.SEEK_END)
    return _of_webm(file, size) if suffix == ".webm" else _of_mp4(file, size)


def _of_mp4(file: BinaryIO, size: int) -> int:
    at = end = fragments = 0
    while (box := _box(file, at)) is not None and at + box[0] <= size:
        at += box[0]
        fragments += box[1] == b"mdat"
        if box[1] != b"moof":  # which is nothing without what follows
            end = at
    return end if fragments else 0


def _box(file: BinaryIO, at: int) -> tuple[int, bytes] | None:
    """Return size and kind of the box that begins here; None where none does."""
    file.seek(at)
    head = file.read(16)
    if len(head) < 8:
        return None
    size, kind = struct.unpack_from(">I4s", head)
    if size == 1 and len(head) == 16:  # it is written behind the kind
        (size,) = struct.unpack_from(">Q", head, 8)
    return (size, kind) if size >= 8 else None


def _of_webm(file: BinaryIO, size: int) -> int:
    at = end = clusters = 0
    while (found := _element(file, at)) is not None:
        kind, begins, length = found
        if kind == _SEGMENT and not clusters:
            at = end = begins  # its own size is known when it is finished only
            continue
        if length is None or begins + length > size:
            break
        at = end = begins + length
        clusters += kind == _CLUSTER
    return end if clusters else 0


def _element(file: BinaryIO, at: int) -> tuple[int, int, int | None] | None:
    """Return id, where its contents begin, and their size, None if unknown; None for no element."""
    file.seek(at)
    head = file.read(_LONGEST_ID + _LONGEST_SIZE)
    kind, used = _number(head, _LONGEST_ID)
    if not used:
        return None
    length, more = _number(head[used:], _LONGEST_SIZE)
    if not more:
        return None
    mark = 1 << (7 * more)
    value = length & (mark - 1)
    return kind, at + used + more, None if value == mark - 1 else value


def _number(data: bytes, most: int) -> tuple[int, int]:
    """Return a number with its length marker, and how many bytes it has; 0 for none."""
    count = 9 - data[0].bit_length() if data else most + 1
    if count > most or len(data) < count:
        return 0, 0
    return int.from_bytes(data[:count], "big"), count
