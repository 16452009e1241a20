"""An identity's pictures at the renderer's size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.appearance.identity import Identity
from models.renderer.warp import double

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class IdentityPictures:
    """What the compositor reads.

    Attributes:
        texture: ``(2S, 2S, 4)`` the person with opacity at doubled resolution.
        background: ``(S, S, 3)`` the picture without the person.
        photo: ``(S, S, 3)`` the framed photo.
    """

    texture: Image
    background: Image
    photo: Image


def pictures_at(identity: Identity, size: int) -> IdentityPictures:
    """Resample an identity's pictures to ``(size, size)``."""

    def fit(picture: Image) -> Image:
        if size == identity.size:
            return picture
        way = cv2.INTER_AREA if size < identity.size else cv2.INTER_CUBIC
        return cv2.resize(picture, (size, size), interpolation=way)

    person = np.dstack([fit(identity.foreground), fit(identity.alpha)])
    return IdentityPictures(
        double(person),
        np.ascontiguousarray(fit(identity.background)),
        np.ascontiguousarray(fit(identity.photo)),
    )
