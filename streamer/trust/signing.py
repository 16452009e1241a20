"""Signed records: a JSON body, the key it was signed with, and an Ed25519 signature (RFC 8032).

A record is read only if its bytes are exactly those that were written: any change at all, even one
that means the same to a JSON reader, is a forgery.
"""

# What json reads has no type.
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from visavis.streamer.trust.key_file import kept_key

MOST_BYTES: Final = 65_536


class NotSigned(ValueError):
    """The record is not one that this key has signed; the message says why."""


class Signer:
    """Signs and reads the records of one deployment.

    Args:
        seed: the private key, 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key()
        self._public: Ed25519PublicKey = public
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = hashlib.sha256(raw).hexdigest()[:16]

    def sign(self, body: Mapping[str, Any]) -> bytes:
        """Return a body as a signed record."""
        signature = self._key.sign(_signed(self.key_id, body)).hex()
        return _line({"body": body, "key": self.key_id, "signature": signature})

    def read(self, data: bytes) -> dict[str, Any]:
        """Return the body of a signed record.

        Raises:
            NotSigned: it is damaged, forged, or signed by another deployment.
        """
        try:
            found: object = json.loads(data) if len(data) <= MOST_BYTES else None
        except (ValueError, RecursionError):
            found = None
        record = cast(dict[str, Any], found) if isinstance(found, dict) else {}
        if list(record) != ["body", "key", "signature"]:
            raise NotSigned("it is damaged")
        body, key, signature = record["body"], record["key"], record["signature"]
        if not isinstance(body, dict) or not isinstance(signature, str) or _line(record) != data:
            raise NotSigned("it is damaged")
        if key != self.key_id:
            raise NotSigned("it was signed by another deployment, or this one's key was lost")
        try:
            raw = bytes.fromhex(signature)
            if raw.hex() != signature:
                raise NotSigned("it is damaged")
            self._public.verify(raw, _signed(self.key_id, body))
        except (ValueError, InvalidSignature) as error:
            raise NotSigned("its signature does not fit") from error
        return cast(dict[str, Any], body)


def load_signer(path: Path) -> Signer:
    """Return the deployment's signer; its key is made where there is none.

    Raises:
        BadRequest: the key cannot be read or written.
    """
    return Signer(kept_key(path, "The signing key"))


def _signed(key: str, body: Mapping[str, Any]) -> bytes:
    return b"visavis record 1\n" + _line({"key": key, "body": body})


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()
