"""The throat under a chin that rises: neck, not a second chin.

What the chin hides in the photo has the chin's own skin for texture, and the shadow under the chin
lies on the neck. When the chin rises, both would show below it. There the neck just below the edge
goes on instead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.arrays import Floats, Ints, ease
from visavis.models.renderer.raster.warp import FAR, rasterise


class _ChinTuning(NamedTuple):
    """Where the edge of the chin is, and how its step in depth is drawn.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    width: float = 5.0  # cm from the middle
    begins: float = 0.6  # of the way from lower lip to chin, above which there is no edge
    step: float = 0.5  # cm of depth at the chin's edge
    below: float = 1.5  # cm below the chin's landmark, how far the edge is looked for
    shadow: float = 0.45  # cm below the edge that its shadow reaches
    smooth: float = 0.4  # cm to either side over which the edge is smoothed
    # cm behind the chin's edge over which the throat begins
    behind: tuple[float, float] = (0.8, 2.6)
    above: float = 0.2  # cm above the edge where its depth is read
    raised: Floats = np.radians((1.5, 7.0))  # pitch over which the shadow leaves the neck
    ends: float = 1.2  # cm beyond both ends of the edge over which that fades


_TUNING = _ChinTuning()


@njit(cache=True, fastmath=True, nogil=True)
def _continue_neck(depth, flow, edge, share, front, shadow, near, far, first, raised):
    """Let the neck go on where the throat would show the chin's skin.

    Args:
        depth: ``(h, w)`` of the face.
        flow: ``(h, w, 3)`` source pixel and weight, changed in place.
        edge: ``(S,)`` row of the chin's edge per column of the photo.
        share: ``(S,)`` how far a column takes part, 0-1.
        front: ``(S,)`` depth of the edge in this frame per column.
        shadow: pixels below the edge that its shadow reaches.
        near: pixels behind the edge up to which nothing changes.
        far: pixels behind it from which on all does.
        first: row of the picture where this begins.
        raised: how far the chin is raised, 0-1.
    """
    for y in range(max(first, 0), depth.shape[0]):
        for x in range(depth.shape[1]):
            z = depth[y, x]
            if z < FAR * np.float32(0.2):
                continue
            column = min(max(int(flow[y, x, 0] + np.float32(0.5)), 0), edge.shape[0] - 1)
            behind = (front[column] - z - near) / (far - near)
            if behind <= 0 or share[column] <= 0:
                continue
            up = edge[column] + shadow - flow[y, x, 1]
            if up > 0:
                flow[y, x, 1] += raised * share[column] * min(behind, np.float32(1.0)) * up


class Chin:
    """The chin's edge in the photo, and what to draw behind it."""

    def __init__(
        self, basis: FaceBasis, skin: Ints, points: Floats, scale: float, size: int
    ) -> None:
        """Find the edge.

        Args:
            basis: the face basis.
            skin: ``(F, 3)`` the triangles that are drawn.
            points: ``(V, 3)`` pixels of the photo and depth.
            scale: pixels per cm.
            size: side of the photo in pixels.
        """
        depth = np.full((size, size), FAR, np.float32)
        none = np.zeros((size, size, 1), np.float32)
        rasterise(skin, points, np.zeros((len(points), 1), np.float32), depth, none, 0, 0)
        self._lip, self._chin = (int(basis.landmarks[n]) for n in (17, 152))
        chin = points[self._chin]
        self._edge, self._share = _edge(depth, points[self._lip], chin, scale)
        rows = np.clip(np.rint(self._edge) - round(_TUNING.above * scale), 0, size - 1).astype(int)
        front = depth[rows, np.arange(size)]
        # Relative to the chin, which may turn; where there is no face, nothing is behind it.
        self._front = np.where(front > FAR / 2, front - chin[2], FAR).astype(np.float32)
        self._scale = scale

    def continue_neck(
        self, depth: Floats, flow: Floats, top: int, points: Floats, pitch: float
    ) -> None:
        """Correct the flow of a face just drawn.

        Args:
            depth: ``(h, w)`` of the face.
            flow: ``(h, w, 3)`` source pixel and weight, changed in place.
            top: first row of both in the picture.
            points: ``(V, 3)`` the frame's vertices in pixels.
            pitch: of the head, radians; chin down is positive.
        """
        begins, full = _TUNING.raised
        t = float(np.clip((-pitch - begins) / (full - begins), 0, 1))
        if t == 0:
            return
        front = self._front + points[self._chin, 2]
        near, far = (np.float32(d * self._scale) for d in _TUNING.behind)
        raised = np.float32(ease(t))
        shadow = np.float32(_TUNING.shadow * self._scale)
        lip, chin = points[self._lip, 1], points[self._chin, 1]
        first = int(lip + _TUNING.begins * (chin - lip)) - top
        _continue_neck(
            depth, flow, self._edge, self._share, front, shadow, near, far, first, raised
        )


def _edge(depth: Floats, lip: Floats, chin: Floats, scale: float) -> tuple[Floats, Floats]:
    """Return the row in which the chin ends before the throat per column, and how sure that is."""
    size = depth.shape[0]
    rows, share = np.full(size, -1.0, np.float32), np.zeros(size, np.float32)
    first, last = (int(np.clip(chin[0] + s * _TUNING.width * scale, 0, size - 1)) for s in (-1, 1))
    top = int(np.clip(lip[1] + _TUNING.begins * (chin[1] - lip[1]), 0, size - 2))
    bottom = int(np.clip(chin[1] + _TUNING.below * scale, top + 1, size - 1))
    part = depth[top : bottom + 1, first : last + 1]
    steps = (part[:-1] - part[1:] > _TUNING.step * scale) & (part[1:] > FAR / 2)
    found = np.flatnonzero(steps.any(0))
    if len(found) < scale:
        return rows, share
    columns = np.arange(found[0], found[-1] + 1)
    line = np.interp(columns, found, top + steps.argmax(0)[found])
    half = max(1, round(_TUNING.smooth * scale))
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
    share[:] = np.clip(1 - np.maximum(*beyond) / (_TUNING.ends * scale), 0, 1)
    return rows, share
