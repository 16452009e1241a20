"""The rig of one identity: coefficients to vertices in pixels."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.face.fit import OVAL
from visavis.models.appearance.face.neutral import lid_seam, lip_seam
from visavis.models.appearance.face.seam import Seam
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, ease, smoothstep
from visavis.models.renderer.geometry.attached import GRID, head_share
from visavis.models.renderer.geometry.expression import Expression, ExpressionMap, Eye
from visavis.models.renderer.geometry.nostrils import NostrilCaps
from visavis.models.renderer.geometry.pose import CAMERA, HeadPose, turning_range

_SMILES = ("mouthSmile", "mouthDimple", "mouthStretch")
_CORNERS = (61, 291)  # MediaPipe landmarks


class _RigTuning(NamedTuple):
    """Where a head hinges, and what lips do beyond the kit's shapes.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    pivot: tuple[float, float, float] = (0.0, -3.5, -1.0)  # cm, where the skull sits on the neck
    still: tuple[float, float] = (0.015, 0.06)  # cm; expression offsets below this fade to nothing
    sealed_gap: float = -0.012  # cm: closed lips overlap, so that no dark line shows
    # cm of gap that soft lips bridge; from where they do not
    contact: tuple[float, float] = (0.03, 0.16)
    round: float = 0.04  # of the lips' width that rounding takes beyond the kit's shapes
    jaw: tuple[float, float] = (0.15, 0.60)  # jawOpen over which corners come in
    jaw_narrows: float = 0.6  # of the rounding, where the jaw has fallen
    round_reach: tuple[float, float] = (0.6, 3.0)  # cm from the lips over which that fades
    round_relaxes: float = 1.2  # of the rounding: what of a smile at rest it takes away
    mouth_sizes: tuple[float, float] = (0.75, 1.2)  # of the mean mouth's width
    round_hole: float = 0.66  # of the lips' width that stays open between rounded lips
    corners_meet: float = 1.6  # of the rounding, by which corners close
    # cm by which corners that are shut overlap, lips being round, and the gap from which they begin
    round_overlap: float = 0.14
    overlap_from: float = 0.15
    wide: tuple[float, float] = (0.4, 1.3)  # cm of gap
    bow: float = 0.85  # how far wide lips form a bow rather than a V
    tuck_gap: float = 0.28  # cm of upper teeth that show over a tucked lower lip


_TUNING = _RigTuning()


@njit(cache=True, fastmath=True, nogil=True)
def _move(points, head_weight, neck, matrix, shift, pivot, torso, foot, unit, camera, out):
    """Apply head and torso motion to ``(N, 3)`` pixels.

    ``torso`` is breath, shrug, lean scale, sway; ``neck`` (x, y) is where the shoulders begin;
    ``foot`` is the row that stays; ``unit`` the inter-ocular distance; ``camera`` is the lens's
    distance in such units.
    """
    breath, shrug, near, sway = torso[0], torso[1], torso[2], torso[3]
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        w = head_weight[i]
        if w > 0.0:
            px, py, pz = x - pivot[0], y - pivot[1], z - pivot[2]
            hx = matrix[0, 0] * px + matrix[0, 1] * py + matrix[0, 2] * pz + pivot[0] + shift[0]
            hy = matrix[1, 0] * px + matrix[1, 1] * py + matrix[1, 2] * pz + pivot[1] + shift[1]
            hz = matrix[2, 0] * px + matrix[2, 1] * py + matrix[2, 2] * pz + pivot[2]
            # What turns towards the lens grows, what turns away shrinks.
            closer = unit * camera / max(unit * camera - (hz - z), unit)
            hx = pivot[0] + shift[0] + closer * (hx - pivot[0] - shift[0])
            hy = pivot[1] + shift[1] + closer * (hy - pivot[1] - shift[1])
            mx, my, mz = x + w * (hx - x), y + w * (hy - y), z + w * (hz - z)
        else:
            mx, my, mz = x, y, z
        # Everything rises a little with a breath; the chest rises and widens most.
        height = min(1.0, max(0.0, (foot - y) / (1.6 * unit)))
        height = height * height * (3.0 - 2.0 * height)
        below = min(1.0, max(0.0, (y - neck[1] + 0.6 * unit) / (1.2 * unit)))
        side = (x - neck[0]) / unit
        away = min(1.0, max(0.0, abs(side) - 0.45) / 0.9)
        away = away * away * (3.0 - 2.0 * away) * below
        my -= height * unit * (breath * (0.018 + 0.030 * below) + shrug * (0.015 + 0.14 * away))
        mx += height * unit * breath * 0.014 * below * min(1.5, max(-1.5, side))
        mx += (near - 1.0) * (x - neck[0]) * height
        my += (near - 1.0) * (y - foot) * height
        mx += sway * (foot - y) * height
        out[i, 0] = mx
        out[i, 1] = my
        out[i, 2] = mz


