"""The avatars that are kept, and who may be shown which: what needs no enrolment and no erasure."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from visavis.streamer.avatars.enrolment import EnrolmentResult
from visavis.streamer.avatars.folder import AvatarFolder
from visavis.streamer.avatars.record import CLOSED, AvatarRecord
from visavis.streamer.errors import BadRequest, Conflict, Forbidden, NotFound
from visavis.streamer.locks import let_go
from visavis.streamer.trust.audit import AuditLog
from visavis.streamer.trust.callers import Caller
from visavis.streamer.trust.consent import ConsentRecord, Terms
from visavis.streamer.trust.consents import Consents, trust_folder
from visavis.streamer.trust.tokens import Tokens

log = logging.getLogger(__name__)
DELETED = "This avatar was deleted."
_T = TypeVar("_T")


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
        demand: tuple[str, ...],
    ) -> Awaitable[EnrolmentResult]:
        """Write the bundle to ``out`` or raise EnrolmentRefused or EnrolmentFailed."""
        ...


@dataclass
class Running:
    """An enrolment that is under way, or waits for its turn.

    Attributes:
        record: what is known of the avatar by now.
        terms: what was agreed to for it.
        created: done when the folder is made, or it is known why not.
        lock: the folder's; -1 for none.
        task: the enrolment itself.
    """

    record: AvatarRecord
    terms: Terms
    created: asyncio.Future[None]
    lock: int = -1
    task: asyncio.Task[AvatarRecord] | None = None

    def tell(self, error: Exception | None = None) -> None:
        """Tell whoever asked that the folder is made, or why not."""
        if self.created.done():
            return
        if error is None:
            self.created.set_result(None)
        else:
            self.created.set_exception(error)
            self.created.exception()  # whoever asked may be gone

    def let_go(self) -> None:
        """Give the folder's lock back, once."""
        lock, self.lock = self.lock, -1
        let_go(lock)


