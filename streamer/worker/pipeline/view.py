"""What a session's pictures show beside the person: canvas, framing and background, as words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visavis.streamer.errors import BadRequest

if TYPE_CHECKING:
    from visavis.models.renderer.canvas_rest import Backdrop

CANVASES = ("1280x720", "1920x1080", "720x1280", "512x512")
FRAMINGS = ("head", "bust", "photo")
BACKGROUNDS = ("own", "blur", "transparent")
COLOURS = {
    "white": "#ffffff",
    "black": "#000000",
    "grey": "#808080",
    "green": "#00b140",
    "blue": "#0047bb",
}
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_LARGEST = 40_000_000  # pixels of a background's file


@dataclass(frozen=True)
class View:
    """A checked canvas.

    Attributes:
        width: of the canvas in pixels.
        height: likewise.
        framing: ``head``, ``bust`` or ``photo``.
        background: ``own``, ``blur``, ``transparent``, a colour as ``#rrggbb``, or the path of a
            picture.
    """

    width: int
    height: int
    framing: str
    background: str

    @property
    def transparent(self) -> bool:
        """Whether pictures carry their opacity on the right."""
        return self.background == "transparent"

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the pictures that are encoded."""
        return (2 * self.width if self.transparent else self.width), self.height


def read_view(canvas: str, framing: str, background: str, *, files: bool = True) -> View:
    """Read the words for a canvas.

    Args:
        canvas: one of ``CANVASES``.
        framing: one of ``FRAMINGS``.
        background: one of ``BACKGROUNDS`` or ``COLOURS``, ``#rrggbb``, or the path of a picture.
        files: whether a path may be given; no request from outside may.

    Raises:
        BadRequest: a word is none of those.
    """
    if canvas not in CANVASES:
        raise BadRequest(f"The canvas must be one of {', '.join(CANVASES)}, not {canvas!r}.")
    if framing not in FRAMINGS:
        raise BadRequest(f"The framing must be one of {', '.join(FRAMINGS)}, not {framing!r}.")
    background = COLOURS.get(background, background)
    if background not in BACKGROUNDS and not _HEX.fullmatch(background):
        if not files:
            words = ", ".join((*BACKGROUNDS, *COLOURS))
            raise BadRequest(f"The background must be one of {words}, or a colour like #3366aa.")
        if not Path(background).is_file():
            raise BadRequest(
                f"The background {background!r} is none of {', '.join(BACKGROUNDS)}, no colour "
                "like #3366aa, and no file."
            )
    width, _, height = canvas.partition("x")
    return View(int(width), int(height), framing, background)


def open_backdrop(background: str) -> Backdrop:
    """Return the background as the canvas takes it.

    Raises:
        BadRequest: it is a picture that cannot be read.
    """
    if background in BACKGROUNDS:
        return background
    if _HEX.fullmatch(background):
        red, green, blue = bytes.fromhex(background[1:])
        return red, green, blue
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(background, formats=("JPEG", "PNG", "WEBP")) as file:
            if file.width * file.height > _LARGEST:
                raise BadRequest(f"The background {Path(background).name} is too large.")
            return np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise BadRequest(
            f"The background {Path(background).name} is no JPEG, PNG or WEBP that can be read."
        ) from error
