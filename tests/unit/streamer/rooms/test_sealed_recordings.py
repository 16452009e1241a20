"""Recordings in a vault: sealed as they grow, read by who may, gone with their key; and signed."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from tests.fakes.fake_avatars import FakeAvatars
from tests.unit.streamer.rooms.test_room_recording import FPS, Person, watch, written
from visavis.models.files import atomic_write
from visavis.streamer.config import Config, QuotasConfig, ServerConfig
from visavis.streamer.errors import NotFound, OverQuota
from visavis.streamer.http.app import create_app
from visavis.streamer.rooms.archive import Archive
from visavis.streamer.rooms.recording.recording import Recording
from visavis.streamer.rooms.recording.shelf import Recordings, Shelf
from visavis.streamer.rooms.recording.signing import Signing
from visavis.streamer.session.quotas import Quotas
from visavis.streamer.trust import sealed
from visavis.streamer.trust.callers import Caller
from visavis.streamer.trust.marks import provenance
from visavis.streamer.trust.sealed import Unsealable
from visavis.streamer.trust.sealed_stream import SealedStream
from visavis.streamer.trust.vault import Vault
from visavis.streamer.trust.vault_keys import VARIABLE, KeyMissing

ADA, BEN = "a" * 32, "b" * 32
NAME = "Ada Lovelace"
PLAIN = (b"moof", b"ftyp", b"OpusHead", NAME.encode(), ADA.encode())


@pytest.fixture(autouse=True)
def keys_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def person(avatar: str = ADA, codec: Any = "H264") -> Person:
    one = Person(codec)
    one.feed.worn = [avatar]
    return one


async def recorded(data: Path, codec: Any = "H264", *others: Person, **more: Any) -> Shelf:
    """A finished recording of three seconds of Ada, and of whom else there is."""
    shelves = Recordings(data)
    shelf = shelves.make("tea", "sitting")
    running = Recording(shelf, FPS, lambda: {"ada"}, lambda who: NAME, lambda: 0.0, **more)
    everybody = dict(enumerate((person(codec=codec), *others)))
    running.follow({str(who): one.feed for who, one in everybody.items()})
    for one in everybody.values():
        one.go_on(3)
    await running.end()
    return shelves.get(shelf.id)


def readable(folder: Path) -> list[str]:
    return [
        f"{path.name}: {word!r}"
        for path in folder.rglob("*")
        for word in PLAIN
        if path.is_file() and word in path.read_bytes()
    ]


def test_the_words_looked_for_are_there_without_a_vault(data: Path) -> None:
    """Proof that the tests below can fail."""
    import asyncio

    asyncio.run(recorded(data))
    assert len(readable(data / "recordings")) >= 4


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_nothing_is_readable_at_rest_and_all_of_it_by_who_may(
    data: Path, tmp_path: Path, codec: str
) -> None:
    Vault(data).init()
    shelf = await recorded(data, codec)
    assert readable(data / "recordings") == [] and shelf.describe()["sealed"] is True
    (file,) = shelf.files
    assert (file.avatars, file.name) == ((ADA,), NAME)
    path = tmp_path / file.file
    path.write_bytes(Recordings(data).file(shelf, file.file).read())
    flashes, clicks = watch(path)
    assert len(flashes) == len(clicks) == 3


async def test_a_crash_costs_the_last_second_of_a_sealed_one_as_well(
    data: Path, tmp_path: Path
) -> None:
    Vault(data).init()
    shelves = Recordings(data)
    running = Recording(shelves.make("tea", "s"), FPS, lambda: {"ada"}, str.title, lambda: 0.0)
    one = person()
    running.follow({"ada": one.feed})
    one.go_on(5)
    await written(running)
    shelf = shelves.get(running.id)
    torn = tmp_path / "torn.mp4"
    name = shelf.files[0].file
    os.truncate(shelf.folder / name, (shelf.folder / name).stat().st_size - 9)  # a torn write too
    torn.write_bytes(shelves.file(shelf, name).read())
    with av.open(str(torn)) as film:
        seconds = max(float(frame.time) for frame in film.decode(video=0))
    assert seconds >= 2.9, "what was not written yet and the torn fragment, a second each"


async def test_locked_lost_and_cut_short(data: Path, tmp_path: Path) -> None:
    vault = Vault(data)
    vault.init()
    shelf = await recorded(data)
    vault.lock()
    with pytest.raises(KeyMissing, match="locked"):
        Recordings(data).all()
    with pytest.raises(KeyMissing, match="locked"):
        Recordings(data).make("", "")
    assert len(list((data / "recordings").iterdir())) == 1, "and nothing half made is left"
    vault.unlock()
    key = next((tmp_path / "config").rglob("*.key"))
    away = key.rename(tmp_path / "away")
    with pytest.raises(KeyMissing, match="vault-"):
        Recordings(data).get(shelf.id)
    away.rename(key)
    name = shelf.files[0].file
    path = shelf.folder / name
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(Unsealable, match="cut short"):
        Recordings(data).file(shelf, name)
    (shelf.folder / "01.key").unlink()
    with pytest.raises(Unsealable, match="key of this recording is gone"):
        Recordings(data).file(shelf, name)


async def test_a_new_master_key_opens_them_and_the_old_one_does_not(data: Path) -> None:
    vault = Vault(data)
    vault.init()
    shelf = await recorded(data)
    before = (shelf.folder / "01.key").read_bytes()
    vault.rotate()
    assert (shelf.folder / "01.key").read_bytes() != before
    again = Recordings(data).get(shelf.id)
    assert Recordings(data).file(again, "01.mp4").size > 1000
    assert vault.describe()["recordings"] == 1 and vault.describe()["cannot_be_opened"] == {}


@pytest.mark.parametrize("full_after", range(5))
async def test_a_full_disk_in_the_middle_of_a_rotation_loses_no_recording(
    data: Path, full_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Vault(data).init()
    shelf = await recorded(data, "H264", person(BEN))
    writes = 0

    def full(path: Path, content: bytes, **more: int) -> None:
        nonlocal writes
        writes += 1
        if writes > full_after:
            raise OSError(28, "No space left on device")
        atomic_write(path, content, **more)

    with monkeypatch.context() as patch:
        for module in ("vault", "vault_keys"):
            patch.setattr(f"visavis.streamer.trust.{module}.atomic_write", full)
        with pytest.raises(OSError, match="No space"):
            Vault(data).rotate()
    for _ in range(2):  # half turned, and then whole
        again = Recordings(data).get(shelf.id)
        assert all(Recordings(data).file(again, f.file).size > 1000 for f in again.files)
        Vault(data).rotate()


async def test_those_from_before_the_vault_are_sealed_whatever_breaks_off(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = await recorded(data)
    was = Recordings(data).file(shelf, "01.mp4").read()
    vault, real = Vault(data), sealed.overwrite

    def full(descriptor: int) -> int:
        raise OSError(28, "No space left on device")

    for step in range(3):  # in the middle, at the record, and then not at all
        monkeypatch.setattr(sealed, "overwrite", full if step < 2 else real)
        if step == 1:
            monkeypatch.setattr(sealed, "overwrite", real)
            monkeypatch.setattr(sealed, "replace_shredding", lambda *_: full(0))
        if step == 2:
            monkeypatch.undo()
            monkeypatch.setenv("XDG_CONFIG_HOME", str(data.parent / "config"))
        try:
            vault.init("", beside=Recordings(data, vault).seal)
        except OSError:
            assert step < 2
        known = Recordings(data).get(shelf.id)
        assert Recordings(data).file(known, "01.mp4").read() == was
    assert vault.state is not None and not vault.state.sealing
    assert readable(data / "recordings") == []


# ---------------------------------------------------------------- erasing


async def test_erasing_an_avatar_destroys_the_keys_of_what_shows_it_and_nothing_else(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Vault(data).init()
    shelf = await recorded(data, "H264", person(BEN))
    order: list[str] = []
    real = sealed.shred
    monkeypatch.setattr(sealed, "shred", lambda path: (order.append(path.name), real(path))[1])
    count, size = Recordings(data).forget(ADA)
    assert order == ["01.key", "01.mp4"] and count == 2 and size > 1000
    left = Recordings(data).get(shelf.id)
    assert [file.avatars for file in left.files] == [(BEN,)]
    assert Recordings(data).file(left, "02.mp4").size > 1000
    Recordings(data).forget(BEN)
    assert list((data / "recordings").iterdir()) == [], "and the last one takes all of it along"


@pytest.mark.parametrize("with_vault", [False, True])
async def test_no_byte_of_a_recording_is_left_on_the_disk(
    image: tuple[Path, Path], with_vault: bool
) -> None:
    """Block by block, signed or not: the unsigned copy's blocks are overwritten too."""
    file, folder = image
    if with_vault:
        Vault(folder).init()
    await recorded(folder, sign=Signing(folder, lambda avatar_id: ""))
    assert bool(_on_disk(file)) != with_vault
    Recordings(folder).forget(ADA)
    assert not _on_disk(file)


