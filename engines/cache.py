"""Compiled plans on disk: keyed by everything that makes them valid, written whole or not at all.

A plan holds machine code, so the folder belongs to the user alone, and each plan is checked against
its own header before anything is made of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import stat
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from visavis.engines.base import EngineError
from visavis.models.files import atomic_path

_MAGIC = b"VISAVISPLAN1\n"
_LENGTH_BYTES = 4
_HEADER_MOST = 65_536


class PlanError(EngineError):
    """A stored plan cannot be used; the sentence says why. It may be built anew."""


@dataclass(frozen=True)
class PlanKey:
    """Everything that has to agree before a plan may be used.

    Attributes:
        graph: file name without suffix, for people.
        graph_hash: SHA-256 of the graph the compiler was given.
        buckets: batch sizes, one optimisation profile each.
        precision: ``fp32`` or ``fp16``.
        edition: ``tensorrt_rtx`` or ``tensorrt``.
        version: of the compiler.
        target: ``sm89``; plus the GPU's name where the plan is tuned to it.
        system: operating system and processor.
    """

    graph: str
    graph_hash: str
    buckets: tuple[int, ...]
    precision: str
    edition: str
    version: str
    target: str
    system: str = field(default_factory=lambda: f"{platform.system()}-{platform.machine()}")

    @property
    def digest(self) -> str:
        """Return 16 hexadecimal digits that differ whenever any part differs."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def file_name(self) -> str:
        """Return the plan's name in a folder."""
        target = "".join(c if c.isalnum() else "-" for c in self.target)
        return f"{self.graph}-{self.precision}-{target}-{self.digest}.plan"


def default_folder() -> Path:
    """Return where plans are kept: ``VISAVIS_PLANS`` or the user's cache."""
    if chosen := os.environ.get("VISAVIS_PLANS"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "visavis" / "plans"


class PlanCache:
    """Plans in one folder.

    Args:
        folder: made for the user alone if it is not there.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def path(self, key: PlanKey) -> Path:
        """Return where the plan of a key is, or would be."""
        return self.folder / key.file_name

    def load(self, key: PlanKey) -> bytes | None:
        """Return the plan, or None if there is none.

        Raises:
            PlanError: there is one but it is damaged, made for something else, or in a folder
                that others may write to.
        """
        path = self.path(key)
        if not path.is_file():
            return None
        self._check_owner(path)
        return read_plan(path, key)

    def store(self, key: PlanKey, plan: bytes) -> Path:
        """Write a plan under its key; readers see the old one or the whole new one.

        Raises:
            EngineError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return write_plan(self.path(key), key, plan)
        except OSError as error:
            raise EngineError(
                f"Plans cannot be kept in {self.folder}: {error.strerror}."
            ) from error

    def discard(self, key: PlanKey) -> None:
        """Remove a plan that turned out to be bad."""
        with contextlib.suppress(OSError):
            self.path(key).unlink()

    def others(self, key: PlanKey) -> list[str]:
        """Return the targets that the same graph has plans for, other than the key's."""
        found: set[str] = set()
        for path in self.folder.glob(f"{key.graph}-*.plan"):
            with contextlib.suppress(PlanError, OSError):
                target = str(read_header(path).get("target", ""))
                if target != key.target:
                    found.add(target)
        return sorted(found)

    @contextlib.contextmanager
    def building(self, key: PlanKey) -> Generator[None]:
        """Hold the lock of a key's build, waiting for another process that has it.

        Raises:
            EngineError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.folder / f"{key.digest}.lock").open("w")
        except OSError as error:
            raise EngineError(
                f"Plans cannot be kept in {self.folder}: {error.strerror}."
            ) from error
        with lock:
            if os.name != "nt":
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)  # given back with the file, by a crash too
            yield

    def _check_owner(self, path: Path) -> None:
        if os.name == "nt":
            return  # permissions are lists there, and the folder is in the user's own profile
        for place in (path, self.folder):
            found = place.stat()
            foreign = found.st_uid not in (os.getuid(), 0)
            if foreign or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PlanError(
                    f"{place} can be written by others, and a plan is code: it is not loaded."
                )


def write_plan(path: Path, key: PlanKey, plan: bytes) -> Path:
    """Write header and plan next to ``path`` and move it there in one step."""
    header = {**asdict(key), "size": len(plan), "sha256": hashlib.sha256(plan).hexdigest()}
    text = json.dumps(header, sort_keys=True).encode()
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(_MAGIC + len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        file.write(plan)
    return path


def read_header(path: Path) -> dict[str, object]:
    """Return a plan's header.

    Raises:
        PlanError: the file is no plan of ours.
    """
    with path.open("rb") as file:
        start = file.read(len(_MAGIC) + _LENGTH_BYTES)
        length = int.from_bytes(start[len(_MAGIC) :], "little")
        if not start.startswith(_MAGIC) or length > _HEADER_MOST:
            raise PlanError(f"{path.name} is no plan of this program.")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise PlanError(f"The header of the plan {path.name} is damaged.") from error
    if not isinstance(header, dict):
        raise PlanError(f"The header of the plan {path.name} is damaged.")
    return {**header, "offset": len(start) + length}


def read_plan(path: Path, key: PlanKey) -> bytes:
    """Return a plan whose header fits the key and whose bytes fit the header.

    Raises:
        PlanError: one sentence that says what does not fit.
    """
    header = read_header(path)
    wanted = json.loads(json.dumps(asdict(key)))
    for name, words in _WORDS.items():
        if header.get(name) != wanted[name]:
            raise PlanError(
                f"The plan {path.name} was built for {words} {header.get(name)}, "
                f"not {wanted[name]}."
            )
    offset = header["offset"]
    assert isinstance(offset, int)
    with path.open("rb") as file:
        file.seek(offset)
        plan = file.read()
    if len(plan) != header.get("size"):
        raise PlanError(f"The plan {path.name} is cut short.")
    if hashlib.sha256(plan).hexdigest() != header.get("sha256"):
        raise PlanError(f"The plan {path.name} is damaged: its checksum is wrong.")
    return plan


_WORDS = {
    "target": "the GPU",
    "version": "the TensorRT version",
    "edition": "the edition",
    "system": "the system",
    "graph_hash": "the graph",
    "precision": "the precision",
    "buckets": "the batch sizes",
}
