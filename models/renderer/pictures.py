"""An identity's pictures at the renderer's size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Image
from visavis.models.renderer.crown import extend_sides, extend_top, rows_outside
from visavis.models.renderer.raster.warp import double

_FACE = 1.25  # inter-ocular distances from the face's middle to its sides


@dataclass(frozen=True)
class IdentityPictures:
    """What the compositor reads.

    Attributes:
        texture: ``(2(S + lift), 2(S + 2 lift), 4)`` the person with opacity at doubled resolution,
            with what the photo's upper edge and sides cut off.
        lift: rows of the picture's size that were added on top, and columns on either side.
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
    face = _FACE * identity.inter_ocular_px * size / identity.size
    wide = extend_sides(person, (float(iris[0]) - face, float(iris[0]) + face))
    lift = rows_outside(size)
    tall = extend_top(wide, (float(iris[0]) + lift, float(iris[1])), chin, hairline)
    return IdentityPictures(
        double(tall),
        lift,
        np.ascontiguousarray(fit(identity.background)),
        np.ascontiguousarray(fit(identity.photo)),
    )
