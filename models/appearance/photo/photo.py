"""Untrusted bytes become a plain RGB picture, or a refusal in one sentence.

Run this in a process that may die: the decoders behind it are C. The picture that comes out is
pixels only; whatever else the file carried (position, camera, a second file behind the first)
stays behind.
"""

from __future__ import annotations

import importlib.util
import io
import math
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from visavis.models.appearance.photo.errors import Code, EnrolmentRefused

MAX_BYTES = 40_000_000  # of what phones take at their best
MAX_PIXELS = 64_000_000
MAX_SIDE = 2048  # px of the picture that comes out
MIN_SIDE = 64  # px; no usable face fits below
# A panorama scaled to MAX_SIDE has no face left; longer ones than this keep their pixels.
PANORAMA_ASPECT = 2.5
PANORAMA_PIXELS = 12_000_000
# Photos have more in them, whatever coded them; what has less unpacks to a thousand times its size.
_UNLIKELY_PIXELS, _UNLIKELY_BYTES_PER_PIXEL = 25_000_000, 1 / 200
_BACKDROP = (255, 255, 255)  # behind transparent parts
_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Format = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIF"]
# Pillow's module for a format that an installation may lack, and how people call the format.
_OPTIONAL = {"AVIF": ("PIL._avif", "AVIF"), "HEIF": ("pi_heif", "HEIC")}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


class PhotoRefused(EnrolmentRefused):
    """The bytes cannot be used as a photo; the message is the reason, in one sentence."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message, code)


def picture_format(data: bytes) -> Format | None:
    """Return the format that the first bytes show, whatever the file was called."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:2] == b"BM" and data[6:10] == bytes(4):
        return "BMP"
    return _by_brand(data[:64])


def _by_brand(head: bytes) -> Format | None:
    """Tell AVIF from HEIC by the brands of the first box (ISO/IEC 14496-12, 4.3)."""
    if head[4:8] != b"ftyp":
        return None
    end = min(len(head), int.from_bytes(head[:4], "big"))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def formats() -> tuple[str, ...]:
    """Return what can be opened here, as people call it; nothing is loaded for it."""
    missing = {name for module, name in _OPTIONAL.values() if not _installed(module)}
    return tuple(
        n for n in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIC") if n not in missing
    )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def check_upload(data: bytes, max_bytes: int = MAX_BYTES) -> Format:
    """Return the format of an upload by its size and first bytes alone; nothing is decoded.

    Raises:
        PhotoRefused: it is too large, or none of ``formats``.
    """
    if len(data) > max_bytes:
        limit = f"{max_bytes / 1e6:g} MB"
        raise PhotoRefused("too-large", f"The photo is larger than {limit}; send a smaller copy.")
    found = picture_format(data)
    if found is None:
        known = formats()
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise PhotoRefused("not-picture", f"The file is not a {listed} picture.")
    module, name = _OPTIONAL.get(found, ("", ""))
    if module and not _installed(module):
        raise PhotoRefused(
            "not-picture", f"This server cannot open {name} pictures; send the photo as JPEG."
        )
    return found


def sanitise(
    data: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_side: int = MAX_SIDE,
) -> NDArray[np.uint8]:
    """Decode a photo to upright sRGB pixels.

    Args:
        data: the whole file.
        max_bytes: limit on the file.
        max_pixels: limit on width times height, checked before anything is decoded.
        max_side: a larger picture is scaled down to this many pixels on its long side; of a
            panorama on its short side, and to ``PANORAMA_PIXELS``.

    Returns:
        ``(H, W, 3)`` uint8, RGB, C-contiguous, without any metadata.

    Raises:
        PhotoRefused: the only thing this raises.
    """
    found = check_upload(data, max_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", module="PIL")
            if found == "HEIF":
                _learn_heif()
            with Image.open(io.BytesIO(data), formats=[found]) as picture:
                _check_size(picture.size, max_pixels, len(data))
                return _pixels(picture, max_side)
    except PhotoRefused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise _too_many(max_pixels) from error
    except Exception as error:  # decoders raise what they like on bytes made to hurt them
        name = _OPTIONAL.get(found, ("", found))[1]
        raise PhotoRefused(
            "corrupt", f"The {name} file is damaged or incomplete and cannot be read."
        ) from error


def _learn_heif() -> None:
    """Teach Pillow HEIC, in the process that may die: its decoder runs on one thread here."""
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False, decode_threads=1)


