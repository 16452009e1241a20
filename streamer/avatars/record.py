"""What is written about an avatar, and how it is written and read back."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from visavis.streamer.errors import BadRequest

log = logging.getLogger(__name__)

Status = Literal["enrolling", "ready", "failed"]
NAME_LENGTH = 80
STATEMENT_LENGTH = 4_000  # characters
RECORD_BYTES = 65_536
_VERSION = 1
CLOSED = "vault-locked"  # reason code of what only waits for its key
_DEFAULT_STATEMENT = "The person in the photo agrees to this avatar."


@dataclass(frozen=True)
class Consent:
    """What was agreed to, and when.

    Attributes:
        statement: what was agreed to, to the letter.
        time: UTC, ISO 8601.
        statement_sha256: of the statement's UTF-8 bytes.
    """

    statement: str
    time: str
    statement_sha256: str


@dataclass(frozen=True)
class AvatarRecord:
    """What is known about an avatar.

    Attributes:
        id: 32 hexadecimal digits, made here.
        name: what its owner calls it, at most 80 characters.
        status: ``enrolling``, ``ready`` or ``failed``.
        progress: 0-1.
        stage: what enrolment is doing.
        reason: why it failed, one sentence; empty otherwise.
        created: UTC, ISO 8601.
        notes: sentences for its owner.
        consent: the consent it exists by.
        reason_code: the reason for programs; empty otherwise.
        confined_by: what shut the process in that read the photo, as the kernel granted it.
        owner: id of the token it was made with; empty for the server's owner.
        photo_sha256: of the photo's file, which itself is not kept; empty in older records.
    """

    id: str
    name: str
    status: Status
    progress: float
    stage: str
    reason: str
    created: str
    notes: tuple[str, ...]
    consent: Consent
    reason_code: str = ""
    confined_by: tuple[str, ...] = ()
    owner: str = ""
    photo_sha256: str = ""


def new_record(name: str, statement: str) -> AvatarRecord:
    """Return the record of an avatar that starts to enrol now.

    Args:
        name: becomes one plain line.
        statement: kept to the letter, since it is what was agreed to; a default where it is empty.

    Raises:
        BadRequest: name or statement is too long to be kept whole, or is no text.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    said = statement if statement.strip() else _DEFAULT_STATEMENT
    if len(said) > STATEMENT_LENGTH:
        raise BadRequest(
            f"The consent text is longer than {STATEMENT_LENGTH} characters and could not be kept "
            "whole; shorten it."
        )
    try:
        digest = hashlib.sha256(said.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise BadRequest("The consent text holds characters that are no text.") from error
    return AvatarRecord(
        id=uuid.uuid4().hex,
        name=checked_name(plain_line(name) or "Unnamed"),
        status="enrolling",
        progress=0.0,
        stage="Waiting",
        reason="",
        created=now,
        notes=(),
        consent=Consent(said, now, digest),
    )


def checked_name(name: str) -> str:
    """Return a name as one plain line.

    Raises:
        BadRequest: nothing is left of it, or it is too long to be kept whole.
    """
    called = plain_line(name)
    if not called:
        raise BadRequest("The name is empty.")
    if len(called) > NAME_LENGTH:
        raise BadRequest(f"The name is longer than {NAME_LENGTH} characters.")
    return called


def damaged_record(avatar_id: str, seconds: float) -> AvatarRecord:
    """Return what is shown of an avatar whose record cannot be read: it can only be erased.

    Args:
        avatar_id: its folder's name.
        seconds: when it was last written, since the epoch.
    """
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return AvatarRecord(
        id=avatar_id,
        name="Damaged",
        status="failed",
        progress=0.0,
        stage="",
        reason="The record of this avatar is damaged; erase it and make it again.",
        created=when.isoformat(timespec="microseconds"),
        notes=(),
        consent=Consent("", "", ""),
    )


def closed_record(avatar_id: str, seconds: float, reason: str) -> AvatarRecord:
    """Return what is shown of an avatar that the vault does not open now; it is not lost.

    Args:
        avatar_id: its folder's name.
        seconds: when it was last written, since the epoch.
        reason: one sentence.
    """
    closed = damaged_record(avatar_id, seconds)
    return dataclasses.replace(closed, name="Locked", reason=reason, reason_code=CLOSED)


def plain_line(text: str) -> str:
    """Return one line without control, format or surrogate characters."""
    visible = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(visible.split())


def record_bytes(record: AvatarRecord) -> bytes:
    """Return the record as it is stored."""
    text = json.dumps({"version": _VERSION, **dataclasses.asdict(record)}, ensure_ascii=False)
    return text.encode()


def read_record(path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> AvatarRecord | None:
    """Return the record at ``path``; None, and a line in the log, where it is damaged."""
    try:
        data = read(path)
        values: dict[str, Any] = json.loads(data if len(data) <= RECORD_BYTES else b"")
        if values.pop("version") != _VERSION or values["id"] != path.parent.name:
            raise ValueError("it is of another version or folder")
        consent = Consent(**{k: str(v) for k, v in values.pop("consent").items()})
        if hashlib.sha256(consent.statement.encode()).hexdigest() != consent.statement_sha256:
            raise ValueError("the consent is not the one that was given")
        lists: dict[str, Any] = {
            name: tuple(str(item) for item in values.pop(name, ()))
            for name in ("notes", "confined_by")
        }
        record = AvatarRecord(**values, **lists, consent=consent)
        texts = (
            record.owner,
            record.photo_sha256,
            record.name,
            record.stage,
            record.reason,
            record.created,
            record.reason_code,
        )
        if record.status not in ("enrolling", "ready", "failed") or not all(
            isinstance(text, str) for text in texts
        ):
            raise ValueError("a field has the wrong type")
        if not 0.0 <= float(record.progress) <= 1.0:
            raise ValueError("its progress is no share")
        return dataclasses.replace(record, progress=float(record.progress))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("the avatar record %s is damaged: %s", path, error)
        return None