@njit(cache=True, fastmath=True, nogil=True)
def _blend(rest, shapes, rows, weights, out):
    """Write ``rest + sum of weights * shapes[rows]`` on flat arrays."""
    for i in range(rest.shape[0]):
        out[i] = rest[i]
    for r in range(rows.shape[0]):
        w = weights[r]
        shape = shapes[rows[r]]
        for i in range(rest.shape[0]):
            out[i] += w * shape[i]


class Rig:
    """Moves one identity's vertices.

    Attributes:
        face_count: the first vertices belong to the face, the others to the mouth's inside.
        source: ``(V, 2)`` pixels at the renderer's size.
        rest: ``(V, 3)`` neutral face in model cm.
        scale: pixels per cm.
        turning: part of the usual limits of turning that the photo allows.
        unit: inter-ocular distance in pixels.
        yaw: how far the photo's face looks aside, radians.
    """

    def __init__(self, basis: FaceBasis, identity: Identity, size: int) -> None:
        """Prepare the matrices of an identity for pictures of ``size`` pixels."""
        factor = size / identity.size
        self.size = size
        self.scale = identity.scale * factor
        forward = identity.rotation[:, 2]
        self.yaw = float(np.arctan2(forward[0], forward[2]))
        self.turning = turning_range(self.yaw)
        self.unit = identity.inter_ocular_px * factor
        self.source = ((identity.source + 0.5) * factor - 0.5).astype(np.float32)
        self._caps = NostrilCaps(basis)
        self._caps.apply(self.source)
        self._offset = ((identity.offset + 0.5) * factor - 0.5).astype(np.float32)
        # Model to picture: y turns over, z stays towards the viewer.
        self._view = (self.scale * np.diag([1.0, -1.0, 1.0]) @ identity.rotation).astype(np.float32)
        self.face_count = int(basis.part("face").max()) + 1
        self.map = ExpressionMap(basis.expression_names)
        self.rest = np.ascontiguousarray(identity.rest, np.float32)
        n = self.face_count
        # The kit's shapes move the whole head by hairs; what no one sees must not move pixels.
        length = np.linalg.norm(basis.expression, axis=2, keepdims=True)
        t = np.clip((length - _TUNING.still[0]) / (_TUNING.still[1] - _TUNING.still[0]), 0, 1)
        expression = basis.expression * (ease(t))
        self._fit_mouth(basis, expression)
        flat = expression.reshape(len(expression), -1)
        self._face_shapes = np.ascontiguousarray(flat[:, : n * 3])
        self._inner_shapes = np.ascontiguousarray(flat[:, n * 3 :])
        self._inner_moving = np.abs(self._inner_shapes).max(1) > 0.05
        self._model = self.rest.copy()
        self.points = np.zeros_like(self.rest)
        self.weight = self.head_weight(self.rest)
        self._oval = basis.landmarks[list(OVAL)]
        self._share = np.ones((GRID, GRID), np.float32)
        self._pivot = self.project(np.array([_TUNING.pivot], np.float32))[0]
        neck = self.project(np.array([[0.0, -13.0, 0.0]], np.float32))[0]
        self._neck, self._foot = neck[:2].copy(), np.float32(size)
        self.lips: Seam = lip_seam(basis, self.rest)
        self.lids = tuple(lid_seam(basis, self.rest, eye) for eye in (0, 1))
        self._blink_rows = tuple(
            basis.expression_names.index(n) for n in ("eyeBlink_L", "eyeBlink_R")
        )
        blinks = [self._face_shapes[row].reshape(-1, 3) for row in self._blink_rows]
        self._blink_vertices = tuple(np.flatnonzero(np.abs(b).max(1) > 1e-3) for b in blinks)
        self._blinks = tuple(b[v] for b, v in zip(blinks, self._blink_vertices, strict=True))
        self._prepare_rounding(basis)
        smiles = [n.startswith(_SMILES) for n in basis.expression_names]
        self._smile = np.array(smiles, np.float32)
        self._smile *= identity.kept if identity.kept.size else 0.0

    def _fit_mouth(self, basis: FaceBasis, expression: Floats) -> None:
        """Let a small mouth widen and narrow by less, in place: in proportion it does as much."""
        corners = basis.landmarks[list(_CORNERS)]
        wide, usual = (float(np.ptp(v[corners, 0])) for v in (self.rest, basis.neutral))
        ratio = float(np.clip(wide / usual, *_TUNING.mouth_sizes))
        names = basis.expression_names
        shapes = [i for i, n in enumerate(names) if n.startswith(("mouth", "jawOpen"))]
        face = basis.part_vertices("face")
        near = self._near_lips(basis, face)
        expression[np.ix_(shapes, face, [0])] *= (1 + (ratio - 1) * near)[None, :, None]

    def _near_lips(self, basis: FaceBasis, vertices: NDArray[np.int64]) -> Floats:
        """Return 1 for vertices at the lips, fading to 0 away from them."""
        ring = np.concatenate([basis.ring_upper, basis.ring_lower])
        gaps = self.rest[vertices][:, None] - self.rest[ring][None]
        low, high = _TUNING.round_reach
        t = np.clip((high - np.sqrt((gaps**2).sum(2)).min(1)) / (high - low), 0, 1)
        return np.asarray(ease(t), np.float32)

    def _prepare_rounding(self, basis: FaceBasis) -> None:
        """Say how far each vertex follows lips that draw together."""
        face = basis.part_vertices("face")
        weight = self._near_lips(basis, face)
        self._round_rows = face[weight > 1e-3]
        self._round_weight = (_TUNING.round * weight[weight > 1e-3]).astype(np.float32)
        side = 2.0 * self.lips.stations - 1.0
        self._round_hole = np.sqrt(np.clip(1 - (side / _TUNING.round_hole) ** 2, 0, 1)).astype(
            np.float32
        )
        corners = np.clip((np.abs(side) - _TUNING.round_hole + 0.12) / 0.12, 0, 1)
        self._round_overlap = (_TUNING.round_overlap * corners).astype(np.float32)
        self._bow = (1 - np.abs(side) ** 2.5).astype(np.float32)
        self._tuck_gap = (_TUNING.tuck_gap * np.clip(1 - (side / 0.8) ** 2, 0, 1)).astype(
            np.float32
        )

    def head_weight(self, model: Floats) -> Floats:
        """Return how far a model point follows the head: 1 skull, 0 torso."""
        x, y = np.abs(model[:, 0]), model[:, 1]
        far = np.clip((x - 8.0) / 3.0, 0, 1)
        low, high = -18.0 + 5.0 * far, -9.5 + 3.0 * far
        t = np.clip((y - low) / (high - low), 0, 1)
        weight = ease(t)
        # A neck that the picture's lower edge cuts stretches rather than leaves the picture.
        edge = np.clip((self.size - self.project(model)[:, 1]) / (0.7 * self.unit), 0, 1)
        neck = np.clip((-9.0 - y) / 2.0, 0, 1)
        weight *= 1 - neck * (1 - ease(edge))
        return weight.astype(np.float32)

    def keep_clothes(self, picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> None:
        """Let what belongs to the shoulders stay, by the person's colour and opacity."""
        cells = np.stack(np.meshgrid(*(2 * [(np.arange(GRID) + 0.5) * self.size / GRID])), -1)
        flat = np.concatenate([cells.reshape(-1, 2) - 0.5, np.zeros((GRID * GRID, 1))], 1)
        model = self.to_model(flat.astype(np.float32)).reshape(GRID, GRID, 3)
        self._share = head_share(picture, alpha, model[..., :2], self.source[self._oval])
        n = self.face_count
        self.weight[:n] *= self._shared(self.source[:n])

    def _shared(self, pixels: Floats) -> Floats:
        """Return the head's share at ``(N, 2+)`` pixels of the photo."""
        place = (pixels[:, :2] + 0.5) * (GRID / self.size) - 0.5
        return cv2.remap(
            self._share,
            place[:, 0].astype(np.float32),
            place[:, 1].astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )[:, 0]

    def picture_weight(self, pixels: Floats) -> Floats:
        """Return how far ``(N, 3)`` pixels of the photo follow the head: 1 skull, 0 torso."""
        return self.head_weight(self.to_model(pixels)) * self._shared(pixels)

    def project(self, model: Floats) -> Floats:
        """Return model points ``(N, 3)`` in pixels, head at rest."""
        points = model @ self._view.T
        points[:, :2] += self._offset
        return points

    def to_model(self, pixels: Floats) -> Floats:
        """Return the model points of ``(N, 3)`` pixels with depth (inverse of ``project``)."""
        moved = pixels.astype(np.float32).copy()
        moved[:, :2] -= self._offset
        return moved @ np.linalg.inv(self._view).T

    def express(self, expression: Expression) -> Floats:
        """Return the model vertices of an expression ``(V, 3)`` cm; valid until the next call."""
        n, weights = self.face_count, self._from_rest(expression)
        rows = np.flatnonzero(np.abs(weights) > 1e-4)
        _blend(
            self.rest[:n].reshape(-1),
            self._face_shapes,
            rows,
            weights[rows],
            self._model[:n].reshape(-1),
        )
        rows = rows[self._inner_moving[rows]]
        _blend(
            self.rest[n:].reshape(-1),
            self._inner_shapes,
            rows,
            weights[rows],
            self._model[n:].reshape(-1),
        )
        model = self._model
        jaw = _TUNING.jaw_narrows * smoothstep(*_TUNING.jaw, expression.jaw)
        drawn = max(expression.round, jaw)
        if drawn > 1e-3:
            middle = model[self.lips.upper[len(self.lips.upper) // 2], 0]
            x = model[self._round_rows, 0]
            model[self._round_rows, 0] = x - drawn * self._round_weight * (x - middle)
        self._caps.apply(model)
        self._meet_lips(model, expression)
        for side, eye in enumerate(expression.eyes):
            self._close_lid(model, side, eye)
        return model

    def _from_rest(self, expression: Expression) -> Floats:
        """Return the weights beyond a face that rests at part of a smile.

        A smile goes on from there and becomes no larger than another's; round lips give it up.
        """
        weights = expression.weights * (1.0 - self._smile)
        if expression.round > 1e-3:
            weights = weights - min(1.0, _TUNING.round_relaxes * expression.round) * self._smile
        return weights

    def _meet_lips(self, model: Floats, expression: Expression) -> None:
        """Close the lips as far as asked, and never let them pass through each other."""
        gap = self.lips.gap(model)
        wanted = np.maximum(gap, 0.0)
        widest = float(wanted.max())
        if widest > _TUNING.wide[0]:
            # The kit's jaw alone opens a V; the muscle ring around lips keeps them a bow.
            begins, full = _TUNING.wide
            amount = _TUNING.bow * min(1.0, (widest - begins) / (full - begins))
            wanted = wanted + amount * np.maximum(widest * self._bow - wanted, 0.0)
        if expression.round > 1e-3:
            hole = 0.92 * widest * self._round_hole
            # Corners meet before lips are all round, or slits like whiskers stay open there.
            closing = min(1.0, _TUNING.corners_meet * expression.round)
            share = np.where(hole < wanted, closing, expression.round)
            wanted = wanted + share * (hole - wanted)
        # Soft lips bridge what is nearly closed.
        t = np.clip((wanted - _TUNING.contact[0]) / (_TUNING.contact[1] - _TUNING.contact[0]), 0, 1)
        wanted = wanted * t * (2 - t) * (1.0 - expression.seal)
        if expression.tuck > 1e-3:
            wanted = np.maximum(wanted, expression.tuck * self._tuck_gap)
        wanted = np.where(wanted < 1e-3, _TUNING.sealed_gap, wanted)
        if expression.round > 1e-3:
            # The corners of rounded lips lie at different depths: seen from above or below, lips
            # that just meet there are a hair apart, and whiskers grow from the mouth.
            near = np.clip(1.0 - wanted / _TUNING.overlap_from, 0, 1)
            wanted = wanted - expression.round * near * self._round_overlap
        for _ in range(2):
            delta = (wanted - gap).astype(np.float32)
            if np.abs(delta).max() < 2e-3:
                return
            self.lips.change(model, delta)
            gap = self.lips.gap(model)

    def _close_lid(self, model: Floats, side: int, eye: Eye) -> None:
        seam = self.lids[side]
        gap = seam.gap(model)
        wanted = np.maximum(gap, 0.0)
        if eye.blink > 1e-3:
            model[self._blink_vertices[side]] += eye.blink * self._blinks[side]
            # A closed lid overlaps a little, or the corners stay open by a hair.
            wanted = wanted * (1.0 - eye.blink) - 0.03 * max(0.0, eye.blink - 0.9) * 10
        for _ in range(2):
            delta = (wanted - seam.gap(model)).astype(np.float32)
            if np.abs(delta).max() < 1e-3:
                break
            seam.change(model, delta)

    def move(self, points: Floats, weight: Floats, pose: HeadPose, out: Floats) -> None:
        """Apply head and torso motion to points in pixels ``(N, 3)``."""
        near = 1.0 / (1.0 - np.sin(pose.lean) * 3.0 / CAMERA)
        torso = np.array([pose.breath, pose.shrug, near, np.tan(pose.sway)], np.float32)
        _move(
            points,
            weight,
            self._neck,
            pose.matrix,
            pose.shift,
            self._pivot,
            torso,
            self._foot,
            np.float32(self.unit),
            np.float32(CAMERA),
            out,
        )

    def pose(self, model: Floats, pose: HeadPose) -> Floats:
        """Return all vertices in pixels; valid until the next call."""
        self.move(self.project(model), self.weight, pose, self.points)
        return self.points
