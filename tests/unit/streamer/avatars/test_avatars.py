"""The avatar store: its life cycle, its limits, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.files import atomic_write
from visavis.streamer import locks
from visavis.streamer.avatars.enrolment import EnrolmentFailed, EnrolmentResult
from visavis.streamer.avatars.record import new_record, read_record, record_bytes
from visavis.streamer.avatars.sandbox import MEASURES
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
        demand: tuple[str, ...],
    ) -> EnrolmentResult:
        assert (data, size, max_bytes) == (PHOTO, 512, 1000)
        self.demand = demand
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert progress is not None
            progress(0.5, "Measuring the face")
            self.began.set()
            await self.go.wait()
            atomic_write(out, b"bundle")
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
    found = (p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return sorted(name for name in found if not name.startswith("trust/"))  # the server's keys


async def test_the_photo_is_known_by_its_hash(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    ready = await store.wait((await start(store)).id)
    assert store.photo_sha256(ready.id) == hashlib.sha256(PHOTO).hexdigest()
    again = store_at(tmp_path)
    assert again.photo_sha256(ready.id) == ready.photo_sha256 and not again.photo_sha256("0" * 32)


def test_a_record_from_before_photos_had_hashes_is_read(tmp_path: Path) -> None:
    record = new_record("Ada", "I agree.")
    older = json.loads(record_bytes(record))
    del older["photo_sha256"]
    path = tmp_path / record.id / "avatar.json"
    path.parent.mkdir()
    path.write_text(json.dumps(older))
    assert read_record(path) == record and record.photo_sha256 == ""


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
    assert ready.confined_by == ("limits",) and enroller.demand == ()
    assert ready.consent.statement_sha256 == hashlib.sha256(b"I agree.").hexdigest()
    assert store.bundle_path(ready.id).read_bytes() == b"bundle"
    assert store.preview(ready.id) == b"jpeg"
    assert store.list() == [ready] and store_at(tmp_path).list() == [ready]
    folder = tmp_path / "avatars" / ready.id
    assert files_under(folder) == [
        ".lock", "consent.json", "identity.vav", "preview.jpg", "record.json",
    ]  # fmt: skip
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
        (OSError(28, "No space left on device"), "no room left"),
        (OSError(5, "Input/output error"), "disk"),
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


async def test_all_of_the_sandbox_can_be_demanded(tmp_path: Path) -> None:
    enroller = FakeEnroller()
    limits = LimitsConfig(photo_bytes=1000, photo_sandbox="required")
    store = AvatarStore(tmp_path, limits, 512, enroller=enroller)
    await store.wait((await start(store)).id)
    assert enroller.demand == MEASURES


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
async def test_a_damaged_record_is_shown_and_can_be_erased(
    tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A face that nobody sees in a list would stay for ever."""
    store = store_at(tmp_path)
    good = await store.wait((await start(store)).id)
    bad = tmp_path / "avatars" / ("0" * 32)
    bad.mkdir()
    (bad / "record.json").write_bytes(text)
    (bad / "identity.vav").write_bytes(b"a face")
    again = store_at(tmp_path)
    assert {r.id for r in again.list()} == {good.id, bad.name}
    assert "is damaged" in caplog.text
    shown = again.get(bad.name)
    assert shown.status == "failed" and "erase it" in shown.reason
    with pytest.raises(Conflict, match="cannot be used"):
        again.bundle_path(bad.name)
    await again.retire(bad.name, nobody_is_live)
    assert not bad.exists() and again.list() == [good]


async def nobody_is_live(avatar_id: str) -> None:
    pass


