"""The canvas of a mouth: a small upright crop with a hole, and maps of what belongs there.

Training and enrolment prepare it with the same code, so that the network meets the same maps in
both.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.basis import FaceBasis
from visavis.models.renderer.teeth import tooth_places
from visavis.models.renderer.throat import TONGUE_ACROSS, TONGUE_ALONG, grid_triangles
from visavis.models.renderer.warp import FAR, rasterise

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

HEIGHT, WIDTH = 48, 80  # pixels
UNIT = 100.0  # pixels between the outer corners of the eyes
GROWN = 2  # pixels around the hole that are painted as well
REACH = 10.7  # pixels from the lips' edge at which the distance map ends
_FINE = 2  # samples per pixel and axis of the maps
_GAP_FROM = 0.5  # of a tooth's half width from which its map darkens towards its neighbour
_ARCH = 2.5  # cm from the middle at which the map of tooth places is 1
# cm from the middle: what lies further back is not drawn
_FRONT = {"upper_teeth": 2.6, "lower_teeth": 2.4, "upper_gum": 2.6, "lower_gum": 2.4}
_KINDS = {"upper_teeth": 0, "lower_teeth": 1, "upper_gum": 2, "lower_gum": 2}
UPPER, LOWER, GUM, TONGUE, RELIEF, ARCH, ALONG = range(7)
PARTS = 4  # the first four
MAPS = 8
CONDITIONS = 3 + 1 + 1 + MAPS  # picture around the hole, known, distance to the lips, maps
MOUTH_POINTS = (61, 291, 13, 14)  # landmarks whose mean is the canvas's middle
EYE_POINTS = (33, 263)


@dataclass(frozen=True)
class Canvas:
    """A mouth to be painted.

    Attributes:
        picture: ``(HEIGHT, WIDTH, 3)`` float32 RGB in 0-255; in the hole it does not matter.
        hole: ``(HEIGHT, WIDTH)`` float32, how far a pixel lies between the lips, 0-1.
        maps: ``(HEIGHT, WIDTH, MAPS)`` float32: how far upper teeth, lower teeth, gum and tongue;
            light of a tooth's middle against its edges; place along the arch, -1 to 1; place from
            the biting edge to the gum, 0-1; nothing.
    """

    picture: Floats
    hole: Floats
    maps: Floats

    def conditions(self) -> Floats:
        """Return what the network sees, ``(CONDITIONS, HEIGHT, WIDTH)``."""
        open_ = self.to_paint()
        inside = (self.hole > 0.5).astype(np.uint8)
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
        distance -= cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
        x = np.empty((CONDITIONS, HEIGHT, WIDTH), np.float32)
        x[:3] = self.picture.transpose(2, 0, 1) / np.float32(127.5) - 1.0
        x[:3] *= 1.0 - open_
        x[3] = 1.0 - open_
        x[4] = np.clip(distance / REACH, -1, 1)
        x[5:] = self.maps.transpose(2, 0, 1)
        return x

    def to_paint(self) -> Floats:
        """Return 1 where the network paints, ``(HEIGHT, WIDTH)``: the hole and what is around.

        The lips' rim as it is drawn is dark, which would say that the teeth are.
        """
        near = cv2.dilate(self.hole, np.ones((3, 3), np.uint8))
        side = 2 * GROWN + 1
        return cv2.dilate((near > 0.05).astype(np.float32), np.ones((side, side), np.uint8))


def placement(
    corners: Floats,
    middle: Floats,
    *,
    unit: float = UNIT,
    shape: tuple[int, int] = (HEIGHT, WIDTH),
) -> Floats:
    """Return the affine map ``(2, 3)`` from a picture's pixels to the canvas's.

    Args:
        corners: ``(2, 2)`` outer corners of the subject's right and left eye, pixels.
        middle: ``(2,)`` of the mouth.
        unit: pixels between the corners on the canvas.
        shape: rows and columns of the canvas.
    """
    across = corners[1] - corners[0]
    scale = unit / max(float(np.linalg.norm(across)), 1.0)
    angle = -np.arctan2(across[1], across[0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2]) - turn @ middle
    return np.concatenate([turn, shift[:, None]], 1).astype(np.float32)


def cut(picture: NDArray, place: Floats) -> Floats:
    """Resample a picture ``(H, W[, C])`` to the canvas, without aliasing."""
    scale = float(np.linalg.norm(place[:, 0]))
    picture = picture.astype(np.float32)
    if scale < 0.9:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)
    return cv2.warpAffine(
        picture, place, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def on_canvas(points: Floats, place: Floats) -> Floats:
    """Return ``(N, 3)`` pixels and depth of a picture on the canvas."""
    moved = points.astype(np.float32).copy()
    moved[:, :2] = points[:, :2] @ place[:, :2].T + place[:, 2]
    moved[:, 2] *= float(np.linalg.norm(place[:, 0]))
    return moved


@dataclass(frozen=True)
class Labels:
    """What each vertex of the mouth's inside is: those of the face basis, then the tongue's.

    Attributes:
        values: ``(V + T, MAPS)``.
        triangles: ``(F, 3)``.
        parts: ``(V + T,)`` int64, ``UPPER``, ``LOWER``, ``GUM``, ``TONGUE`` or -1.
    """

    values: Floats
    triangles: NDArray[np.int32]
    parts: NDArray[np.int64]


def labels(basis: FaceBasis) -> Labels:
    """Return the labels of a face basis, and of the tongue's grid after it."""
    count, tongue = len(basis.neutral), TONGUE_ACROSS * TONGUE_ALONG
    values = np.zeros((count + tongue, MAPS), np.float32)
    parts = np.full(count + tongue, -1, np.int64)
    for name, kind in _KINDS.items():
        rows = basis.part_vertices(name)
        values[rows, kind] = 1.0
        parts[rows] = kind
    for name in ("upper_teeth", "lower_teeth"):
        rows, place = tooth_places(basis, name)
        t = np.clip((np.abs(place[:, 0]) - _GAP_FROM) / (1 - _GAP_FROM), 0, 1)
        values[rows, RELIEF] = 1 - t * t
        values[rows, ARCH] = basis.neutral[rows, 0] / _ARCH
        values[rows, ALONG] = place[:, 1]
    values[count:, TONGUE] = 1.0
    values[count:, ALONG] = np.repeat(np.linspace(0, 1, TONGUE_ALONG) ** 1.3, TONGUE_ACROSS)
    parts[count:] = TONGUE
    triangles = [
        tris[np.abs(basis.neutral[tris, 0]).max(1) < limit]
        for tris, limit in ((basis.part(n), limit) for n, limit in _FRONT.items())
    ]
    triangles.append(grid_triangles(TONGUE_ALONG, TONGUE_ACROSS, count))
    return Labels(values, np.ascontiguousarray(np.concatenate(triangles), np.int32), parts)


def draw_maps(known: Labels, points: Floats, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> Floats:
    """Draw the maps ``(rows, columns, MAPS)`` of vertices ``(V + T, 3)`` on a canvas."""
    size = (shape[0] * _FINE, shape[1] * _FINE)
    depth, out = np.full(size, FAR, np.float32), np.zeros((*size, MAPS), np.float32)
    fine = points.astype(np.float32) * np.array([_FINE, _FINE, 1], np.float32)
    fine[:, :2] += 0.5 * (_FINE - 1)
    rasterise(known.triangles, fine, known.values, depth, out, 0, 0)
    return out.reshape(shape[0], _FINE, shape[1], _FINE, MAPS).mean((1, 3))
