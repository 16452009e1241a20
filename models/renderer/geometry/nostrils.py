"""Caps over the nostrils.

A frontal photo does not show the inside of the nose: straight through its tip, bright skin lies
where the mesh has the nostrils' walls, and comes to light as soon as the head tips back. A skin
drawn over each nostril like a drum's shows what the photo has there, dark holes included.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.arrays import Floats
from visavis.models.renderer.raster.warp import FAR, rasterise

_NOSE = 2  # MediaPipe landmark: where the nose meets the upper lip


class _NostrilTuning(NamedTuple):
    """Where nostrils are looked for, and what hides them.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    reach: float = 2.6  # cm around the nose's lower end
    aside: float = 1.75  # cm from the middle
    lowest: float = 0.25  # cm below the nose's lower end
    behind: float = 0.08  # cm behind what is in front of it
    pixels_per_cm: float = 60.0  # of the drawing that tells what is hidden
    rings: int = 1  # of vertices around what is hidden that belong to the nostril too


_TUNING = _NostrilTuning()


class NostrilCaps:
    """Moves the nostrils' vertices onto the caps."""

    def __init__(self, basis: FaceBasis) -> None:
        """Find the nostrils of the face basis."""
        tris = basis.part("face")
        inside = _hidden(basis, tris)
        for _ in range(_TUNING.rings):
            inside = np.unique(tris[np.isin(tris, inside).any(1)])
        touching = tris[np.isin(tris, inside).any(1)]
        rim = np.setdiff1d(np.unique(touching), inside)
        rows = np.concatenate([inside, rim])
        number = np.zeros(len(basis.neutral), np.int64)
        number[rows] = np.arange(len(rows))
        links = np.zeros((len(rows), len(rows)))
        for a, b in ((0, 1), (1, 2), (2, 0)):
            i, j = number[touching[:, a]], number[touching[:, b]]
            links[i, j] = links[j, i] = 1.0
        laplacian = np.diag(links.sum(1)) - links
        n = len(inside)
        self._inside, self._rim = inside, rim
        self._matrix = np.linalg.solve(laplacian[:n, :n], -laplacian[:n, n:]).astype(np.float32)

    def apply(self, points: Floats) -> None:
        """Stretch the caps between the rims of ``(V, C)`` vertices or source pixels, in place."""
        points[self._inside] = self._matrix @ points[self._rim]


def _hidden(basis: FaceBasis, tris: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the vertices around the nose that the front of the mean face hides."""
    at, nose = basis.neutral, basis.neutral[basis.landmarks[_NOSE]]
    near = np.linalg.norm(at - nose, axis=1) < 0.98 * _TUNING.reach
    near &= (np.abs(at[:, 0]) < _TUNING.aside) & (at[:, 1] > nose[1] - _TUNING.lowest)
    points = (at - nose) * (_TUNING.pixels_per_cm, -_TUNING.pixels_per_cm, _TUNING.pixels_per_cm)
    points[:, :2] += _TUNING.pixels_per_cm * _TUNING.reach
    points = points.astype(np.float32)
    side = int(2 * _TUNING.pixels_per_cm * _TUNING.reach)
    depth = np.full((side, side), FAR, np.float32)
    none = np.zeros((side, side, 1), np.float32)
    flat = np.zeros((len(points), 1), np.float32)
    rasterise(np.ascontiguousarray(tris, np.int32), points, flat, depth, none, 0, 0)
    rows = np.intersect1d(np.unique(tris), np.flatnonzero(near))
    x, y = np.rint(points[rows, :2]).astype(int).T
    return rows[depth[y, x] - points[rows, 2] > _TUNING.behind * _TUNING.pixels_per_cm]
