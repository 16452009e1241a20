"""A portrait's fit carried to the full head: the photo's geometry and the head at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.face.fit import EYES, LIPS, Fit, landmark_weights
from visavis.models.arrays import Floats, ease
from visavis.models.renderer.training.people.head.kit import (
    EYE_SOCKETS,
    EYEBALLS,
    FACE,
    GUMS,
    HEAD,
    LASHES,
    LOWER_TEETH,
    SOCKET,
    UPPER_TEETH,
    HeadKit,
)

_SMOOTHING = 0.05
_SMILE_SMOOTHING = 6.0
_KEPT = 0.12  # of a strong expression
_SEALED = -0.01  # cm
_FADE = (1.5, 7.0)  # cm from the landmarks over which their residual fades


@dataclass(frozen=True)
class Head:
    """One head in model cm.

    Attributes:
        seen: ``(V, 3)`` the head as the portrait shows it.
        rest: ``(V, 3)`` without the portrait's mouth expression, lips closed.
        eye_centres: ``(2, 3)`` of the eyeballs, left and right.
        smile: strength of the portrait's mouth expression, 0-1.
    """

    seen: Floats
    rest: Floats
    eye_centres: Floats
    smile: float


def make_head(
    kit: HeadKit, basis: FaceBasis, fit: Fit, change: Floats, teeth: tuple[float, float]
) -> Head:
    """Carry a fit to the full head.

    Args:
        kit: the full head.
        basis: the shipped basis that was fitted.
        fit: of a portrait.
        change: ``(100,)`` identity added to the fit at rest, standard deviations.
        teeth: cm of upper incisors below and of lower ones above the closed lip line.
    """
    modes = len(fit.identity)
    base = kit.neutral + np.tensordot(fit.identity.astype(np.float32), kit.identity[:modes], 1)
    mouth = np.array([n.startswith(("mouth", "jaw", "cheek", "nose")) for n in kit.names])
    strength = float(np.clip(fit.expression[mouth].max(), 0, 1))
    kept = np.interp(strength, [0.12, 0.40], [1.0, _KEPT])
    calm = np.where(mouth, kept * fit.expression, fit.expression)
    seen = base + np.tensordot(fit.expression.astype(np.float32), kit.expression, 1)
    rest = base + np.tensordot(calm.astype(np.float32), kit.expression, 1)
    smoothing = np.full(468, _SMOOTHING)
    seen += _residual(kit, basis, fit, base, smoothing)
    if strength > 0.3:
        smoothing[list(LIPS)] = _SMILE_SMOOTHING
    rest += _residual(kit, basis, fit, base, smoothing)
    rest += np.tensordot(change.astype(np.float32), kit.identity[: len(change)], 1)
    rest = np.ascontiguousarray(rest, np.float32)
    lips = kit.seams(rest)[0]
    for _ in range(3):
        lips.change(rest, (_SEALED - lips.gap(rest)).astype(np.float32))
    _place_teeth(kit, rest, *teeth)
    centres = np.stack([_ball_centre(rest[slice(*ball)]) for ball in EYEBALLS])
    return Head(np.ascontiguousarray(seen, np.float32), rest, centres.astype(np.float32), strength)


def _ball_centre(ball: Floats) -> Floats:
    """Return the centre of an eyeball; its front bulges, its back is a sphere."""
    low, high = ball.min(0), ball.max(0)
    radius = 0.5 * float(high[0] - low[0])
    return np.array([*(0.5 * (low + high))[:2], low[2] + radius], np.float32)


def _residual(
    kit: HeadKit, basis: FaceBasis, fit: Fit, base: Floats, smoothing: NDArray[np.float64]
) -> Floats:
    """Spread the landmarks' residual over the full head, ``(V, 3)`` model cm."""
    trusted = landmark_weights(basis) > 0.2
    opened = kit.opened(base)
    offsets = (fit.residual / fit.scale * (1.0, -1.0)) @ fit.rotation[:2]
    marks = kit.basis_to_kit[basis.landmarks[trusted]]
    field = RBFInterpolator(
        opened[marks], offsets[trusted], kernel="linear", smoothing=smoothing[trusted], degree=0
    )
    out = np.zeros_like(base)
    rows = np.concatenate([np.arange(*part) for part in (FACE, HEAD, EYE_SOCKETS, *LASHES)])
    distance = np.sqrt(((opened[rows][:, None] - opened[marks][None, ::6]) ** 2).sum(2)).min(1)
    t = np.clip((distance - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)
    out[rows] = field(opened[rows]) * (1 - ease(t))[:, None]
    lips = offsets[list(LIPS)].mean(0)
    for part in (SOCKET, GUMS, UPPER_TEETH, LOWER_TEETH):
        out[slice(*part)] = lips
    left = [i for i in EYES if i > 200 and i not in (246,)]
    right = [i for i in EYES if i not in left]
    for ball, marks_of in zip(EYEBALLS, (left, right), strict=True):
        out[slice(*ball)] = offsets[marks_of].mean(0)
    return out


def _place_teeth(kit: HeadKit, rest: Floats, upper: float, lower: float) -> None:
    """Hang the teeth at the closed lip line, as the product's rig does."""
    line = float(rest[kit.ring_lower[len(kit.ring_lower) // 2], 1])
    rows = np.arange(*UPPER_TEETH)
    front = rows[np.abs(kit.neutral[rows, 0]) < 0.9]
    drop = line - upper - float(rest[front, 1].min())
    rest[rows, 1] += drop
    rest[kit.upper_gum, 1] += drop
    rows = np.arange(*LOWER_TEETH)
    front = rows[np.abs(kit.neutral[rows, 0]) < 0.9]
    rise = line + lower - float(rest[front, 1].max())
    rest[rows, 1] += rise
    gums = np.setdiff1d(np.arange(*GUMS), kit.upper_gum)
    rest[gums, 1] += rise


@dataclass(frozen=True)
class View:
    """How the head stands in its portrait and where the camera is.

    View space: cm, x right, y up, z to the viewer; ``z`` 0 lies in the plane of the eyes.

    Attributes:
        rotation: ``(3, 3)`` model to view.
        centre: ``(2,)`` view x, y in the middle of the picture.
        level: view z of the eyes' plane.
        per_cm: picture sides per cm in that plane.
        distance: cm from the camera to that plane.
        pivot: ``(3,)`` of the head, view space before the camera's correction.
        foot: view y of the picture's lower edge.
        inter_ocular: cm.
    """

    rotation: Floats
    centre: Floats
    level: float
    per_cm: float
    distance: float
    pivot: Floats
    foot: float
    inter_ocular: float

    def place(self, model: Floats) -> Floats:
        """Return model points in view space, spread so that the portrait's projection holds.

        The fit is a weak perspective; under a near camera the same outline needs what lies
        further back to be larger.
        """
        view = model @ self.rotation.T
        return self.spread(view)

    def spread(self, view: Floats) -> Floats:
        """Make points of the weak perspective fit the camera."""
        z = view[:, 2] - np.float32(self.level)
        far = ((self.distance - z) / self.distance).astype(np.float32)
        xy = self.centre + (view[:, :2] - self.centre) * far[:, None]
        return np.concatenate([xy, z[:, None]], 1).astype(np.float32)

    def project(self, points: Floats) -> Floats:
        """Return ``(N, 3)``: x, y in picture sides (0-1, y down) and z in cm."""
        near = self.distance / np.maximum(self.distance - points[:, 2], 1.0)
        xy = (points[:, :2] - self.centre) * (near * self.per_cm)[:, None]
        return np.stack([0.5 + xy[:, 0], 0.5 - xy[:, 1], points[:, 2]], 1).astype(np.float32)


def make_view(fit: Fit, work: int, distance: float, zoom: float, inter_ocular: float) -> View:
    """Return the view of a portrait of ``work`` pixels, ``zoom`` >= 1 into its middle."""
    rotation = fit.rotation.astype(np.float32)
    middle = (np.array([work / 2, work / 2]) - fit.offset) / fit.scale * (1.0, -1.0)
    eyes = rotation @ np.array([0, 3.0, 9.0], np.float32)
    pivot = rotation @ np.array([0.0, -3.5, -1.0], np.float32)
    side = work / fit.scale / zoom
    return View(
        rotation, middle.astype(np.float32), float(eyes[2]), 1.0 / side, distance,
        pivot.astype(np.float32), float(middle[1] - side / 2), inter_ocular,
    )  # fmt: skip
