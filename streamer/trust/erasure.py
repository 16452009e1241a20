"""Erasing an avatar: its key first, then every byte of every file, and a signed receipt."""

from __future__ import annotations

import contextlib
import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from visavis.models.files import atomic_write
from visavis.streamer.trust import sealed
from visavis.streamer.trust.signing import Signer
from visavis.streamer.trust.vault import Vault

log = logging.getLogger(__name__)
RECEIPTS: Final = "receipts"
_REMOVALS: Final = 3


@dataclass(frozen=True)
class Receipt:
    """What an erasure did.

    Attributes:
        avatar: the id that is no more.
        erased: UTC, ISO 8601.
        key_destroyed: the avatar had a key of its own in the vault, and it was destroyed first.
        files: that were overwritten and removed.
        bytes: in them.
        whole: nothing is left of the folder.
        recorded: files of them that were recordings, or keys of such.
    """

    avatar: str
    erased: str
    key_destroyed: bool
    files: int
    bytes: int
    whole: bool
    recorded: int = 0


def erase_folder(folder: Path, vault: Vault) -> tuple[bool, int, int, bool]:
    """Destroy a folder's key, overwrite its files, and remove it.

    Somebody may still be writing to it; what they add goes in another round.

    Returns:
        Whether it had a key, how many files and bytes were overwritten, whether it is gone.
    """
    had_key, files, size = False, 0, 0
    with contextlib.suppress(OSError):
        had_key = vault.destroy(folder)
    for _ in range(_REMOVALS):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                try:
                    size += sealed.shred(path)
                    files += 1
                except OSError as error:
                    log.warning("%s could not be overwritten: %s", path.name, error)
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return had_key, files, size, True
    return had_key, files, size, False


def write_receipt(trust: Path, signer: Signer, receipt: Receipt) -> Path:
    """Keep a signed receipt; it names nobody, so it may stay.

    Raises:
        OSError: the disk does not take it.
    """
    folder = trust / RECEIPTS
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{receipt.avatar}.json"
    atomic_write(path, signer.sign({"kind": "erasure", "version": 1, **asdict(receipt)}))
    return path
