"""Recordings on the disk: one folder each, who may fetch them, gone in one go.

``<data>/recordings/<id>/`` holds ``recording.json`` and one file for each time somebody was seen.
Where there is a vault each of them is sealed under a key of its own, which lies beside it, wrapped:
``record.key``, ``01.key``. A key is destroyed before what it opens.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import logging
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from visavis.models.files import atomic_write
from visavis.streamer.errors import NotFound
from visavis.streamer.rooms.recording.opened import Opened
from visavis.streamer.rooms.recording.sealing import files_of, key_of, seal_file
from visavis.streamer.trust import sealed
from visavis.streamer.trust.sealed import Unsealable
from visavis.streamer.trust.sealed_stream import SealedStream, is_stream
from visavis.streamer.trust.vault import Vault
from visavis.streamer.trust.vault_keys import KeyMissing

logger = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{32}")
_FILE = re.compile(r"[0-9]{2,4}\.(mp4|webm|webm\.c2pa)")
_RECORD, _RECORD_KEY = "recording.json", "record.key"
_RECORD_BYTES = 1 << 20
_NONE = "There is no such recording."


@dataclass(frozen=True)
class RecordedFile:
    """One file of a recording.

    Attributes:
        file: its name.
        person: id of the participant.
        name: of the participant.
        starts_s: when it begins, in seconds since the recording began.
        avatars: ids of those who are seen in it.
        signed: it carries a manifest, or has one beside it.
        size: plain bytes of a sealed file that is finished; 0 while it runs, or after a crash.
        index: of the same; see ``SealedStream``.
    """

    file: str
    person: str
    name: str
    starts_s: float
    avatars: tuple[str, ...] = ()
    signed: bool = False
    size: int = 0
    index: str = ""

    def describe(self) -> dict[str, Any]:
        """Return it as the interface shows it."""
        shown: dict[str, Any] = {
            "file": self.file,
            "person": self.person,
            "name": self.name,
            "starts_s": self.starts_s,
            "signed": self.signed,
        }
        if self.signed and self.file.endswith(".webm"):
            shown["manifest"] = f"{self.file}.c2pa"
        return shown


@dataclass
class Shelf:
    """One recording.

    Attributes:
        folder: where it lies.
        room: the room's name; empty for a session that is in none.
        sitting: of the room.
        started: UTC, ISO 8601.
        seconds: its length; 0 while it runs, or after a crash.
        problem: why it was stopped, if not by somebody.
        agreed: ids of those in it, who may fetch it.
        files: its files.
        owner: whose quota it counts for.
        over: every file of it is finished; otherwise it runs, or its server died.
        vault: that seals it, if it is there.
        key: of what is known about it; None where there is no vault.
    """

    folder: Path
    room: str
    sitting: str
    started: str
    seconds: float = 0.0
    problem: str = ""
    agreed: set[str] = field(default_factory=set[str])
    files: list[RecordedFile] = field(default_factory=list[RecordedFile])
    owner: str = ""
    over: bool = False
    vault: Vault | None = None
    key: bytes | None = None
    _changing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _saving: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self.folder.name

    def save(self) -> None:
        """Write what is known about it; what was known before is overwritten: it has names."""
        path, data = self.folder / _RECORD, self.to_bytes()
        with self._saving:
            if self.key is None and path.exists():
                sealed.replace_shredding(path, data)
            else:
                atomic_write(path, data)

    def to_bytes(self) -> bytes:
        """Return what is known about it, sealed where it has a key."""
        files = [asdict(file) | {"avatars": list(file.avatars)} for file in self.files]
        values = {
            "folder": self.id,
            "room": self.room,
            "sitting": self.sitting,
            "started": self.started,
            "seconds": self.seconds,
            "problem": self.problem,
            "agreed": sorted(self.agreed),
            "files": files,
            "owner": self.owner,
            "over": self.over,
        }
        data = json.dumps(values, ensure_ascii=False).encode()
        if self.key is None:
            return data
        return sealed.seal(self.key, data, sealed.place(self.folder / _RECORD))

    def size(self) -> int:
        """Return the bytes of all files on the disk."""
        total = 0
        for file in tuple(self.files):
            with contextlib.suppress(OSError):
                total += (self.folder / file.file).stat().st_size
        return total

    def make(self, name: str) -> io.RawIOBase:
        """Return a new file of it, to be written to: sealed where there is a vault.

        Raises:
            OSError: the disk does not take it.
            KeyMissing: the vault is locked.
        """
        path = self.folder / name
        key = self.vault.new_key(key_of(path)) if self.vault is not None else None
        if key is not None:
            return SealedStream(path, key, sealed.place(path), new=True)
        file = path.open("x+b", buffering=0)
        path.chmod(0o600)
        return file

    def open(self, name: str) -> Opened:
        """Return how one of its files is read.

        Raises:
            OSError: it is not there.
            KeyMissing: the vault is locked.
            Unsealable: it was changed, cut short, or its key was destroyed.
        """
        path = self.folder / name
        key = self.vault.file_key(key_of(path)) if self.vault is not None else None
        if key is None and self.key is not None:
            raise Unsealable("The key of this recording is gone; nothing can be read.")
        if key is None or (self.key is None and not is_stream(path)):
            return Opened(path, path.stat().st_size)  # the second: a vault is just being made
        stream = SealedStream(path, key, sealed.place(path))
        known = next((file for file in self.files if file.file == name), None)
        if known is not None and known.index:
            stream.check_whole(known.size, known.index)
        return Opened(path, stream.size, stream)

    def note(self, name: str, **changes: Any) -> None:
        """Keep something else about one of its files; may be called by any thread."""
        with self._changing:
            for index, file in enumerate(self.files):
                if file.file == name:
                    self.files[index] = replace(file, **changes)

    def forget(self, avatar_id: str) -> tuple[int, int]:
        """Destroy the keys of the files that show an avatar, then the files; how many, how large.

        What is known of the others stays.
        """
        gone = [file for file in self.files if avatar_id in file.avatars]
        count = size = 0
        for file in gone:
            for path in files_of(self.folder / file.file):
                if path.exists():
                    size += sealed.shred(path)
                    count += 1
        if gone:
            self.files = [file for file in self.files if file not in gone]
            self.save()
        return count, size

    def describe(self) -> dict[str, Any]:
        """Return it as the interface shows it."""
        return {
            "id": self.id,
            "room": self.room,
            "started": self.started,
            "seconds": self.seconds,
            "bytes": self.size(),
            "problem": self.problem,
            "sealed": self.key is not None,
            "files": [file.describe() for file in self.files],
        }


class Recordings:
    """All recordings of a data folder.

    Args:
        data_dir: of the server.
        vault: that seals them, if it is there; the data folder's by default.
    """

    def __init__(self, data_dir: Path, vault: Vault | None = None) -> None:
        self._root = data_dir / "recordings"
        self._vault = vault or Vault(data_dir)

    def make(self, room: str, sitting: str, owner: str = "") -> Shelf:
        """Return a new one.

        Args:
            room: its name; empty for a session that is in none.
            sitting: of the room.
            owner: whose quota it counts for.

        Raises:
            OSError: the disk does not take it.
            KeyMissing: the vault is locked.
        """
        folder = self._root / secrets.token_hex(16)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        try:
            key = self._vault.new_key(folder / _RECORD_KEY)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Shelf(folder, room, sitting, now, owner=owner, vault=self._vault, key=key)

    def of(self, room: str) -> list[Shelf]:
        """Return a room's recordings, the newest first."""
        return sorted(
            (s for s in self._each() if s.room == room), key=lambda s: s.started, reverse=True
        )

    def all(self) -> list[Shelf]:
        """Return every recording, the newest first."""
        return sorted(self._each(), key=lambda s: s.started, reverse=True)

    def get(self, recording_id: str) -> Shelf:
        """Return one.

        Raises:
            NotFound: there is none with this id.
        """
        if _ID.fullmatch(recording_id):
            shelf = self._read(self._root / recording_id)
            if shelf is not None:
                return shelf
        raise NotFound(_NONE)

    def file(self, shelf: Shelf, name: str) -> Opened:
        """Return how one of its files is read.

        Raises:
            NotFound: it has none of this name.
            KeyMissing: the vault is locked.
            Unsealable: it was changed.
        """
        path = shelf.folder / name
        if not _FILE.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise NotFound(_NONE)
        return shelf.open(name)

    def erase(self, shelf: Shelf) -> None:
        """Remove a recording; out of sight by one rename, so that none is half erased.

        Its keys are destroyed first, then every file is overwritten.
        """
        gone = self._root / f".erased-{shelf.id}"
        shelf.folder.rename(gone)
        for path in sorted(gone.iterdir(), key=lambda path: path.suffix != ".key"):
            with contextlib.suppress(OSError):
                sealed.shred(path)
        shutil.rmtree(gone, ignore_errors=True)

    def forget(self, avatar_id: str) -> tuple[int, int]:
        """Erase what shows an avatar; return how many files that were, and their bytes.

        Recordings in which nobody else is seen go as a whole.
        """
        count = size = 0
        for shelf in self._each():
            before = len(shelf.files)
            files, bytes_ = shelf.forget(avatar_id)
            count, size = count + files, size + bytes_
            if before and not shelf.files:
                self.erase(shelf)
        return count, size

    def sweep(self, erased: Callable[[str], bool]) -> None:
        """Erase what shows avatars that were erased while the vault was locked, say."""
        with contextlib.suppress(KeyMissing):
            worn = {one for shelf in self._each() for file in shelf.files for one in file.avatars}
            for avatar_id in filter(erased, worn):
                self.forget(avatar_id)

    def used(self, owner: str) -> int:
        """Return the bytes of all recordings that count for somebody's quota."""
        return sum(shelf.size() for shelf in self._each() if shelf.owner == owner)

    def seal(self) -> int:
        """Seal what lies here unsealed, in a vault that has just been made; how many recordings.

        Raises:
            OSError: the disk takes no more; nothing is lost, and this may be called again.
        """
        count = 0
        for shelf in self._each():
            if shelf.key is None:
                for file in tuple(shelf.files):
                    for path in files_of(shelf.folder / file.file)[2:]:
                        if path.is_file():
                            size, index = seal_file(path, self._vault)
                            shelf.note(path.name, size=size, index=index)
                shelf.key = self._vault.new_key(shelf.folder / _RECORD_KEY)
                sealed.replace_shredding(shelf.folder / _RECORD, shelf.to_bytes())
                count += 1
        return count

    def _each(self) -> Iterator[Shelf]:
        if not self._root.is_dir():
            return
        for folder in self._root.iterdir():
            if _ID.fullmatch(folder.name) and (shelf := self._read(folder)) is not None:
                yield shelf

    def _read(self, folder: Path) -> Shelf | None:
        """Return a recording; None for a damaged one; raises KeyMissing where the vault is shut."""
        try:
            key = self._vault.file_key(folder / _RECORD_KEY)
            with (folder / _RECORD).open("rb") as file:
                data = file.read(_RECORD_BYTES)
            state = self._vault.state
            if key is not None and not sealed.is_sealed(data) and state is not None:
                key = None if state.sealing else key  # its turn to be sealed has just come
            if key is not None:
                data = sealed.unseal(key, data, sealed.place(folder / _RECORD))
            values = json.loads(data)
            files = [
                RecordedFile(**entry | {"avatars": tuple(entry.get("avatars", ()))})
                for entry in values.pop("files")
            ]
            agreed = {str(who) for who in values.pop("agreed")}
            values.pop("folder")
            values.setdefault("over", values["seconds"] > 0)  # nobody wrote it down before
            return Shelf(folder, agreed=agreed, files=files, vault=self._vault, key=key, **values)
        except (OSError, Unsealable, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("skipping the damaged recording %s: %s", folder.name, error)
            return None
