"""Whatever the bytes are, a plain picture comes out or PhotoRefused does."""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.unit.models.appearance.odd_photos import heif
from visavis.models.appearance.photo.photo import (
    MAX_SIDE,
    PANORAMA_PIXELS,
    PhotoRefused,
    picture_format,
    sanitise,
)


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def gradient(width: int = 120, height: int = 80) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(
        np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    )


WHOLE = {
    kind: encode(gradient(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
} | {"HEIF": heif(gradient())}
LOSSY = {"GIF": 12, "HEIF": 12, "AVIF": 8}  # its palette; chroma at half the size


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_every_accepted_format_gives_its_pixels(kind: str) -> None:
    pixels = sanitise(WHOLE[kind])
    assert pixels.shape == (80, 120, 3) and pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous and pixels.flags.writeable
    assert np.abs(pixels.astype(int) - np.asarray(gradient())).mean() < LOSSY.get(kind, 4)


def test_lossless_pixels_come_back_exactly() -> None:
    assert np.array_equal(sanitise(WHOLE["PNG"]), np.asarray(gradient()))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=4096))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PhotoRefused):
        sanitise(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.binary(max_size=2048))
def test_random_bytes_behind_a_true_beginning_only_refuse(kind: str, data: bytes) -> None:
    with pytest.raises(PhotoRefused):
        sanitise(WHOLE[kind][:12] + data)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_mutated_pictures_give_pixels_or_refuse(
    kind: str, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(WHOLE[kind])
    for where, value in changes:
        data[int(where * len(data))] = value
    try:
        pixels = sanitise(bytes(data))
    except PhotoRefused as refusal:
        assert str(refusal).endswith(".")
    else:
        assert pixels.ndim == 3 and pixels.shape[2] == 3 and min(pixels.shape[:2]) <= MAX_SIDE
        assert pixels.shape[0] * pixels.shape[1] <= 1.01 * PANORAMA_PIXELS


@pytest.mark.parametrize("kind", sorted(WHOLE))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_refused(kind: str, share: float) -> None:
    with pytest.raises(PhotoRefused) as caught:
        sanitise(WHOLE[kind][: int(len(WHOLE[kind]) * share)])
    assert caught.value.code == "corrupt"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def hollow_png(width: int, height: int) -> bytes:
    """Return a valid PNG of black pixels: a thousandth of what it unpacks to."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", rows)
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(6000, 6000), (12_000, 12_000), (24_000, 24_000)])
def test_decompression_bombs_are_refused_before_decoding(size: tuple[int, int]) -> None:
    bomb = hollow_png(*size)
    began = time.perf_counter()
    with pytest.raises(PhotoRefused, match="million pixels") as caught:
        sanitise(bomb)
    assert caught.value.code == "too-large"
    assert time.perf_counter() - began < 0.5


def test_a_compressed_text_bomb_is_harmless() -> None:
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000), 9))
    plain = WHOLE["PNG"]
    end_of_header = 8 + 12 + 13
    with pytest.raises(PhotoRefused):
        sanitise(plain[:end_of_header] + text + plain[end_of_header:])


def test_limits_on_bytes_pixels_and_sides() -> None:
    with pytest.raises(PhotoRefused, match="larger than") as caught:
        sanitise(WHOLE["PNG"], max_bytes=len(WHOLE["PNG"]) - 1)
    assert caught.value.code == "too-large"
    with pytest.raises(PhotoRefused, match="million pixels"):
        sanitise(WHOLE["PNG"], max_pixels=120 * 80 - 1)
    with pytest.raises(PhotoRefused) as caught:
        sanitise(encode(gradient(30, 400)))
    assert caught.value.code == "too-small"
    with pytest.raises(PhotoRefused, match="narrow"):  # once it is scaled
        sanitise(encode(gradient(66, 240_000), "PNG"))


def test_a_large_photo_is_scaled_to_its_long_side() -> None:
    assert sanitise(encode(gradient(3000, 1500), "JPEG")).shape == (1024, 2048, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"<svg/>", b"%PDF-1.7", b"BM", b"BMI" * 40, b"\x00\x00", b"\xff\x0a" + bytes(40),
     b"II*\0" + bytes(90), b"\0\0\0\x20ftypisom" + bytes(60)],
)  # fmt: skip
def test_other_files_are_not_pictures(data: bytes) -> None:
    assert picture_format(data) is None
    with pytest.raises(PhotoRefused) as caught:
        sanitise(data)
    assert caught.value.code == "not-picture"


def test_a_polyglot_leaves_its_other_half_behind() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("evil.html", "<script>alert(1)</script>")
    for kind in ("JPEG", "PNG"):
        both = WHOLE[kind] + archive.getvalue()
        assert zipfile.is_zipfile(io.BytesIO(both))
        assert np.array_equal(sanitise(both), sanitise(WHOLE[kind]))


def test_a_format_is_never_guessed_from_inside() -> None:
    # The first bytes promise a JPEG; a TIFF or EPS reader must not be tried on the rest.
    with pytest.raises(PhotoRefused):
        sanitise(b"\xff\xd8\xff" + encode(gradient(), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48] = 255  # white top left
    stored = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, 3),
    }[orientation](upright)
    data = encode(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(sanitise(data), upright)


def test_position_and_camera_do_not_survive() -> None:
    exif = Image.Exif()
    exif[0x0110] = "SECRETCAM"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)
    data = encode(gradient(), "JPEG", exif=exif, comment=b"SECRETCAM")
    assert b"SECRETCAM" in data and 0x8825 in Image.open(io.BytesIO(data)).getexif()
    again = encode(Image.fromarray(sanitise(data)), "JPEG")
    assert b"SECRETCAM" not in again
    assert not Image.open(io.BytesIO(again)).getexif()


def test_broken_exif_does_not_refuse_whole_pixels() -> None:
    data = encode(gradient(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 40)
    assert sanitise(data).shape == (80, 120, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_every_png_mode_becomes_rgb(mode: str) -> None:
    grey = Image.fromarray(np.full((70, 70), 255, np.uint8))
    pixels = sanitise(encode(grey.convert(mode)))
    assert pixels.shape == (70, 70, 3) and pixels.min() >= 250


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.full((70, 70), 32_896, np.uint16)
    assert np.unique(sanitise(encode(Image.fromarray(values)))).tolist() == [128]


def test_transparent_parts_become_white() -> None:
    picture = Image.new("RGBA", (80, 80), (200, 0, 0, 0))
    picture.paste((10, 20, 30, 255), (0, 0, 40, 80))
    pixels = sanitise(encode(picture))
    assert pixels[10, 10].tolist() == [10, 20, 30] and pixels[10, 70].tolist() == [255] * 3


def test_cmyk_keeps_its_colours() -> None:
    red = Image.new("RGB", (80, 80), (220, 30, 40)).convert("CMYK")
    pixels = sanitise(encode(red, "JPEG", quality=95))
    assert np.abs(pixels[40, 40].astype(int) - [220, 30, 40]).max() < 8


def test_a_colour_profile_is_honoured_and_a_broken_one_ignored() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    plain = sanitise(WHOLE["PNG"])
    for profile in (
        lab,
        b"not a profile",
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ):
        pixels = sanitise(encode(gradient(), icc_profile=profile))
        assert pixels.shape == plain.shape
    assert np.abs(pixels.astype(int) - plain).max() <= 1  # sRGB to sRGB changes nothing
