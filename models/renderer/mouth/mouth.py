"""The inside of the mouth: inner lips, teeth, gums, tongue and the dark behind them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, held_within, smoothstep
from visavis.models.renderer.frame import Frame, Lit, Opening
from visavis.models.renderer.geometry.expression import Expression
from visavis.models.renderer.geometry.geometry import Rig
from visavis.models.renderer.geometry.pose import HeadPose
from visavis.models.renderer.mouth.seam_line import draw_seam_line
from visavis.models.renderer.mouth.teeth import apply_photo_teeth, photo_teeth, tooth_relief
from visavis.models.renderer.mouth.throat import Throat
from visavis.models.renderer.raster.warp import FAR, rasterise

_LIGHT = np.array([0.0, 0.42, 0.91], np.float32)
# Darkening is warm: what little light there is has passed through lips and cheeks.
_WARM = np.array([0.82, 1.08, 1.12], np.float32)
# Tongue and what lies behind are shapes of their own, see throat.py.
_PARTS = ("upper_teeth", "lower_teeth", "upper_gum")
# cm from the middle; molars are never more than a distraction
_FRONT_TEETH = {"upper_teeth": 2.35, "lower_teeth": 1.75, "upper_gum": 2.35}


class _MouthTuning(NamedTuple):
    """How the inside of a mouth is lit, and how its lips end.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    ambient: float = 0.62  # of the light, where nothing faces it
    depth_start: float = 0.9  # cm behind the lips, from where it gets dark
    depth_fall: float = 2.8  # cm over which it does
    deepest: float = 0.27  # of the light reaches the throat
    lip_shadow: float = 0.30  # of the light is missing close under the upper lip
    lip_shadow_reach: float = 0.24  # cm
    thin: tuple[float, float] = (0.05, 0.30)  # cm of gap from which the inside is fully lit
    # A photo's own teeth come with its light, its shadows and the gap that it has: how much of ours
    # is added, and how much sooner they are seen.
    own_shade: float = 0.1
    own_shadow: float = 0.4
    own_sooner: float = 0.5
    thin_colour: float = 0.42  # of the lip's colour
    # lighter where lips are round: the corners are lips that touch, no slits
    thin_round: float = 0.6
    # of that fade is lost where the lower lip rests on the teeth, which are in front
    tucked: float = 0.75
    round: tuple[float, float] = (0.1, 0.8)  # of rounding over which lips keep light out
    round_dark: float = 0.88  # of the light is kept out by lips that come forward
    fine: int = 2  # samples per pixel and axis
    seam: float = 0.065  # cm, half width of the line between closed lips
    seam_dark: float = 0.33  # of the light is missing in it
    # of the line is lost at the corners of round lips, which have no crease there
    seam_round: float = 0.8
    rim: float = 0.020  # inter-ocular distances, blur of the rim where lips turn inwards
    # of the light is missing at the edge of upper and lower lip
    rim_skin: tuple[float, float] = (0.42, 0.20)
    rim_inside: tuple[float, float] = (0.40, 0.33)  # of what is seen there is the lips' own inside


_TUNING = _MouthTuning()


@njit(cache=True, fastmath=True, nogil=True)
def _shade(
    points, base, light, warm, front, scale, ring_x, ring_y, gaps, thin, terms, out
):  # fmt: skip
    """Light the inner vertices of one frame; see the constants for the terms.

    ``light``: ``(3, N)`` of a vertex, its share of the lip's shadow, and of the gap from which it
    is seen.

    ``terms``: gap from which light enters, gap over which it comes, and how much comes at all.
    """
    thin_from, thin_span, let_in = terms
    last = ring_x.shape[0] - 1
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        k = 0
        while k < last - 1 and ring_x[k + 1] < x:
            k += 1
        t = (x - ring_x[k]) / max(ring_x[k + 1] - ring_x[k], np.float32(1e-3))
        t = min(np.float32(1.0), max(np.float32(0.0), t))
        edge = ring_y[k] + t * (ring_y[k + 1] - ring_y[k])
        gap = gaps[k] + t * (gaps[k + 1] - gaps[k])
        below = max(np.float32(0.0), (y - edge) / scale) / np.float32(_TUNING.lip_shadow_reach)
        shadow = np.float32(1.0) - light[1, i] * np.float32(_TUNING.lip_shadow) * np.exp(
            -below * below
        )
        behind = max(np.float32(0.0), (front - z) / scale - np.float32(_TUNING.depth_start))
        fall = np.float32(_TUNING.deepest) + np.float32(1.0 - _TUNING.deepest) * np.exp(
            -behind / np.float32(_TUNING.depth_fall)
        )
        level = light[0, i] * shadow * fall * let_in
        s = min(np.float32(1.0), max(np.float32(0.0), (gap / light[2, i] - thin_from) / thin_span))
        s = s * s * (np.float32(3.0) - np.float32(2.0) * s)
        for c in range(3):
            lit = base[i, c] * level ** warm[c]
            out[i, c] = thin[c] + s * (lit - thin[c])


