"""Sealed files: AES-256-GCM under a key of their avatar's, bound to the avatar and the file's name.

A reference to a sealed bundle carries its key, so that the process that draws can open it in its
own memory. References go through pipes and sockets of this machine, never into a file or a log.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from visavis.models.files import PRIVATE, atomic_path
from visavis.streamer.errors import Conflict

MAGIC: Final = b"VISAVIS-SEALED-1"
KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # 96 bits, NIST SP 800-38D, 8.2
_REFERENCE: Final = re.compile(r"sealed:([0-9a-f]{64}):(.+)", re.DOTALL)
_BLOCK: Final = 1 << 20


class Unsealable(Conflict):
    """A sealed file cannot be opened: it was changed, or this is not its key."""

    usual_code = "vault-damaged"


def new_key() -> bytes:
    """Return a key."""
    return secrets.token_bytes(KEY_BYTES)


def is_sealed(data: bytes) -> bool:
    """Whether these are the bytes of a sealed file."""
    return data.startswith(MAGIC)


def seal(key: bytes, data: bytes, bound_to: str) -> bytes:
    """Return data encrypted; ``bound_to`` must be the same when it is opened."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return MAGIC + nonce + AESGCM(key).encrypt(nonce, data, bound_to.encode())


def unseal(key: bytes, data: bytes, bound_to: str) -> bytes:
    """Return what was sealed.

    Raises:
        Unsealable: it was changed, belongs elsewhere, or the key is another.
    """
    start = len(MAGIC)
    try:
        if not is_sealed(data):
            raise ValueError("no magic")
        nonce = data[start : start + _NONCE_BYTES]
        return AESGCM(key).decrypt(nonce, data[start + _NONCE_BYTES :], bound_to.encode())
    except (InvalidTag, ValueError) as error:
        raise Unsealable("A file of this avatar was changed, or is not its own.") from error


def place(path: Path) -> str:
    """Return what a file in an avatar's folder is bound to: the avatar's id and the name."""
    return f"{path.parent.name}/{path.name}"


def reference(path: Path, key: bytes | None) -> str:
    """Return how another process is told of a bundle; without a key it is the path."""
    return str(path) if key is None else f"sealed:{key.hex()}:{path}"


def file_of(bundle: str) -> Path:
    """Return where the bundle of a reference lies."""
    found = _REFERENCE.fullmatch(bundle)
    return Path(found[2] if found else bundle)


def read_bundle(bundle: str) -> bytes:
    """Return the bytes of the bundle that a reference names, decrypted in memory.

    Raises:
        OSError: it is not there.
        Unsealable: it was changed.
    """
    path, found = file_of(bundle), _REFERENCE.fullmatch(bundle)
    data = path.read_bytes()
    return data if found is None else unseal(bytes.fromhex(found[1]), data, place(path))


def shred(path: Path) -> int:
    """Overwrite a file where it lies, then remove it; returns its size.

    On file systems that write elsewhere (copy on write), and inside flash memory, old blocks may
    outlive this; that is what the vault's keys are for.

    Raises:
        OSError: it cannot be overwritten or removed.
    """
    with path.open("r+b", buffering=0) as file:
        size = overwrite(file.fileno())
    path.unlink()
    return size


def overwrite(descriptor: int) -> int:
    """Overwrite an open file with zeros, wait for the disk, and cut it to nothing."""
    size = left = os.fstat(descriptor).st_size
    os.lseek(descriptor, 0, os.SEEK_SET)
    while left > 0:
        left -= os.write(descriptor, bytes(min(left, _BLOCK)))
    os.fsync(descriptor)
    os.ftruncate(descriptor, 0)
    return size


def replace_shredding(path: Path, data: bytes) -> None:
    """Put other bytes in a file's place, whole or not at all; the old ones are overwritten then.

    Raises:
        OSError: the disk does not take it; the file is as it was.
    """
    old = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    try:
        with atomic_path(path, mode=PRIVATE) as partial, partial.open("wb") as file:
            file.write(data)
        overwrite(old)
    finally:
        os.close(old)
