"""A recorded file that somebody may read: as it lies, or decrypted a block at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from visavis.streamer.trust.sealed_stream import SealedStream

_BLOCK: Final = 1 << 18


@dataclass(frozen=True)
class Opened:
    """What there is to be read; closed by whoever reads it, or left to itself.

    Attributes:
        path: where it lies.
        size: of what is read, in bytes.
        stream: its plain bytes where it is sealed; None where it lies plain.
    """

    path: Path
    size: int
    stream: SealedStream | None = None

    @property
    def media_type(self) -> str:
        """What kind of file it is."""
        kinds = {".mp4": "video/mp4", ".webm": "video/webm", ".c2pa": "application/c2pa"}
        return kinds.get(self.path.suffix, "application/octet-stream")

    def file(self) -> io.BufferedReader:
        """Return the plain bytes as a file."""
        return self.path.open("rb") if self.stream is None else io.BufferedReader(self.stream)

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the plain bytes from ``start`` to before ``end``, and close the file.

        Raises:
            Unsealable: they were changed.
        """
        with self.file() as file:
            file.seek(start)
            left = end - start
            while left > 0 and (block := file.read(min(_BLOCK, left))):
                left -= len(block)
                yield block

    def read(self) -> bytes:
        """Return all of it; for what is small."""
        return b"".join(self.blocks(0, self.size))
