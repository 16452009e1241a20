"""Access tokens: each opens little, for a while, and can be taken back.

A token is an id and a secret. What it opens is a signed record in ``trust/tokens``, which keeps the
secret's hash only: who reads the folder cannot use a token, who changes a record makes it void, and
nothing that was not made here can be valid. A single-use token is used up by making a file, which
succeeds once, whatever processes share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from visavis.models.files import atomic_write
from visavis.streamer.errors import BadRequest, NotFound, Unauthorized
from visavis.streamer.trust.callers import SCOPES, Caller, Scope
from visavis.streamer.trust.signing import NotSigned, Signer
from visavis.streamer.trust.wall import WallTime

PREFIX: Final = "vv1."
LONGEST_S: Final = 365 * 86_400.0
MOST_NAME: Final = 80
_TEXT: Final = re.compile(r"vv1\.([0-9a-f]{16})\.([0-9a-f]{48})")
_ID: Final = re.compile(r"[0-9a-f]{16}")
_KIND: Final = "token"
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True)
class TokenRecord:
    """What is kept of a token.

    Attributes:
        id: names it in lists and in the audit log.
        scope: what it opens.
        name: what its maker calls it.
        avatar: the only avatar it is for; empty is any.
        consent: id of the consent it was made under; another one voids it.
        issued: UNIX time in seconds.
        expires: likewise.
        single: it begins one session, or makes one avatar.
        secret_sha256: of the secret.
        revoked: UNIX time in seconds; 0 while it holds.
    """

    id: str
    scope: Scope
    name: str
    avatar: str
    consent: str
    issued: float
    expires: float
    single: bool
    secret_sha256: str
    revoked: float = 0.0

    @property
    def caller(self) -> Caller:
        """Who holds it."""
        return Caller(self.id, self.scope, self.avatar, self.consent, self.single)


class Tokens:
    """The tokens of one data folder.

    Args:
        folder: where their records lie; made with the first.
        signer: the deployment's.
        wall: what expiry is measured by.
    """

    def __init__(self, folder: Path, signer: Signer, wall: WallTime) -> None:
        self._folder = folder
        self._signer = signer
        self._wall = wall

    def create(
        self,
        scope: str,
        lasts_s: float,
        *,
        name: str = "",
        avatar: str = "",
        consent: str = "",
        single: bool = False,
    ) -> tuple[str, TokenRecord]:
        """Return a new token, which is told once, and what is kept of it.

        Raises:
            BadRequest: scope, time or name cannot be used, or the disk does not take it.
        """
        if scope not in SCOPES:
            raise BadRequest(f"The scope is one of {', '.join(SCOPES)}, not {scope!r}.")
        if avatar and scope not in ("watch", "speak"):
            raise BadRequest(
                f"A token to {scope} cannot be kept to one avatar; one to watch or to speak can."
            )
        if not 0 < lasts_s <= LONGEST_S:
            raise BadRequest("A token lasts a while, up to a year.")
        if len(name) > MOST_NAME:
            raise BadRequest(f"The name is longer than {MOST_NAME} characters.")
        secret, token_id = secrets.token_hex(24), secrets.token_hex(8)
        now = self._wall.seconds()
        record = TokenRecord(
            token_id, scope, name, avatar, consent, now, now + lasts_s, single, _digest(secret)
        )  # fmt: skip
        self._write(record)
        return f"{PREFIX}{token_id}.{secret}", record

    def read(self, text: str) -> TokenRecord:
        """Return what a token opens.

        Raises:
            Unauthorized: it is forged, foreign, revoked or has expired.
        """
        found = _TEXT.fullmatch(text)
        record = None if found is None else self._read(found[1])
        if found is None or record is None:
            raise Unauthorized("This token is not one of this server's.", code="token")
        if not hmac.compare_digest(_digest(found[2]), record.secret_sha256):
            raise Unauthorized("This token is not one of this server's.", code="token")
        self._check(record)
        return record

    def _check(self, record: TokenRecord) -> None:
        if record.revoked:
            raise Unauthorized("This token has been taken back.", code="token-revoked")
        if self._wall.seconds() >= record.expires:
            raise Unauthorized("This token has expired; ask for a new one.", code="token-expired")

    def ended(self, token_id: str) -> str:
        """Return why a token does not hold any more, in a sentence; empty if it does."""
        record = self._read(token_id)
        if record is None:
            return "This token has been taken back."
        try:
            self._check(record)
        except Unauthorized as error:
            return str(error)
        return ""

    def use_up(self, caller: Caller) -> None:
        """Take that a token begins something; a single-use one can do so once.

        Raises:
            Unauthorized: it was used before.
            BadRequest: the disk does not take it, so that it cannot be known.
        """
        if not caller.id or not caller.single:
            return
        try:
            path = self._folder / f"{caller.id}.used"
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise Unauthorized("This token has been used already.", code="token-used") from None
        except OSError as error:
            raise BadRequest(f"The token could not be used up: {error.strerror}.") from error

    def was_used(self, token_id: str) -> bool:
        """Whether a single-use token has been used."""
        return (self._folder / f"{token_id}.used").exists()

    def revoke(self, token_id: str) -> TokenRecord:
        """Take a token back; what was begun with it ends within a second.

        Raises:
            NotFound: there is none with this id.
        """
        record = self._read(token_id) if _ID.fullmatch(token_id) else None
        if record is None:
            raise NotFound("There is no such token.", code="unknown-token")
        if not record.revoked:
            record = replace(record, revoked=self._wall.seconds())
            self._write(record)
        return record

    def all(self) -> Iterator[TokenRecord]:
        """Yield every record that is whole."""
        for path in sorted(self._folder.glob("*.json")):
            if (record := self._read(path.stem)) is not None:
                yield record

    def sweep(self) -> int:
        """Remove the records of tokens that ended a week ago; how many."""
        count, before = 0, self._wall.seconds() - 7 * 86_400
        for record in list(self.all()):
            if min(record.expires, record.revoked or record.expires) < before:
                for suffix in (".json", ".used"):
                    with contextlib.suppress(OSError):
                        (self._folder / f"{record.id}{suffix}").unlink()
                count += 1
        return count

    def _read(self, token_id: str) -> TokenRecord | None:
        try:
            body = self._signer.read((self._folder / f"{token_id}.json").read_bytes())
            if body.pop("kind") != _KIND:
                return None
            record = TokenRecord(**body)
        except (OSError, NotSigned, KeyError, TypeError):
            return None
        return record if record.id == token_id else None

    def _write(self, record: TokenRecord) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            data = self._signer.sign({"kind": _KIND, **asdict(record)})
            atomic_write(self._folder / f"{record.id}.json", data)
        except OSError as error:
            raise BadRequest(f"The token could not be kept: {error.strerror}.") from error


def read_duration(text: str) -> float:
    """Return the seconds of a time such as ``90m``, ``12h`` or ``7d``.

    Raises:
        BadRequest: it is none.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        raise BadRequest(f"{text!r} is no time such as 90m, 12h or 7d.")
    return float(found[1]) * _UNITS[found[2]]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
