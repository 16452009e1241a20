"""The mouth's crop: one square per frame, resampled to what the network sees.

The same code prepares the pairs of the training and the frames of a call, so that the network
meets in both the same pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Floats, Image, held_within
from visavis.models.renderer.refiner import Box, Places, RefinerInput

SIDE = 96  # pixels of the network's crop
REACH = 1.35  # side of the crop in inter-ocular distances
# In parts of the crop's side:
_GROW = 1 / 12  # around the inside that may change
_SOFT = 0.026  # over which the change fades
_EDGE = 1 / 12  # to the crop's border in which nothing changes

# Channels of the network's input, (B, CHANNELS, SIDE, SIDE) float32.
STATE = slice(0, 3)  # x_t of the bridge, -1 to 1
WARPED = slice(3, 6)
PHOTO = slice(6, 9)
INTERIOR = slice(9, 12)
SHIFT = slice(12, 14)  # where the pixel comes from, in inter-ocular distances
INSIDE = slice(14, 15)
GATE = slice(15, 16)
TIME = slice(16, 17)  # 1 at the warp, 0 at the picture
STEP = slice(17, 18)  # length of the step
CHANNELS = 18
SEEN = slice(3, 16)  # what there is beside the bridge's state and times: the shade's input


@dataclass(frozen=True)
class Crop:
    """One frame's mouth at a network's size, ``side`` pixels (``SIDE`` if nobody says another).

    Attributes:
        warped: ``(side, side, 3)`` uint8.
        photo: the same of the photo.
        interior: the same of the rendered inside.
        shift: ``(side, side, 2)`` float32, photo pixel minus own pixel, inter-ocular distances.
        inside: ``(side, side)`` uint8, 255 inside the mouth.
    """

    warped: Image
    photo: Image
    interior: Image
    shift: Floats
    inside: Image


def mouth_box(size: int, places: Places) -> Box | None:
    """Return the square around the open mouth, moved inside the picture; None if closed."""
    if places.mouth is None:
        return None
    x0, y0, x1, y1 = places.mouth
    side = min(size, max(8, round(REACH * places.unit)))
    left = held_within(round((x0 + x1 - side) / 2), 0, size - side)
    top = held_within(round((y0 + y1 - side) / 2), 0, size - side)
    return left, top, left + side, top + side


class OpenMouth:
    """Where one session's open mouth is; the part that refiners of the mouth share."""

    def __init__(self) -> None:
        self._box: Box = (0, 0, 0, 0)
        self._unit = 1.0

    def box(self, size: int, places: Places) -> Box | None:
        """Choose the square around the open mouth; closed lips have none."""
        found = mouth_box(size, places)
        if found is not None:
            self._box, self._unit = found, places.unit
        return found


def shrink(picture: NDArray, side: int = SIDE) -> NDArray:
    """Resample a square picture to the network's size."""
    way = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_LINEAR
    return cv2.resize(picture, (side, side), interpolation=way)


def take(frame: RefinerInput, box: Box, unit: float, side: int = SIDE) -> Crop:
    """Bring one frame's crop to a network's size."""
    x0, y0, x1, _ = box
    shift = shrink(frame.vertices, side)  # the mean of a pixel's own place is its middle
    step = (x1 - x0) / side
    middle = (step * (np.arange(side) + 0.5) - 0.5).astype(np.float32)
    shift[..., 0] -= x0 + middle
    shift[..., 1] -= y0 + middle[:, None]
    shift *= np.float32(1.0 / unit)
    inside = np.zeros((side, side), np.uint8)
    if frame.inside.any():  # of a mouth; eyes have none
        inside = shrink(np.where(frame.inside, 255, 0).astype(np.uint8), side)
    return Crop(
        shrink(frame.warped, side),
        shrink(frame.photo, side),
        shrink(frame.interior, side),
        np.clip(shift, -1, 1),
        inside,
    )


def gate(inside: Image) -> Floats:
    """Return where a network may change the picture, ``(side, side)`` in 0-1.

    The inside of the mouth and the rim of the lips around it; never the border of the crop.
    """
    side = len(inside)
    width = 2 * round(_GROW * side) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    grown = cv2.dilate(inside, kernel).astype(np.float32) / 255.0
    soft = np.clip(1.01 * cv2.GaussianBlur(grown, (0, 0), _SOFT * side) - 0.005, 0, 1)
    ramp = np.clip((np.arange(side, dtype=np.float32) + 0.5) / (_EDGE * side), 0, 1)
    ramp = np.minimum(ramp, ramp[::-1])
    return (soft * np.minimum(ramp[:, None], ramp[None])).astype(np.float32)


def pack(crop: Crop, where: Floats | None = None) -> Floats:
    """Return the network's input ``(CHANNELS, side, side)`` at t = 1 with one whole step.

    Args:
        crop: what the network sees.
        where: ``(side, side)`` the gate, 0-1; None takes the mouth's.
    """
    side = len(crop.inside)
    x = np.empty((CHANNELS, side, side), np.float32)
    warped = crop.warped.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1.0
    x[STATE] = x[WARPED] = warped
    x[PHOTO] = crop.photo.transpose(2, 0, 1) / np.float32(127.5) - 1.0
    x[INTERIOR] = crop.interior.transpose(2, 0, 1) / np.float32(127.5) - 1.0
    x[SHIFT] = crop.shift.transpose(2, 0, 1)
    x[INSIDE] = crop.inside / np.float32(255.0)
    x[GATE] = gate(crop.inside) if where is None else where
    x[TIME] = x[STEP] = 1.0
    return x
