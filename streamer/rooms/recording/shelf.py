"""Recordings on the disk: one folder each, who may fetch them, gone in one go.

``<data>/recordings/<id>/`` holds ``recording.json`` and one file for each time somebody was seen.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from visavis.models.files import atomic_write
from visavis.streamer.errors import NotFound

logger = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{32}")
_FILE = re.compile(r"[0-9]{2,4}\.(mp4|webm)")
_RECORD = "recording.json"
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
    """

    file: str
    person: str
    name: str
    starts_s: float


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
    """

    folder: Path
    room: str
    sitting: str
    started: str
    seconds: float = 0.0
    problem: str = ""
    agreed: set[str] = field(default_factory=set[str])
    files: list[RecordedFile] = field(default_factory=list[RecordedFile])

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self.folder.name

    def save(self) -> None:
        """Write what is known about it."""
        values = asdict(self) | {"folder": self.id, "agreed": sorted(self.agreed)}
        atomic_write(self.folder / _RECORD, json.dumps(values, ensure_ascii=False).encode())

    def size(self) -> int:
        """Return the bytes of all files."""
        total = 0
        for file in tuple(self.files):
            with contextlib.suppress(OSError):
                total += (self.folder / file.file).stat().st_size
        return total

    def describe(self) -> dict[str, Any]:
        """Return it as the interface shows it."""
        return {
            "id": self.id,
            "room": self.room,
            "started": self.started,
            "seconds": self.seconds,
            "bytes": self.size(),
            "problem": self.problem,
            "files": [asdict(file) for file in self.files],
        }


class Recordings:
    """All recordings of a data folder.

    Args:
        data_dir: of the server.
    """

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "recordings"

    def make(self, room: str, sitting: str) -> Shelf:
        """Return a new one.

        Raises:
            OSError: the disk does not take it.
        """
        folder = self._root / secrets.token_hex(16)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return Shelf(folder, room, sitting, now)

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
            shelf = _read(self._root / recording_id)
            if shelf is not None:
                return shelf
        raise NotFound(_NONE)

    def file(self, shelf: Shelf, name: str) -> Path:
        """Return where one of its files lies.

        Raises:
            NotFound: it has none of this name.
        """
        path = shelf.folder / name
        if not _FILE.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise NotFound(_NONE)
        return path

    def erase(self, shelf: Shelf) -> None:
        """Remove a recording; out of sight by one rename, so that none is half erased."""
        gone = self._root / f".erased-{shelf.id}"
        shelf.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _each(self) -> Iterator[Shelf]:
        if not self._root.is_dir():
            return
        for folder in self._root.iterdir():
            if _ID.fullmatch(folder.name) and (shelf := _read(folder)) is not None:
                yield shelf


def _read(folder: Path) -> Shelf | None:
    try:
        with (folder / _RECORD).open("rb") as file:
            values = json.loads(file.read(_RECORD_BYTES))
        files = [RecordedFile(**entry) for entry in values.pop("files")]
        agreed = {str(who) for who in values.pop("agreed")}
        values.pop("folder")
        return Shelf(folder, agreed=agreed, files=files, **values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("skipping the damaged recording %s: %s", folder.name, error)
        return None