def _on_disk(file: Path) -> list[bytes]:
    os.sync()
    raw = file.read_bytes()
    return [word for word in (b"moof", NAME.encode()) if word in raw]


# ---------------------------------------------------------------- manifests


@pytest.mark.skipif(not provenance.available(), reason="c2pa-python is not installed")
@pytest.mark.parametrize("codec", ["H264", "VP8"])
@pytest.mark.parametrize("with_vault", [False, True])
async def test_a_finished_recording_has_a_manifest_that_a_changed_byte_breaks(
    data: Path, tmp_path: Path, codec: str, with_vault: bool
) -> None:
    if with_vault:
        Vault(data).init()
    shelf = await recorded(data, codec, sign=Signing(data, lambda avatar_id: "5e" * 32))
    (file,) = shelf.files
    assert file.signed and not [p for p in shelf.folder.iterdir() if p.name.startswith(".")]
    path = tmp_path / file.file
    path.write_bytes(Recordings(data).file(shelf, file.file).read())
    if codec == "VP8":
        beside = shelf.describe()["files"][0]["manifest"]
        (tmp_path / beside).write_bytes(Recordings(data).file(shelf, beside).read())
    found = provenance.read_manifest(path, data)
    assert found["generated"] and found["state"] == "Trusted"
    flashes, clicks = watch(path)
    assert len(flashes) == len(clicks) == 3
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert provenance.read_manifest(path, data)["state"] == "Invalid"
    if with_vault:
        assert readable(data / "recordings") == []