@njit(cache=True, fastmath=True, nogil=True)
def _mix(out, interior, coverage, near, lining, rim, left, top):
    """Put the doubled interior behind partly covered skin; lips turn inwards at their edge.

    Args:
        out: ``(S, S, 3)`` frame, changed in place.
        interior: ``(2h, 2w, 3)``.
        coverage: ``(h, w)`` skin samples, 0-16.
        near: ``(h, w)`` the same, blurred: 16 far inside the skin, 8 at its edge, 0 far from it.
        lining: ``(3,)`` colour of the lips' inside, in shadow.
        rim: ``(4,)`` what the upper and the lower lip lose at their edge, and how much of their
            inside is seen beside it.
        left: first column.
        top: first row.
    """
    rows, columns = coverage.shape
    one = np.float32(1.0)
    for x in range(columns):
        first, last = -1, -1  # of the hole in this column
        for y in range(rows):
            if coverage[y, x] < 8:
                if first < 0:
                    first = y
                last = y
        middle = 0.5 * (first + last) if first >= 0 else 0.5 * rows
        for y in range(rows):
            c = np.float32(coverage[y, x])
            close = np.float32(near[y, x]) / np.float32(16.0)
            low = min(one, max(np.float32(0.0), np.float32(0.5) + np.float32(0.25) * (y - middle)))
            edge = min(one, np.float32(2.0) * (one - close)) * c / np.float32(16.0)
            if edge < np.float32(0.02) and c > 15:
                continue
            skin = one - edge * (rim[0] + low * (rim[1] - rim[0]))
            lips = min(one, np.float32(2.0) * close) ** 2 * (rim[2] + low * (rim[3] - rim[2]))
            for k in range(3):
                value = np.float32(0.25) * (
                    interior[2 * y, 2 * x, k]
                    + interior[2 * y, 2 * x + 1, k]
                    + interior[2 * y + 1, 2 * x, k]
                    + interior[2 * y + 1, 2 * x + 1, k]
                )
                value += lips * (lining[k] - value)
                # Red goes last: the light has passed through flesh.
                kept = skin if k > 0 else np.float32(0.5) * (one + skin)
                lit = c * kept * out[y + top, x + left, k] + (np.float32(16.0) - c) * value
                out[y + top, x + left, k] = int(lit / np.float32(16.0) + np.float32(0.5))


def vertex_normals(points: Floats, tris: NDArray[np.int32]) -> Floats:
    """Return unit normals per vertex, area-weighted; zero where no triangle touches."""
    face = np.cross(
        points[tris[:, 1]] - points[tris[:, 0]], points[tris[:, 2]] - points[tris[:, 0]]
    )
    normals = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normals, tris[:, corner], face)
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9)