def _check_size(size: tuple[int, int], max_pixels: int, file_bytes: int) -> None:
    width, height = size
    pixels = width * height
    hollow = pixels > _UNLIKELY_PIXELS and file_bytes < pixels * _UNLIKELY_BYTES_PER_PIXEL
    if pixels > max_pixels:
        raise _too_many(max_pixels)
    if hollow:
        raise PhotoRefused(
            "too-large",
            f"The file claims {pixels / 1e6:.0f} million pixels in {file_bytes / 1e3:.0f} kB, "
            "which no camera writes; send a smaller copy.",
        )
    if min(size) < MIN_SIDE:
        raise PhotoRefused(
            "too-small", f"The photo is {width}x{height} pixels; it needs at least {MIN_SIDE}."
        )


def _too_many(max_pixels: int) -> PhotoRefused:
    return PhotoRefused(
        "too-large",
        f"The photo has more than {max_pixels / 1e6:g} million pixels; send a smaller copy.",
    )


def _pixels(picture: Image.Image, max_side: int) -> NDArray[np.uint8]:
    turn = _TURNS.get(_orientation(picture))
    size = scaled_size(*picture.size, max_side)
    # JPEG can decode straight to 1/2, 1/4 or 1/8, which saves most of a large photo's time.
    picture.draft(None, size)
    picture.load()
    rgb = _to_rgb(_scaled(picture, size))
    if min(rgb.size) < MIN_SIDE:  # a strip: long enough to be scaled away
        raise PhotoRefused("too-small", "The photo is too narrow to hold a face.")
    if turn is not None:
        rgb = rgb.transpose(turn)
    return np.array(rgb, np.uint8, order="C")


def scaled_size(width: int, height: int, max_side: int = MAX_SIDE) -> tuple[int, int]:
    """Return what a picture is scaled down to; the page does the same before it sends one."""
    long, short = max(width, height), min(width, height)
    if long <= PANORAMA_ASPECT * short:
        scale = max_side / long
    else:
        scale = min(max_side / short, math.sqrt(PANORAMA_PIXELS / (long * short)))
    if scale >= 1.0:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))


def around_face(photo: NDArray[np.uint8], box: tuple[float, ...]) -> NDArray[np.uint8]:
    """Cut the part of a panorama that holds its face; return any other photo as it is.

    Args:
        photo: ``(H, W, 3)`` uint8.
        box: x0, y0, x1, y1 of the face in pixels.
    """
    height, width = photo.shape[:2]
    long, short = max(height, width), min(height, width)
    if long <= PANORAMA_ASPECT * short:
        return photo
    axis = 0 if height > width else 1
    length = round(1.5 * short)
    middle = (box[1 - axis] + box[3 - axis]) / 2
    begin = int(np.clip(round(middle - length / 2), 0, long - length))
    part = photo[begin : begin + length] if axis == 0 else photo[:, begin : begin + length]
    picture = Image.fromarray(np.ascontiguousarray(part))
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return np.array(picture, np.uint8, order="C")


def _scaled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale before colours are converted: of 64 million pixels nothing is kept twice."""
    if picture.size == size:
        return picture
    info = picture.info
    if picture.mode in ("1", "P", "PA") or "transparency" in info:
        picture = picture.convert("RGBA" if "transparency" in info else "RGB")
    elif picture.mode.startswith("I"):
        picture = _to_eight_bits(picture)
    small = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    small.info = {key: info[key] for key in ("icc_profile",) if key in info}
    return small


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata is no reason to refuse pixels that are whole
        return 1


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        picture = _to_eight_bits(picture)
    if picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        rgb = Image.new("RGB", layer.size, _BACKDROP)
        rgb.paste(layer, mask=layer.getchannel("A"))
        return rgb
    return _to_srgb(picture)


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8; Pillow's own conversion clips instead."""
    values = np.asarray(picture, np.float32)
    return Image.fromarray(np.clip(values / 257.0, 0, 255).astype(np.uint8))


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Convert by the embedded profile (phones write Display P3), or plainly without."""
    profile = picture.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "CMYK", "L"):
        try:
            converted = ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return picture.convert("RGB")
        if converted is not None:
            return converted
    return picture.convert("RGB")
