"""The avatar store: its life cycle, its limits, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.models.appearance.errors import EnrolmentRefused
from visavis.streamer.avatars.enrolment import EnrolmentFailed, EnrolmentResult
from visavis.streamer.avatars.record import new_record, write_file
from visavis.streamer.avatars.store import MAX_FAILED, MAX_WAITING, AvatarRecord, AvatarStore
from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import (
    AtCapacity,
    BadRequest,
    Conflict,
    NotFound,
    TooLarge,
    Unprocessable,
    VisavisError,
)
from visavis.streamer.trust.audit import verify

PHOTO = b"\xff\xd8\xff the rest of a photo"
LIMITS = LimitsConfig(photo_bytes=1000)


class FakeEnroller:
    """Enrols when it is told to."""

    def __init__(self, outcome: Exception | None = None, waits: bool = False) -> None:
        self.outcome = outcome
        self.go = asyncio.Event()
        if not waits:
            self.go.set()
        self.began = asyncio.Event()
        self.at_once = self.most_at_once = self.calls = 0

    async def __call__(
        self,
        data: bytes,
        out: Path,
        *,
        size: int,
        timeout_s: float,
        progress: Callable[[float, str], None] | None,
        max_bytes: int,
        max_pixels: int,
    ) -> EnrolmentResult:
        assert (data, size, max_bytes) == (PHOTO, 512, 1000)
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert progress is not None
            progress(0.5, "Measuring the face")
            self.began.set()
            await self.go.wait()
            write_file(out, b"bundle")
            if self.outcome is not None:
                raise self.outcome
            return EnrolmentResult(("The photo is small.",), b"jpeg", ("limits",))
        finally:
            self.at_once -= 1


def store_at(path: Path, enroller: FakeEnroller | None = None) -> AvatarStore:
    return AvatarStore(path, LIMITS, 512, enroller=enroller or FakeEnroller())


async def start(store: AvatarStore, name: str = "Ada") -> AvatarRecord:
    return await store.start_enrolment(PHOTO, name, "I agree.", True)


def files_under(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


async def test_life_of_an_avatar(tmp_path: Path) -> None:
    enroller = FakeEnroller(waits=True)
    store = store_at(tmp_path, enroller)
    started = await start(store)
    assert (started.status, started.progress, started.name) == ("enrolling", 0.0, "Ada")
    await enroller.began.wait()
    assert (store.get(started.id).progress, store.get(started.id).stage) == (
        0.5,
        "Measuring the face",
    )
    with pytest.raises(Conflict, match="not ready"):
        store.bundle_path(started.id)
    enroller.go.set()
    ready = await store.wait(started.id)
    assert (ready.status, ready.progress, ready.notes) == ("ready", 1.0, ("The photo is small.",))
    assert ready.consent.statement == "I agree."
    assert ready.consent.statement_sha256 == hashlib.sha256(b"I agree.").hexdigest()
    assert store.bundle_path(ready.id).read_bytes() == b"bundle"
    assert store.preview(ready.id) == b"jpeg"
    assert store.list() == [ready] and store_at(tmp_path).list() == [ready]
    folder = tmp_path / "avatars" / ready.id
    assert files_under(folder) == [".lock", "identity.vav", "preview.jpg", "record.json"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "record.json").stat().st_mode & 0o777 == 0o600
    assert not any(PHOTO in (tmp_path / name).read_bytes() for name in files_under(tmp_path))

    store.erase(ready.id)
    assert store.list() == [] and files_under(tmp_path) == ["audit.jsonl"]
    for ask in (store.get, store.bundle_path, store.preview, store.erase):
        with pytest.raises(NotFound):
            ask(ready.id)
    log = (tmp_path / "audit.jsonl").read_text()
    assert verify(tmp_path / "audit.jsonl") == 3
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["enrol", "ready", "erase"]
    assert "Ada" not in log and "I agree" not in log


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EnrolmentRefused("No face was found in the photo."), "No face"),
        (EnrolmentFailed("Reading the photo took too long."), "too long"),
        (OSError(28, "No space left on device"), "disk"),
        (ZeroDivisionError("oops"), "Something went wrong"),
    ],
)
async def test_a_failure_is_a_reason_and_no_bundle(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    store = store_at(tmp_path, FakeEnroller(error))
    failed = await store.wait((await start(store)).id)
    assert failed.status == "failed" and reason in failed.reason and "oops" not in failed.reason
    with pytest.raises(Conflict, match="could not be made"):
        store.bundle_path(failed.id)
    assert "identity.vav" not in "".join(files_under(tmp_path))
    store.erase(failed.id)
    assert store.list() == []


async def test_what_is_refused_at_the_door(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with pytest.raises(BadRequest, match="consent"):
        await store.start_enrolment(PHOTO, "Ada", "", False)
    with pytest.raises(TooLarge, match="larger"):
        await store.start_enrolment(PHOTO + bytes(1000), "Ada", "", True)
    with pytest.raises(Unprocessable, match="not a JPEG, PNG, WEBP"):
        await store.start_enrolment(b"%PDF-1.7", "Ada", "", True)
    assert files_under(tmp_path) == []


async def test_one_at_a_time_and_a_bounded_queue(tmp_path: Path) -> None:
    enroller = FakeEnroller(waits=True)
    store = store_at(tmp_path, enroller)
    started = [await start(store, f"n{i}") for i in range(1 + MAX_WAITING)]
    with pytest.raises(AtCapacity) as caught:
        await start(store)
    assert caught.value.retry_after_s > 0 and len(store.list()) == 1 + MAX_WAITING
    enroller.go.set()
    for record in started:
        assert (await store.wait(record.id)).status == "ready"
    assert (enroller.calls, enroller.most_at_once) == (1 + MAX_WAITING, 1)
    assert [r.name for r in store.list()] == ["n4", "n3", "n2", "n1", "n0"]  # newest first
    assert (await store.wait((await start(store)).id)).status == "ready"  # room again


async def test_erasing_stops_a_running_enrolment(tmp_path: Path) -> None:
    enroller = FakeEnroller(waits=True)
    store = store_at(tmp_path, enroller)
    first, second = await start(store), await start(store, "waiting")
    await enroller.began.wait()
    waiter = asyncio.ensure_future(store.wait(first.id))
    await asyncio.sleep(0)
    store.erase(second.id)
    store.erase(first.id)
    with pytest.raises(NotFound):
        await waiter
    await store.close()
    assert enroller.at_once == 0 and enroller.calls == 1
    assert files_under(tmp_path) == ["audit.jsonl"] and store.list() == []


async def test_closing_leaves_failed_avatars_not_hanging_ones(tmp_path: Path) -> None:
    store = store_at(tmp_path, FakeEnroller(waits=True))
    ids = {(await start(store)).id, (await start(store)).id}
    await store.close()
    again = store_at(tmp_path)
    assert {r.id for r in again.list()} == ids
    assert all(r.status == "failed" and "interrupted" in r.reason for r in again.list())


async def test_a_server_that_died_is_tidied_up_after(tmp_path: Path) -> None:
    store = store_at(tmp_path, FakeEnroller(waits=True))
    record = await start(store)
    # While its lock is held the enrolment is another process's, and alive.
    assert store_at(tmp_path).get(record.id).status == "enrolling"
    folder = tmp_path / "avatars" / record.id
    state = (folder / "record.json").read_bytes()
    await store.close()
    (folder / "record.json").write_bytes(state)  # as the dead leave it
    (folder / ".enrol-x").mkdir()
    (tmp_path / "avatars" / ".erased-1").mkdir()
    (tmp_path / "avatars" / ".erased-1" / "identity.vav").write_bytes(b"x")
    again = store_at(tmp_path)
    assert again.get(record.id).status == "failed" and "again" in again.get(record.id).reason
    assert files_under(tmp_path / "avatars") == [f"{record.id}/.lock", f"{record.id}/record.json"]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'{"version":1}', b'{"version":9}', b"\xff\xfe", b"[" * 60_000],
)
async def test_a_damaged_record_is_skipped_and_can_be_erased(
    tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(tmp_path)
    good = await store.wait((await start(store)).id)
    bad = tmp_path / "avatars" / ("0" * 32)
    bad.mkdir()
    (bad / "record.json").write_bytes(text)
    again = store_at(tmp_path)
    assert again.list() == [good]
    assert "damaged avatar record" in caplog.text
    with pytest.raises(NotFound):
        again.get(bad.name)
    again.erase(bad.name)
    assert not bad.exists()


async def test_stores_see_each_other(tmp_path: Path) -> None:
    server, terminal = store_at(tmp_path), store_at(tmp_path)
    made = await terminal.wait((await start(terminal)).id)
    assert server.get(made.id) == made
    terminal.erase(made.id)
    with pytest.raises(NotFound):
        server.get(made.id)


async def test_failures_do_not_pile_up(tmp_path: Path) -> None:
    store = store_at(tmp_path, FakeEnroller(EnrolmentRefused("No face.")))
    made = [(await store.wait((await start(store)).id)).id for _ in range(MAX_FAILED + 3)]
    assert [r.id for r in store.list()] == made[: -MAX_FAILED - 1 : -1]


async def test_a_full_folder_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visavis.streamer.avatars.store.MAX_AVATARS", 2)
    store = store_at(tmp_path)
    made = [await store.wait((await start(store)).id) for _ in range(2)]
    with pytest.raises(Conflict, match="erase one first"):
        await start(store)
    store.erase(made[0].id)
    assert (await store.wait((await start(store)).id)).status == "ready"


PATHS = ["..", ".", "", "/", "../../etc/passwd", "%2e%2e", "..%2F..", "a" * 31, "A" * 32, "g" * 32]


@pytest.mark.parametrize("avatar_id", [*PATHS, "a" * 32 + "\n", "\0" * 32, "a" * 32 + "/.."])
async def test_only_ids_made_here_touch_the_disk(tmp_path: Path, avatar_id: str) -> None:
    store = store_at(tmp_path)
    outside = tmp_path / "record.json"
    outside.write_text("{}")
    for ask in (store.get, store.bundle_path, store.preview, store.erase):
        with pytest.raises(NotFound):
            ask(avatar_id)
    with pytest.raises(NotFound):
        await store.wait(avatar_id)
    assert outside.exists()


async def test_a_link_in_the_folder_leads_nowhere(tmp_path: Path) -> None:
    store = store_at(tmp_path / "data")
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "record.json").write_text("{}")
    (tmp_path / "data" / "avatars" / ("0" * 32)).symlink_to(target)
    with pytest.raises(NotFound):
        store.get("0" * 32)
    with pytest.raises(NotFound):
        store.erase("0" * 32)
    assert (target / "record.json").exists()


@given(st.text(max_size=200), st.text(max_size=200))
def test_names_and_statements_become_one_plain_line(name: str, statement: str) -> None:
    record = new_record(name, statement)
    assert 0 < len(record.name) <= 80 and record.name.isprintable()
    assert record.name == record.name.strip() and record.consent.statement.isprintable()


def test_a_data_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(VisavisError, match="cannot be used"):
        store_at(tmp_path / "file" / "data")
