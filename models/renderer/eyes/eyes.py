"""Eyes: the eyeball under the lids, turned by a smooth shift; lids and lash line."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, Image, ease, held_within, smoothstep
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.eyes.lashes import LASH_LENGTH, lash_at, lash_picture, smoothed
from visavis.models.renderer.frame import Frame, Opening, Skin
from visavis.models.renderer.geometry.expression import Eye
from visavis.models.renderer.geometry.geometry import Rig
from visavis.models.renderer.geometry.pose import HeadPose
from visavis.models.renderer.raster.warp import double, sample_twice


class _EyeTuning(NamedTuple):
    """How eyeballs turn and lids close over them.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    eyeball: float = 1.18  # cm, radius
    shift_limit: float = 0.95  # iris radii
    lash: float = 0.055  # cm over which the lash line fades; never less than a pixel's worth
    lash_fall: tuple[float, float] = (0.25, 0.85)  # of a rim's way over which lashes turn down
    # of the rim's way: skin is lid from there, and wholly
    lid_from: float = 0.02
    lid_full: float = 0.35
    # Of the eye's width: lashes above the open rim, which the lid covers; a rim's way from which it
    # covers wholly; where it ends above the open rim, below the brow.
    fringe: tuple[float, ...] = (0.18, 0.34, 0.09, 0.24, 0.40)
    corner: tuple[float, float] = (0.47, 0.70)  # of the eye's width from its middle, where lids end
    # of the eye's width, by which a lid's upper edge is wider than the open rim's
    wider: float = 0.14
    above: float = 0.34  # inter-ocular distances above a rim where its lid can show
    # of a rim's way over which the closed lid takes over
    closing: float = 0.05
    closed_enough: float = 0.35
    rim_shadow: float = 0.50  # of the light
    rim_shadow_reach: float = 0.10  # of the eye's width
    # of the light that a slit between lids has lost: without it, it is a bright line
    slit: float = 0.35


_TUNING = _EyeTuning()


class EyeOfPhoto(NamedTuple):
    """What the photo says of one eye; pixels are the photo's at the renderer's size.

    Attributes:
        ball: ``(2P, 2P, 3)`` the eyeball without lids, doubled.
        lid: ``(2P, 2P, 3)`` the closed lid, doubled.
        patch: ``(2,)`` the pixel of their upper left corner.
        centre: ``(2,)`` of the iris.
        radius: of the iris.
        fringe: ``(5,)`` pixels, see ``_EyeTuning``.
        lash: ``(3,)`` colour.
        lashes: the picture of ``lash_picture``.
    """

    ball: Image
    lid: Image
    patch: Floats
    centre: Floats
    radius: np.float32
    fringe: Floats
    lash: Floats
    lashes: Floats


class EyeNow(NamedTuple):
    """What one eye does in a frame.

    Attributes:
        inverse: ``(2, 3)`` from the frame's pixels to the photo's.
        shift: ``(2,)`` pixels by which the iris moves.
        closing: how far the closed lid and its lashes have taken over, 0-1.
        rims: ``(5, P + 1)`` per column of the patch: the upper rim's row now, how far it came
            down, how far it still has to go, how much lid there is, and the rim's row in the photo.
        line: ``(N, 2)`` the upper rim in the frame, left to right.
        half_width: pixels of the lash line.
        lash_size: ``(2,)`` pixels that lashes are long, and how far they hang, 0-1.
        shades: ``(3,)`` light on the eyeball, the rim's shadow on it, the reach of that in pixels.
        hole: ``(4,)`` bounds of the gap between the lids.
    """

    inverse: Floats
    shift: Floats
    closing: np.float32
    rims: Floats
    line: Floats
    half_width: np.float32
    lash_size: Floats
    shades: Floats
    hole: Floats


@njit(cache=True, fastmath=True, nogil=True)
def _step(low, high, x):
    """Return the cubic step from 0 at ``low`` to 1 at ``high``."""
    t = min(np.float32(1.0), max(np.float32(0.0), (x - low) / (high - low)))
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


