"""From coefficients to a posed head in view space, with exact lips, lids, eyes and tongue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.seam import Seam
from visavis.models.arrays import Floats, ease
from visavis.models.renderer.geometry.expression import Expression, ExpressionMap, Eye
from visavis.models.renderer.geometry.pose import HeadPose, head_pose
from visavis.models.renderer.training.people.head.head import Head, View
from visavis.models.renderer.training.people.head.kit import EYEBALLS, HeadKit

_STILL = (0.015, 0.06)  # cm; offsets below this fade to nothing
_TONGUE_RISE = 1.5  # cm at jawOpen 1
_SEALED_GAP = -0.012  # cm
_SUNK = 0.25  # cm
_FLIP = np.diag([1.0, -1.0, 1.0]).astype(np.float32)
_CAMERA = 9.0  # inter-ocular distances, as the product's rig has it for a lean


@dataclass(frozen=True)
class Manner:
    """How one person's face moves; what a rig made from one photo cannot know.

    Attributes:
        gains: ``(57,)`` on the kit's expressions.
        tongue_rise: cm added to the tongue at rest.
    """

    gains: Floats
    tongue_rise: float


def head_weight(model: Floats) -> Floats:
    """Return how far model points follow the head: 1 skull, 0 torso; as the product's rig."""
    x, y = np.abs(model[:, 0]), model[:, 1]
    far = np.clip((x - 8.0) / 3.0, 0, 1)
    low, high = -18.0 + 5.0 * far, -9.5 + 3.0 * far
    t = np.clip((y - low) / (high - low), 0, 1)
    return (ease(t)).astype(np.float32)


def move(points: Floats, weight: Floats, view: View, pose: HeadPose) -> Floats:
    """Apply head and torso motion to points in view space; see ``geometry.Rig.move``."""
    pivot = view.spread(view.pivot[None])[0]
    matrix = _FLIP @ pose.matrix @ _FLIP
    # The rig's shift is in pixels of its unit; here the unit is the inter-ocular distance.
    shift = pose.shift * np.array([1.0, -1.0, 1.0], np.float32)
    turned = (points - pivot) @ matrix.T + pivot + shift
    out = points + weight[:, None] * (turned - points)
    unit, foot = view.inter_ocular, view.foot
    collar = np.array([[0.0, -13.0, 0.0]], np.float32) @ view.rotation.T
    neck = view.spread(collar)[0]
    height = np.clip((out[:, 1] - foot) / (1.6 * unit), 0, 1)
    height = ease(height)
    below = np.clip((neck[1] - out[:, 1] + 0.6 * unit) / (1.2 * unit), 0, 1)
    side = (out[:, 0] - neck[0]) / unit
    away = np.clip((np.abs(side) - 0.45) / 0.9, 0, 1)
    away = ease(away) * below
    near = 1.0 / (1.0 - np.sin(pose.lean) * 3.0 / _CAMERA)
    x, y = out[:, 0].copy(), out[:, 1].copy()
    lift = pose.breath * (0.018 + 0.030 * below) + pose.shrug * (0.015 + 0.14 * away)
    out[:, 1] += height * unit * lift + (near - 1.0) * (y - foot) * height
    out[:, 0] += height * unit * pose.breath * 0.014 * below * np.clip(side, -1.5, 1.5)
    out[:, 0] += (near - 1.0) * (x - neck[0]) * height + np.tan(pose.sway) * (y - foot) * height
    return out.astype(np.float32)


