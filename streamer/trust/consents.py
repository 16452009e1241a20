"""The consents of the avatars in one data folder: given, read, withdrawn, renewed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from visavis.models.files import atomic_write
from visavis.streamer.errors import BadRequest, Forbidden, VisavisError
from visavis.streamer.trust import consent
from visavis.streamer.trust.consent import MIGRATED, ConsentRecord, Terms
from visavis.streamer.trust.signing import Signer, load_signer
from visavis.streamer.trust.wall import WallTime

log = logging.getLogger(__name__)
TRUST: Final = "trust"  # folder of keys below the data folder
_SIGNING: Final = "signing.key"
_MIGRATED: Final = "consents-signed"
_OLD_PRESENCE: Final = (
    "not recorded: this avatar was made before purposes and presence were asked; ask the person "
    "again where that matters"
)


class Statement(Protocol):
    """What was agreed to, as an avatar's record holds it."""

    @property
    def statement(self) -> str:
        """To the letter."""
        ...

    @property
    def time(self) -> str:
        """UTC, ISO 8601."""
        ...


class Record(Protocol):
    """What is needed of an avatar's record."""

    @property
    def id(self) -> str:
        """The avatar's id."""
        ...

    @property
    def name(self) -> str:
        """What its owner calls it."""
        ...

    @property
    def created(self) -> str:
        """UTC, ISO 8601."""
        ...

    @property
    def consent(self) -> Statement:
        """What was agreed to."""
        ...


class Folder(Protocol):
    """Where avatars lie, as far as their consents are concerned."""

    root: Path

    def all(self) -> Sequence[Record]:
        """Return every avatar's record."""
        ...

    def consent(self, avatar_id: str) -> bytes:
        """Return an avatar's signed consent; raises OSError where there is none."""
        ...

    def has_consent(self, avatar_id: str) -> bool:
        """Whether an avatar has a signed consent, valid or not."""
        ...

    def put_consent(self, avatar_id: str, data: bytes) -> None:
        """Keep an avatar's signed consent; raises OSError where the disk does not take it."""


class Consents:
    """Reads and writes the signed consents beside the avatars.

    Args:
        folder: where avatars lie.
        wall: what expiry is measured by; the machine's clock, never going back, by default.

    Raises:
        BadRequest: the signing key cannot be used.
    """

    def __init__(self, folder: Folder, wall: WallTime | None = None) -> None:
        self._folder = folder
        self._trust = folder.root.parent / TRUST
        self.signer: Signer = load_signer(self._trust / _SIGNING)
        self.wall = wall or WallTime(self._trust / "latest")
        self._migrate()

    def give(self, record: Record, terms: Terms) -> ConsentRecord:
        """Write the consent that an avatar begins with, or a new one; returns it.

        Raises:
            OSError: the disk does not take it.
        """
        terms = terms if terms.who else Terms(record.name, *_without_who(terms))
        text = record.consent.statement
        data = consent.give(self.signer, record.id, text, terms, self.wall.iso())
        self._folder.put_consent(record.id, data)
        return consent.read(self.signer, data, record.id)

    def of(self, avatar_id: str) -> ConsentRecord:
        """Return an avatar's consent, whether or not it still allows anything.

        Raises:
            Forbidden: there is none, or it cannot be relied on.
        """
        try:
            data = self._folder.consent(avatar_id)
        except OSError:
            raise Forbidden(
                "There is no consent for this avatar; ask the person, then give it with visavis "
                "consent renew.",
                code="consent-missing",
            ) from None
        return consent.read(self.signer, data, avatar_id)

    def check(self, avatar_id: str, purpose: str) -> ConsentRecord:
        """Return an avatar's consent if it covers a purpose now.

        Raises:
            Forbidden: it does not; the code says why.
        """
        record = self.of(avatar_id)
        record.check(purpose, self.wall.utc())
        return record

    def refusal(self, avatar_id: str, purpose: str) -> str:
        """Return why an avatar may not be used, in a sentence; empty if it may."""
        try:
            self.check(avatar_id, purpose)
        except VisavisError as error:
            return str(error)
        return ""

    def was_withdrawn(self, avatar_id: str) -> bool:
        """Whether an avatar's consent was withdrawn; one that nobody can rely on says nothing.

        Raises:
            KeyMissing: the vault is locked, so nobody knows.
        """
        try:
            return bool(self.of(avatar_id).withdrawn)
        except Forbidden:
            return False

    def withdraw(self, avatar_id: str) -> ConsentRecord:
        """Withdraw a consent; what is live with it ends within a second.

        Raises:
            Forbidden: there is none, or it cannot be relied on.
            BadRequest: the disk does not take it.
        """
        data = consent.withdraw(self.signer, self.of(avatar_id), self.wall.iso())
        try:
            self._folder.put_consent(avatar_id, data)
        except OSError as error:
            raise BadRequest(f"The withdrawal could not be kept: {error.strerror}.") from error
        return consent.read(self.signer, data, avatar_id)

    def _migrate(self) -> None:
        """Once a data folder: sign what older versions kept, and say what is missing in it."""
        marker = self._trust / _MIGRATED
        if marker.exists():
            return
        try:
            for record in self._folder.all():
                if record.consent.statement and not self._folder.has_consent(record.id):
                    self._sign_old(record)
            atomic_write(marker, b"")
        except OSError as error:
            raise BadRequest(f"{self._trust} cannot be written: {error.strerror}.") from error

    def _sign_old(self, record: Record) -> None:
        old = record.consent
        terms = Terms(who=record.name, presence=_OLD_PRESENCE)
        given = old.time or record.created
        data = consent.give(
            self.signer, record.id, old.statement, terms, given, text_version=MIGRATED
        )
        self._folder.put_consent(record.id, data)
        log.info("avatar %s: its old consent is signed and covers every purpose", record.id)


def _without_who(terms: Terms) -> tuple[tuple[consent.Purpose, ...], str, str]:
    return terms.purposes, terms.expires, terms.presence


def trust_folder(data_dir: Path) -> Path:
    """Return where a data folder keeps its keys."""
    return data_dir.expanduser().absolute() / TRUST