@njit(cache=True, fastmath=True, nogil=True)
def _follow_rim(line, inverse, patch, opened, closed, smooth, rims):
    """Write where the upper rim is in the photo, per column of the patch; see ``_paint``.

    ``line`` is the rim in the frame, from left to right; what is off its ends keeps their row.
    """
    count, k = line.shape[0], 0
    for i in range(rims.shape[1]):
        x = patch[0] + np.float32(i)
        while (
            k < count - 2
            and inverse[0, 0] * line[k + 1, 0] + inverse[0, 1] * line[k + 1, 1] + inverse[0, 2] < x
        ):
            k += 1
        ax = inverse[0, 0] * line[k, 0] + inverse[0, 1] * line[k, 1] + inverse[0, 2]
        ay = inverse[1, 0] * line[k, 0] + inverse[1, 1] * line[k, 1] + inverse[1, 2]
        bx = inverse[0, 0] * line[k + 1, 0] + inverse[0, 1] * line[k + 1, 1] + inverse[0, 2]
        by = inverse[1, 0] * line[k + 1, 0] + inverse[1, 1] * line[k + 1, 1] + inverse[1, 2]
        t = min(np.float32(1.0), max(np.float32(0.0), (x - ax) / max(bx - ax, np.float32(1e-3))))
        rims[0, i] = ay + t * (by - ay) - patch[1]
    for i in range(rims.shape[1]):
        low, high = max(0, i - smooth), min(rims.shape[1], i + smooth + 1)
        drop, rise = np.float32(0.0), np.float32(0.0)
        for j in range(low, high):
            drop += max(np.float32(0.0), rims[0, j] - opened[j])
            rise += max(np.float32(0.0), closed[j] - rims[0, j])
        rims[1, i] = drop / np.float32(high - low)
        rims[2, i] = rise / np.float32(high - low)


@njit(cache=True, fastmath=True, nogil=True)
def _lid_pixel(out, ox, oy, place, rims, fringe, lid, lid_mix, limit, colour):
    """Put the closed lid on a pixel of skin that the upper lid has brought down.

    ``place`` is photo column and row (in the patch) of the pixel on the head, and the row that the
    warp shows there. How far a lid has come down at a pixel, over how far its rim has come, says
    where on the closed lid the pixel lies: skin rolls out of the fold, it does not stretch. Lashes
    of the open eye, between ``fringe`` pixels above its rim, are covered wherever they have gone.
    """
    x, y, shown = place
    now, drop, rise, inside, opened = rims[0], rims[1], rims[2], rims[3], rims[4]
    if x < 0 or y < 0 or x >= limit - 1 or y >= limit - 1:
        return
    i = int(x)
    t = x - np.float32(i)
    fall = drop[i] + t * (drop[i + 1] - drop[i])
    if fall < np.float32(0.4):
        return
    share = min(np.float32(1.0), (y - shown) / max(fall, np.float32(2.0)))
    a = _step(np.float32(_TUNING.lid_from), np.float32(_TUNING.lid_full), share)
    high = opened[i] + t * (opened[i + 1] - opened[i]) - shown
    a = max(a, np.float32(1.0) - _step(fringe[0], fringe[1], high))
    a *= np.float32(1.0) - _step(fringe[3], fringe[4], high)  # brows are no lid
    a *= lid_mix * inside[i] * min(np.float32(1.0), fall / fringe[2])
    under = y - (now[i] + t * (now[i + 1] - now[i]))
    a *= np.float32(1.0) - _step(np.float32(0.5), np.float32(2.0), under)  # cheeks are no lid
    mix = int(a * np.float32(256.0))
    if mix <= 0:
        return
    below = share * (rise[i] + t * (rise[i + 1] - rise[i]))
    sample_twice(lid, x, min(max(y + below, np.float32(0.0)), np.float32(limit - 1)), colour)
    for k in range(3):
        out[oy, ox, k] = ((256 - mix) * out[oy, ox, k] + mix * colour[k] + 128) >> 8


