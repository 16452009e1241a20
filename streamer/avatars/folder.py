"""The disk side of the avatar store: one folder an avatar, shared by processes, waiting for disks.

Nothing here knows of event loops; ``visavis.streamer.avatars.store`` calls what waits on a thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import re
import shutil
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path

from visavis.streamer.avatars.record import (
    AvatarRecord,
    closed_record,
    damaged_record,
    read_record,
    record_bytes,
)
from visavis.streamer.errors import BadRequest, Conflict, NotFound
from visavis.streamer.locks import hold, is_held, let_go
from visavis.streamer.trust.erasure import erase_folder
from visavis.streamer.trust.vault import KEY_FILE, Vault
from visavis.streamer.trust.vault_keys import KeyMissing

log = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{32}")
_RECORD, _BUNDLE, _PREVIEW, _LOCK = "record.json", "identity.vav", "preview.jpg", ".lock"
_CONSENT = "consent.json"
_ERASED = ".erased-"
_OURS = re.compile(
    r"avatars|recordings|trust|rooms\.(key|ended)|audit(-\d+)?\.jsonl"
)  # in a data folder
_REMOVALS = 3
_INTERRUPTED = "Enrolment was interrupted; send the photo again."
_NO_ROOM = "There is no room left on the server's disk for this avatar."
_UNWRITABLE = "The avatar could not be written to the server's disk."


@dataclass(frozen=True)
class _Seen:
    stamp: tuple[int, int]
    record: AvatarRecord | None


class AvatarFolder:
    """Where avatars lie.

    Args:
        data_dir: the data folder; made if needed, and closed to others if all in it is ours.

    Raises:
        BadRequest: the folder cannot be used.
    """

    def __init__(self, data_dir: Path) -> None:
        data_dir = data_dir.expanduser().absolute()  # the photo child works in another folder
        self.root = data_dir / "avatars"
        self.vault = Vault(data_dir)
        self._seen: dict[str, _Seen] = {}
        self._unwritten: dict[str, AvatarRecord] = {}  # what a full disk did not take
        try:
            for folder in (data_dir, self.root):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.root.chmod(0o700)
            _make_private(data_dir)
        except OSError as error:
            why = error.strerror or error
            raise BadRequest(f"The data folder {data_dir} cannot be used: {why}.") from error
        self.tidy()

    # ------------------------------------------------------------------ reading

    def bundle(self, avatar_id: str) -> Path:
        """Return where an avatar's bundle lies."""
        return self.root / avatar_id / _BUNDLE

    def preview(self, avatar_id: str) -> Path:
        """Return where an avatar's picture lies."""
        return self.root / avatar_id / _PREVIEW

    def consent(self, avatar_id: str) -> bytes:
        """Return an avatar's signed consent; raises OSError where there is none."""
        if not _ID.fullmatch(avatar_id):
            raise FileNotFoundError
        return self.vault.read(self.root / avatar_id / _CONSENT)

    def has_consent(self, avatar_id: str) -> bool:
        """Whether an avatar has a signed consent, valid or not."""
        return (self.root / avatar_id / _CONSENT).exists()

    def put_consent(self, avatar_id: str, data: bytes) -> None:
        """Keep an avatar's signed consent; raises OSError where the disk does not take it."""
        self.vault.write(self.root / avatar_id / _CONSENT, data)

    def all(self) -> list[AvatarRecord]:
        """Return every avatar's record in no order; a damaged one counts as failed."""
        found = (self.find(folder.name) for folder in self.root.iterdir())
        return [record for record in found if record is not None]

    def find(self, avatar_id: str) -> AvatarRecord | None:
        """Return an avatar's record, or None if there is no such avatar."""
        if not _ID.fullmatch(avatar_id):
            return None
        folder = self.root / avatar_id
        try:
            place = folder.lstat()
        except OSError:
            place = None
        if place is None or not stat.S_ISDIR(place.st_mode):
            self._seen.pop(avatar_id, None)
            self._unwritten.pop(avatar_id, None)
            return None
        if (unwritten := self._unwritten.get(avatar_id)) is not None:
            return unwritten
        try:
            record = self._read(folder / _RECORD)
        except (KeyMissing, Conflict, BadRequest) as error:
            return closed_record(avatar_id, place.st_mtime, str(error))
        if record is None:
            # Without a record but with its lock held, another process has just begun.
            return None if is_held(folder / _LOCK) else damaged_record(avatar_id, place.st_mtime)
        if record.status == "enrolling" and not is_held(folder / _LOCK):
            return interrupted(record)
        return record

    def _read(self, path: Path) -> AvatarRecord | None:
        """Return a record from the disk, or from before if it has not changed; None if damaged."""
        avatar_id = path.parent.name
        try:
            found = path.lstat()
        except OSError:
            found = None
        if found is None or not stat.S_ISREG(found.st_mode):
            self._seen.pop(avatar_id, None)
            return None
        stamp = (found.st_mtime_ns, found.st_ino)
        if why := self.vault.refusal():
            self._seen.clear()  # what was read before is closed as well
            raise KeyMissing(why)
        seen = self._seen.get(avatar_id)
        if seen is None or seen.stamp != stamp:
            seen = self._seen[avatar_id] = _Seen(stamp, read_record(path, self.vault.read))
        return seen.record

    # ------------------------------------------------------------------ writing

    def create(self, record: AvatarRecord) -> int:
        """Make an avatar's folder; return its lock, which shows that somebody is at work on it.

        Raises:
            BadRequest: the disk takes no more.
        """
        folder = self.root / record.id
        lock = -1
        try:
            folder.mkdir(mode=0o700)
            lock = hold(folder / _LOCK, wait=True)
            self.vault.create(folder)
            self._write(record)
        except (KeyMissing, Conflict):
            let_go(lock)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except OSError as error:
            let_go(lock)
            shutil.rmtree(folder, ignore_errors=True)
            raise BadRequest(f"The data folder takes no more avatars: {error.strerror}.") from error
        return lock

    def put(self, record: AvatarRecord) -> AvatarRecord:
        """Keep an enrolment's outcome; return it, as a failure where the disk did not take it.

        Raises:
            FileNotFoundError: the avatar was erased meanwhile.
        """
        if record.status == "ready":
            try:
                self._write(record)
            except FileNotFoundError:
                raise
            except OSError as error:
                log.warning("avatar %s could not be recorded: %s", record.id, error)
                record = dataclasses.replace(record, status="failed", reason=unwritten(error))
        if record.status == "failed":
            for name in (_BUNDLE, _PREVIEW, _CONSENT):
                path = self.root / record.id / name
                path.unlink(missing_ok=True)  # first: they may be what leaves no room
            try:
                self._write(record)
            except FileNotFoundError:
                raise
            except OSError as error:
                log.warning("avatar %s could not be recorded: %s", record.id, error)
                self._unwritten[record.id] = record
        return record

    def rewrite(self, record: AvatarRecord) -> None:
        """Write the record of an avatar that is there.

        Raises:
            OSError: the disk does not take it, or the avatar was erased meanwhile.
        """
        self._write(record)

    def _write(self, record: AvatarRecord) -> None:
        self.vault.write(self.root / record.id / _RECORD, record_bytes(record))

    # ------------------------------------------------------------------ erasing

    def withdraw(self, avatar_id: str) -> Path:
        """Take an avatar out of sight by one rename, and return where it waits to be removed.

        Nothing can be half erased: what is interrupted here is ended by :meth:`tidy`.

        Raises:
            NotFound: there is no such avatar.
        """
        folder = self.root / avatar_id
        if not _ID.fullmatch(avatar_id) or folder.is_symlink() or not folder.is_dir():
            raise NotFound("There is no such avatar.", code="unknown-avatar")
        gone = self.root / f"{_ERASED}{uuid.uuid4().hex}"
        try:
            folder.rename(gone)
        except FileNotFoundError:  # erased by another process
            raise NotFound("There is no such avatar.", code="unknown-avatar") from None
        self._seen.pop(avatar_id, None)
        self._unwritten.pop(avatar_id, None)
        return gone

    def sweep(self) -> None:
        """Remove what erasures left, of this process or of one that died."""
        for folder in self.root.glob(f"{_ERASED}*"):
            erase_folder(folder, self.vault)

    def tidy(self) -> None:
        """Finish what a process that died left undone."""
        self.sweep()
        for folder in self.root.iterdir():
            if _ID.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                # No room, or no key: it stays as it is.
                with contextlib.suppress(OSError, KeyMissing, Conflict, BadRequest):
                    self._recover(folder)

    def _recover(self, folder: Path) -> None:
        record = self._read(folder / _RECORD)
        if record is None or record.status != "enrolling":
            return
        try:
            lock = hold(folder / _LOCK)
        except BlockingIOError:
            return  # another process is at it
        try:
            for part in folder.iterdir():
                if part.is_dir():
                    remove(part)
                elif part.name not in (_LOCK, _RECORD, KEY_FILE):
                    part.unlink(missing_ok=True)
            self._write(interrupted(record))
        finally:
            let_go(lock)


def interrupted(record: AvatarRecord) -> AvatarRecord:
    """Return a record as that of an enrolment which did not come to its end."""
    return dataclasses.replace(record, status="failed", reason=_INTERRUPTED)


def unwritten(error: OSError) -> str:
    """Return the sentence for an avatar that the disk did not take."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return _NO_ROOM if full else _UNWRITABLE


def remove(folder: Path) -> bool:
    """Remove a folder to which somebody may still be writing; return whether it is gone."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return True
    return False


def _make_private(folder: Path) -> None:
    """Close a data folder to others, if it is ours and holds nothing but what we keep."""
    found = folder.stat()
    ours = os.name != "nt" and found.st_uid == os.getuid()
    if not ours or not found.st_mode & 0o077:
        return
    if all(_OURS.fullmatch(name) for name in os.listdir(folder)):
        folder.chmod(0o700)
    else:
        log.warning(
            "%s holds other things and stays open to others; name a folder of its own", folder
        )