class KeptAvatars:
    """The avatars of one data folder, to be read and shown.

    Args:
        data_dir: where ``avatars/``, ``trust/`` and ``audit.jsonl`` live; made if needed.
        audit: where what is done is recorded.

    Raises:
        BadRequest: the folder cannot be used.
    """

    def __init__(self, data_dir: Path, audit: AuditLog | None = None) -> None:
        self._folder = AvatarFolder(data_dir)
        self.consents = Consents(self._folder)
        keys = trust_folder(data_dir)
        self.tokens = Tokens(keys / "tokens", self.consents.signer, self.consents.wall)
        self._running: dict[str, Running] = {}
        self._disk = ThreadPoolExecutor(1, "store")
        self.audit = audit or AuditLog(self._folder.root.parent / "audit.jsonl")

    def list(self) -> list[AvatarRecord]:
        """Return every avatar, newest first; one whose record is damaged counts as failed."""
        found = {record.id: record for record in self._folder.all()}
        found |= {name: running.record for name, running in list(self._running.items())}
        return sorted(found.values(), key=lambda r: (r.created, r.id), reverse=True)

    def get(self, avatar_id: str) -> AvatarRecord:
        """Return one avatar.

        Raises:
            NotFound: there is none with this id.
        """
        if (running := self._running.get(avatar_id)) is not None:
            return running.record
        if (record := self._folder.find(avatar_id)) is not None:
            return record
        raise NotFound("There is no such avatar.", code="unknown-avatar")

    async def missing(self, avatar_ids: Collection[str]) -> dict[str, str]:
        """Return which of these avatars nobody may be shown as any more, and why; asks the disk."""

        def look() -> dict[str, str]:
            found = {avatar_id: self.refusal(avatar_id, "call") for avatar_id in avatar_ids}
            return {avatar_id: why for avatar_id, why in found.items() if why}

        return await self._on_disk(look)

    def refusal(self, avatar_id: str, purpose: str) -> str:
        """Return why an avatar may not be shown now, in a sentence; empty if it may."""
        record = self._folder.find(avatar_id)
        if record is not None and record.reason_code == CLOSED:
            return record.reason
        if record is None or record.status != "ready":
            return DELETED
        return self.consents.refusal(avatar_id, purpose)

    def photo_sha256(self, avatar_id: str) -> str:
        """Return the hash of the photo that an avatar was made of; empty where nobody knows it."""
        record = self._folder.find(avatar_id)
        return record.photo_sha256 if record is not None else ""

    def bundle_path(self, avatar_id: str, purpose: str = "call") -> Path:
        """Return where the bundle of a ready avatar lies, for a purpose that its consent covers.

        Raises:
            NotFound: there is no such avatar.
            Conflict: it is still enrolling, or failed.
            Forbidden: there is no valid consent for this.
        """
        record = self._ready(avatar_id)
        self.consents.check(record.id, purpose)
        return self._folder.bundle(record.id)

    def admit(self, caller: Caller, avatar_id: str) -> None:
        """Take that somebody begins to speak as an avatar.

        Raises:
            Forbidden: their token is for something else, or was made under another consent.
            Unauthorized: it was to be used once, and was.
        """
        caller.check_speaks(avatar_id)
        if caller.consent and self.consents.of(avatar_id).id != caller.consent:
            raise Forbidden(
                "This token was made under another consent; ask for a new one.",
                code="token-consent",
            )
        if caller.id:
            self.tokens.use_up(caller)
            self.note("token-use", caller.id, avatar=avatar_id)

    def bundle(self, avatar_id: str, purpose: str = "call") -> str:
        """Return how whoever draws is told of a bundle, with its key if it is sealed.

        Raises as ``bundle_path``.
        """
        return self._folder.vault.reference(self.bundle_path(avatar_id, purpose))

    async def withdraw(
        self, avatar_id: str, end_sessions: Callable[[str], Awaitable[object]] | None = None
    ) -> ConsentRecord:
        """Withdraw a consent: the avatar is not shown any more, and kept until it is erased.

        Args:
            avatar_id: which.
            end_sessions: ends what shows it here; other processes look for it themselves.

        Raises:
            NotFound: there is no such avatar.
            Forbidden: there is no consent that could be withdrawn.
        """
        self.get(avatar_id)
        record = await self._on_disk(self.consents.withdraw, avatar_id)
        if end_sessions is not None:
            await end_sessions(avatar_id)
        await self._on_disk(self.note, "consent-withdraw", avatar_id)
        return record

    async def renew(self, avatar_id: str, terms: Terms, statement: str = "") -> ConsentRecord:
        """Give an avatar a new consent, in place of the one before.

        Args:
            avatar_id: which; ready.
            terms: what is agreed to, beside the text.
            statement: the text; empty is what was agreed to when it was made.

        Raises:
            NotFound: there is no such avatar.
            Conflict: it is not ready, or the vault is locked.
            BadRequest: the terms cannot be, or the disk does not take them.
        """
        record = self._ready(avatar_id)
        if statement:
            agreed = dataclasses.replace(record.consent, statement=statement)
            record = dataclasses.replace(record, consent=agreed)
        try:
            given = await self._on_disk(self.consents.give, record, terms)
        except OSError as error:
            raise BadRequest(f"The consent could not be kept: {error.strerror}.") from error
        await self._on_disk(lambda: self.note("consent-renew", avatar_id, consent=given.id))
        return given

    def preview(self, avatar_id: str) -> bytes:
        """Return the picture of a ready avatar at rest, a JPEG; raises as ``bundle_path``."""
        record = self._ready(avatar_id)
        try:
            return self._folder.vault.read(self._folder.preview(record.id))
        except OSError:
            raise NotFound("This avatar has no picture.", code="no-picture") from None

    def _ready(self, avatar_id: str) -> AvatarRecord:
        record = self.get(avatar_id)
        if record.status == "enrolling":
            raise Conflict("This avatar is not ready yet.", code="not-ready")
        if record.reason_code == CLOSED:
            raise Conflict(record.reason, code=CLOSED)
        if record.status == "failed":
            raise Conflict("This avatar could not be made and cannot be used.", code="not-made")
        return record

    def contents(self, avatar_id: str) -> dict[str, bytes]:
        """Return the files of an avatar as its person may have them, decrypted; waits for the disk.

        Raises:
            NotFound: there is no such avatar.
            Conflict: the vault is closed, or a file was changed.
        """
        self._ready(avatar_id)
        folder, read = self._folder, self._folder.vault.read
        found = {"avatar.vav": folder.bundle(avatar_id), "preview.jpg": folder.preview(avatar_id)}
        files = {name: read(path) for name, path in found.items() if path.is_file()}
        if folder.has_consent(avatar_id):
            files["consent.json"] = folder.consent(avatar_id)
        return files

    async def _on_disk(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do what waits for the disk, after everything that was asked for before."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    def note(self, event: str, avatar_id: str, **details: str) -> None:
        """Record an event in the audit log; waits for the disk."""
        try:
            self.audit.record(event, avatar_id, **details)
        except Exception as error:  # a broken log must be seen, but not stop an erasure
            log.error("the audit log could not record %s of %s: %s", event, avatar_id, error)
