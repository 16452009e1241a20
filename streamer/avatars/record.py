"""What is written about an avatar, and how it is written and read back."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import logging
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

Status = Literal["enrolling", "ready", "failed"]
NAME_LENGTH = 80
STATEMENT_LENGTH = 2_000
RECORD_BYTES = 65_536
_VERSION = 1
_DEFAULT_STATEMENT = "The person in the photo agrees to this avatar."


@dataclass(frozen=True)
class Consent:
    """What was agreed to, and when.

    Attributes:
        statement: the sentence that was agreed to.
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


def new_record(name: str, statement: str) -> AvatarRecord:
    """Return the record of an avatar that starts to enrol now."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    said = _plain(statement, STATEMENT_LENGTH) or _DEFAULT_STATEMENT
    return AvatarRecord(
        id=uuid.uuid4().hex,
        name=_plain(name, NAME_LENGTH) or "Unnamed",
        status="enrolling",
        progress=0.0,
        stage="Waiting",
        reason="",
        created=now,
        notes=(),
        consent=Consent(said, now, hashlib.sha256(said.encode()).hexdigest()),
    )


def _plain(text: str, length: int) -> str:
    """Return one line without control, format or surrogate characters."""
    visible = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(visible.split())[:length].strip()


def record_bytes(record: AvatarRecord) -> bytes:
    """Return the record as it is stored."""
    text = json.dumps({"version": _VERSION, **dataclasses.asdict(record)}, ensure_ascii=False)
    return text.encode()


def write_file(path: Path, data: bytes) -> None:
    """Write so that a reader sees all of the old or all of the new, whatever happens."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_record(path: Path) -> AvatarRecord | None:
    """Return the record at ``path``; None, and a line in the log, where it is damaged."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(RECORD_BYTES))
        if values.pop("version") != _VERSION or values["id"] != path.parent.name:
            raise ValueError("it is of another version or folder")
        consent = Consent(**{k: str(v) for k, v in values.pop("consent").items()})
        notes = tuple(str(note) for note in values.pop("notes"))
        record = AvatarRecord(**values, notes=notes, consent=consent)
        texts = (record.name, record.stage, record.reason, record.created, record.reason_code)
        if record.status not in ("enrolling", "ready", "failed") or not all(
            isinstance(text, str) for text in texts
        ):
            raise ValueError("a field has the wrong type")
        return dataclasses.replace(record, progress=float(record.progress))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("skipping the damaged avatar record %s: %s", path, error)
        return None
