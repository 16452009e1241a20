"""Pictures in shared memory: what is read is whole, and slow readers lose only their own."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest

from visavis.streamer.errors import BadRequest
from visavis.streamer.media.picture_ring import PLACES, PictureRing, create

W, H = 64, 48


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return create(W, H, tmp_path)


def picture(value: int) -> np.ndarray:
    return np.full((H * 3 // 2, W), value % 256, np.uint8)


def test_what_is_put_is_got_until_its_place_is_needed(path: Path) -> None:
    writer, reader = PictureRing(path, writes=True), PictureRing(path)
    assert reader.get(0) is None
    for frame in range(100):
        writer.put(frame, picture(frame))
        got = reader.get(frame)
        assert got is not None and (got == picture(frame)).all()
    assert reader.get(99 - PLACES) is None and reader.get(100) is None
    assert (reader.get(99 - PLACES + 1) == picture(99 - PLACES + 1)).all()


def test_a_reader_never_gets_half_a_picture(tmp_path: Path) -> None:
    path = create(256, 256, tmp_path)
    writer, reader = PictureRing(path, writes=True), PictureRing(path)
    over = threading.Event()
    newest = 0

    def write() -> None:
        nonlocal newest
        for frame in range(3000):
            writer.put(frame, np.full((384, 256), frame % 251, np.uint8))
            newest = frame
        over.set()

    thread = threading.Thread(target=write)
    thread.start()
    whole = 0
    while not over.is_set():
        wanted = newest
        got = reader.get(wanted)
        if got is not None:
            assert (got == wanted % 251).all()
            whole += 1
    thread.join()
    assert whole


def test_only_its_user_may_open_it(path: Path) -> None:
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"VISAVIS1" + bytes(16), b"x" * 10_000])
def test_what_is_no_ring_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(BadRequest) as caught:
        PictureRing(path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    with pytest.raises(BadRequest):
        PictureRing(tmp_path / "missing")


@pytest.mark.parametrize(("width", "height"), [(0, 0), (63, 48), (8192, 48), (-2, 2)])
def test_odd_sizes_are_refused(tmp_path: Path, width: int, height: int) -> None:
    with pytest.raises(BadRequest, match="even sides"):
        create(width, height, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_picture_of_another_size_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        PictureRing(path, writes=True).put(0, np.zeros((2, 2), np.uint8))
