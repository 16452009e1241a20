"""Untrusted bytes become a plain RGB picture, or a refusal in one sentence.

Run this in a process that may die: the decoders behind it are C. The picture that comes out is
pixels only; whatever else the file carried (position, camera, a second file behind the first)
stays behind.
"""

from __future__ import annotations

import io
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from visavis.models.appearance.errors import Code, EnrolmentRefused

MAX_BYTES = 10_000_000
MAX_PIXELS = 25_000_000
MAX_SIDE = 2048  # px of the picture that comes out
MIN_SIDE = 64  # px; no usable face fits below
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

Format = Literal["JPEG", "PNG", "WEBP"]


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
    return None


def check_upload(data: bytes, max_bytes: int = MAX_BYTES) -> Format:
    """Return the format of an upload by its size and first bytes alone; nothing is decoded.

    Raises:
        PhotoRefused: it is too large, or neither JPEG, PNG nor WEBP.
    """
    if len(data) > max_bytes:
        limit = f"{max_bytes / 1e6:g} MB"
        raise PhotoRefused("too-large", f"The photo is larger than {limit}; send a smaller copy.")
    found = picture_format(data)
    if found is None:
        raise PhotoRefused("not-picture", "The file is not a JPEG, PNG or WEBP picture.")
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
        max_side: a larger picture is scaled down to this many pixels on its long side.

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
            with Image.open(io.BytesIO(data), formats=[found]) as picture:
                _check_size(picture.size, max_pixels)
                return _pixels(picture, max_side)
    except PhotoRefused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise _too_many(max_pixels) from error
    except Exception as error:  # decoders raise what they like on bytes made to hurt them
        raise PhotoRefused(
            "corrupt", f"The {found} file is damaged or incomplete and cannot be read."
        ) from error


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise _too_many(max_pixels)
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
    # JPEG can decode straight to 1/2, 1/4 or 1/8, which saves most of a large photo's time.
    picture.draft(None, (max_side, max_side))
    picture.load()
    rgb = _to_rgb(picture)
    if max(rgb.size) > max_side:
        rgb.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if min(rgb.size) < MIN_SIDE:  # a strip: long enough to be scaled away
        raise PhotoRefused("too-small", "The photo is too narrow to hold a face.")
    if turn is not None:
        rgb = rgb.transpose(turn)
    return np.array(rgb, np.uint8, order="C")


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