class MouthPainter:
    """Paints the inside of one identity's mouth."""

    def __init__(self, rig: Rig, basis: FaceBasis, identity: Identity) -> None:
        """Prepare triangles and unlit colours."""
        self._rig = rig
        face = basis.part("face")
        lining = face[basis.inner_lip[face].any(1)]
        parts = [self._front(basis, name) for name in _PARTS]
        tris = np.concatenate([lining, *parts])
        used = np.unique(tris)
        number = np.zeros(len(basis.neutral), np.int32)
        number[used] = np.arange(len(used))
        self._used = used
        self._throat = Throat(rig, basis, identity)
        self._local = np.ascontiguousarray(
            np.concatenate([number[tris], self._throat.triangles + len(used)]), np.int32
        )
        base, light = self._unlit(rig, basis, identity, lining)
        lip = np.array(identity.colours.lip, np.float32)
        self._thin = (_TUNING.thin_colour * lip).astype(np.float32)
        self._dark = (lip * np.array([0.25, 0.14, 0.14], np.float32)).astype(np.float32)
        grey = identity.colours.grey > 0.5
        self._warm = np.full(3, _WARM.mean(), np.float32) if grey else _WARM
        if grey:
            self._dark[:] = self._dark.mean()
            self._thin[:] = self._thin.mean()
        self._rim = np.array([*_TUNING.rim_skin, *_TUNING.rim_inside], np.float32)
        self._teeth = photo_teeth(basis, identity)
        count = len(used) + len(self._throat.base)
        self._values = np.zeros((count, 3 if self._teeth is None else 6), np.float32)
        shares = np.ones((2, count), np.float32)
        if self._teeth is not None:
            self._values[: len(used), 3:] = self._teeth.lookup[used]
            own = self._teeth.shown()[used]
            shares[0, : len(used)] -= own * (1 - _TUNING.own_shadow)
            shares[1, : len(used)] -= own * (1 - _TUNING.own_sooner)
            # The photo brings the shading between its teeth; twice would be stripes. Where it
            # shows none, at the ends of the row, teeth without it would be fangs.
            light += own * (1 - _TUNING.own_shade) * (1 - light)
        self._base = np.concatenate([base, self._throat.base])
        lit = np.concatenate([light, self._throat.light])
        self._light = np.ascontiguousarray(np.vstack([lit, shares]), np.float32)
        self._vertices = np.zeros((count, 3), np.float32)
        # A mouth that is closed in the photo brings its own line.
        self._seam_dark = np.float32(
            _TUNING.seam_dark * min(1.0, max(0.0, identity.opening - 0.1) / 0.2)
        )
        ends = np.clip(4.0 * rig.lips.stations * (1.0 - rig.lips.stations), 0, 1)
        self._seam_profile = (ends**0.4).astype(np.float32)

    @staticmethod
    def warm_up() -> None:
        """Compile the loops that only some photos need."""
        apply_photo_teeth(
            np.zeros((1, 1, 6), np.float32), np.zeros((2, 2, 4), np.uint8), np.ones(3, np.float32)
        )
        line = np.zeros((2, 2), np.float32)
        strength = np.zeros(2, np.float32)
        draw_seam_line(np.zeros((1, 1, 3), np.uint8), line, strength, np.float32(1), 0, 0, 1, 1)

    @staticmethod
    def _front(basis: FaceBasis, name: str) -> NDArray[np.int32]:
        tris = basis.part(name)
        return tris[np.abs(basis.neutral[tris, 0]).max(1) < _FRONT_TEETH[name]]

    def draw_seam(self, frame: Frame) -> None:
        """Draw the line between lips that touch, where the photo has none."""
        found = self.seam_line(frame.points, frame.model, frame.expression)
        if found is None:
            return
        x0, y0, x1, y1 = self.box(frame.points)
        draw_seam_line(frame.out, *found, self.seam_half, x0, y0, x1, y1)

    @property
    def seam_half(self) -> np.float32:
        """Half the width of the line between closed lips, pixels."""
        return np.float32(max(0.8, _TUNING.seam * self._rig.scale))

    def seam_line(
        self, points: Floats, model: Floats, expression: Expression
    ) -> tuple[Floats, Floats] | None:
        """Return the line where lips touch, ``(K, 2)`` pixels, and how dark it is, ``(K,)`` 0-1."""
        if self._seam_dark <= 0:
            return None
        seam = self._rig.lips
        gap = seam.gap(model)
        shut = np.clip(1.0 - gap / 0.08, 0, 1).astype(np.float32)
        strength = self._seam_dark * self._seam_profile * shut
        strength *= np.float32(1.0 - _TUNING.seam_round * expression.round)
        if strength.max() < 0.01:
            return None
        upper, lower = seam.read_upper @ points[seam.upper], seam.read_lower @ points[seam.lower]
        return np.ascontiguousarray((0.5 * (upper + lower))[:, :2], np.float32), strength

    def _unlit(
        self, rig: Rig, basis: FaceBasis, identity: Identity, lining: NDArray[np.int32]
    ) -> tuple[Floats, Floats]:
        colours = identity.colours
        lip, teeth = np.array(colours.lip), np.array(colours.teeth)
        level = colours.light
        base = np.zeros((len(basis.neutral), 3), np.float32)
        flesh = {
            "upper_gum": 0.5 * lip * (1.1, 0.90, 0.92) + 0.6 * level * np.array([222, 146, 142]),
            "upper_teeth": teeth,
            "lower_teeth": 0.94 * teeth,
        }
        for name, colour in flesh.items():
            base[basis.part_vertices(name)] = colour
        rows = np.unique(lining)
        base[rows] = self._lip_texture(identity, rows)
        if colours.grey > 0.5:
            base[:] = base.mean(1, keepdims=True)
        rest = np.asarray(identity.rest, np.float32)
        light = np.ones(len(rest), np.float32)
        for name in flesh:
            normals = vertex_normals(rest, basis.part(name))
            members = basis.part_vertices(name)
            facing = np.clip(normals[members] @ _LIGHT, 0, 1)
            light[members] = _TUNING.ambient + (1 - _TUNING.ambient) * facing
            if name.endswith("teeth"):
                light[members] *= tooth_relief(basis, name)
        return (
            np.ascontiguousarray(base[self._used], np.float32),
            np.ascontiguousarray(light[self._used], np.float32),
        )

    @staticmethod
    def _lip_texture(identity: Identity, rows: NDArray[np.int32]) -> Floats:
        size = identity.size
        at = np.clip(np.rint(identity.source[rows]), 0, size - 1).astype(np.int64)
        return identity.foreground[at[:, 1], at[:, 0]].astype(np.float32)

    def box(self, points: Floats) -> tuple[int, int, int, int]:
        """Return (x0, y0, x1, y1) around the inner-lip ring, clipped to the picture."""
        seam = self._rig.lips
        ring = np.concatenate([points[seam.upper, :2], points[seam.lower, :2]])
        low, high = np.floor(ring.min(0)) - 2, np.ceil(ring.max(0)) + 3
        x0, y0 = (held_within(v, 0, self._rig.size) for v in low)
        x1, y1 = (held_within(v, 0, self._rig.size) for v in high)
        return x0, y0, x1, y1

    def paint(self, frame: Frame, opening: Opening) -> Floats:
        """Paint the inside behind the lips; return it, ``(2h, 2w, 3)`` float32 in 0-255.

        Args:
            frame: the picture, whose skin is in place already.
            opening: the mouth in it.
        """
        coverage, (left, top, _, _) = opening.coverage, opening.box
        lit = self.lit(frame.points, frame.model, frame.pose, frame.expression)
        interior = self._rasterise(lit.vertices, coverage.shape, left, top)
        near = cv2.GaussianBlur(coverage, (0, 0), self.rim_sigma)
        _mix(frame.out, interior, coverage, near, lit.thin, self._rim, left, top)
        return interior

    @property
    def rim_sigma(self) -> float:
        """Pixels of the blur that says how near the lips' edge is."""
        return max(0.6, _TUNING.rim * self._rig.unit)

    def lit(self, points: Floats, model: Floats, pose: HeadPose, expression: Expression) -> Lit:
        """Light the inside of the mouth of one frame; valid until the next call.

        Args:
            points: ``(V, 3)`` the face's vertices in pixels.
            model: ``(V, 3)`` the same in model cm.
            pose: of the head.
            expression: of the face.
        """
        rig, seam = self._rig, self._rig.lips
        vertices = self._vertices
        vertices[: len(self._used)] = points[self._used]
        vertices[len(self._used) :] = self._throat.points(
            points, model, pose, expression.jaw, expression.tongue
        )
        gate = 1 - _TUNING.tucked * expression.tuck
        let_in = 1 - _TUNING.round_dark * smoothstep(*_TUNING.round, expression.round)
        terms = tuple(
            np.float32(v)
            for v in (_TUNING.thin[0] * gate, (_TUNING.thin[1] - _TUNING.thin[0]) * gate, let_in)
        )
        thin = self._thin * np.float32(1.0 + _TUNING.thin_round * expression.round)
        ring = points[seam.upper]
        order = np.argsort(ring[:, 0], kind="stable")
        _shade(
            vertices,
            self._base,
            self._light,
            self._warm,
            np.float32(ring[order[len(order) // 2], 2]),
            np.float32(rig.scale),
            seam.read_upper @ ring[:, 0],
            seam.read_upper @ ring[:, 1],
            np.maximum(seam.gap(model), 0),
            thin,
            terms,
            self._values,
        )
        return Lit(vertices, self._values, thin)

    def _rasterise(self, vertices: Floats, shape: tuple[int, ...], left: int, top: int) -> Floats:
        """Draw the lit vertices' triangles on a grid of ``fine`` samples per pixel."""
        size = (shape[0] * _TUNING.fine, shape[1] * _TUNING.fine)
        depth = np.full(size, FAR, np.float32)
        interior = np.zeros((*size, self._values.shape[1]), np.float32)
        interior[..., :3] = self._dark
        fine = vertices * np.array([_TUNING.fine, _TUNING.fine, 1], np.float32)
        fine[:, :2] += 0.5 * (_TUNING.fine - 1)
        rasterise(
            self._local,
            fine,
            self._values,
            depth,
            interior,
            left * _TUNING.fine,
            top * _TUNING.fine,
        )
        if self._teeth is None:
            return interior
        apply_photo_teeth(interior, self._teeth.texture, self._teeth.colour)
        return np.ascontiguousarray(interior[..., :3])
