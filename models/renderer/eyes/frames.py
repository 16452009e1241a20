"""The frame of glasses: drawn over the face, moved by the head alone."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats
from visavis.models.renderer.geometry.geometry import Rig
from visavis.models.renderer.geometry.pose import HeadPose
from visavis.models.renderer.raster.warp import FAR, double, rasterise, sample_twice


class _FrameTuning(NamedTuple):
    """How the frame of a pair of glasses is bent.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    strips: int = 10  # upright strips of a frame, each of which is flat
    near: float = 1.0  # cm above and below a frame, whose skin says how it is bent
    rounds: int = 4  # of a fit
    inside: float = 0.2  # weight of skin that lies behind it
    seen: int = 4  # of 255


_TUNING = _FrameTuning()


@njit(cache=True, fastmath=True, nogil=True)
def _lay(out, frame, worn, depth, flow, left, top):
    """Lay a frame over the picture where ``flow`` says what of it is seen; clears ``depth``.

    ``worn`` is ``(h, w)``: where the frame has any opacity.
    """
    colour = np.empty(4, np.int64)
    rows, columns = worn.shape
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            if depth[y, x] == FAR:
                continue
            depth[y, x] = FAR
            u, v = flow[y, x, 0], flow[y, x, 1]
            if u < 0 or v < 0 or u > columns - 1 or v > rows - 1 or not worn[int(v), int(u)]:
                continue
            sample_twice(frame, u, v, colour)
            a = colour[3]
            for k in range(3):
                value = a * colour[k] + (255 - a) * out[y + top, x + left, k] + 127
                out[y + top, x + left, k] = value // 255


class FramePainter:
    """Paints the frame that one identity wears; nothing where it wears none.

    Attributes:
        worn: ``(2h, 2w, 4)`` the frame with opacity, doubled; None where there is none.
    """

    def __init__(self, rig: Rig, basis: FaceBasis, identity: Identity, size: int) -> None:
        """Cut the frame out of the photo and say where its plane is."""
        self._rig = rig
        self.worn: NDArray[np.uint8] | None = None
        if identity.frames.size == 0:
            return
        worn = np.dstack([identity.photo, identity.frames])
        if size != identity.size:
            way = cv2.INTER_AREA if size < identity.size else cv2.INTER_CUBIC
            worn = cv2.resize(worn, (size, size), interpolation=way)
        seen = worn[..., 3] >= _TUNING.seen
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        if len(rows) == 0:
            return
        y0, y1 = max(0, int(rows[0]) - 2), min(size, int(rows[-1]) + 3)
        x0, x1 = max(0, int(columns[0]) - 2), min(size, int(columns[-1]) + 3)
        self.worn = double(np.ascontiguousarray(worn[y0:y1, x0:x1]))
        # Between a pixel and its neighbours to the right and below, something may be seen.
        near = cv2.dilate(seen[y0:y1, x0:x1].astype(np.uint8), np.ones((3, 3), np.uint8))
        self._seen = near > 0
        columns = np.linspace(x0, x1, _TUNING.strips + 1)
        home = np.stack([np.stack([columns, np.full_like(columns, y)], 1) for y in (y0, y1)])
        flat = home.reshape(-1, 2).astype(np.float32)
        self._nodes = np.column_stack([flat, self._depth(basis, flat)]).astype(np.float32)
        self._values = np.ascontiguousarray(flat - (x0, y0), np.float32)
        k = np.arange(_TUNING.strips)
        below = k + _TUNING.strips + 1
        upper, lower = np.stack([k, k + 1, below], 1), np.stack([k + 1, below + 1, below], 1)
        self._triangles = np.ascontiguousarray(np.concatenate([upper, lower]), np.int32)
        self._weight = np.ones(len(self._nodes), np.float32)
        self._moved = np.zeros_like(self._nodes)
        self._far = np.full((size, size), FAR, np.float32)
        self._flow = np.zeros((size, size, 2), np.float32)

    @staticmethod
    def warm_up() -> None:
        """Compile the loop that only photos with glasses need."""
        picture, frame = np.zeros((1, 1, 3), np.uint8), np.zeros((2, 2, 4), np.uint8)
        flat = np.full((2, 2), FAR, np.float32)  # a part of it, as in use, is not contiguous
        flow = np.zeros((2, 2, 2), np.float32)
        _lay(picture, frame, np.zeros((1, 1), np.bool_), flat[:1, :1], flow[:1, :1], 0, 0)

    def _depth(self, basis: FaceBasis, places: Floats) -> Floats:
        """Return the depth of a frame at places ``(N, 2)`` in pixels.

        It is bent as the skin beneath is from temple to temple, on whose bridge it rests: turned
        with the head, it keeps its ears.
        """
        rig = self._rig
        face = rig.project(rig.rest[basis.part_vertices("face")])
        reach = _TUNING.near * rig.scale
        low, high = places.min(0) - reach, places.max(0) + reach
        near = ((face[:, :2] > low) & (face[:, :2] < high)).all(1)
        middle, half = 0.5 * (low + high), 0.5 * (high - low)

        def terms(at: Floats) -> Floats:
            x, y = ((at - middle) / half).T
            return np.stack([np.ones_like(x), x, y, x**2, x**4], 1)

        skin, wanted = terms(face[near, :2]), face[near, 2]
        weight = np.ones(len(wanted))
        for _ in range(_TUNING.rounds):
            found = np.linalg.lstsq(skin * weight[:, None], wanted * weight, rcond=None)[0]
            weight = np.where(wanted < skin @ found, _TUNING.inside, 1.0)
        return np.asarray(terms(places) @ found, np.float32)

    def paint(self, out: NDArray[np.uint8], pose: HeadPose) -> None:
        """Paint over a frame's face ``(S, S, 3)``, in place."""
        if self.worn is None:
            return
        self._rig.move(self._nodes, self._weight, pose, self._moved)
        low = np.clip(np.floor(self._moved[:, :2].min(0)), 0, self._rig.size).astype(int)
        high = np.clip(np.ceil(self._moved[:, :2].max(0)) + 1, 0, self._rig.size).astype(int)
        part = np.s_[: max(0, high[1] - low[1]), : max(0, high[0] - low[0])]
        depth, flow = self._far[part], self._flow[part]
        left, top = int(low[0]), int(low[1])
        rasterise(self._triangles, self._moved, self._values, depth, flow, left, top)
        _lay(out, self.worn, self._seen, depth, flow, left, top)