async def test_a_consent_that_was_changed_on_disk_serves_no_more(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    made = await store.wait((await start(store)).id)
    path = tmp_path / "avatars" / made.id / "record.json"
    path.write_text(path.read_text().replace("I agree.", "I agree to everything."))
    assert store_at(tmp_path).get(made.id).status == "failed"


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
    with pytest.raises(NotFound):
        await store.retire(avatar_id, nobody_is_live)
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


@given(st.text(max_size=80), st.text(max_size=200))
def test_a_name_becomes_one_plain_line_and_a_statement_stays(name: str, statement: str) -> None:
    try:
        record = new_record(name, statement)
    except BadRequest as error:
        assert "no text" in str(error)
        return
    assert 0 < len(record.name) <= 80 and record.name.isprintable()
    assert record.name == record.name.strip()
    kept = record.consent
    assert kept.statement == statement or not statement.strip()
    assert hashlib.sha256(kept.statement.encode()).hexdigest() == kept.statement_sha256


@pytest.mark.parametrize(
    ("name", "statement", "says"),
    [
        ("Ada", "I agree. " * 500, "longer than 4000 characters"),
        ("A" * 81, "I agree.", "longer than 80 characters"),
        ("Ada", "I agree \ud800", "no text"),
    ],
)
async def test_what_cannot_be_kept_whole_is_refused(
    tmp_path: Path, name: str, statement: str, says: str
) -> None:
    store = store_at(tmp_path)
    with pytest.raises(BadRequest, match=says):
        await store.start_enrolment(PHOTO, name, statement, True)
    assert store.list() == [] and files_under(tmp_path) == []


async def test_the_longest_statement_is_kept_to_the_letter(tmp_path: Path) -> None:
    said = ('I, Ada,\n\tagree  to \u00e4 \U0001f642 "all" of it.\r\n' * 100)[:4000]
    store = store_at(tmp_path)
    made = await store.wait((await store.start_enrolment(PHOTO, "Ada", said, True)).id)
    kept = store_at(tmp_path).get(made.id).consent
    assert kept.statement == said
    assert kept.statement_sha256 == hashlib.sha256(said.encode()).hexdigest()


# --- full disks, two processes, folders of others ---------------------------------------------


def full(*names: str, times: int = 99) -> Callable[..., None]:
    """Return an ``atomic_write`` to which the disk is full for files of these names."""
    left = [times]

    def write(path: Path, data: bytes, **options: int) -> None:
        if path.name in names and left[0] > 0:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        atomic_write(path, data, **options)

    return write


FOLDER = "visavis.streamer.trust.vault.atomic_write"


async def test_a_disk_that_is_full_at_the_last_write_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroller = FakeEnroller(waits=True)
    store = store_at(tmp_path, enroller)
    started = await start(store)
    await enroller.began.wait()
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(FOLDER, full("record.json"))
    enroller.go.set()
    failed = await store.wait(started.id)
    assert failed.status == "failed" and "no room left" in failed.reason
    assert store.get(started.id) == failed and store.list() == [failed]
    assert len(os.listdir("/proc/self/fd")) < before, "the lock is given back"
    assert files_under(tmp_path / "avatars") == [f"{started.id}/.lock", f"{started.id}/record.json"]
    other = store_at(tmp_path)  # another process, which cannot write either
    assert other.get(started.id).status == "failed"
    monkeypatch.undo()
    assert store_at(tmp_path).get(started.id).status == "failed"
    await store.retire(started.id, nobody_is_live)
    assert store.list() == []


async def test_removing_the_bundle_can_make_the_room_for_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroller = FakeEnroller(waits=True)
    store = store_at(tmp_path, enroller)
    started = await start(store)
    await enroller.began.wait()
    monkeypatch.setattr(FOLDER, full("record.json", times=1))
    enroller.go.set()
    await store.wait(started.id)
    assert "no room left" in store_at(tmp_path).get(started.id).reason


async def test_a_disk_that_is_full_at_the_first_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path)
    monkeypatch.setattr(FOLDER, full("record.json"))
    with pytest.raises(BadRequest, match="takes no more avatars"):
        await start(store)
    assert store.list() == [] and files_under(tmp_path) == []
    monkeypatch.undo()
    assert (await store.wait((await start(store)).id)).status == "ready"


