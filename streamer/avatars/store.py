"""Avatars on disk: one folder each, made by enrolment, gone in one go.

``<data>/avatars/<id>/`` holds ``record.json`` (name, status, consent), ``identity.vav`` and
``preview.jpg``. The photo itself is never written. Several processes may share the folder: records
are read from disk, and an enrolment that is under way holds a lock on its folder.

Whatever waits for the disk does so on one thread of the store's own, in the order it was asked for;
the event loop only ever reads small files.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.photo import PhotoRefused
from visavis.models.appearance.photo.upload import check_sent
from visavis.streamer.avatars.enrolment import EnrolmentFailed, enrol_photo
from visavis.streamer.avatars.folder import interrupted, unwritten
from visavis.streamer.avatars.kept import Enroller, KeptAvatars, Running
from visavis.streamer.avatars.record import CLOSED, AvatarRecord, checked_name, new_record
from visavis.streamer.avatars.sandbox import demanded
from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import (
    AtCapacity,
    BadRequest,
    Conflict,
    NotFound,
    TooLarge,
    Unprocessable,
    VisavisError,
)
from visavis.streamer.rooms.recording.shelf import Recordings
from visavis.streamer.session.quotas import Quotas
from visavis.streamer.trust.audit import AuditLog
from visavis.streamer.trust.callers import CALLER
from visavis.streamer.trust.consent import Terms
from visavis.streamer.trust.consents import trust_folder
from visavis.streamer.trust.erasure import Receipt, erase_folder, write_receipt
from visavis.streamer.trust.vault_keys import KeyMissing

log = logging.getLogger(__name__)

MAX_WAITING = 4  # enrolments behind the one that runs
MAX_AVATARS = 500
MAX_FAILED = 20  # kept to be read; older ones go when a new enrolment starts
ENROL_TIMEOUT_S = 90.0
RETRY_AFTER_S = 10


class AvatarStore(KeptAvatars):
    """The avatars of one data folder.

    Args:
        data_dir: where ``avatars/`` and ``audit.jsonl`` live; made if needed.
        limits: of uploads.
        size: pixels of the avatars' pictures.
        enroller: makes bundles.
        audit: where enrolments and erasures are recorded.

    Raises:
        BadRequest: the folder cannot be used.
    """

    def __init__(
        self,
        data_dir: Path,
        limits: LimitsConfig,
        size: int,
        *,
        enroller: Enroller | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        super().__init__(data_dir, audit)
        self._limits = limits
        self._size = size
        self._enroller: Enroller = enroller or partial(
            enrol_photo, write=self._folder.vault.write, tracker=limits.face_tracker
        )
        self._stopping: set[asyncio.Task[AvatarRecord]] = set()
        self._turn = asyncio.Semaphore(1)
        self.quotas = Quotas()

    # ------------------------------------------------------------------ enrolling

    async def start_enrolment(
        self,
        data: bytes,
        name: str,
        statement: str,
        consent: bool,
        terms: Terms = Terms(),  # noqa: B008  frozen
    ) -> AvatarRecord:
        """Start an enrolment in the background and return its record.

        Args:
            data: the uploaded photo.
            name: what to call the avatar.
            statement: what the person agreed to, kept to the letter; a plain default where empty.
            consent: that the person agreed.
            terms: for which purposes, and until when.

        Raises:
            BadRequest: without consent, or what was agreed to is too long to be kept whole.
            TooLarge: the photo is too large.
            Unprocessable: the file is no picture.
            AtCapacity: too many enrolments wait already.
            Conflict: the folder holds as many avatars as it may.
            OverQuota: who asks has as many as they may.
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
        caller, digest = CALLER.get(), hashlib.sha256(data).hexdigest()
        self.quotas.check_avatars(
            caller, sum(a.owner == caller.holder and a.status != "failed" for a in self.list())
        )
        record = dataclasses.replace(
            new_record(name, statement), owner=caller.holder, photo_sha256=digest
        )
        running = Running(record, terms, asyncio.get_running_loop().create_future())
        self._running[record.id] = running
        # A client that hangs up now must not leave half a folder: the task goes on without it.
        running.task = asyncio.create_task(self._enrol(running, data), name=f"enrol {record.id}")
        await asyncio.shield(running.created)
        return record

    async def rename(self, avatar_id: str, name: str) -> AvatarRecord:
        """Call an avatar something else; return its record.

        Raises:
            NotFound: there is no such avatar.
            Conflict: it is still enrolling, or failed.
            BadRequest: the name is empty or too long, or the disk does not take it.
        """
        renamed = dataclasses.replace(self._ready(avatar_id), name=checked_name(name))
        try:
            await self._on_disk(self._folder.rewrite, renamed)
        except FileNotFoundError:  # erased meanwhile
            raise NotFound("There is no such avatar.", code="unknown-avatar") from None
        except OSError as error:
            raise BadRequest(f"The name could not be kept: {error.strerror}.") from error
        await self._on_disk(self.note, "rename", avatar_id)
        return renamed

    async def export(self, avatar_id: str) -> bytes:
        """Return the bundle of a ready avatar, to be kept or taken to another server.

        Raises:
            NotFound: there is no such avatar.
            Conflict: it is still enrolling, or failed.
        """
        path = self._folder.bundle(self._ready(avatar_id).id)
        try:
            data: bytes = await self._on_disk(self._folder.vault.read, path)
        except OSError:
            raise NotFound("The file of this avatar cannot be read.", code="no-bundle") from None
        await self._on_disk(self.note, "export", avatar_id)
        return data

    async def wait(self, avatar_id: str) -> AvatarRecord:
        """Return the record once its enrolment has ended, well or not.

        Raises:
            NotFound: there is no such avatar, or it was erased meanwhile.
        """
        running = self._running.get(avatar_id)
        if running is not None and running.task is not None:
            await asyncio.wait([running.task])
        return self.get(avatar_id)

    async def close(self) -> None:
        """Stop what is running; unfinished avatars become failed ones."""
        tasks = [r.task for r in self._running.values() if r.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._stopping, return_exceptions=True)
        for running in tuple(self._running.values()):
            await self._finish(running, interrupted(running.record))
        await asyncio.to_thread(self._disk.shutdown)

    async def _enrol(self, running: Running, data: bytes) -> AvatarRecord:
        try:
            await self._on_disk(self._create, running)
        except asyncio.CancelledError:
            running.tell(BadRequest("The enrolment was stopped."))
            raise
        except VisavisError as error:
            self._running.pop(running.record.id, None)
            running.tell(error)
            return running.record
        running.tell()
        async with self._turn:
            changes = await self._attempt(running, data)
        return await self._finish(running, dataclasses.replace(running.record, **changes))

    def _create(self, running: Running) -> None:
        self._make_room()
        record = running.record
        running.lock = self._folder.create(record)
        try:
            self.consents.give(record, running.terms)
        except (OSError, VisavisError) as error:
            running.let_go()
            self._folder.withdraw(record.id)
            self._folder.sweep()
            if isinstance(error, BadRequest):  # what was asked for is wrong, not where it goes
                raise
            why = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise BadRequest(f"The consent could not be kept: {why}.") from error
        self.note("enrol", record.id, statement_sha256=record.consent.statement_sha256)

    async def _attempt(self, running: Running, data: bytes) -> dict[str, Any]:
        """Return what the outcome changes in the record."""
        avatar_id = running.record.id

        def report(done: float, stage: str) -> None:
            running.record = dataclasses.replace(running.record, progress=done, stage=stage)

        try:
            result = await self._enroller(
                data,
                self._folder.bundle(avatar_id),
                size=self._size,
                timeout_s=ENROL_TIMEOUT_S,
                progress=report,
                max_bytes=self._limits.photo_bytes,
                max_pixels=self._limits.photo_pixels,
                demand=demanded(self._limits.photo_sandbox),
            )
            preview = self._folder.preview(avatar_id)
            await self._on_disk(self._folder.vault.write, preview, result.preview)
        except EnrolmentRefused as error:
            return {"status": "failed", "reason": str(error), "reason_code": error.code}
        except EnrolmentFailed as error:
            return {"status": "failed", "reason": str(error), "reason_code": "broken"}
        except OSError as error:
            log.warning("avatar %s could not be written: %s", avatar_id, error)
            return {"status": "failed", "reason": unwritten(error)}
        except Exception:
            log.exception("enrolment of %s broke", avatar_id)
            return {"status": "failed", "reason": "Something went wrong while reading the photo."}
        log.info("avatar %s: %s, confined by %s", avatar_id, result.timing, result.held)
        done = {"status": "ready", "progress": 1.0, "stage": "Ready"}
        return {**done, "notes": result.notes, "confined_by": result.held}

    async def _finish(self, running: Running, record: AvatarRecord) -> AvatarRecord:
        if record.id not in self._running:  # erased: what was still written goes as well
            await self._on_disk(self._folder.sweep)
            return record
        try:
            return await asyncio.shield(self._on_disk(self._put, running, record))
        finally:
            self._running.pop(record.id, None)

    def _put(self, running: Running, record: AvatarRecord) -> AvatarRecord:
        try:
            record = self._folder.put(record)
        except FileNotFoundError:  # erased by another process
            self._folder.sweep()
        finally:
            running.let_go()
        self.note("ready" if record.status == "ready" else "refused", record.id)
        return record

    def _check_upload(self, data: bytes) -> None:
        try:
            check_sent(data, self._limits.photo_bytes)
        except PhotoRefused as refusal:
            kind = TooLarge if refusal.code == "too-large" else Unprocessable
            raise kind(str(refusal), code=refusal.code) from None

    def _make_room(self) -> None:
        others = [record for record in self.list() if record.id not in self._running]
        for record in [r for r in others if r.status == "failed" and r.reason_code != CLOSED][
            MAX_FAILED - 1 :
        ]:
            with contextlib.suppress(NotFound):  # erased by another process
                self.erase(record.id)
        if sum(r.status != "failed" for r in others) + len(self._running) > MAX_AVATARS:
            words = f"There are {MAX_AVATARS} avatars already; erase one first."
            raise Conflict(words, code="too-many-avatars")

    # ------------------------------------------------------------------ erasing

    async def retire(
        self, avatar_id: str, end_sessions: Callable[[str], Awaitable[object]]
    ) -> None:
        """Erase an avatar that may be live: from the first moment on, nobody can begin with it.

        Args:
            avatar_id: which.
            end_sessions: ends what shows the avatar; its files go even if that fails.

        Raises:
            NotFound: there is no such avatar.
            Conflict: it is out of use, but not every file could be removed.
        """
        gone = await asyncio.shield(self._on_disk(self._withdraw, avatar_id))
        try:
            await end_sessions(avatar_id)
        finally:
            await asyncio.shield(self._on_disk(self._shred, avatar_id, gone))

    def erase(self, avatar_id: str) -> Receipt:
        """Remove bundle, picture, record and consent in one go; a running enrolment is stopped.

        The avatar's key in the vault is destroyed before anything else of it; the receipt is kept.

        Waits for the disk. Servers that share the folder end their sessions within a second.

        Raises:
            NotFound: there is no such avatar.
            Conflict: it is out of use, but not every file could be removed.
        """
        return self._shred(avatar_id, self._withdraw(avatar_id))

    def _withdraw(self, avatar_id: str) -> Path:
        gone = self._folder.withdraw(avatar_id)
        running = self._running.pop(avatar_id, None)
        if running is not None:
            running.let_go()
            if running.task is not None:
                running.task.get_loop().call_soon_threadsafe(self._stop, running.task)
        return gone

    def _stop(self, task: asyncio.Task[AvatarRecord]) -> None:
        if not task.done():
            task.cancel()
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def _shred(self, avatar_id: str, gone: Path) -> Receipt:
        had_key, files, size, whole = erase_folder(gone, self._folder.vault)
        films, more, why = self._erase_films(avatar_id)
        whole = whole and not why
        when = self.consents.wall.iso()
        receipt = Receipt(avatar_id, when, had_key, files + films, size + more, whole, films)
        try:
            write_receipt(trust_folder(self._folder.root.parent), self.consents.signer, receipt)
        except OSError as error:  # no reason to keep what was to be erased
            log.error("the receipt for %s could not be kept: %s", avatar_id, error)
        self.note("erase", avatar_id)
        if why:
            raise Conflict(f"The avatar is erased, but not yet its recordings: {why}")
        if not whole:
            raise Conflict(
                f"The avatar is out of use, but not every file of it could be removed from {gone}."
            )
        return receipt

    def _erase_films(self, avatar_id: str) -> tuple[int, int, str]:
        """Erase what recordings show of an avatar; how many files and bytes, and why not all."""
        try:
            vault = self._folder.vault
            return *Recordings(self._folder.root.parent, vault).forget(avatar_id), ""
        except (OSError, KeyMissing) as error:
            log.error("recordings of %s could not all be erased: %s", avatar_id, error)
            return 0, 0, getattr(error, "strerror", None) or str(error)

    def sweep_films(self) -> None:
        """Erase recordings of avatars that were erased when that was not possible; disk."""
        receipts = trust_folder(self._folder.root.parent) / "receipts"
        films = Recordings(self._folder.root.parent, self._folder.vault)
        films.sweep(lambda avatar_id: (receipts / f"{avatar_id}.json").is_file())