async def test_what_cannot_be_signed_stays_as_it_was(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(provenance, "available", lambda: True)
    monkeypatch.setattr(provenance, "sign_stream", broken)
    shelf = await recorded(data, sign=Signing(data, lambda avatar_id: ""))
    assert not shelf.files[0].signed and shelf.size() > 1000
    assert [p.name for p in sorted(shelf.folder.iterdir())] == ["01.mp4", "recording.json"]


# ---------------------------------------------------------------- fetching


async def test_a_player_gets_the_ranges_it_asks_for(data: Path) -> None:
    Vault(data).init()
    shelf = await recorded(data)
    whole = Recordings(data).file(shelf, "01.mp4").read()
    token = "a token of this server"
    config = Config(data_dir=data, server=ServerConfig(token=token))
    app = create_app(config, avatars=FakeAvatars(data, "anna"))  # type: ignore[arg-type]
    base = f"http://127.0.0.1:8080/api/recordings/{shelf.id}/01.mp4"
    owner = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        assert (await http.get(base)).status_code == 401
        answer = await http.get(base, headers=owner)
        assert answer.content == whole and answer.headers["content-type"] == "video/mp4"
        assert answer.headers["cache-control"] == "no-store"
        for asked, begin, end in (
            ("bytes=0-9", 0, 10),
            ("bytes=100-", 100, len(whole)),
            ("bytes=-7", len(whole) - 7, len(whole)),
            (f"bytes=5-{10**12}", 5, len(whole)),
        ):
            part = await http.get(base, headers={**owner, "range": asked})
            assert (part.status_code, part.content) == (206, whole[begin:end])
            assert part.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(whole)}"
        over = await http.get(base, headers={**owner, "range": f"bytes={len(whole)}-"})
        assert over.status_code == 416
        Vault(data).lock()
        shut = await http.get(base, headers=owner)
        assert (shut.status_code, shut.json()["code"]) == (409, "vault-locked")


async def test_recordings_count_against_a_quota(data: Path) -> None:
    noted: list[tuple[str, str]] = []
    quotas = Quotas(QuotasConfig(recordings_mb=1), lambda event, who: noted.append((event, who)))
    archive = Archive(data, FPS, lambda: 0.0, lambda event, who: None, quotas=quotas)
    caller, other = Caller("1" * 16, "speak"), Caller("2" * 16, "speak")
    one = person()
    running = archive.begin_alone(one.feed, caller)
    one.go_on(1)
    await running.end()
    film = data / "recordings" / running.id / "01.mp4"
    with film.open("ab") as file:
        file.write(bytes(1_000_000))
    with pytest.raises(OverQuota) as refused:
        archive.begin_alone(one.feed, caller)
    assert refused.value.code == "quota-recordings" and "erase one first" in str(refused.value)
    assert noted == [("quota-recordings", caller.id)]
    await archive.begin_alone(one.feed, other).end()
    assert [take["id"] for take in archive.all(caller)] == [running.id]
    assert len(archive.all()) == 2
    for work in (archive.any_file, lambda take, file, who: archive.erase_any(take, who)):
        with pytest.raises(NotFound):
            work(running.id, "01.mp4", other)
        with pytest.raises(NotFound):
            work(running.id, "01.mp4", Caller("", "speak", link="a guest"))
    archive.any_file(running.id, "01.mp4", caller)
    archive.erase_any(running.id)
    await archive.begin_alone(one.feed, caller).end()


def test_a_sealed_film_is_a_file_like_any_other(tmp_path: Path) -> None:
    """What PyAV and the signer ask of a file; a muxer that cannot seek writes no WebM header."""
    with SealedStream(tmp_path / "x", sealed.new_key(), "x", new=True) as stream:
        assert stream.seekable() and stream.writable() and stream.readable()
        assert isinstance(stream, io.RawIOBase)
        stream.write(json.dumps({}).encode())
        assert stream.seek(0, os.SEEK_END) == 2
