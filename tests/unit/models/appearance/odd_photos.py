"""Photos of every odd kind, made by code from one portrait."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

WIDE = (12_000, 900)
_ORIENTATION = 0x0112


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def portrait() -> Image.Image:
    from skimage.data import astronaut

    return Image.fromarray(astronaut())


def grown(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The portrait filling a frame of another shape, as a phone would hold it."""
    scale = max(width / picture.width, height / picture.height)
    size = (round(picture.width * scale), round(picture.height * scale))
    large = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 4
    return large.crop((left, top, left + width, top + height))


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[_ORIENTATION] = orientation
    return data


def heif(picture: Image.Image, **options: object) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    return saved(picture, "HEIF", **options)


def matte(picture: Image.Image) -> np.ndarray:
    """A soft outline of the person, ``(H, W)`` uint8, from the tracker's own segmentation."""
    from visavis.models.appearance.tracker.provider import open_tracker

    tracker = open_tracker()
    mask = tracker.segment(np.asarray(picture.convert("RGB")))
    tracker.close()
    return (255 * mask).round().astype(np.uint8)


def cut_out(picture: Image.Image, hidden: tuple[int, int, int] | None = None) -> Image.Image:
    """The person alone; ``hidden`` is the colour of the pixels that nobody sees."""
    out = picture.convert("RGBA")
    alpha = matte(picture)
    if hidden is not None:
        pixels = np.array(out)
        pixels[alpha == 0, :3] = hidden
        out = Image.fromarray(pixels)
    out.putalpha(Image.fromarray(alpha))
    return out


def panorama(picture: Image.Image, face: int = 560) -> Image.Image:
    """A street 12000 x 900 with one small person in it (``face`` x ``face`` pixels of portrait)."""
    x, y = np.meshgrid(np.arange(WIDE[0]), np.arange(WIDE[1]))
    sky = np.stack(
        [150 + 60 * np.sin(x / 900), 170 - y / 12, 190 - y / 9 + 20 * np.sin(x / 70)], -1
    )
    wide = Image.fromarray(sky.clip(0, 255).astype(np.uint8))
    wide.paste(picture.resize((face, face), Image.Resampling.LANCZOS), (8_300, 330))
    return wide


def two_frames(kind: str) -> Callable[[Image.Image], bytes]:
    """An animation whose first picture is the portrait."""

    def make(picture: Image.Image) -> bytes:
        other = Image.new("RGB", picture.size, (20, 90, 40))
        return saved(picture, kind, save_all=True, append_images=[other], duration=200)

    return make


def sixteen_bit_grey(picture: Image.Image) -> bytes:
    grey = np.asarray(picture.convert("L"), np.uint16) * 257
    return saved(Image.fromarray(grey), "PNG")


def palette_with_alpha(picture: Image.Image) -> bytes:
    flat = picture.quantize(255)
    return saved(flat, "PNG", transparency=bytes([255] * 255 + [0]))


def mpo(picture: Image.Image) -> bytes:
    """Two JPEGs in one, as phones with depth write."""
    depth = picture.convert("L").convert("RGB").resize((128, 128))
    return saved(picture, "MPO", save_all=True, append_images=[depth], quality=92)


def ultra_hdr(picture: Image.Image) -> bytes:
    """A JPEG with a gain map behind it and the note of it in XMP (Ultra HDR image format 1.1)."""
    plain = mpo(picture)
    text = (
        b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    segment = b"\xff\xe1" + (len(text) + 2).to_bytes(2, "big") + text
    return plain[:2] + segment + plain[2:]


def quarter_turned(kind: str) -> Callable[[Image.Image], bytes]:
    return lambda p: saved(p.rotate(90, expand=True), kind, exif=exif(6))


ODD_PHOTOS: dict[str, Callable[[Image.Image], bytes]] = {
    "48 MP of a phone": lambda p: saved(grown(p, 6000, 8000), "JPEG", quality=80),
    "MPO": mpo,
    "Ultra HDR": ultra_hdr,
    "HEIC": lambda p: heif(p, quality=85),
    "HEIC, turned": lambda p: heif(p.rotate(90, expand=True), quality=85, exif=exif(6)),
    "AVIF": lambda p: saved(p, "AVIF", quality=85),
    "AVIF, turned": quarter_turned("AVIF"),
    "GIF": lambda p: saved(p, "GIF"),
    "GIF, animated": two_frames("GIF"),
    "BMP": lambda p: saved(p, "BMP"),
    "WEBP, animated": two_frames("WEBP"),
    "APNG": two_frames("PNG"),
    "PNG, turned": quarter_turned("PNG"),
    "WEBP, turned": quarter_turned("WEBP"),
    "orientation 0": lambda p: saved(p, "JPEG", quality=92, exif=exif(0)),
    "orientation 9": lambda p: saved(p, "JPEG", quality=92, exif=exif(9)),
    "palette with alpha": palette_with_alpha,
    "grey with alpha": lambda p: saved(p.convert("LA"), "PNG"),
    "16 bit grey": sixteen_bit_grey,
    "CMYK": lambda p: saved(p.convert("CMYK"), "JPEG", quality=92),
    "cut out": lambda p: saved(cut_out(p), "PNG"),
    "cut out, green hidden": lambda p: saved(cut_out(p, (0, 255, 0)), "PNG"),
    "cut out, WEBP": lambda p: saved(cut_out(p), "WEBP", quality=90),
    "panorama": lambda p: saved(panorama(p), "JPEG", quality=88),
    "panorama, upright": lambda p: saved(
        panorama(p).transpose(Image.Transpose.ROTATE_90), "JPEG", quality=88, exif=exif(6)
    ),
}
