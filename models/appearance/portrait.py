"""A drawn person, so that enrolment and drawing can be checked where there is no photo.

The shipped head, lit from one side and painted with brows, eyes, lips and hair: nobody in
particular, but a face to the tracker.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis, load_basis

BACKGROUND = (120, 135, 150)
"""Colour of the wall behind the person, RGB."""

_SKIN = np.array([214.0, 170.0, 145.0])
_LIP = np.array([186.0, 98.0, 96.0])
_LIGHT = np.array([0.35, 0.35, 0.87])
# MediaPipe landmarks: outlines of the lips, of the brows, and the corners and lids of the eyes.
_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
EYES = ((33, 160, 159, 158, 133, 153, 145, 144), (263, 387, 386, 385, 362, 380, 374, 373))


def synthetic_portrait(side: int = 640) -> bytes:
    """Return a PNG of the drawn person, ``side`` pixels square."""
    basis = load_basis()
    image = np.full((side, side, 3), BACKGROUND, np.uint8)
    points = project(basis, side)
    _draw_body(image, side)
    _draw_skin(image, basis, points)
    _draw_features(image, basis, points, side)
    ok, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert ok
    return io.BytesIO(data.tobytes()).getvalue()


def project(basis: FaceBasis, side: int) -> NDArray[np.float32]:
    """Return where the head's vertices are drawn: ``(V, 3)`` px; y down, z towards the viewer."""
    scale = side / 34.0  # pixels per cm: the face takes half of the picture's width
    points = basis.neutral * np.array([scale, -scale, scale], np.float32)
    points[:, :2] += side * np.array([0.5, 0.46], np.float32)
    return points


def _draw_body(image: NDArray[np.uint8], side: int) -> None:
    middle = side // 2
    cv2.ellipse(
        image,
        (middle, round(0.40 * side)),
        (round(0.27 * side), round(0.33 * side)),
        0,
        0,
        360,
        (70, 48, 38),
        -1,
        cv2.LINE_AA,
    )
    cv2.rectangle(
        image,
        (round(0.39 * side), round(0.6 * side)),
        (round(0.61 * side), side),
        (190, 148, 125),
        -1,
    )
    cv2.ellipse(
        image,
        (middle, side),
        (round(0.45 * side), round(0.17 * side)),
        0,
        0,
        360,
        (60, 80, 120),
        -1,
        cv2.LINE_AA,
    )


def _draw_skin(image: NDArray[np.uint8], basis: FaceBasis, points: NDArray[np.float32]) -> None:
    triangles = basis.part("face")
    corners = points[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals *= np.array([1.0, -1.0, 1.0])  # back to y up
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    light = np.abs(normals / np.maximum(lengths, 1e-9) @ _LIGHT)
    for index in np.argsort(corners[:, :, 2].mean(1)):  # painter's order: far ones first
        shade = _SKIN * (0.45 + 0.6 * light[index])
        colour = tuple(float(c) for c in np.clip(shade, 0, 255))
        polygon = np.rint(corners[index, :, :2] * 16).astype(np.int32)
        cv2.fillConvexPoly(image, polygon, colour, cv2.LINE_8, 4)
    image[:] = cv2.GaussianBlur(image, (0, 0), 1.2)


def _draw_features(
    image: NDArray[np.uint8], basis: FaceBasis, points: NDArray[np.float32], side: int
) -> None:
    def outline(landmarks: tuple[int, ...]) -> NDArray[np.int32]:
        vertices = basis.landmarks[list(landmarks)]
        return np.rint(points[vertices, :2]).astype(np.int32)

    lips = image.copy()
    cv2.fillPoly(lips, [outline(_LIPS)], tuple(_LIP.tolist()), cv2.LINE_AA)
    image[:] = cv2.addWeighted(image, 0.35, lips, 0.65, 0)
    seam = outline((61, 13, 291))
    cv2.polylines(image, [seam], False, (110, 50, 50), max(1, side // 320), cv2.LINE_AA)
    for brow in _BROWS:
        cv2.fillPoly(image, [outline(brow)], (70, 48, 38), cv2.LINE_AA)
    for eye in EYES:
        ring = outline(eye)
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [ring], (255.0,), cv2.LINE_AA)
        white = np.full_like(image, (235, 230, 225))
        centre = tuple(int(c) for c in np.rint(ring.mean(0)))
        cv2.circle(white, centre, round(0.017 * side), (70, 90, 60), -1, cv2.LINE_AA)
        cv2.circle(white, centre, round(0.008 * side), (15, 12, 12), -1, cv2.LINE_AA)
        opacity = mask[..., None] / 255.0
        image[:] = np.rint(image * (1 - opacity) + white * opacity).astype(np.uint8)
        cv2.polylines(image, [ring[:5]], False, (40, 28, 24), max(2, side // 200), cv2.LINE_AA)