async def test_an_enrolment_of_a_process_that_died_is_seen_as_failed(tmp_path: Path) -> None:
    """Not only after a restart: by every process that looks, at once."""
    store = store_at(tmp_path)
    dead = new_record("Ada", "I agree.")
    folder = tmp_path / "avatars" / dead.id
    folder.mkdir()
    (folder / ".lock").write_bytes(b"")
    (folder / "record.json").write_bytes(record_bytes(dead))
    assert store.get(dead.id).status == "failed" and "again" in store.get(dead.id).reason


async def test_nobody_can_begin_while_sessions_are_being_ended(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    made = await store.wait((await start(store)).id)
    seen: list[str] = []

    async def end(avatar_id: str) -> None:
        with pytest.raises(NotFound):
            store.bundle_path(avatar_id)
        assert set(await store.missing([avatar_id])) == {avatar_id}
        seen.append(avatar_id)
        raise RuntimeError("a session that does not end")

    with pytest.raises(RuntimeError):
        await store.retire(made.id, end)
    assert seen == [made.id]
    assert files_under(tmp_path) == ["audit.jsonl"], "its files go all the same"


async def test_what_another_process_erases_is_missing(tmp_path: Path) -> None:
    server, terminal = store_at(tmp_path), store_at(tmp_path)
    made = await server.wait((await start(server)).id)
    assert await server.missing([made.id]) == {}
    terminal.erase(made.id)
    assert set(await server.missing([made.id, "0" * 32])) == {made.id, "0" * 32}


async def test_erasing_in_another_process_leaves_nothing_of_a_running_enrolment(
    tmp_path: Path,
) -> None:
    enroller = FakeEnroller(waits=True)
    server, terminal = store_at(tmp_path, enroller), store_at(tmp_path)
    started = await start(server)
    await enroller.began.wait()
    terminal.erase(started.id)
    enroller.go.set()
    with pytest.raises(NotFound):
        await server.wait(started.id)
    assert files_under(tmp_path) == ["audit.jsonl"]


async def test_what_could_not_be_removed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path)
    made = await store.wait((await start(store)).id)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(Conflict, match="could be removed"):
        store.erase(made.id)
    with pytest.raises(NotFound):
        store.get(made.id)
    monkeypatch.undo()
    store_at(tmp_path)
    assert files_under(tmp_path) == ["audit.jsonl"], "the next start ends it"


async def test_a_client_that_hangs_up_leaves_a_whole_avatar(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    asking = asyncio.ensure_future(start(store))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    (record,) = store.list()
    assert (await store.wait(record.id)).status == "ready"


async def test_nothing_waits_for_the_disk_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = threading.get_ident()
    on_loop: list[str] = []

    def spy(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if threading.get_ident() == here:
                on_loop.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    class Enroller(FakeEnroller):
        async def __call__(self, data: bytes, out: Path, **_: Any) -> EnrolmentResult:
            await asyncio.to_thread(atomic_write, out, b"bundle")
            return EnrolmentResult((), b"jpeg", ())

    store = store_at(tmp_path, Enroller())
    for module, name in ((os, "fsync"), (shutil, "rmtree"), (os, "rename"), (os, "mkdir")):
        spy(module, name)
    if locks.fcntl is not None:
        spy(locks.fcntl, "flock")
    made = await store.wait((await start(store)).id)
    assert made.status == "ready"
    await store.missing([made.id])
    await store.retire(made.id, nobody_is_live)
    await store.close()
    assert on_loop == []


def test_a_relative_data_folder_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = AvatarStore(Path("data"), LIMITS, 512)
    monkeypatch.chdir("/")
    assert store.list() == [] and (tmp_path / "data" / "avatars").is_dir()
    store.note("erase", "0" * 32)
    assert (tmp_path / "data" / "audit.jsonl").is_file()


def test_an_existing_data_folder_is_closed_to_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    store_at(data)
    assert data.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_holds_other_things_is_not_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    tmp_path.chmod(0o755)
    store_at(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755 and "folder of its own" in caplog.text
    assert (tmp_path / "avatars").stat().st_mode & 0o777 == 0o700


def test_a_data_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(VisavisError, match="cannot be used"):
        store_at(tmp_path / "file" / "data")