def turn(yaw: float, pitch: float) -> Floats:
    """Return the rotation of a gaze: yaw to the viewer's right, pitch down."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array(
        [[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]
    ) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])  # fmt: skip


class Puppet:
    """One person's head, ready to be posed."""

    def __init__(self, kit: HeadKit, head: Head, view: View, manner: Manner) -> None:
        """Prepare seams and the expressions that really move this head."""
        self.kit, self.head, self.view = kit, head, view
        self.map = ExpressionMap(kit.names)
        length = np.linalg.norm(kit.expression, axis=2, keepdims=True)
        t = np.clip((length - _STILL[0]) / (_STILL[1] - _STILL[0]), 0, 1)
        shapes = kit.expression * (ease(t)) * manner.gains[:, None, None]
        for ball in EYEBALLS:  # they turn as balls
            shapes[:, slice(*ball)] = 0
        self._shapes = shapes.reshape(len(shapes), -1)
        self._blinks = tuple(kit.names.index(n) for n in ("eyeBlink_L", "eyeBlink_R"))
        self._seams = kit.seams(head.rest)
        self._tongue_rise = manner.tongue_rise
        self.weight = head_weight(head.rest)
        forward = view.rotation.T @ np.array([0, 0, 1.0])
        # In the photo both eyes look into the camera.
        self._gaze = _towards(forward)

    @property
    def lips(self) -> Seam:
        """The seam between the lips."""
        return self._seams[0]

    def express(self, coefficients: Floats) -> tuple[Floats, Expression]:
        """Return model vertices ``(V, 3)`` and the expression behind them."""
        expression = self.map(coefficients)
        rows = np.flatnonzero(np.abs(expression.weights) > 1e-4)
        model = self.head.rest + (expression.weights[rows] @ self._shapes[rows]).reshape(-1, 3)
        kit = self.kit
        rise = _TONGUE_RISE * expression.jaw + self._tongue_rise * min(1.0, 4 * expression.jaw)
        model[kit.tongue, 1] += rise * kit.tongue_free * (0.35 + 0.65 * kit.tongue_core)
        if expression.tongue > 0:
            model[kit.tongue, 2] += 1.5 * expression.tongue * kit.tongue_core * kit.tongue_free
            model[kit.tongue, 1] += (
                0.75 * expression.tongue * kit.tongue_core**1.5 * kit.tongue_free
            )
        self._meet_lips(model, expression.seal)
        for side, eye in enumerate(expression.eyes):
            self._lid(model, side, eye)
            self._ball(model, side, eye)
        return np.ascontiguousarray(model, np.float32), expression

    def _meet_lips(self, model: Floats, seal: float) -> None:
        for _ in range(2):
            gap = self.lips.gap(model)
            wanted = np.maximum(gap, 0.0) * (1.0 - seal)
            wanted = np.where(wanted < 1e-3, _SEALED_GAP, wanted)
            self.lips.change(model, (wanted - gap).astype(np.float32))

    def _lid(self, model: Floats, side: int, eye: Eye) -> None:
        seam = self._seams[1 + side]
        wanted = np.maximum(seam.gap(model), 0.0)
        if eye.blink > 1e-3:
            model += eye.blink * self._shapes[self._blinks[side]].reshape(-1, 3)
            wanted = wanted * (1.0 - eye.blink) - 0.3 * max(0.0, eye.blink - 0.9)
        for _ in range(2):
            seam.change(model, (wanted - seam.gap(model)).astype(np.float32))

    def _ball(self, model: Floats, side: int, eye: Eye) -> None:
        rotation = (self._gaze @ turn(eye.yaw, eye.pitch)).astype(np.float32)
        centre = self.head.eye_centres[side]
        rows = slice(*EYEBALLS[side])
        # The kit's lids do not bulge over the cornea: under them the ball steps back a little.
        t = np.clip((eye.blink - 0.3) / 0.6, 0, 1)
        sunk = centre - np.array([0, 0, _SUNK * t * t * (3 - 2 * t)], np.float32)
        model[rows] = (self.head.rest[rows] - centre) @ rotation.T + sunk

    def pose(self, coefficients: Floats) -> tuple[Floats, Floats, HeadPose, Expression]:
        """Return view-space vertices ``(V, 3)``, model vertices, head pose and expression."""
        model, expression = self.express(coefficients)
        pose = head_pose(coefficients, self.view.inter_ocular)
        points = move(self.view.place(model), self.weight, self.view, pose)
        return points, model, pose, expression


def _towards(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation that brings z to ``direction`` without roll."""
    d = direction / np.linalg.norm(direction)
    return turn(float(np.arctan2(d[0], d[2])), float(-np.arcsin(np.clip(d[1], -1, 1))))
