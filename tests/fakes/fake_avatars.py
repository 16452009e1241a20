"""An avatar store without photos: bundles are empty files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from visavis.streamer.errors import Conflict, NotFound


@dataclass(frozen=True)
class FakeRecord:
    id: str
    name: str
    status: str = "ready"
    progress: float = 1.0
    stage: str = "Ready"
    reason: str = ""
    created: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)
    reason_code: str = ""


class FakeConsents:
    """Everybody has agreed to everything."""

    def check(self, avatar_id: str, purpose: str) -> None: ...

    def was_withdrawn(self, avatar_id: str) -> bool:
        return False


class FakeAvatars:
    """Knows the avatars it is given by name; a name is also the id."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self._records: dict[str, FakeRecord] = {}
        self.notes: list[tuple[str, str]] = []
        self.consents = FakeConsents()
        for name in names:
            self.add(name)

    def add(self, name: str, status: str = "ready") -> None:
        created = f"2026-01-01T00:00:{len(self._records):02d}Z"
        self._records[name] = FakeRecord(name, name, status, created=created)
        (self.folder / f"{name}.vav").write_bytes(b"")

    def list(self) -> list[FakeRecord]:
        return [r for r in self._records.values()]

    def get(self, avatar_id: str) -> FakeRecord:
        if avatar_id not in self._records:
            raise NotFound("There is no such avatar.", code="unknown-avatar")
        return self._records[avatar_id]

    def bundle_path(self, avatar_id: str) -> Path:
        if self.get(avatar_id).status != "ready":
            raise Conflict("This avatar is not ready.")
        return self.folder / f"{avatar_id}.vav"

    def bundle(self, avatar_id: str, purpose: str = "call") -> str:
        return str(self.bundle_path(avatar_id))

    def erase(self, avatar_id: str) -> None:
        self.get(avatar_id)
        del self._records[avatar_id]

    async def retire(
        self, avatar_id: str, end_sessions: Callable[[str], Awaitable[object]]
    ) -> None:
        self.erase(avatar_id)
        await end_sessions(avatar_id)

    async def missing(self, avatar_ids: Collection[str]) -> dict[str, str]:
        gone = set(avatar_ids) - set(self._records)
        return dict.fromkeys(gone, "This avatar was deleted.")

    def refusal(self, avatar_id: str, purpose: str) -> str:
        return "" if avatar_id in self._records else "This avatar was deleted."

    def admit(self, caller: object, avatar_id: str) -> None:
        pass

    def note(self, event: str, avatar_id: str, **details: str) -> None:
        self.notes.append((event, avatar_id))

    async def start_enrolment(
        self, data: bytes, name: str, statement: str, consent: bool, terms: object = None
    ) -> FakeRecord:
        self.add(name)
        return self._records[name]

    async def wait(self, avatar_id: str) -> FakeRecord:
        return self.get(avatar_id)

    async def close(self) -> None:
        self.closed = True

    def preview(self, avatar_id: str) -> bytes:
        self.get(avatar_id)
        return b"\xff\xd8\xff\xd9"
