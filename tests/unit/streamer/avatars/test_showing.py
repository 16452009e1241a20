"""A photo that a browser cannot open is shown by the server before anybody agrees to anything."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.unit.models.appearance.odd_photos import exif, grown, heif, portrait, saved
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import Config, LimitsConfig
from visavis.streamer.http.app import create_app


def client(folder: Path) -> httpx.AsyncClient:
    config = Config(data_dir=folder)
    store = AvatarStore(folder, LimitsConfig(), 256)
    transport = httpx.ASGITransport(create_app(config, avatars=store), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", timeout=60)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_a_heic_comes_back_as_jpeg_and_nothing_is_kept(tmp_path: Path) -> None:
    photo = heif(grown(portrait(), 3000, 2250), quality=80, exif=exif(1))
    async with client(tmp_path) as http:
        before = files(tmp_path)
        answer = await http.post("/api/avatars/photo", content=photo)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "no-store"
        picture = Image.open(io.BytesIO(answer.content))
        assert picture.format == "JPEG" and picture.size == (2048, 1536)
        assert not picture.getexif(), "nothing but pixels"
        truth = np.asarray(grown(portrait(), 2048, 1536), float)
        assert np.abs(np.asarray(picture, float) - truth).mean() < 6
        assert (await http.get("/api/avatars")).json()["avatars"] == []
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-picture"),
        (b"%PDF-1.7", "not-picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "corrupt"),
        (saved(Image.new("RGB", (300, 300)), "JPEG")[:-500], "corrupt"),
        (saved(Image.new("RGB", (30, 30)), "PNG"), "too-small"),
        (b"PK\x03\x04" + bytes(99), "not-picture"),
    ],
)
async def test_what_cannot_be_shown_is_one_sentence(tmp_path: Path, data: bytes, code: str) -> None:
    async with client(tmp_path) as http:
        answer = await http.post("/api/avatars/photo", content=data)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["error"].endswith(".")


async def test_a_photo_too_large_is_not_read(tmp_path: Path) -> None:
    async with client(tmp_path) as http:
        answer = await http.post("/api/avatars/photo", content=bytes(41_000_000))
    assert answer.status_code == 413
