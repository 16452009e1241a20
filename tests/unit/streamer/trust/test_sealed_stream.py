"""Sealed files that grow: plain bytes as if nothing were there, and nothing changed unnoticed."""

from __future__ import annotations

import io
import os
import random
import secrets
from pathlib import Path

import pytest

from visavis.streamer.trust.sealed import Unsealable, new_key
from visavis.streamer.trust.sealed_stream import SealedStream, buffered, is_stream

KEY = new_key()
PLACE = "recording/01.mp4"


def written(path: Path, *parts: bytes) -> SealedStream:
    with SealedStream(path, KEY, PLACE, new=True) as stream:
        for part in parts:
            stream.write(part)
    return stream


def read(path: Path, key: bytes = KEY, place: str = PLACE) -> bytes:
    with SealedStream(path, key, place) as stream:
        return stream.readall() or b""


def test_what_was_written_anywhere_is_read_anywhere(tmp_path: Path) -> None:
    """Against a plain file under 400 random writes, as a muxer seeks and a signer patches."""
    chance = random.Random(7)
    path, plain = tmp_path / "x", io.BytesIO()
    with SealedStream(path, KEY, PLACE, new=True) as stream, buffered(stream) as file:
        for _ in range(400):
            at = chance.randint(0, 3000)
            data = chance.randbytes(chance.choice((0, 1, 7, 200, 900)))
            for one in (plain, file):
                one.seek(at)
                one.write(data)
            if chance.random() < 0.2:
                file.seek(at)
                plain.seek(at)
                assert file.read(500) == plain.read(500)
    assert read(path) == plain.getvalue()
    with SealedStream(path, KEY, PLACE) as stream:
        for _ in range(200):
            at, count = chance.randint(0, 4000), chance.randint(0, 300)
            stream.seek(at)
            assert stream.read(count) == plain.getvalue()[at : at + count]


def test_nothing_of_it_is_readable_and_large_writes_are_parted(tmp_path: Path) -> None:
    data = b"the face of Ada " * 200_000
    assert written(tmp_path / "x", data).size == len(data)
    raw = (tmp_path / "x").read_bytes()
    assert b"the face" not in raw and is_stream(tmp_path / "x")
    assert read(tmp_path / "x") == data


@pytest.mark.parametrize("cut", [1, 20, 40, 60])
def test_a_crash_tears_the_last_record_only(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x"
    written(path, b"one", b"two", b"three" * 10)
    os.truncate(path, path.stat().st_size - cut)
    assert read(path) == b"onetwo"


def test_what_is_missing_at_the_end_of_a_finished_one_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    whole = written(path, b"one", b"two")
    os.truncate(path, path.stat().st_size - 1)
    with SealedStream(path, KEY, PLACE) as stream, pytest.raises(Unsealable, match="cut short"):
        stream.check_whole(whole.size, whole.index)


def test_another_key_and_another_place_open_nothing(tmp_path: Path) -> None:
    written(tmp_path / "x", b"one")
    for key, place in ((new_key(), PLACE), (KEY, "recording/02.mp4")):
        with pytest.raises(Unsealable):
            read(tmp_path / "x", key, place)


def test_ten_thousand_changed_files_give_no_changed_byte(tmp_path: Path) -> None:
    """Flipped, swapped, left out, doubled: read as it was up to a torn end, or not at all."""
    chance, path = random.Random(3), tmp_path / "x"
    whole = written(path, b"aaaa", b"bbbb", b"cccc")
    raw = path.read_bytes()
    size = (len(raw) - 16) // 3
    records = [raw[16 + n * size : 16 + (n + 1) * size] for n in range(3)]
    changed = [
        raw[:16] + b"".join(order)
        for order in (
            [records[1], records[0], records[2]],
            [records[0], records[2]],
            [records[0], records[0], records[1]],
        )
    ]
    while len(changed) < 10_000:
        copy = bytearray(raw)
        copy[chance.randrange(len(copy))] ^= 1 << chance.randrange(8)
        changed.append(bytes(copy))
    for data in changed:
        path.write_bytes(data)
        try:
            with SealedStream(path, KEY, PLACE) as stream:
                stream.check_whole(12, whole.index)
                found = stream.readall()
        except (Unsealable, MemoryError):
            continue
        assert found == b"aaaabbbbcccc"
        raise AssertionError("something was changed, and was not noticed")


def test_none_is_made_where_one_is(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(secrets.token_bytes(9))
    with pytest.raises(FileExistsError):
        SealedStream(tmp_path / "x", KEY, PLACE, new=True)
    with pytest.raises(Unsealable):
        SealedStream(tmp_path / "x", KEY, PLACE)
