"""The frame of glasses: drawn over the face, moved by the head alone."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.appearance.basis import FaceBasis
from models.appearance.identity import Identity
from models.renderer.geometry import HeadPose, Rig
from models.renderer.warp import double, sample_twice

Floats = NDArray[np.float32]

_STRIPS = 10  # upright strips of a frame, each of which is flat
_NEAR = 1.0  # cm above and below a frame, whose skin says how it is bent
_ROUNDS, _INSIDE = 4, 0.2  # of a fit; weight of skin that lies behind it
_SEEN = 4  # of 255
_OVERLAP = np.float32(0.02)  # px of a strip that the next one has too


@njit(cache=True, fastmath=True, nogil=True)
def _lay(out, frame, corner, back, box, first, last):
    """Lay a strip of a frame over the picture.

    ``back`` is the homography ``(3, 3)`` to the photo's pixels, ``corner`` the frame's in these;
    the strip is from column ``first`` to ``last`` of the frame.
    """
    colour = np.empty(4, np.int64)
    rows, columns = frame.shape[0] // 2, frame.shape[1] // 2
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            w = back[2, 0] * x + back[2, 1] * y + back[2, 2]
            u = (back[0, 0] * x + back[0, 1] * y + back[0, 2]) / w - corner[0]
            v = (back[1, 0] * x + back[1, 1] * y + back[1, 2]) / w - corner[1]
            if (
                u < first - _OVERLAP
                or u >= last + _OVERLAP
                or v < 0
                or u > columns - 1
                or v > rows - 1
            ):
                continue
            i, j = int(2 * u), int(2 * v)
            if frame[j, i, 3] < _SEEN and frame[j + 1, i + 1, 3] < _SEEN:
                continue
            sample_twice(frame, np.float32(u), np.float32(v), colour)
            a = colour[3]
            for k in range(3):
                out[y, x, k] = (a * colour[k] + (255 - a) * out[y, x, k] + 127) // 255


class FramePainter:
    """Paints the frame that one identity wears; nothing where it wears none."""

    def __init__(self, rig: Rig, basis: FaceBasis, identity: Identity, size: int) -> None:
        """Cut the frame out of the photo and say where its plane is."""
        self._rig = rig
        self._frame: NDArray[np.uint8] | None = None
        if identity.frames.size == 0:
            return
        worn = np.dstack([identity.photo, identity.frames])
        if size != identity.size:
            way = cv2.INTER_AREA if size < identity.size else cv2.INTER_CUBIC
            worn = cv2.resize(worn, (size, size), interpolation=way)
        seen = worn[..., 3] >= _SEEN
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        if len(rows) == 0:
            return
        y0, y1 = max(0, int(rows[0]) - 2), min(size, int(rows[-1]) + 3)
        x0, x1 = max(0, int(columns[0]) - 2), min(size, int(columns[-1]) + 3)
        self._frame = double(np.ascontiguousarray(worn[y0:y1, x0:x1]))
        self._corner = np.array([x0, y0], np.float32)
        columns = np.linspace(x0, x1, _STRIPS + 1)
        home = np.stack([np.stack([columns, np.full_like(columns, y)], 1) for y in (y0, y1)])
        self._home = home.astype(np.float32)
        flat = self._home.reshape(-1, 2)
        self._nodes = np.column_stack([flat, self._depth(basis, flat)]).astype(np.float32)
        self._weight = np.ones(len(self._nodes), np.float32)
        self._moved = np.zeros_like(self._nodes)

    def _depth(self, basis: FaceBasis, places: Floats) -> Floats:
        """Return the depth of a frame at places ``(N, 2)`` in pixels.

        It is bent as the skin beneath is from temple to temple, on whose bridge it rests: turned
        with the head, it keeps its ears.
        """
        rig = self._rig
        face = rig.project(rig.rest[basis.part_vertices("face")])
        reach = _NEAR * rig.scale
        low, high = places.min(0) - reach, places.max(0) + reach
        near = ((face[:, :2] > low) & (face[:, :2] < high)).all(1)
        middle, half = 0.5 * (low + high), 0.5 * (high - low)

        def terms(at: Floats) -> Floats:
            x, y = ((at - middle) / half).T
            return np.stack([np.ones_like(x), x, y, x**2, x**4], 1)

        skin, wanted = terms(face[near, :2]), face[near, 2]
        weight = np.ones(len(wanted))
        for _ in range(_ROUNDS):
            found = np.linalg.lstsq(skin * weight[:, None], wanted * weight, rcond=None)[0]
            weight = np.where(wanted < skin @ found, _INSIDE, 1.0)
        return np.asarray(terms(places) @ found, np.float32)

    def paint(self, out: NDArray[np.uint8], pose: HeadPose) -> None:
        """Paint over a frame's face ``(S, S, 3)``, in place."""
        if self._frame is None:
            return
        self._rig.move(self._nodes, self._weight, pose, self._moved)
        moved = self._moved[:, :2].reshape(2, _STRIPS + 1, 2)
        for k in range(_STRIPS):
            now, home = (g[[0, 0, 1, 1], [k, k + 1, k + 1, k]] for g in (moved, self._home))
            if now[1, 0] <= now[0, 0] or now[2, 0] <= now[3, 0]:
                continue  # turned away
            low, high = np.floor(now.min(0)), np.ceil(now.max(0)) + 1
            box = np.clip(np.concatenate([low, high]), 0, self._rig.size).astype(np.int64)
            back = cv2.getPerspectiveTransform(now, home).astype(np.float32)
            first, last = home[0, 0] - self._corner[0], home[1, 0] - self._corner[0]
            _lay(out, self._frame, self._corner, back, box, first, last)
