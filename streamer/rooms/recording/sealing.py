"""Where the keys of a recording's files lie, and how a plain one is sealed."""

from __future__ import annotations

from pathlib import Path

from visavis.streamer.trust import sealed
from visavis.streamer.trust.sealed_stream import SealedStream, is_stream
from visavis.streamer.trust.vault import Vault


def key_of(path: Path) -> Path:
    """Return where the key of a file lies: ``01.key`` for ``01.mp4`` and ``01.webm.c2pa``."""
    number, _, rest = path.name.partition(".")
    return path.with_name(f"{number}.c2pa.key" if rest.endswith("c2pa") else f"{number}.key")


def files_of(film: Path) -> tuple[Path, ...]:
    """Return the files that belong to a film, the keys first."""
    beside = film.with_name(f"{film.name}.c2pa")
    return key_of(film), key_of(beside), film, beside


def seal_file(path: Path, vault: Vault) -> tuple[int, str]:
    """Put a sealed file in a plain one's place; whichever is there is whole.

    Returns:
        Its plain size and its index; see ``SealedStream``.
    """
    if is_stream(path):  # by a time before, which was broken off
        key = vault.file_key(key_of(path))
        assert key is not None, "it was sealed with one"
        with SealedStream(path, key, sealed.place(path)) as stream:
            return stream.size, stream.index
    hidden = path.with_name(f".sealing-{path.name}")
    for left in (hidden, key_of(path)):
        left.unlink(missing_ok=True)
    key = vault.new_key(key_of(path))
    assert key is not None, "the vault has just been made"
    with path.open("r+b", buffering=0) as plain:
        with SealedStream(hidden, key, sealed.place(path), new=True) as stream:
            while block := plain.read(1 << 20):
                stream.write(block)
            known = stream.size, stream.index
        hidden.replace(path)
        sealed.overwrite(plain.fileno())
    return known
