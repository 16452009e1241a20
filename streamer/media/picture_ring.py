"""Pictures in memory that processes share: one writes, others look, nobody waits for anybody.

A file of a fixed number of places. Frame *n* lies in place ``n % places``, behind a number that
says whose picture it is: ``n + 1``, or 0 while it is being written. A reader copies the picture and
looks at the number again; if that has changed, it came too late and has lost this one picture. A
reader can therefore be as slow as it likes: it costs the writer and other readers nothing.

Layout, little-endian::

    0   8 bytes   "VISAVIS1"
    8   u32 x 4   width, height, places, offset of the first place
    24  ...       zero
    offset + k * stride:  u64 number, then I420 of width x height, BT.601 limited range
                  stride = 8 + size, rounded up to 4096

This file imports little, as other people's programs use it.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.errors import BadRequest

MAGIC: Final = b"VISAVIS1"
PLACES: Final = 8  # 320 ms at 25 frames a second
MOST_SIDE: Final = 4096  # pixels
_HEAD: Final = struct.Struct("<8s4I")
_PAGE: Final = 4096
_NUMBER: Final = 8  # bytes
_SHARED: Final = Path("/dev/shm")


def i420_bytes(width: int, height: int) -> int:
    """Return the size of a picture with even sides."""
    return width * height * 3 // 2


class PictureRing:
    """Such a file, open.

    Args:
        path: of the file.
        writes: whether pictures are to be put in.

    Attributes:
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.

    Raises:
        BadRequest: it cannot be opened, or is none.
    """

    def __init__(self, path: Path, *, writes: bool = False) -> None:
        try:
            with open(path, "r+b" if writes else "rb") as file:
                access = mmap.ACCESS_WRITE if writes else mmap.ACCESS_READ
                self._memory = mmap.mmap(file.fileno(), 0, access=access)
        except (OSError, ValueError) as error:
            raise BadRequest(
                f"The pictures in {path} cannot be opened from here: {error}.", code="no-pictures"
            ) from None
        head = self._memory[: _HEAD.size].ljust(_HEAD.size, b"\0")
        magic, self.width, self.height, self._places, self._first = _HEAD.unpack(head)
        self._size = i420_bytes(self.width, self.height)
        self._stride = _stride(self._size)
        wanted = self._first + self._places * self._stride
        if magic != MAGIC or not self._places or len(self._memory) < wanted:
            self._memory.close()
            raise BadRequest(f"{path} holds no pictures.", code="no-pictures")
        self._bytes: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8)

    def put(self, frame: int, picture: NDArray[np.uint8]) -> None:
        """Write the picture of a frame, I420 ``(H * 3 // 2, W)`` uint8.

        Raises:
            ValueError: it has another size.
        """
        if picture.shape != (self.height * 3 // 2, self.width):
            raise ValueError(f"a picture of {picture.shape} does not fit")
        at = self._place(frame)
        self._memory[at : at + _NUMBER] = bytes(_NUMBER)
        self._bytes[at + _NUMBER : at + _NUMBER + self._size] = picture.reshape(-1)
        self._memory[at : at + _NUMBER] = (frame + 1).to_bytes(_NUMBER, "little")

    def get(self, frame: int) -> NDArray[np.uint8] | None:
        """Return a copy of a frame's picture, ``(H * 3 // 2, W)``; None if it is not there now."""
        at = self._place(frame)
        if self._number(at) != frame + 1:
            return None
        copied = self._bytes[at + _NUMBER : at + _NUMBER + self._size].copy()
        if self._number(at) != frame + 1:
            return None
        return copied.reshape(self.height * 3 // 2, self.width)

    def close(self) -> None:
        """Let go of the memory; the file stays."""
        self._bytes = np.zeros(0, np.uint8)
        self._memory.close()

    def _place(self, frame: int) -> int:
        return self._first + frame % self._places * self._stride

    def _number(self, at: int) -> int:
        return int.from_bytes(self._memory[at : at + _NUMBER], "little")


def _stride(size: int) -> int:
    return -(-(_NUMBER + size) // _PAGE) * _PAGE


def create(width: int, height: int, folder: Path | None = None) -> Path:
    """Make an empty file that only this user can open; return its path.

    Args:
        width: of the pictures in pixels, even.
        height: likewise.
        folder: where to; memory where the system has a folder for that.

    Raises:
        BadRequest: the size is out of range, or there is no room.
    """
    if width % 2 or height % 2 or not (2 <= width <= MOST_SIDE and 2 <= height <= MOST_SIDE):
        raise BadRequest("Pictures for programs have even sides of up to 4096 pixels.")
    if folder is None and _SHARED.is_dir():
        folder = _SHARED
    length = _PAGE + PLACES * _stride(i420_bytes(width, height))
    try:
        number, name = tempfile.mkstemp(".pictures", "visavis-", folder)
    except OSError as error:
        raise BadRequest(f"There is no place for pictures: {error}.") from None
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(number, 0, length)  # a full disk shows now, not as a bus error later
        else:
            os.truncate(number, length)
        os.pwrite(number, _HEAD.pack(MAGIC, width, height, PLACES, _PAGE), 0)
    except OSError as error:
        os.unlink(name)
        raise BadRequest(f"There is no room for pictures: {error}.") from None
    finally:
        os.close(number)
    return Path(name)
