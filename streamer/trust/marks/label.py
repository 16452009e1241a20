"""The visible label: its picture, where it lies, and how it is laid over one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WORDS: Final = "AI avatar"
_SHARE: Final = 0.044  # of the shorter side: the height of the letters' em
_LEAST_PX: Final = 13  # em; below it the letters are not told apart after a video codec
_PLATE: Final = 0.62  # opacity of the dark plate behind the words
_RIM: Final = 0.55  # opacity of the light line around it, which dark grounds need
_MARGIN: Final = 0.025  # of the shorter side
_OVERSAMPLED: Final = 4


@dataclass(frozen=True)
class Patch:
    """Something grey to be laid over a picture.

    Attributes:
        top: row of its upper edge.
        left: column of its left edge.
        grey: ``(h, w)`` uint16, its brightness (0-255) times its opacity (0-256).
        rest: ``(h, w)`` uint16, what is left of the picture, 0-256.
    """

    top: int
    left: int
    grey: NDArray[np.uint16]
    rest: NDArray[np.uint16]

    def opacity(self, right: int) -> Patch:
        """Return what to lay over an opacity channel that begins ``right`` columns further on."""
        white = ((256 - self.rest) * np.uint16(255)).astype(np.uint16, copy=False)
        return Patch(self.top, self.left + right, white, self.rest)


@lru_cache(maxsize=16)
def draw_label(width: int, height: int) -> Patch:
    """Draw the label for pictures of a size: white words on a dark plate with a light rim.

    Both grounds are met: on a dark one the rim and the words stand out, on a light one the plate.
    """
    short = min(width, height)
    em = max(_LEAST_PX, round(_SHARE * short))
    big = em * _OVERSAMPLED
    font = ImageFont.load_default(big)
    left, top, right, bottom = font.getbbox(WORDS)
    pad_x, pad_y = round(0.5 * big), round(0.32 * big)
    # On whole pairs of pixels, so that colour at half resolution meets the same place.
    wide, high = (
        -(-round(side) // (2 * _OVERSAMPLED)) * 2 * _OVERSAMPLED
        for side in (right - left + 2 * pad_x, bottom - top + 2 * pad_y)
    )
    size = (wide, high)
    plate, words = Image.new("L", size), Image.new("L", size)
    rim = max(_OVERSAMPLED, big // 16)
    inner = round(255 * _PLATE)
    ImageDraw.Draw(plate).rounded_rectangle(
        (0, 0, size[0] - 1, size[1] - 1), size[1] // 3, inner, round(255 * _RIM), rim
    )
    lines = Image.new("L", size)
    ImageDraw.Draw(lines).rounded_rectangle(
        (0, 0, size[0] - 1, size[1] - 1), size[1] // 3, 0, 255, rim
    )
    at = ((size[0] - (right - left)) // 2 - left, (size[1] - (bottom - top)) // 2 - top)
    ImageDraw.Draw(words).text(at, WORDS, 255, font, stroke_width=big // 40)
    opacity = np.maximum(np.asarray(plate), np.asarray(words)) / 255.0
    white = np.maximum(np.asarray(words), np.asarray(lines)) / 255.0
    return _reduced(white * opacity, opacity, width, height, round(_MARGIN * short))


def _reduced(
    light: NDArray[np.float64], opacity: NDArray[np.float64], width: int, height: int, margin: int
) -> Patch:
    rows, columns = (side // _OVERSAMPLED for side in light.shape)
    shape = (rows, _OVERSAMPLED, columns, _OVERSAMPLED)
    light, opacity = (part.reshape(shape).mean((1, 3)) for part in (light, opacity))
    margin = max(2, margin // 2 * 2)
    top, left = max(0, height - rows - margin) // 2 * 2, min(margin, max(0, width - columns) // 2)
    left = left // 2 * 2
    light, opacity = (part[: height - top, : width - left] for part in (light, opacity))
    return Patch(
        top,
        left,
        np.rint(light * 255 * 256).clip(0, 65_280).astype(np.uint16),
        (256 - np.rint(opacity * 256)).astype(np.uint16),
    )


def in_luma(patch: Patch) -> Patch:
    """Return a patch as it lies over BT.601 luma: 16 for black, 235 for white."""
    scaled = patch.grey.astype(np.float64) * (219 / 255) + 16.0 * (256 - patch.rest)
    return Patch(patch.top, patch.left, np.rint(scaled).astype(np.uint16), patch.rest)


def in_chroma(patch: Patch) -> Patch:
    """Return a patch as it lies over colour planes of half the resolution, where grey is 128."""
    rows, columns = (side // 2 for side in patch.rest.shape)
    halved = patch.rest[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    rest = np.rint(halved.mean((1, 3))).astype(np.uint16)
    return Patch(patch.top // 2, patch.left // 2, (256 - rest) * np.uint16(128), rest)


def lay(patch: Patch, picture: NDArray[np.uint8]) -> None:
    """Lay a patch over a picture ``(H, W, 3)`` or a plane ``(H, W)``, uint8, in place."""
    grey, rest = patch.grey, patch.rest
    if picture.ndim == 3:
        grey, rest = grey[..., None], rest[..., None]
    rows, columns = patch.rest.shape
    there = picture[patch.top : patch.top + rows, patch.left : patch.left + columns]
    there[...] = (there * rest + grey + np.uint16(127)) >> 8
