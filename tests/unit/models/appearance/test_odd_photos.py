"""Photos as phones, messengers and editors write them: they enrol, or one sentence says why not."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.models.appearance.odd_photos import (
    ODD_PHOTOS,
    cut_out,
    exif,
    grown,
    heif,
    panorama,
    portrait,
    saved,
)
from visavis.models.appearance.photo import photo as photo_module
from visavis.models.appearance.photo.photo import (
    MAX_BYTES,
    MAX_PIXELS,
    PhotoRefused,
    around_face,
    check_upload,
    formats,
    sanitise,
    scaled_size,
)
from visavis.streamer.avatars.enrolment import enrol_photo_sync

pytest.importorskip("skimage.data", reason="scikit-image is not installed")
# A palette, 16 bits to 8, print colours and soft edges change pixels; turned faces would not match.
ROUGH = {"GIF": 20, "GIF, animated": 20, "palette with alpha": 20, "CMYK": 25}


@pytest.mark.parametrize("kind", sorted(set(ODD_PHOTOS) - {"HEIC, turned"}))
def test_the_picture_comes_out_upright_and_in_its_colours(kind: str) -> None:
    made = portrait()
    pixels = sanitise(ODD_PHOTOS[kind](made))
    if "panorama" in kind:
        assert pixels.shape == (900, 12_000, 3)
        made = panorama(made)
    elif kind.startswith("48"):
        made = grown(made, *pixels.shape[1::-1])
        assert pixels.shape == (2048, 1536, 3)
    expected = np.asarray(made.convert("RGB"), float)
    if "grey" in kind:
        expected = np.repeat(np.asarray(made.convert("L"), float)[..., None], 3, 2)
    if "cut out" in kind:
        shown = np.asarray(cut_out(made))[..., 3:] / 255.0
        expected = shown * expected + (1 - shown) * 255
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < ROUGH.get(kind, 6)


ENROLLED = (
    "48 MP of a phone", "Ultra HDR", "HEIC", "AVIF", "GIF, animated", "cut out", "panorama",
    "panorama, upright",
)  # fmt: skip


@pytest.mark.parametrize("kind", ENROLLED)
def test_a_child_enrols_it(tmp_path: Path, kind: str) -> None:
    """Confined, with its memory limited, as the server does it."""
    out = tmp_path / "a.vav"
    result = enrol_photo_sync(ODD_PHOTOS[kind](portrait()), out, size=256, timeout_s=90.0)
    assert out.stat().st_size > 10_000
    picture = np.asarray(Image.open(io.BytesIO(result.preview)).convert("RGB"), float)
    # The face is where a face belongs, whatever was round it: skin, between hair and collar.
    cheek = picture[90:115, 110:130].mean((0, 1))
    assert picture.shape == (256, 256, 3) and 90 < cheek.mean() < 235


@pytest.mark.parametrize("orientation", [0, 9, 255])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_that_is_none_turns_nothing(kind: str, orientation: int) -> None:
    made = portrait()
    pixels = sanitise(saved(made, kind, exif=exif(orientation)))
    assert np.abs(pixels.astype(float) - np.asarray(made)).mean() < 6


def test_a_photo_of_64_megapixels_is_read_in_little_memory(tmp_path: Path) -> None:
    """A JPEG is decoded at a quarter of its size: not 192 MB of pixels, but 12."""
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(grown(portrait(), 9248, 6920), "JPEG", quality=75))
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from visavis.models.appearance.photo.photo import sanitise\n"
        "data = Path(sys.argv[1]).read_bytes()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "shape = sanitise(data).shape\n"
        "print(*shape, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    height, width, _, megabytes = map(int, done.stdout.split())
    assert (height, width) == (1532, 2048) and megabytes < 100, done.stderr


@pytest.mark.parametrize(
    ("mode", "size"),
    [("RGB", (8000, 8000)), ("RGBA", (8192, 8192)), ("P", (30_000, 2100)), ("L", (64_000, 1000))],
)
def test_bombs_of_64_megapixels_are_refused_unread(mode: str, size: tuple[int, int]) -> None:
    data = saved(Image.new(mode, size), "PNG", compress_level=9)
    assert len(data) < 400_000
    with pytest.raises(PhotoRefused, match="million pixels") as caught:
        sanitise(data)
    assert caught.value.code == "too-large"


def test_sizes_that_are_one_too_many() -> None:
    with pytest.raises(PhotoRefused, match="40 MB"):
        check_upload(b"\xff\xd8\xff" + bytes(MAX_BYTES))
    assert check_upload(b"\xff\xd8\xff" + bytes(MAX_BYTES - 3)) == "JPEG"
    assert MAX_PIXELS >= 9248 * 6920  # a phone's 64 million


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((512, 512), (512, 512)),
        ((4000, 3000), (2048, 1536)),
        ((3000, 4000), (1536, 2048)),
        ((12_000, 900), (12_000, 900)),
        ((900, 12_000), (900, 12_000)),
        ((40_000, 1500), (17_889, 671)),
    ],
)
def test_what_is_scaled_to_what(size: tuple[int, int], scaled: tuple[int, int]) -> None:
    assert scaled_size(*size) == scaled


def test_a_panorama_is_cut_round_its_face_and_a_photo_is_not() -> None:
    wide = np.zeros((900, 12_000, 3), np.uint8)
    wide[300:500, 8000:8200] = 255
    for picture, box in (
        (wide, (8000, 300, 8200, 500)),
        (wide.transpose(1, 0, 2), (300, 8000, 500, 8200)),
    ):
        part = around_face(np.ascontiguousarray(picture), box)
        assert sorted(part.shape) == [3, 900, 1350]
        assert (part == 255).sum() == 3 * 200 * 200
    edge = around_face(wide, (0, 0, 100, 100))
    assert edge.shape == (900, 1350, 3)
    photo = np.zeros((900, 1600, 3), np.uint8)
    assert around_face(photo, (0, 0, 100, 100)) is photo


@pytest.mark.parametrize(("module", "name"), [("pi_heif", "HEIC"), ("PIL._avif", "AVIF")])
def test_what_an_installation_cannot_open_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    data = heif(portrait()) if name == "HEIC" else saved(portrait(), "AVIF")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        photo_module.importlib.util, "find_spec", lambda n: None if n == module else real(n)
    )
    assert name not in formats()
    with pytest.raises(PhotoRefused, match=f"cannot open {name}.*JPEG") as caught:
        check_upload(data)
    assert caught.value.code == "not-picture"


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "GIF", "BMP"])
def test_nothing_is_decoded_where_only_the_first_bytes_are_looked_at(kind: str) -> None:
    """The process that takes uploads never loads these decoders."""
    code = (
        "import sys\nfrom visavis.models.appearance.photo.photo import check_upload, formats\n"
        "formats()\n"
        "check_upload(b'\\0\\0\\0\\x18ftypheic' + bytes(40))\n"
        "print([m for m in sys.modules if 'heif' in m or m == 'PIL._avif'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    with pytest.raises(PhotoRefused) as caught:
        sanitise({"HEIF": b"\0\0\0\x18ftypheic", "AVIF": b"\0\0\0\x18ftypavif",
                  "GIF": b"GIF89a", "BMP": b"BM" + bytes(8)}[kind] + bytes(100))  # fmt: skip
    assert caught.value.code == "corrupt" and str(caught.value).endswith(".")
