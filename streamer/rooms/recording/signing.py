"""A manifest for a recorded file that is finished: in it, or beside it where it has no place."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from pathlib import Path

from visavis.streamer.errors import VisavisError
from visavis.streamer.rooms.recording.sealing import key_of
from visavis.streamer.rooms.recording.shelf import Shelf
from visavis.streamer.trust import sealed
from visavis.streamer.trust.marks import provenance
from visavis.streamer.trust.sealed_stream import SealedStream, buffered

logger = logging.getLogger(__name__)


class Signing:
    """Signs recordings in the deployment's name.

    Args:
        data_dir: where its certificate lies.
        photo_sha256: hash of an avatar's photo; empty where it is not known.
    """

    def __init__(self, data_dir: Path, photo_sha256: Callable[[str], str]) -> None:
        self._data_dir = data_dir
        self._photo_sha256 = photo_sha256

    def __call__(self, shelf: Shelf, name: str) -> bool:
        """Sign one file; whether it is. What cannot be signed stays as it was."""
        if not provenance.available():
            return False
        known = next((file for file in shelf.files if file.file == name), None)
        avatars = known.avatars if known is not None else ()
        photos = [self._photo_sha256(one) for one in avatars]
        try:
            if name.endswith(".mp4"):
                self._within(shelf, name, photos)
            else:
                self._beside(shelf, name, photos)
        except (OSError, VisavisError, ValueError) as error:
            logger.warning("recording %s, %s could not be signed: %s", shelf.id, name, error)
            return False
        return True

    def _within(self, shelf: Shelf, name: str, photos: list[str]) -> None:
        """Put a copy with a manifest in the file's place; the old bytes are overwritten."""
        path = shelf.folder / name
        hidden = path.with_name(f".signing-{name}")
        hidden.unlink(missing_ok=True)
        opened = shelf.open(name)
        try:
            with opened.file() as source, self._out(shelf, hidden, path) as out:
                provenance.sign_stream(
                    opened.media_type, source, out, self._data_dir, photos=photos
                )
                out.flush()
                raw = out.raw
                if isinstance(raw, SealedStream):
                    shelf.note(name, size=raw.size, index=raw.index)
            with path.open("r+b", buffering=0) as old:
                hidden.replace(path)
                if opened.stream is None:  # a sealed one is nothing without its key
                    sealed.overwrite(old.fileno())
        finally:
            hidden.unlink(missing_ok=True)

    @staticmethod
    def _out(shelf: Shelf, hidden: Path, path: Path) -> io.BufferedRandom:
        key = shelf.vault.file_key(key_of(path)) if shelf.vault is not None else None
        if key is None:
            descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            return open(descriptor, "w+b")
        return buffered(SealedStream(hidden, key, sealed.place(path), new=True))

    def _beside(self, shelf: Shelf, name: str, photos: list[str]) -> None:
        """Keep the manifest in a file of its own: WebM has no place for one."""
        opened = shelf.open(name)
        with opened.file() as source:
            manifest = provenance.sign_stream(
                opened.media_type, source, _Nowhere(), self._data_dir,
                photos=photos, embed=False,
            )  # fmt: skip
        with shelf.make(f"{name}.c2pa") as out:
            out.write(manifest)
        if opened.stream is not None:
            shelf.note(name, size=opened.stream.size, index=opened.stream.index)


class _Nowhere(io.RawIOBase):
    """Takes a copy that nobody needs."""

    def __init__(self) -> None:
        self._position = self._size = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        return 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._position += len(data)
        self._size = max(self._size, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position
