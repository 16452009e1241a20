"""Recordings whose server died: finished by the next one, or destroyed, and written down."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.fake_clock import FakeClock
from tests.unit.streamer.rooms.test_room_recording import FPS, watch, written
from tests.unit.streamer.rooms.test_sealed_recordings import (
    ADA,
    BEN,
    NAME,
    keys_of_ours,  # noqa: F401  a fixture
    person,
    readable,
)
from visavis.streamer.errors import Conflict
from visavis.streamer.http import app as app_module
from visavis.streamer.rooms.archive import Archive
from visavis.streamer.rooms.recording import recovery as module
from visavis.streamer.rooms.recording.held import held, is_held
from visavis.streamer.rooms.recording.recording import Recording
from visavis.streamer.rooms.recording.shelf import Recordings, Shelf
from visavis.streamer.rooms.recording.signing import Signing
from visavis.streamer.rooms.recording.whole import whole_bytes
from visavis.streamer.trust import sealed
from visavis.streamer.trust.marks import provenance
from visavis.streamer.trust.sealed import Unsealable
from visavis.streamer.trust.vault import Vault
from visavis.streamer.trust.vault_keys import KeyMissing

RECORDS = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.unit.streamer.rooms.test_room_recording import FPS, written
from tests.unit.streamer.rooms.test_sealed_recordings import person
from visavis.streamer.rooms.archive import Archive

async def main():
    archive = Archive(Path(sys.argv[1]), FPS, lambda: 0.0, lambda event, who: None)
    one = person()
    running = archive.begin_alone(one.feed)
    one.go_on(3.5)
    await written(running)
    print(running.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def cut_off(data: Path, codec: Any = "H264", *others: str, seconds: float = 4.5) -> Shelf:
    """A data folder as a power cut leaves it, in the middle of a recording of Ada and others."""
    before = _set_aside(data)
    shelves = Recordings(before)
    running = Recording(shelves.make("tea", "s"), FPS, lambda: {"0"}, lambda who: NAME, lambda: 0.0)
    people = [person(avatar, codec) for avatar in (ADA, *others)]
    running.follow({str(number): one.feed for number, one in enumerate(people)})
    for one in people:
        one.go_on(seconds)
    await written(running)
    shutil.copytree(before, data)
    await running.end()
    return Recordings(data).get(running.id)


def _set_aside(data: Path) -> Path:
    before = data.with_name("before")
    before.parent.mkdir(parents=True, exist_ok=True)
    return data.rename(before) if data.exists() else before


class Server:
    """What of the next one finishes recordings."""

    def __init__(self, data: Path, withdrawn: Callable[[str], bool] = lambda avatar: False) -> None:
        self.noted: list[tuple[str, str]] = []
        self.archive = Archive(
            data,
            FPS,
            lambda: 0.0,
            lambda *entry: self.noted.append(entry),
            photo_sha256=lambda avatar: "5e" * 32,
            withdrawn=withdrawn,
        )


def fetched(data: Path, shelf: Shelf, name: str) -> Path:
    """A film, and the manifest beside it, as somebody has fetched them."""
    folder = data.parent / "fetched"
    folder.mkdir(exist_ok=True)
    for one in (name, f"{name}.c2pa"):
        if (shelf.folder / one).exists():
            (folder / one).write_bytes(Recordings(data).file(shelf, one).read())
    return folder / name


@pytest.mark.skipif(not provenance.available(), reason="c2pa-python is not installed")
@pytest.mark.parametrize("codec", ["H264", "VP8"])
@pytest.mark.parametrize("with_vault", [False, True])
@pytest.mark.parametrize("torn", [0, 700])
async def test_what_was_cut_off_is_finished_as_any_other(
    data: Path, codec: str, with_vault: bool, torn: int
) -> None:
    if with_vault:
        Vault(data).init()
    shelf = await cut_off(data, codec)
    assert not shelf.over and not shelf.files[0].signed
    name = shelf.files[0].file
    os.truncate(shelf.folder / name, (shelf.folder / name).stat().st_size - torn)
    (shelf.folder / f".signing-{name}").write_bytes(b"half a copy")
    server = Server(data)
    assert server.archive.recover() == 0
    assert server.noted == [("recording-recover", shelf.id)]
    known = Recordings(data).get(shelf.id)
    (file,) = known.files
    assert known.over and file.signed and known.seconds >= 2.9
    assert (
        known.problem == "The server stopped in the middle of it; the last second may be missing."
    )
    assert bool(file.index) == with_vault, "what it must be to be whole"
    assert not [p for p in known.folder.iterdir() if p.name.startswith(".") or "lock" in p.name]
    film = fetched(data, known, name)
    found = provenance.read_manifest(film, data)
    assert found["generated"] and found["state"] == "Trusted" and found["photos"] == ["5e" * 32]
    flashes, clicks = watch(film)
    assert len(flashes) >= 3 and abs(len(flashes) - len(clicks)) <= 1
    if with_vault:
        assert readable(data / "recordings") == []
        os.truncate(known.folder / name, (known.folder / name).stat().st_size // 2)
        with pytest.raises(Unsealable, match="cut short"):
            Recordings(data).file(known, name)
    assert server.archive.recover() == 0 and len(server.noted) == 1, "once"


@pytest.mark.parametrize("with_vault", [False, True])
async def test_who_has_withdrawn_is_destroyed_and_the_others_are_finished(
    data: Path, with_vault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_vault:
        Vault(data).init()
    shelf = await cut_off(data, "H264", BEN)
    order: list[str] = []
    real = sealed.shred

    def shred(path: Path) -> int:
        size = real(path)
        order.append(path.name)
        return size

    monkeypatch.setattr(sealed, "shred", shred)
    signed: list[str] = []
    monkeypatch.setattr(
        Signing, "__call__", lambda self, one, name: bool(signed.append(name)) or True
    )
    server = Server(data, lambda avatar: avatar == ADA)
    assert server.archive.recover() == 0
    assert order == (["01.key", "01.mp4"] if with_vault else ["01.mp4"])
    assert signed == ["02.mp4"], "not even for a moment"
    known = Recordings(data).get(shelf.id)
    assert [file.avatars for file in known.files] == [(BEN,)]
    assert server.noted == [("recording-shred", shelf.id), ("recording-recover", shelf.id)]


async def test_who_was_alone_in_it_and_has_withdrawn_leaves_nothing(data: Path) -> None:
    shelf = await cut_off(data)
    server = Server(data, lambda avatar: True)
    assert server.archive.recover() == 0
    assert list((data / "recordings").iterdir()) == []
    assert server.noted == [("recording-shred", shelf.id), ("recording-erase", shelf.id)]


async def test_one_without_a_whole_second_is_nothing(data: Path) -> None:
    shelf = await cut_off(data, seconds=0.2)
    server = Server(data)
    assert server.archive.recover() == 0
    assert list((data / "recordings").iterdir()) == []
    assert server.noted == [("recording-erase", shelf.id)]


async def test_one_that_runs_is_left_alone_and_not_erased(data: Path) -> None:
    shelf = await cut_off(data)
    was = (shelf.folder / "01.mp4").read_bytes()
    server = Server(data)
    with held(shelf.folder):  # by another process
        assert server.archive.recover() == 1 and is_held(shelf.folder)
        with pytest.raises(Conflict, match="being finished"):
            server.archive.erase_any(shelf.id)
    assert (shelf.folder / "01.mp4").read_bytes() == was and server.noted == []
    one = person()
    running = server.archive.begin_alone(one.feed)
    assert server.archive.recover() == 1, "the other one is finished, ours is not"
    await running.end()
    assert server.archive.recover() == 0
    assert not is_held(data / "recordings" / running.id)
    server.archive.erase_any(shelf.id)


async def test_a_locked_vault_is_waited_for(data: Path) -> None:
    Vault(data).init()
    shelf = await cut_off(data)
    Vault(data).lock()
    server = Server(data)
    assert server.archive.recover() == 1
    Vault(data).unlock()

    def shut(avatar: str) -> bool:
        raise KeyMissing("The vault is locked.")

    assert Server(data, shut).archive.recover() == 1, "nobody knows whether it was withdrawn"
    assert not Recordings(data).get(shelf.id).over
    assert server.archive.recover() == 0 and Recordings(data).get(shelf.id).over


async def test_what_breaks_off_begins_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Vault(data).init()
    shelf = await cut_off(data)
    real = module.whole_bytes  # as if the last write had stopped in a fragment

    def one_less(file: Any, suffix: str) -> int:
        whole = real(file, suffix)
        file.seek(0)
        return real(io.BytesIO(file.read(whole - 1)), suffix)

    monkeypatch.setattr(module, "whole_bytes", one_less)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    server = Server(data)
    for place in ((module.SealedStream, "write"), (Shelf, "save")):
        with monkeypatch.context() as patch:
            patch.setattr(*place, full)
            assert server.archive.recover() == 1
        assert not Recordings(data).get(shelf.id).over
        assert [p.name for p in shelf.folder.iterdir() if p.name.startswith(".")] == []
    assert server.archive.recover() == 0
    known = Recordings(data).get(shelf.id)
    film = fetched(data, known, "01.mp4")
    assert known.over and 1 <= len(watch(film)[0]) <= 3
    if provenance.available():  # signed once already, before the record could be kept
        assert provenance.read_manifest(film, data)["state"] == "Trusted"


async def test_somebody_s_change_is_not_covered_up(data: Path) -> None:
    Vault(data).init()
    shelf = await cut_off(data)
    path = shelf.folder / "01.mp4"
    raw = bytearray(path.read_bytes())
    raw[400] ^= 1
    path.write_bytes(raw)
    server = Server(data)
    assert server.archive.recover() == 0
    known = Recordings(data).get(shelf.id)
    assert not known.files[0].signed and path.read_bytes() == raw
    with pytest.raises(Unsealable):
        Recordings(data).file(known, "01.mp4").read()


async def test_records_of_before_say_by_their_length_that_they_are_over(data: Path) -> None:
    shelf = await cut_off(data)
    path = shelf.folder / "recording.json"
    for seconds, over in ((0.0, False), (2.5, True)):
        values = json.loads(path.read_bytes())
        values.pop("over", None)
        path.write_text(json.dumps({**values, "seconds": seconds}))
        assert Recordings(data).get(shelf.id).over is over


def test_a_killed_server_s_recording_is_finished_by_the_next(data: Path) -> None:
    """The real thing: SIGKILL in the middle, and the lock is gone with the process."""
    Vault(data).init()
    died = subprocess.run(
        [sys.executable, "-c", RECORDS, str(data)], capture_output=True, text=True, timeout=120,
        cwd=Path(__file__).resolve().parents[4],
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr
    recording = died.stdout.strip()
    server = Server(data)
    assert server.archive.recover() == 0 and server.noted == [("recording-recover", recording)]
    (listed,) = server.archive.all()
    assert listed["id"] == recording and listed["seconds"] >= 1.9
    assert len(watch(fetched(data, Recordings(data).get(recording), "01.mp4"))[0]) >= 2


async def test_the_server_tries_until_nothing_is_left(data: Path) -> None:
    clock, tries = FakeClock(), iter((1, OSError("the disk"), 0))
    asked: list[float] = []

    def recover() -> int:
        asked.append(clock.now())
        said = next(tries)
        if isinstance(said, Exception):
            raise said
        return said

    services: Any = SimpleNamespace(archive=SimpleNamespace(recover=recover))
    task = asyncio.create_task(app_module.finish_cut_off(services, clock))
    async with asyncio.timeout(10):
        while not task.done():
            await asyncio.sleep(0.01)
            await clock.advance(1.0)
    assert len(asked) == 3 and asked[2] - asked[1] >= 9 > 4 <= asked[1] - asked[0]


# ---------------------------------------------------------------- how much is whole


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_a_file_cut_anywhere_keeps_every_whole_part_and_no_other(
    data: Path, codec: str
) -> None:
    shelf = await cut_off(data, codec)
    name = shelf.files[0].file
    raw = (shelf.folder / name).read_bytes()
    word = b"moof" if codec == "H264" else b"\x1f\x43\xb6\x75"
    back = 4 if codec == "H264" else 0  # a box's size comes before its kind
    begins = [at - back for at in range(len(raw)) if raw.startswith(word, at)]
    ends = [*begins[1:], len(raw)]
    assert len(ends) >= 4
    for cut in range(0, len(raw) + 1, 61):
        expected = max((end for end in ends if end <= cut), default=0)
        assert whole_bytes(io.BytesIO(raw[:cut]), Path(name).suffix) == expected
    with av.open(io.BytesIO(raw[: ends[1]])) as film:
        assert len(list(film.decode(video=0))) >= 2 * FPS - 5


@given(st.binary(max_size=200), st.sampled_from((".mp4", ".webm")))
def test_nothing_that_is_read_there_is_believed(data: bytes, suffix: str) -> None:
    heads = {".mp4": b"\0\0\0\x08ftyp", ".webm": b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff"}
    for raw in (data, heads[suffix] + data):
        assert 0 <= whole_bytes(io.BytesIO(raw), suffix) <= len(raw)


async def test_one_that_could_not_be_begun_is_not_held(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(shelf: Shelf) -> None:
        raise OSError(28, "No space left on device")

    shelf = Recordings(data).make("", "")
    monkeypatch.setattr(Shelf, "save", full)
    with pytest.raises(OSError, match="No space"):
        Recording(shelf, FPS, lambda: {"0"}, str.title, lambda: 0.0)
    assert not is_held(shelf.folder) and list(shelf.folder.iterdir()) == []
