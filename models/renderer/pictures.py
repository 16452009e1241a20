"""An identity's pictures at the renderer's size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.appearance.identity import Identity
from models.renderer.crown import extend_top, rows_above
from models.renderer.warp import double

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class IdentityPictures:
    """What the compositor reads.

    Attributes:
        texture: ``(2(S + lift), 2S, 4)`` the person with opacity at doubled resolution, with the
            part of the head that the photo's upper edge cut off.
        lift: rows of the picture's size that were added on top.
        background: ``(S, S, 3)`` the picture without the person.
        photo: ``(S, S, 3)`` the framed photo.
    """

    texture: Image
    lift: int
    background: Image
    photo: Image


def pictures_at(identity: Identity, size: int, *, chin: float, hairline: float) -> IdentityPictures:
    """Resample an identity's pictures to ``(size, size)``.

    Args:
        identity: the enrolled person.
        size: side of the pictures in pixels.
        chin: row of the chin at that size.
        hairline: row of the upper end of the forehead at that size.
    """

    def fit(picture: Image) -> Image:
        if size == identity.size:
            return picture
        way = cv2.INTER_AREA if size < identity.size else cv2.INTER_CUBIC
        return cv2.resize(picture, (size, size), interpolation=way)

    person = np.dstack([fit(identity.foreground), fit(identity.alpha)])
    iris = np.mean([eye.iris for eye in identity.eyes], axis=0) * size / identity.size
    tall = extend_top(person, (float(iris[0]), float(iris[1])), chin, hairline)
    return IdentityPictures(
        double(tall),
        rows_above(size),
        np.ascontiguousarray(fit(identity.background)),
        np.ascontiguousarray(fit(identity.photo)),
    )
