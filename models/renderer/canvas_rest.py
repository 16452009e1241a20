"""What stands still on a canvas: the backdrop, and what the photo's sides cut off."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import cv2
import numpy as np

from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Image
from visavis.models.renderer.crown import extend_sides

Backdrop = str | tuple[int, int, int] | Image
"""``own``, ``blur`` or ``transparent``, a colour in RGB, or a picture ``(h, w, 3)``."""

BACKDROPS = ("own", "blur", "transparent")


class _BackdropTuning(NamedTuple):
    """How a backdrop is blurred and placed.

    Set by eye on rendered portraits, not fitted.
    """

    blur: float = 0.022  # of the canvas's longer side: sigma of a blurred backdrop
    face: float = 1.25  # inter-ocular distances from the face's middle to its sides
    from_top: float = 0.35  # of what a backdrop has too many of its rows that goes at the top
    margin: float = 1.02  # a backdrop is drawn a little larger, so that its own edges stay outside


_TUNING = _BackdropTuning()


class Placed(Protocol):
    """Where the avatar's square lies; ``canvas.Placement`` is one."""

    @property
    def side(self) -> int:
        """Of the square in canvas pixels."""
        ...

    @property
    def left(self) -> int:
        """Column of its first pixel."""
        ...

    @property
    def top(self) -> int:
        """Row of it."""
        ...


def lay_backdrop(
    identity: Identity, width: int, height: int, placed: Placed, backdrop: Backdrop
) -> tuple[Image, Image]:
    """Return backdrop ``(H, W, 3)`` and opacity ``(H, W)`` of the rest.

    The photo's own backdrop stays where the photo had it if the square covers the canvas. Else it
    is drawn large enough to fill the canvas behind the person.

    Raises:
        ValueError: the backdrop is none of those there are.
    """
    opacity = np.full((height, width), 255, np.uint8)
    if isinstance(backdrop, np.ndarray):
        return cover(backdrop, width, height), opacity
    if isinstance(backdrop, tuple):
        return np.full((height, width, 3), backdrop, np.uint8), opacity
    if backdrop == "transparent":
        return np.zeros((height, width, 3), np.uint8), np.zeros_like(opacity)
    if backdrop not in BACKDROPS:
        raise ValueError(f"The background must be one of {', '.join(BACKDROPS)}.")
    covers = (
        placed.left <= 0
        and placed.top <= 0
        and placed.left + placed.side >= width
        and placed.top + placed.side >= height
    )
    if covers:
        scaled = _resized(identity.background, placed.side, placed.side)
        picture = scaled[-placed.top : height - placed.top, -placed.left : width - placed.left]
    else:
        picture = cover(identity.background, width, height)
    if backdrop == "blur":
        sigma = _TUNING.blur * max(width, height)
        picture = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(picture), opacity


def cover(picture: Image, width: int, height: int) -> Image:
    """Return the picture scaled and cut so that it fills ``(height, width)``."""
    rows, columns = picture.shape[:2]
    scale = max(width / columns, height / rows) * _TUNING.margin
    scaled = _resized(picture, max(width, round(columns * scale)), max(height, round(rows * scale)))
    top = round((scaled.shape[0] - height) * _TUNING.from_top)
    left = (scaled.shape[1] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def _resized(picture: Image, width: int, height: int) -> Image:
    if picture.shape[:2] == (height, width):
        return picture
    way = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def beside(identity: Identity, placed: Placed, rest: Image, opacity: Image) -> None:
    """Lay what the square's sides cut off of shoulders and hair beside it, in place.

    Args:
        identity: the person.
        placed: where the square lies.
        rest: ``(H, W, 3)`` the backdrop.
        opacity: ``(H, W)`` its opacity.
    """
    width = opacity.shape[1]
    size, scale = identity.size, placed.side / identity.size
    gap = max(placed.left, width - placed.left - placed.side)
    added = min(size, int(np.ceil(gap / scale)) + 2)
    iris = float(np.mean([eye.iris[0] for eye in identity.eyes]))
    face = _TUNING.face * identity.inter_ocular_px
    person = np.dstack([identity.foreground, identity.alpha])
    wide = extend_sides(person, (iris - face, iris + face), added)
    grown = _resized(wide, round(wide.shape[1] * scale), placed.side)
    edge = round(added * scale)
    for first, last in ((0, edge), (edge + placed.side, grown.shape[1])):
        _lay(grown[:, first:last], placed.left - edge + first, placed.top, rest, opacity)


def _lay(part: Image, left: int, top: int, rest: Image, opacity: Image) -> None:
    """Lay straight RGBA ``(h, w, 4)`` over the rest at ``(left, top)``, in place."""
    height, width = opacity.shape
    x0, x1 = max(0, left), min(width, left + part.shape[1])
    y0, y1 = max(0, top), min(height, top + part.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = part[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    share = part[..., 3:] / 255.0
    under, behind = rest[y0:y1, x0:x1], opacity[y0:y1, x0:x1]
    # What is transparent is black, so the rest is premultiplied and stays so.
    rest[y0:y1, x0:x1] = np.rint(part[..., :3] * share + under * (1 - share)).astype(np.uint8)
    shown = 255 * share[..., 0] + behind * (1 - share[..., 0])
    opacity[y0:y1, x0:x1] = np.rint(shown).astype(np.uint8)
