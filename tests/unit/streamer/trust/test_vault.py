"""The vault: nothing readable at rest, nothing lost on the way, nothing left after an erasure."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.unit.streamer.avatars.test_avatars import LIMITS, PHOTO, files_under
from visavis.models.files import atomic_write
from visavis.streamer.avatars.enrolment import EnrolmentResult
from visavis.streamer.avatars.store import AvatarRecord, AvatarStore
from visavis.streamer.commands.export import export_subject
from visavis.streamer.errors import BadRequest, Conflict, VisavisError
from visavis.streamer.trust import sealed, vault_keys
from visavis.streamer.trust.sealed import Unsealable, file_of, read_bundle
from visavis.streamer.trust.signing import load_signer
from visavis.streamer.trust.vault import KEY_FILE, SEALED, Vault
from visavis.streamer.trust.vault_keys import VARIABLE, KeyMissing
from visavis.streamer.worker.pipeline.drawn import load_identity

BUNDLE = b"PK the bundle of Ada Lovelace " * 400
PREVIEW = b"\xff\xd8\xff the face of Ada Lovelace " * 100
STATEMENT = "I, Ada Lovelace, agree."
TELLTALES = (b"Lovelace", b"PK the bundle", b"the face of")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("visavis.streamer.avatars.store.enrol_photo", enroller)


async def enroller(data: bytes, out: Path, *, write: Any, **_: object) -> EnrolmentResult:
    write(out, BUNDLE)
    return EnrolmentResult((), PREVIEW, ())


def store_at(data: Path) -> AvatarStore:
    return AvatarStore(data, LIMITS, 512)


async def make(store: AvatarStore, name: str = "Ada Lovelace") -> AvatarRecord:
    started = await store.start_enrolment(PHOTO, name, STATEMENT, True)
    made = await store.wait(started.id)
    assert made.status == "ready", made.reason
    return made


def readable(folder: Path) -> list[str]:
    """What of a person somebody who reads these files finds."""
    return [
        f"{path.name}: {word!r}"
        for path in folder.rglob("*")
        if path.is_file()
        for word in TELLTALES
        if word in path.read_bytes()
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_without_a_vault_nothing_changes(data: Path) -> None:
    store = store_at(data)
    made = await make(store)
    assert Vault(data).describe() == {"vault": "none"}
    assert store.bundle(made.id) == str(store.bundle_path(made.id))
    assert store.bundle_path(made.id).read_bytes() == BUNDLE


async def test_nothing_of_a_person_is_readable_at_rest(data: Path) -> None:
    store = store_at(data)
    before = await make(store)
    assert readable(data), "the test would not find it otherwise"
    Vault(data).init()
    after = await make(store, "Ada King, née Lovelace")
    assert readable(data) == []
    again = store_at(data)
    for made in (before, after):
        assert again.get(made.id) == made and again.preview(made.id) == PREVIEW
        assert read_bundle(again.bundle(made.id)) == BUNDLE
        assert file_of(again.bundle(made.id)) == again.bundle_path(made.id)
        assert await again.export(made.id) == BUNDLE
        assert again.consents.of(made.id).text == STATEMENT
    assert await again.rename(before.id, "Countess")
    assert again.get(before.id).name == "Countess"
    key = next((data.parent / "config" / "visavis").glob("*.key"))
    assert key.stat().st_mode & 0o077 == 0 and data not in key.parents


async def test_a_vault_half_made_is_made_whole(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(data)
    made = [await make(store, f"Lovelace {n}") for n in range(3)]
    real, calls = sealed.replace_shredding, []

    def full(path: Path, content: bytes) -> None:
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        calls.append(path)
        real(path, content)

    monkeypatch.setattr(sealed, "replace_shredding", full)
    with pytest.raises(OSError, match="No space"):
        Vault(data).init()
    assert Vault(data).describe()["half_sealed"] is True
    half = store_at(data)
    assert all(half.get(m.id) == m for m in made)
    assert all(read_bundle(half.bundle(m.id)) == BUNDLE for m in made)
    monkeypatch.setattr(sealed, "replace_shredding", real)
    Vault(data).init()
    assert readable(data) == [] and Vault(data).describe()["half_sealed"] is False
    with pytest.raises(BadRequest, match="already"):
        Vault(data).init()


async def test_locked_is_locked_for_every_process_and_deletes_nothing(data: Path) -> None:
    store = store_at(data)
    Vault(data).init()
    made = await make(store)
    assert store.get(made.id).name == "Ada Lovelace"
    Vault(data).lock()
    assert store.get(made.id).name == "Locked" and [r.id for r in store.list()] == [made.id]
    assert "locked" in (await store.missing([made.id]))[made.id]
    for use in (store.bundle, store.preview, store.contents):
        with pytest.raises(Conflict) as refused:
            use(made.id)
        assert refused.value.code == "vault-locked"
    with pytest.raises(VisavisError, match="locked"):
        await make(store, "Somebody")
    for _ in range(30):
        store._make_room()
    Vault(data).unlock()
    assert store.get(made.id) == made and read_bundle(store.bundle(made.id)) == BUNDLE


async def test_a_lost_key_is_told_and_deletes_nothing(data: Path, tmp_path: Path) -> None:
    store = store_at(data)
    state = Vault(data).init(f"file:{tmp_path / 'my.key'}")
    made = await make(store)
    kept = (tmp_path / "my.key").read_bytes()
    (tmp_path / "my.key").unlink()
    files = files_under(data)
    lost = store_at(data)
    assert str(tmp_path / "my.key") in lost.get(made.id).reason
    assert list(Vault(data).describe()["cannot_be_opened"]) == [made.id]
    with pytest.raises(KeyMissing):
        Vault(data).rotate()
    (tmp_path / "my.key").write_text("ab" * 32)  # another key is no way in either
    assert "which is not in" in lost.get(made.id).reason or lost.get(made.id).name == "Locked"
    done, unopened = Vault(data).rotate()
    assert (done, unopened) == (0, [made.id])
    assert files_under(data) == files
    (tmp_path / "my.key").write_bytes(kept)
    assert store_at(data).get(made.id) == made and state.source.endswith("my.key")


@pytest.mark.parametrize("full_after", range(5))
async def test_rotation_can_break_off_anywhere(
    data: Path, full_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(data)
    state = Vault(data).init()
    made = [await make(store, f"Lovelace {n}") for n in range(3)]
    old = vault_keys.load(state.source, state.id)
    writes = 0

    def full(path: Path, content: bytes, **more: int) -> None:
        nonlocal writes
        writes += 1
        if writes > full_after:
            raise OSError(errno.ENOSPC, "No space left on device")
        atomic_write(path, content, **more)

    for module in ("vault", "vault_keys"):
        monkeypatch.setattr(f"visavis.streamer.trust.{module}.atomic_write", full)
    with pytest.raises(OSError, match="No space"):
        Vault(data).rotate()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(data.parent / "config"))
    half = store_at(data)
    assert all(read_bundle(half.bundle(m.id)) == BUNDLE for m in made)
    assert Vault(data).rotate() == (3, [])
    new = vault_keys.load(state.source, state.id)
    assert len(new) == 1 and new != old
    after = store_at(data)
    assert all(read_bundle(after.bundle(m.id)) == BUNDLE for m in made)
    vault_keys.save(state.source, state.id, old)
    assert {r.name for r in store_at(data).list()} == {"Locked"}, "the old key opens nothing"


async def test_the_key_may_come_from_the_environment(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadRequest, match=VARIABLE):
        Vault(data).init("env")
    shutil.rmtree(data, ignore_errors=True)
    monkeypatch.setenv(VARIABLE, "11" * 32)
    store = store_at(data)
    Vault(data).init("env")
    made = await make(store)
    with pytest.raises(BadRequest, match="comma"):
        Vault(data).rotate()
    monkeypatch.setenv(VARIABLE, f"{'22' * 32},{'11' * 32}")
    assert Vault(data).rotate() == (1, [])
    monkeypatch.setenv(VARIABLE, "22" * 32)
    assert store_at(data).get(made.id) == made
    monkeypatch.setenv(VARIABLE, "no key")
    assert "no key" in store_at(data).get(made.id).reason


async def test_ten_thousand_changed_files_are_none_of_them_opened(data: Path) -> None:
    store = store_at(data)
    Vault(data).init()
    made, rng = await make(store), random.Random(2)
    folder = data / "avatars" / made.id
    vault = Vault(data)
    key = vault.key_of(folder)
    assert key is not None
    path = folder / "consent.json"
    whole, opened = path.read_bytes(), 0
    for _ in range(10_000):
        at = rng.randrange(len(whole))
        kind = rng.randrange(3)
        changed = whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :]
        if kind == 1:
            changed = whole[:at]
        elif kind == 2:
            changed = whole[:at] + rng.randbytes(3) + whole[at:]
        try:
            sealed.unseal(key, changed, sealed.place(path))
            opened += 1
        except Unsealable:
            pass
    assert opened == 0 and vault.read(path)


async def test_files_cannot_be_swapped_between_avatars_or_put_there_unsealed(data: Path) -> None:
    store = store_at(data)
    Vault(data).init()
    ada, eve = await make(store, "Ada Lovelace"), await make(store, "Eve")
    folders = [data / "avatars" / m.id for m in (ada, eve)]
    shutil.copy(folders[0] / "identity.vav", folders[1] / "identity.vav")
    with pytest.raises(Unsealable):
        read_bundle(store.bundle(eve.id))
    shutil.copy(folders[0] / KEY_FILE, folders[1] / KEY_FILE)
    with pytest.raises(Conflict):
        store.bundle(eve.id)
    (folders[0] / "preview.jpg").write_bytes(PREVIEW)
    with pytest.raises(Unsealable, match="not sealed"):
        store.preview(ada.id)


async def test_a_worker_opens_a_sealed_bundle_in_memory(data: Path) -> None:
    from visavis.models.appearance.drawn import drawn_identity

    store = store_at(data)
    Vault(data).init()
    made = await make(store)
    identity = drawn_identity(256)
    Vault(data).write(store.bundle_path(made.id), identity.to_bytes())
    drawn = load_identity(store.bundle(made.id))
    assert drawn.to_bytes() == identity.to_bytes()
    assert not [name for name in files_under(data) if ".partial" in name]


# ---------------------------------------------------------------- erasing


async def test_an_erasure_destroys_the_key_first_and_leaves_a_signed_receipt(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(data)
    Vault(data).init()
    made = await make(store)
    order: list[str] = []
    real = sealed.shred
    monkeypatch.setattr(sealed, "shred", lambda path: (order.append(path.name), real(path))[1])
    receipt = store.erase(made.id)
    assert order[0] == KEY_FILE and set(SEALED) < set(order)
    assert receipt.key_destroyed and receipt.whole and receipt.bytes > len(BUNDLE)
    path = data / "trust" / "receipts" / f"{made.id}.json"
    body = load_signer(data / "trust" / "signing.key").read(path.read_bytes())
    assert (body["kind"], body["avatar"]) == ("erasure", made.id)
    assert b"Lovelace" not in path.read_bytes()
    assert list((data / "avatars").iterdir()) == []


@pytest.mark.parametrize("with_vault", [False, True])
async def test_no_byte_of_a_bundle_is_left_on_the_disk(
    image: tuple[Path, Path], with_vault: bool, tmp_path: Path
) -> None:
    file, folder = image
    data = folder / "data"
    store = store_at(data)
    made = await make(store)
    assert _on_disk(file), "it is there before"
    if with_vault:
        Vault(data).init()
        assert not _on_disk(file), "and not in the blocks that were plain before the vault"
    store_at(data).erase(made.id)
    assert not _on_disk(file)


def _on_disk(file: Path) -> list[bytes]:
    os.sync()
    raw = file.read_bytes()
    return [word for word in (b"PK the bundle", b"the face of") if word in raw]


# ---------------------------------------------------------------- for the person


async def test_the_person_gets_everything_that_is_kept(data: Path, tmp_path: Path) -> None:
    store = store_at(data)
    Vault(data).init()
    made = await make(store)
    export_subject(store, made.id, tmp_path / "ada.zip")
    with zipfile.ZipFile(tmp_path / "ada.zip") as file:
        assert file.read("avatar.vav") == BUNDLE and file.read("preview.jpg") == PREVIEW
        assert json.loads(file.read("record.json"))["name"] == "Ada Lovelace"
        assert STATEMENT in file.read("consent.json").decode()
        events = [entry["event"] for entry in json.loads(file.read("audit.json"))]
    assert events == ["enrol", "ready"]
    assert (tmp_path / "ada.zip").stat().st_mode & 0o077 == 0
    with pytest.raises(BadRequest, match="--force"):
        export_subject(store, made.id, tmp_path / "ada.zip")
    export_subject(store, made.id, tmp_path / "ada.zip", force=True)
    assert zipfile.is_zipfile(tmp_path / "ada.zip")
