"""The throat under a chin that rises: neck, not a second chin.

What the chin hides in the photo has the chin's own skin for texture, and the shadow under the chin
lies on the neck. When the chin rises, both would show below it. There the neck just below the edge
goes on instead.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.appearance.basis import FaceBasis
from models.renderer.warp import FAR, rasterise

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

_WIDTH = 5.0  # cm from the middle
_STEP = 0.5  # cm of depth at the chin's edge
_BELOW = 1.5  # cm below the chin's landmark, how far the edge is looked for
_SHADOW = 0.45  # cm below the edge that its shadow reaches
_SMOOTH = 0.4  # cm to either side over which the edge is smoothed
_RAISED = np.radians((1.5, 7.0))  # pitch over which the shadow leaves the neck
_TURNED = np.radians((5.0, 15.0))  # yaw over which it does
_ENDS = 1.2  # cm beyond both ends of the edge over which that fades


@njit(cache=True, fastmath=True, nogil=True)
def _continue_neck(depth, flow, edge, share, shadow, raised):
    """Let the neck go on where the throat would show the chin's skin.

    Args:
        depth: ``(h, w)`` with nothing but the throat drawn.
        flow: ``(h, w, 3)`` source pixel and weight, changed in place.
        edge: ``(S,)`` row of the chin's edge per column of the photo.
        share: ``(S,)`` how far a column takes part, 0-1.
        shadow: pixels below the edge that its shadow reaches.
        raised: how far the chin is raised, 0-1.
    """
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            if depth[y, x] < FAR * np.float32(0.5):
                continue
            column = min(max(int(flow[y, x, 0] + np.float32(0.5)), 0), edge.shape[0] - 1)
            low = edge[column] + shadow
            if flow[y, x, 1] < low:
                flow[y, x, 1] += raised * share[column] * (low - flow[y, x, 1])


class Chin:
    """The chin's edge in the photo and the triangles behind it.

    Attributes:
        triangles: the throat's triangles ``(F, 3)``; empty where nothing is hidden.
        others: all others.
    """

    def __init__(
        self, basis: FaceBasis, skin: Ints, points: Floats, hidden: Floats, scale: float, size: int
    ) -> None:
        """Find them.

        Args:
            basis: the face basis.
            skin: ``(F, 3)`` the triangles that are drawn.
            points: ``(V, 3)`` pixels of the photo and depth.
            hidden: ``(V,)`` how far the photo hides each vertex, 0-1.
            scale: pixels per cm.
            size: side of the photo in pixels.
        """
        x, y = np.abs(basis.neutral[:, 0]), basis.neutral[:, 1]
        throat = (x < _WIDTH) & (y < -6.0) & ((hidden > 0) | (y < -8.6))
        inside = throat[skin].all(1)
        self.triangles = np.ascontiguousarray(skin[inside])
        self.others = np.ascontiguousarray(skin[~inside])
        depth = np.full((size, size), FAR, np.float32)
        none = np.zeros((size, size, 1), np.float32)
        rasterise(skin, points, np.zeros((len(points), 1), np.float32), depth, none, 0, 0)
        lip, chin = (points[basis.landmarks[n]] for n in (17, 152))
        self._edge, self._share = _edge(depth, lip, chin, scale)
        self._shadow = np.float32(_SHADOW * scale)

    def continue_neck(self, depth: Floats, flow: Floats, pitch: float, yaw: float) -> None:
        """Correct the throat's flow for angles in radians, before the others are drawn."""
        up = (-pitch - _RAISED[0]) / (_RAISED[1] - _RAISED[0])
        aside = (abs(yaw) - _TURNED[0]) / (_TURNED[1] - _TURNED[0])
        t = float(np.clip(max(up, aside), 0, 1))
        if t > 0:
            raised = np.float32(t * t * (3 - 2 * t))
            _continue_neck(depth, flow, self._edge, self._share, self._shadow, raised)


def _edge(depth: Floats, lip: Floats, chin: Floats, scale: float) -> tuple[Floats, Floats]:
    """Return the row in which the chin ends before the throat per column, and how sure that is."""
    size = depth.shape[0]
    rows, share = np.full(size, -1.0, np.float32), np.zeros(size, np.float32)
    first, last = (int(np.clip(chin[0] + s * _WIDTH * scale, 0, size - 1)) for s in (-1, 1))
    top = int(np.clip(lip[1], 0, size - 2))
    bottom = int(np.clip(chin[1] + _BELOW * scale, top + 1, size - 1))
    part = depth[top : bottom + 1, first : last + 1]
    steps = (part[:-1] - part[1:] > _STEP * scale) & (part[1:] > FAR / 2)
    found = np.flatnonzero(steps.any(0))
    if len(found) < scale:
        return rows, share
    columns = np.arange(found[0], found[-1] + 1)
    line = np.interp(columns, found, top + steps.argmax(0)[found])
    half = max(1, round(_SMOOTH * scale))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(line, half, "edge"), 2 * half + 1)
    line = np.median(around, 1)
    # The jaw goes on as it rises at either end.
    x = np.arange(size)
    ends = first + columns[[0, -1]]
    rise = min(len(line) - 1, 2 * half)
    slopes = (line[0] - line[rise]) / rise, (line[-1] - line[-1 - rise]) / rise
    beyond = np.maximum(ends[0] - x, 0), np.maximum(x - ends[1], 0)
    rows[:] = np.interp(x, first + columns, line)
    for slope, away in zip(slopes, beyond, strict=True):
        rows += min(slope, 0.0) * away
    share[:] = np.clip(1 - np.maximum(*beyond) / (_ENDS * scale), 0, 1)
    return rows, share
