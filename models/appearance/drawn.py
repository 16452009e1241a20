"""The drawn person as an identity, made by code alone: no photo, no tracker, no other library.

Live models are warmed up and timed with it, so that no avatar, however broken, can keep a server
from starting. Where the portrait is drawn from the basis, its landmarks are known exactly.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.photo.photo import sanitise
from visavis.models.appearance.photo.tracker import LANDMARKS, FaceLandmarks
from visavis.models.appearance.portrait import BACKGROUND, EYES, project, synthetic_portrait

_SIDE = 640  # px of the portrait
# MediaPipe landmarks without a vertex in the basis, and the two that they lie between.
_BETWEEN = {
    89: (88, 90), 96: (95, 77), 319: (318, 320), 325: (324, 307), 234: (127, 93), 454: (356, 323),
}  # fmt: skip
_IRISES = (468, 473)  # the centre of each; its rim's four follow
_IRIS_RADIUS = 0.017  # of the portrait's side
_APART = 14.0  # levels by which a person's colour differs from the wall's
_SOFT_PX = 1.5


class DrawnTracker:
    """Knows where the drawn person's face is, since it knows how it was drawn."""

    def detect(self, photo: NDArray[np.uint8]) -> list[FaceLandmarks]:
        """Return the one face of the whole portrait."""
        basis = load_basis()
        projected = project(basis, photo.shape[0])
        points = np.zeros((LANDMARKS, 3), np.float32)
        points[: len(basis.landmarks)] = projected[basis.landmarks]
        for index, (one, other) in _BETWEEN.items():
            points[index] = (points[one] + points[other]) / 2
        points[:, 2] = points[: len(basis.landmarks), 2].mean() - points[:, 2]
        rim = (
            _IRIS_RADIUS
            * photo.shape[0]
            * np.array([(0, 0), (1, 0), (0, -1), (-1, 0), (0, 1)], np.float32)
        )
        for first, eye in zip(_IRISES, EYES, strict=True):
            centre = points[list(eye)].mean(0)
            points[first : first + 5] = centre
            points[first : first + 5, :2] += rim
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        return [FaceLandmarks(points, 1.0, (*map(float, low), *map(float, high)))]

    def segment(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return 1 where the picture is not the plain wall behind the person, 0 elsewhere."""
        apart = np.abs(photo.astype(np.float32) - BACKGROUND).max(-1)
        return cv2.GaussianBlur((apart > _APART).astype(np.float32), (0, 0), _SOFT_PX)


def drawn_identity(size: int) -> Identity:
    """Return the drawn person's identity; about two seconds the first time.

    Args:
        size: side of the square pictures in pixels.
    """
    return enrol(sanitise(synthetic_portrait(_SIDE)), tracker=DrawnTracker(), size=size)