@njit(cache=True, fastmath=True, nogil=True)
def _paint(out, skin, eye, now):
    """Put the closed lid on the skin, the eyeball behind it and the lash line on top.

    ``skin`` is a :class:`Skin`, ``eye`` a :class:`EyeOfPhoto`, ``now`` a :class:`EyeNow`.
    """
    source, coverage, left, top = skin.source, skin.coverage, skin.left, skin.top
    ball, lid, patch, centre, radius = eye.ball, eye.lid, eye.patch, eye.centre, eye.radius
    fringe, lash, lashes = eye.fringe, eye.lash, eye.lashes
    inverse, shift, lid_mix, rims, line = now.inverse, now.shift, now.closing, now.rims, now.line
    half_width, lash_size, shades, hole = now.half_width, now.lash_size, now.shades, now.hole
    lash_mix = lid_mix
    colour = np.empty(3, np.int64)
    rows, columns = coverage.shape
    inner, outer = np.float32(1.1) * radius, np.float32(2.4) * radius
    limit = ball.shape[0] // 2
    now = rims[0]
    below = max(9 * half_width, lash_size[0] * lash_size[1])
    high, low = line[:, 1].min() - 5 * half_width, line[:, 1].max() + below
    first, last = line[0, 0] - 2 * half_width, line[-1, 0] + 2 * half_width
    for y in range(rows):
        oy = y + top
        for x in range(columns):
            ox = x + left
            c = coverage[y, x]
            if lid_mix == 0 and c == 16:
                continue
            sx = inverse[0, 0] * ox + inverse[0, 1] * oy + inverse[0, 2]
            sy = inverse[1, 0] * ox + inverse[1, 1] * oy + inverse[1, 2]
            if c > 0 and lid_mix > 0:
                place = (sx - patch[0], sy - patch[1], source[oy, ox, 1] - patch[1])
                _lid_pixel(out, ox, oy, place, rims, fringe, lid, lid_mix, limit, colour)
            if c < 16 and hole[0] <= ox < hole[2] and hole[1] <= oy < hole[3]:
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
                column = min(max(int(sx - patch[0]), 0), limit - 1)
                under = max(np.float32(0.0), sy - patch[1] - now[column]) / shades[2]
                shade = shades[0]
                if shades[1] > 0 and under < 2.2:
                    shade *= np.float32(1.0) - shades[1] * np.exp(-under * under)
                for k in range(3):
                    value = colour[k] * shade
                    out[oy, ox, k] = int((c * out[oy, ox, k] + (16 - c) * value) / 16.0 + 0.5)
            if lash_mix > 0 and high < oy < low and first < ox < last:
                a = lash_mix * lash_at(line, ox, oy, half_width, lashes, lash_size[0], lash_size[1])
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
        ball, lid = double(ball), double(lid)
        self._patch = np.array(
            [(patch.left + 0.5) * factor - 0.5, (patch.top + 0.5) * factor - 0.5], np.float32
        )
        seam = rig.lids[side]
        self.loop = np.unique(np.concatenate([seam.upper, seam.lower]))
        self._upper = seam.upper
        self._anchor = self.loop
        self._home = rig.source[self._anchor].astype(np.float64)
        depth = rig.points[self._anchor, 2:]
        self._still = np.concatenate([rig.source[self._anchor], depth], 1).astype(np.float32)
        self._weight = rig.weight[self._anchor]
        self._moved = np.zeros_like(self._still)
        self._width = float(np.ptp(rig.source[self._upper, 0]))
        columns = np.arange(ball.shape[0] // 2 + 1, dtype=np.float32) + self._patch[0]
        self._columns = columns
        self._open = self._rim_rows(rig.source[self._upper])
        self._closed = np.maximum(self._rim_rows(self._closed_rim()), self._open)
        rim = rig.source[self._upper, 0]
        aside = np.abs(columns - 0.5 * (rim.min() + rim.max())) / self._width
        self._middle = np.flatnonzero(aside < 0.2)
        t = np.clip((_TUNING.corner[1] - aside) / (_TUNING.corner[1] - _TUNING.corner[0]), 0, 1)
        self._rims = np.zeros((5, len(columns)), np.float32)
        self._rims[3] = ease(t)
        self._rims[4] = self._above_corners(self._open)
        self.photo = EyeOfPhoto(
            ball,
            lid,
            self._patch,
            ((np.array(patch.iris) + 0.5) * factor - 0.5).astype(np.float32),
            np.float32(patch.iris_radius * factor),
            np.array(_TUNING.fringe, np.float32) * np.float32(self._width),
            np.array(identity.colours.lash, np.float32) * np.float32(0.85),
            self._own_lashes(rig, identity, side, size),
        )
        self._smooth = max(1, round(0.14 * self._width))

    @staticmethod
    def _own_lashes(rig: Rig, identity: Identity, side: int, size: int) -> Floats:
        patch, bare = identity.eyes[side], identity.lids[side]
        photo = identity.foreground[
            patch.top : patch.top + len(bare), patch.left : patch.left + len(bare)
        ]
        rim = smoothed((rig.source[rig.lids[side].upper] + 0.5) * identity.size / size - 0.5)
        return lash_picture(photo, bare, rim - (patch.left, patch.top), float(np.ptp(rim[:, 0])))

    def _closed_rim(self) -> Floats:
        """Return where the upper rim lies in the photo's pixels with this eye closed."""
        vector = neutral()
        vector[INDEX["eyeBlinkRight" if self._side else "eyeBlinkLeft"]] = 1.0
        model = self._rig.express(self._rig.map(vector))
        return self._rig.project(model[self._upper])[:, :2]

    def _rim_rows(self, rim: Floats) -> Floats:
        """Return the row of a rim ``(N, 2)`` in the patch, for every column of it."""
        order = np.argsort(rim[:, 0], kind="stable")
        rows = np.interp(self._columns, rim[order, 0], rim[order, 1]) - self._patch[1]
        return rows.astype(np.float32)

    def _above_corners(self, rows: Floats) -> Floats:
        """Widen a rim's arch: the lid's edge must not stand upright over the corners."""
        reach = max(1, round(_TUNING.wider * self._width))
        wide = cv2.erode(rows[None], np.ones((1, 2 * reach + 1), np.uint8))
        return np.asarray(cv2.GaussianBlur(wide, (0, 0), 0.5 * reach)[0], np.float32)

    def _follow(self, line: Floats, inverse: Floats) -> float:
        """Bring ``rims`` up to date; return how far the lid is closed."""
        _follow_rim(line, inverse, self._patch, self._open, self._closed, self._smooth, self._rims)
        drop = self._rims[1, self._middle]
        way = (self._closed - self._open)[self._middle].mean()
        return float(drop.mean() / max(way, 1.0))

    def box(self, points: Floats) -> tuple[int, int, int, int]:
        """Return (x0, y0, x1, y1) around the lids' margins, clipped to the picture."""
        loop = points[self.loop, :2]
        pad = 0.16 * self._rig.unit
        low, high = np.floor(loop.min(0) - pad), np.ceil(loop.max(0) + pad)
        low[1] -= np.ceil((_TUNING.above - 0.16) * self._rig.unit)
        size = self._rig.size
        x0, y0 = (held_within(v, 0, size) for v in low)
        x1, y1 = (held_within(v, 0, size) for v in high)
        return x0, y0, x1, y1

    def _hole(self, points: Floats) -> Floats:
        """Return the bounds of the gap between the lids (x0, y0, x1, y1)."""
        loop = points[self.loop, :2]
        return np.concatenate([loop.min(0) - 1.0, loop.max(0) + 1.5]).astype(np.float32)

    def paint(self, frame: Frame, opening: Opening) -> None:
        """Paint over a composed frame, whose skin is in place already.

        Args:
            frame: the picture.
            opening: this eye in it.
        """
        now = self.now(frame.points, frame.expression.eyes[self._side], frame.pose)
        skin = Skin(frame.source, opening.coverage, opening.box[0], opening.box[1])
        _paint(frame.out, skin, self.photo, now)

    def now(self, points: Floats, eye: Eye, pose: HeadPose) -> EyeNow:
        """Return what the eye does in a frame; valid until the next call.

        Args:
            points: ``(V, 3)`` the frame's vertices in pixels.
            eye: of its expression.
            pose: of the head.
        """
        self._rig.move(self._still, self._weight, pose, self._moved)
        inverse = self._to_source(self._moved[:, :2].astype(np.float64))
        line = smoothed(points[self._upper, :2])
        closure = self._follow(line, inverse)
        closing = smoothstep(_TUNING.closing, _TUNING.closed_enough, closure)
        shades = np.array(
            [
                1.0 - _TUNING.slit * smoothstep(0.1, 0.9, closure),
                _TUNING.rim_shadow * smoothstep(_TUNING.closing, 0.6, closure),
                max(1.0, _TUNING.rim_shadow_reach * self._width),
            ],
            np.float32,
        )
        return EyeNow(
            inverse,
            self._shift(eye),
            np.float32(closing),
            self._rims,
            line,
            np.float32(max(0.75, _TUNING.lash * self._rig.scale)),
            np.array(
                [LASH_LENGTH * self._width, smoothstep(*_TUNING.lash_fall, closure)], np.float32
            ),
            shades,
            self._hole(points),
        )

    def _to_source(self, now: NDArray[np.float64]) -> Floats:
        """Return the affine map (2, 3) from the frame's pixels to the photo's, by least squares."""
        design = np.column_stack([now, np.ones(len(now))])
        solution = np.linalg.lstsq(design, self._home, rcond=None)[0]
        return solution.T.astype(np.float32)

    def _shift(self, eye: Eye) -> Floats:
        """Return how far the iris moves in the photo's pixels."""
        reach = _TUNING.eyeball * self._rig.scale
        shift = np.array([math.sin(eye.yaw), 0.8 * math.sin(eye.pitch)]) * reach
        length = float(np.hypot(*shift))
        limit = _TUNING.shift_limit * float(self.photo.radius)
        if length > limit:
            shift *= limit / length
        return shift.astype(np.float32)
