"""Eyes: the eyeball under the lids, turned by a smooth shift; lids and lash line."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.appearance.identity import Identity
from models.renderer.expression import Eye, smoothstep
from models.renderer.geometry import HeadPose, Rig
from models.renderer.warp import double, sample_twice

Floats = NDArray[np.float32]

_EYEBALL = 1.18  # cm, radius
_SHIFT_LIMIT = 0.95  # iris radii
_LASH = 0.055  # cm over which the lash line fades; never less than a pixel's worth
_LASH_STRENGTH = 0.50


@njit(cache=True, fastmath=True, nogil=True)
def _paint(
    out, source, coverage, left, top, ball, lid, patch, inverse, centre, radius, shift,
    lid_mix, line, lash, lash_mix, half_width, shade, hole,
):  # fmt: skip
    """Put lid texture on the skin, the eyeball behind it and the lash line on top."""
    colour = np.empty(3, np.int64)
    rows, columns = coverage.shape
    inner, outer = np.float32(1.1) * radius, np.float32(2.4) * radius
    limit = ball.shape[0] // 2
    for y in range(rows):
        oy = y + top
        for x in range(columns):
            ox = x + left
            c = coverage[y, x]
            if c > 0 and lid_mix > 0:
                u, v = source[oy, ox, 0] - patch[0], source[oy, ox, 1] - patch[1]
                if u >= 0 and v >= 0 and u < limit - 1 and v < limit - 1:
                    sample_twice(lid, u, v, colour)
                    for k in range(3):
                        out[oy, ox, k] = (
                            (256 - lid_mix) * out[oy, ox, k] + lid_mix * colour[k] + 128
                        ) >> 8
            if c < 16 and hole[0] <= ox < hole[2] and hole[1] <= oy < hole[3]:
                sx = inverse[0, 0] * ox + inverse[0, 1] * oy + inverse[0, 2]
                sy = inverse[1, 0] * ox + inverse[1, 1] * oy + inverse[1, 2]
                # Two rounds invert the shift, which fades outwards from the iris.
                u, v = sx, sy
                for _ in range(3):
                    dx, dy = u - centre[0], v - centre[1]
                    r = math.sqrt(dx * dx + dy * dy)
                    t = min(1.0, max(0.0, (outer - r) / (outer - inner)))
                    t = t * t * (3.0 - 2.0 * t)
                    u = sx - shift[0] * t
                    v = sy - shift[1] * t
                sample_twice(ball, np.float32(u - patch[0]), np.float32(v - patch[1]), colour)
                for k in range(3):
                    value = colour[k] * shade
                    out[oy, ox, k] = int((c * out[oy, ox, k] + (16 - c) * value) / 16.0 + 0.5)
            if lash_mix > 0:
                best = np.float32(0.0)
                for s in range(line.shape[0] - 1):
                    ex, ey = line[s + 1, 0] - line[s, 0], line[s + 1, 1] - line[s, 1]
                    px, py = ox - line[s, 0], oy - line[s, 1]
                    t = (px * ex + py * ey) / (ex * ex + ey * ey + np.float32(1e-6))
                    t = min(np.float32(1.0), max(np.float32(0.0), t))
                    gx, gy = px - t * ex, py - t * ey
                    d = (gx * gx + gy * gy) / (half_width * half_width)
                    if d > 30.0:
                        continue
                    # Lashes taper to both corners, and hang down more than they stand up.
                    place = (s + t) / (line.shape[0] - 1)
                    taper = math.sqrt(max(0.0, 4.0 * place * (1.0 - place)))
                    reach = np.float32(7.0) if gy > 0 else np.float32(2.5)
                    a = np.exp(-d) + np.float32(0.35) * np.exp(-d / reach)
                    best = max(best, a * (0.25 + 0.75 * taper))
                a = best * lash_mix
                if a > 0.004:
                    for k in range(3):
                        out[oy, ox, k] = int(out[oy, ox, k] * (1 - a) + lash[k] * a + 0.5)


class EyePainter:
    """Paints one eye of an identity."""

    def __init__(self, rig: Rig, identity: Identity, side: int, size: int) -> None:
        """Prepare textures at the renderer's size; side 0 is the subject's left."""
        factor = size / identity.size
        patch = identity.eyes[side]
        ball, lid = identity.eyeballs[side], identity.lids[side]
        if factor != 1.0:
            width = max(4, round(ball.shape[0] * factor))
            ball = cv2.resize(ball, (width, width), interpolation=cv2.INTER_AREA)
            lid = cv2.resize(lid, (width, width), interpolation=cv2.INTER_AREA)
        self._side = side
        self._rig = rig
        self._ball, self._lid = double(ball), double(lid)
        self._patch = np.array(
            [(patch.left + 0.5) * factor - 0.5, (patch.top + 0.5) * factor - 0.5], np.float32
        )
        self._centre = ((np.array(patch.iris) + 0.5) * factor - 0.5).astype(np.float32)
        self._radius = np.float32(patch.iris_radius * factor)
        self._lash = np.array(identity.colours.lash, np.float32) * np.float32(0.85)
        seam = rig.lids[side]
        self.loop = np.unique(np.concatenate([seam.upper, seam.lower]))
        self._upper = seam.upper
        self._anchor = self.loop
        self._home = rig.source[self._anchor].astype(np.float64)
        depth = rig.points[self._anchor, 2:]
        self._still = np.concatenate([rig.source[self._anchor], depth], 1).astype(np.float32)
        self._weight = rig.weight[self._anchor]
        self._moved = np.zeros_like(self._still)

    def _lash_line(self, points: Floats) -> Floats:
        """Return the upper lid's rim, smoothed a little."""
        line = points[self._upper, :2].copy()
        for _ in range(3):
            line[1:-1] = 0.25 * line[:-2] + 0.5 * line[1:-1] + 0.25 * line[2:]
        return np.ascontiguousarray(line)

    def box(self, points: Floats) -> tuple[int, int, int, int]:
        """Return (x0, y0, x1, y1) around the lids' margins, clipped to the picture."""
        loop = points[self.loop, :2]
        pad = 0.16 * self._rig.unit
        low, high = np.floor(loop.min(0) - pad), np.ceil(loop.max(0) + pad)
        size = self._rig.size
        x0, y0 = (int(np.clip(v, 0, size)) for v in low)
        x1, y1 = (int(np.clip(v, 0, size)) for v in high)
        return x0, y0, x1, y1

    def _hole(self, points: Floats) -> Floats:
        """Return the bounds of the gap between the lids (x0, y0, x1, y1)."""
        loop = points[self.loop, :2]
        return np.concatenate([loop.min(0) - 1.0, loop.max(0) + 1.5]).astype(np.float32)

    def paint(
        self, out: NDArray[np.uint8], source: Floats, coverage: NDArray[np.uint8],
        left: int, top: int, points: Floats, pose: HeadPose, eye: Eye,
    ) -> None:  # fmt: skip
        """Paint over a composed frame.

        Args:
            out: ``(S, S, 3)`` frame, skin already in place.
            source: ``(S, S, 2)`` source pixels of the skin.
            coverage: skin samples per pixel of the eye's box, 0-16.
            left: first column of the box.
            top: first row of the box.
            points: ``(V, 3)`` the frame's vertices in pixels.
            pose: head and torso motion, which the eyeball follows.
            eye: what this eye does.
        """
        self._rig.move(self._still, self._weight, pose, self._moved)
        inverse = self._to_source(self._moved[:, :2].astype(np.float64))
        shift = self._shift(eye)
        lid_mix = int(256 * smoothstep(0.04, 0.5, eye.blink))
        lash_mix = smoothstep(0.04, 0.35, eye.blink) * _LASH_STRENGTH
        line = self._lash_line(points)
        shade = np.float32(1.0 - 0.22 * smoothstep(0.1, 0.9, eye.blink))
        _paint(
            out,
            source,
            coverage,
            left,
            top,
            self._ball,
            self._lid,
            self._patch,
            inverse,
            self._centre,
            self._radius,
            shift,
            lid_mix,
            line,
            self._lash,
            np.float32(lash_mix),
            np.float32(max(0.75, _LASH * self._rig.scale)),
            shade,
            self._hole(points),
        )

    def _to_source(self, now: NDArray[np.float64]) -> Floats:
        """Return the affine map (2, 3) from the frame's pixels to the photo's, by least squares."""
        design = np.column_stack([now, np.ones(len(now))])
        solution = np.linalg.lstsq(design, self._home, rcond=None)[0]
        return solution.T.astype(np.float32)

    def _shift(self, eye: Eye) -> Floats:
        """Return how far the iris moves in the photo's pixels."""
        reach = _EYEBALL * self._rig.scale
        shift = np.array([math.sin(eye.yaw), 0.8 * math.sin(eye.pitch)]) * reach
        length = float(np.hypot(*shift))
        limit = _SHIFT_LIMIT * float(self._radius)
        if length > limit:
            shift *= limit / length
        return shift.astype(np.float32)
