"""Consent as a signed record: who agreed to what, for which purposes, until when.

Without a valid one an avatar is not shown, in no way. A record never changes what was agreed to;
a withdrawal is written into it and signed again, so that nobody can pass off the older one as the
present one by changing a file.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import uuid
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from visavis.streamer.errors import BadRequest, Forbidden
from visavis.streamer.trust.signing import NotSigned, Signer

Purpose = Literal["call", "present", "dub", "record"]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
WORDS: Final = {
    "call": "calls",
    "present": "presenting",
    "dub": "dubbing",
    "record": "recording and rendering to files",
}
TEXT_VERSION: Final = "1"
MIGRATED: Final = "0"  # text version of what was agreed to before purposes were asked
MOST_WHO: Final = 80
MOST_PRESENCE: Final = 200
_VERSION: Final = 1
_KIND: Final = "consent"


@dataclass(frozen=True)
class Terms:
    """What somebody agrees to, beside the text.

    Attributes:
        who: the person in the photo, as they are called here; the avatar's name where empty.
        purposes: what the avatar may be used for.
        expires: UTC, ISO 8601; empty lasts until it is withdrawn.
        presence: how it was shown that the person was there; empty where it was only declared.
    """

    who: str = ""
    purposes: tuple[Purpose, ...] = PURPOSES
    expires: str = ""
    presence: str = ""


@dataclass(frozen=True)
class ConsentRecord:
    """What was agreed to.

    Attributes:
        id: 32 hexadecimal digits; the audit log and tokens name it.
        avatar: the avatar's id.
        who: the person, as they are called here.
        purposes: what the avatar may be used for.
        text: what was agreed to, to the letter.
        text_version: of the form it was asked by.
        given: UTC, ISO 8601.
        expires: likewise; empty lasts until it is withdrawn.
        presence: how it was shown that the person was there.
        withdrawn: UTC, ISO 8601; empty while it stands.
    """

    id: str
    avatar: str
    who: str
    purposes: tuple[Purpose, ...]
    text: str
    text_version: str
    given: str
    expires: str
    presence: str
    withdrawn: str = ""

    def describe(self) -> dict[str, Any]:
        """Return it as its file holds it, with the hash that other documents quote."""
        digest = hashlib.sha256(self.text.encode()).hexdigest()
        return {**dataclasses.asdict(self), "text_sha256": digest}

    def check(self, purpose: str, now: datetime.datetime) -> None:
        """Refuse a use that this does not allow now.

        Raises:
            Forbidden: it was withdrawn, has expired, or is for other purposes.
        """
        if self.withdrawn:
            raise Forbidden(
                f"The consent for this avatar was withdrawn on {self.withdrawn[:10]}.",
                code="consent-withdrawn",
            )
        if self.expires and now >= datetime.datetime.fromisoformat(self.expires):
            raise Forbidden(
                f"The consent for this avatar ended on {self.expires[:10]}; ask for a new one.",
                code="consent-expired",
            )
        if now < datetime.datetime.fromisoformat(self.given):
            raise Forbidden(
                "The consent for this avatar was given later than this machine's clock says; "
                "set the clock.",
                code="consent-clock",
            )
        if purpose not in self.purposes:
            allowed = ", ".join(WORDS[p] for p in self.purposes)
            raise Forbidden(
                f"The consent for this avatar does not cover {WORDS.get(purpose, purpose)}; it "
                f"covers {allowed}.",
                code="consent-purpose",
            )


def read_terms(who: str = "", purposes: str = "", expires: str = "", presence: str = "") -> Terms:
    """Read terms as people type them.

    Args:
        who: the person.
        purposes: words of ``PURPOSES`` with commas between; empty is all.
        expires: a date or a time, UTC where it names no zone; empty is until withdrawn.
        presence: in words.

    Raises:
        BadRequest: something of it cannot be read.
    """
    words = tuple(dict.fromkeys(w.strip() for w in purposes.split(",") if w.strip())) or PURPOSES
    for word in words:
        if word not in PURPOSES:
            raise BadRequest(f"A purpose is one of {', '.join(PURPOSES)}, not {word!r}.")
    until = ""
    if expires:
        try:
            when = datetime.datetime.fromisoformat(expires)
        except ValueError:
            raise BadRequest(f"{expires!r} is no date such as 2027-06-30.") from None
        when = when if when.tzinfo else when.replace(tzinfo=datetime.UTC)
        until = when.astimezone(datetime.UTC).isoformat(timespec="seconds")
    if len(who) > MOST_WHO or len(presence) > MOST_PRESENCE:
        raise BadRequest("The name or the words about presence are too long to be kept whole.")
    return Terms(who, words, until, presence)  # type: ignore[arg-type]


def give(
    signer: Signer,
    avatar: str,
    text: str,
    terms: Terms,
    given: str,
    *,
    text_version: str = TEXT_VERSION,
) -> bytes:
    """Return the signed record of a consent that is given now.

    Raises:
        BadRequest: it would have ended before it began.
    """
    if terms.expires and terms.expires <= given:  # both ISO 8601 in UTC, to the second
        raise BadRequest(f"{terms.expires[:10]} has passed; a consent ends later than it is given.")
    record = ConsentRecord(
        uuid.uuid4().hex,
        avatar,
        terms.who,
        terms.purposes,
        text,
        text_version,
        given,
        terms.expires,
        terms.presence or "declared by whoever made the avatar",
    )
    return _signed(signer, record)


def withdraw(signer: Signer, record: ConsentRecord, when: str) -> bytes:
    """Return a record as one that has been withdrawn; the first time counts."""
    return _signed(signer, dataclasses.replace(record, withdrawn=record.withdrawn or when))


def read(signer: Signer, data: bytes, avatar: str) -> ConsentRecord:
    """Return the consent of an avatar.

    Raises:
        Forbidden: it is damaged, forged, signed elsewhere, or another avatar's.
    """
    try:
        body = signer.read(data)
        if body.pop("kind", "") != _KIND or body.pop("version", 0) != _VERSION:
            raise NotSigned("it is of another kind or version")
        values: dict[str, Any] = {**body, "purposes": tuple(body["purposes"])}
        record = ConsentRecord(**values)
        if record.avatar != avatar:
            raise NotSigned("it is another avatar's")
    except (NotSigned, TypeError, KeyError) as error:
        raise Forbidden(
            f"The consent for this avatar cannot be relied on: {error}.", code="consent-invalid"
        ) from error
    return record


def _signed(signer: Signer, record: ConsentRecord) -> bytes:
    return signer.sign({"kind": _KIND, "version": _VERSION, **dataclasses.asdict(record)})
