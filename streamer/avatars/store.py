"""Avatars on disk: one folder each, made by enrolment, gone in one go.

``<data>/avatars/<id>/`` holds ``record.json`` (name, status, consent), ``identity.vav`` and
``preview.jpg``. The photo itself is never written. Several processes may share the folder: records
are read from disk, and an enrolment that is under way holds a lock on its folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import logging
import os
import re
import shutil
import stat
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from visavis.models.appearance.errors import EnrolmentRefused
from visavis.models.appearance.photo import PhotoRefused, check_upload
from visavis.streamer.avatars.enrolment import EnrolmentFailed, EnrolmentResult, enrol_photo
from visavis.streamer.avatars.record import (
    AvatarRecord,
    new_record,
    read_record,
    record_bytes,
    write_file,
)
from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import (
    AtCapacity,
    BadRequest,
    Conflict,
    NotFound,
    TooLarge,
    Unprocessable,
)
from visavis.streamer.trust.audit import AuditLog

log = logging.getLogger(__name__)

MAX_WAITING = 4  # enrolments behind the one that runs
MAX_AVATARS = 500
MAX_FAILED = 20  # kept to be read; older ones go when a new enrolment starts
ENROL_TIMEOUT_S = 90.0
RETRY_AFTER_S = 10
_ID = re.compile(r"[0-9a-f]{32}")
_RECORD, _BUNDLE, _PREVIEW, _LOCK = "record.json", "identity.vav", "preview.jpg", ".lock"
_INTERRUPTED = "Enrolment was interrupted; send the photo again."


class Enroller(Protocol):
    """Makes a bundle from untrusted bytes; ``enrol_photo`` is the real one."""

    def __call__(
        self,
        data: bytes,
        out: Path,
        *,
        size: int,
        timeout_s: float,
        progress: Callable[[float, str], None] | None,
        max_bytes: int,
        max_pixels: int,
    ) -> Awaitable[EnrolmentResult]:
        """Write the bundle to ``out`` or raise EnrolmentRefused or EnrolmentFailed."""
        ...


@dataclass
class _Running:
    record: AvatarRecord
    lock: int
    task: asyncio.Task[AvatarRecord] | None = None


@dataclass
class _Seen:
    stamp: tuple[int, int]
    record: AvatarRecord | None = field(default=None)


class AvatarStore:
    """The avatars of one data folder.

    Args:
        data_dir: where ``avatars/`` and ``audit.jsonl`` live; made if needed.
        limits: of uploads.
        size: pixels of the avatars' pictures.
        enroller: makes bundles.
        audit: where enrolments and erasures are recorded.
    """

    def __init__(
        self,
        data_dir: Path,
        limits: LimitsConfig,
        size: int,
        *,
        enroller: Enroller = enrol_photo,
        audit: AuditLog | None = None,
    ) -> None:
        self._root = data_dir / "avatars"
        self._limits = limits
        self._size = size
        self._enroller = enroller
        self._running: dict[str, _Running] = {}
        self._stopping: set[asyncio.Task[AvatarRecord]] = set()
        self._turn = asyncio.Semaphore(1)
        self._seen: dict[str, _Seen] = {}
        try:
            for folder in (data_dir, self._root):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._root.chmod(0o700)
        except OSError as error:
            raise BadRequest(f"The data folder {data_dir} cannot be used: {error}.") from error
        self.audit = audit or AuditLog(data_dir / "audit.jsonl")
        self._tidy()

    def list(self) -> list[AvatarRecord]:
        """Return every avatar, newest first."""
        found = []
        for folder in self._root.iterdir():
            if _ID.fullmatch(folder.name) and (record := self._find(folder.name)) is not None:
                found.append(record)
        return sorted(found, key=lambda r: (r.created, r.id), reverse=True)

    def get(self, avatar_id: str) -> AvatarRecord:
        """Return one avatar.

        Raises:
            NotFound: there is none with this id.
        """
        if _ID.fullmatch(avatar_id) and (record := self._find(avatar_id)) is not None:
            return record
        raise NotFound("There is no such avatar.", code="unknown-avatar")

    def bundle_path(self, avatar_id: str) -> Path:
        """Return where the bundle of a ready avatar lies.

        Raises:
            NotFound: there is no such avatar.
            Conflict: it is still enrolling, or failed.
        """
        record = self._ready(avatar_id)
        return self._root / record.id / _BUNDLE

    def preview(self, avatar_id: str) -> bytes:
        """Return the picture of a ready avatar at rest, a JPEG; raises as ``bundle_path``."""
        record = self._ready(avatar_id)
        try:
            return (self._root / record.id / _PREVIEW).read_bytes()
        except OSError:
            raise NotFound("This avatar has no picture.", code="no-picture") from None

    async def start_enrolment(
        self, data: bytes, name: str, statement: str, consent: bool
    ) -> AvatarRecord:
        """Start an enrolment in the background and return its record.

        Args:
            data: the uploaded photo.
            name: what to call the avatar.
            statement: what the person agreed to; a plain default where empty.
            consent: that the person agreed.

        Raises:
            BadRequest: without consent.
            TooLarge: the photo is too large.
            Unprocessable: the file is no picture.
            AtCapacity: too many enrolments wait already.
            Conflict: the folder holds as many avatars as it may.
        """
        if consent is not True:
            raise BadRequest("An avatar needs the consent of the person in the photo.")
        self._check_upload(data)
        if len(self._running) > MAX_WAITING:
            raise AtCapacity(
                "Too many photos are being enrolled; try again soon.",
                RETRY_AFTER_S,
                code="enrolment-full",
            )
        self._make_room()
        record = new_record(name, statement)
        running = _Running(record, self._create(record))
        self._running[record.id] = running
        self.note("enrol", record.id, statement_sha256=record.consent.statement_sha256)
        running.task = asyncio.create_task(self._enrol(running, data), name=f"enrol {record.id}")
        return record

    async def wait(self, avatar_id: str) -> AvatarRecord:
        """Return the record once its enrolment has ended, well or not.

        Raises:
            NotFound: there is no such avatar, or it was erased meanwhile.
        """
        running = self._running.get(avatar_id)
        if running is not None and running.task is not None:
            await asyncio.wait([running.task])
        return self.get(avatar_id)

    def erase(self, avatar_id: str) -> None:
        """Remove bundle, picture, record and consent in one go; a running enrolment is stopped.

        Raises:
            NotFound: there is no such avatar.
        """
        folder = self._root / avatar_id
        if not _ID.fullmatch(avatar_id) or folder.is_symlink() or not folder.is_dir():
            raise NotFound("There is no such avatar.", code="unknown-avatar")
        running = self._running.pop(avatar_id, None)
        self._seen.pop(avatar_id, None)
        # Out of sight by one rename: nothing can be half erased. ``_tidy`` ends an interrupted one.
        gone = self._root / f".erased-{uuid.uuid4().hex}"
        folder.rename(gone)
        if running is not None:
            os.close(running.lock)
            if running.task is not None:
                running.task.cancel()
                self._stopping.add(running.task)
                running.task.add_done_callback(self._stopping.discard)
        shutil.rmtree(gone, ignore_errors=True)
        self.note("erase", avatar_id)

    async def close(self) -> None:
        """Stop what is running; unfinished avatars become failed ones."""
        tasks = [r.task for r in self._running.values() if r.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._stopping, return_exceptions=True)
        for running in tuple(self._running.values()):
            self._finish(running, status="failed", reason=_INTERRUPTED)

    def _check_upload(self, data: bytes) -> None:
        try:
            check_upload(data, self._limits.photo_bytes)
        except PhotoRefused as refusal:
            kind = TooLarge if refusal.code == "too-large" else Unprocessable
            raise kind(str(refusal), code=refusal.code) from None

    def _make_room(self) -> None:
        records = self.list()
        for record in [r for r in records if r.status == "failed"][MAX_FAILED - 1 :]:
            with contextlib.suppress(NotFound):  # erased by another process
                self.erase(record.id)
        if sum(r.status != "failed" for r in records) >= MAX_AVATARS:
            words = f"There are {MAX_AVATARS} avatars already; erase one first."
            raise Conflict(words, code="too-many-avatars")

    def _create(self, record: AvatarRecord) -> int:
        folder = self._root / record.id
        try:
            folder.mkdir(mode=0o700)
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(record)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise BadRequest(f"The data folder takes no more avatars: {error.strerror}.") from error
        return lock

    async def _enrol(self, running: _Running, data: bytes) -> AvatarRecord:
        async with self._turn:
            changes = await self._attempt(running, data)
        return self._finish(running, **changes)

    async def _attempt(self, running: _Running, data: bytes) -> dict[str, Any]:
        """Return what the outcome changes in the record."""
        folder = self._root / running.record.id

        def report(done: float, stage: str) -> None:
            running.record = dataclasses.replace(running.record, progress=done, stage=stage)

        try:
            result = await self._enroller(
                data,
                folder / _BUNDLE,
                size=self._size,
                timeout_s=ENROL_TIMEOUT_S,
                progress=report,
                max_bytes=self._limits.photo_bytes,
                max_pixels=self._limits.photo_pixels,
            )
            write_file(folder / _PREVIEW, result.preview)
        except EnrolmentRefused as error:
            return {"status": "failed", "reason": str(error), "reason_code": error.code}
        except EnrolmentFailed as error:
            return {"status": "failed", "reason": str(error), "reason_code": "broken"}
        except OSError as error:
            log.warning("avatar %s could not be written: %s", running.record.id, error)
            return {"status": "failed", "reason": "The avatar could not be written to the disk."}
        except Exception:
            log.exception("enrolment of %s broke", running.record.id)
            return {"status": "failed", "reason": "Something went wrong while reading the photo."}
        log.info("avatar %s: %s, confined by %s", running.record.id, result.timing, result.held)
        return {"status": "ready", "progress": 1.0, "stage": "Ready", "notes": result.notes}

    def _finish(self, running: _Running, **changes: Any) -> AvatarRecord:
        record = dataclasses.replace(running.record, **changes)
        if self._running.pop(record.id, None) is None:
            return record  # erased meanwhile
        if record.status == "failed":
            (self._root / record.id / _BUNDLE).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):  # erased by another process
            self._write(record)
        os.close(running.lock)
        self.note("ready" if record.status == "ready" else "refused", record.id)
        return record

    def _ready(self, avatar_id: str) -> AvatarRecord:
        record = self.get(avatar_id)
        if record.status == "enrolling":
            raise Conflict("This avatar is not ready yet.", code="not-ready")
        if record.status == "failed":
            raise Conflict("This avatar could not be made and cannot be used.", code="not-made")
        return record

    def _find(self, avatar_id: str) -> AvatarRecord | None:
        if (running := self._running.get(avatar_id)) is not None:
            return running.record
        path = self._root / avatar_id / _RECORD
        try:
            found = path.lstat()
        except OSError:
            found = None
        if found is None or not stat.S_ISREG(found.st_mode) or path.parent.is_symlink():
            self._seen.pop(avatar_id, None)
            return None
        stamp = (found.st_mtime_ns, found.st_ino)
        seen = self._seen.get(avatar_id)
        if seen is None or seen.stamp != stamp:
            seen = self._seen[avatar_id] = _Seen(stamp, read_record(path))
        return seen.record

    def _write(self, record: AvatarRecord) -> None:
        write_file(self._root / record.id / _RECORD, record_bytes(record))

    def _tidy(self) -> None:
        """Finish what a process that died left undone."""
        for folder in self._root.iterdir():
            if folder.name.startswith(".erased-"):
                shutil.rmtree(folder, ignore_errors=True)
            elif _ID.fullmatch(folder.name):
                record = self._find(folder.name)
                if record is not None and record.status == "enrolling":
                    self._recover(folder, record)

    def _recover(self, folder: Path, record: AvatarRecord) -> None:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process is at it
        else:
            for part in folder.glob(".enrol-*"):
                shutil.rmtree(part, ignore_errors=True)
            (folder / _BUNDLE).unlink(missing_ok=True)
            self._write(dataclasses.replace(record, status="failed", reason=_INTERRUPTED))
        finally:
            os.close(lock)

    def note(self, event: str, avatar_id: str, **details: str) -> None:
        """Record an event in the audit log; waits for the disk."""
        try:
            self.audit.record(event, avatar_id, **details)
        except Exception as error:  # a broken log must be seen, but not stop an erasure
            log.error("the audit log could not record %s of %s: %s", event, avatar_id, error)
