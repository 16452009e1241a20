"""Fit the face basis to landmarks: weak perspective, alternating bounded least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from visavis.models.appearance.face.basis import FaceBasis

# MediaPipe landmark numbers.
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
EYES = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246,
    263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466,
)  # fmt: skip
# Subject's left then right.
EYE_CONTOUR = (
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

_NOT_FITTED = ("PupilDilate", "eyeLook", "mouthClose")


class _FitTuning(NamedTuple):
    """How a head is fitted to landmarks: weights of the least squares.

    Set by eye on fitted portraits.
    """

    iterations: int = 10
    few_iterations: int = 4  # from another frame of the same face
    depth_weight: float = 0.25  # MediaPipe's z is a guess
    ridge: float = 0.12  # cm of landmark error that one unit of a coefficient may cost
    identity_ridge: float = 0.25
    expression_ridge: float = 0.35
    far: float = 0.3  # cm; a landmark further than this from its vertex is only a hint


_TUNING = _FitTuning()


@dataclass(frozen=True)
class Fit:
    """A fitted face; ``pixel = scale * (R v)[:2] * (1, -1) + offset``.

    Attributes:
        rotation: ``(3, 3)`` model to view (x right, y up, z to the viewer).
        scale: pixels per cm.
        offset: ``(2,)`` pixels.
        identity: ``(60,)`` in standard deviations.
        expression: ``(57,)`` in 0-1.
        residual: ``(468, 2)`` landmark minus model, pixels (x right, y down); 0 where unmapped.
        rms: weighted residual in pixels.
    """

    rotation: NDArray[np.float64]
    scale: float
    offset: NDArray[np.float64]
    identity: NDArray[np.float64]
    expression: NDArray[np.float64]
    residual: NDArray[np.float64]
    rms: float

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Project model points ``(N, 3)`` in cm to pixels ``(N, 2)``."""
        view = np.asarray(points, np.float64) @ self.rotation.T
        return view[:, :2] * (self.scale, -self.scale) + self.offset

    @property
    def angles(self) -> tuple[float, float, float]:
        """Return (pitch, yaw, roll) of the photo in radians, signs as in the vocabulary."""
        forward, right = self.rotation[:, 2], self.rotation[:, 0]
        yaw = float(np.arctan2(forward[0], forward[2]))
        pitch = float(-np.arctan2(forward[1], np.hypot(forward[0], forward[2])))
        roll = float(-np.arctan2(right[1], np.hypot(right[0], right[2])))
        return pitch, yaw, roll


def landmark_weights(basis: FaceBasis) -> NDArray[np.float64]:
    """Return how far each of the 468 landmarks is trusted; 0 without a vertex."""
    weight = np.full(468, 0.7)
    weight[list(OVAL)] = 0.35
    weight[list(LIPS)] = 1.6
    weight[list(EYES)] = 1.6
    weight[basis.landmark_distance > _TUNING.far] = 0.2
    weight[basis.landmarks < 0] = 0.0
    return weight


def fit_face(basis: FaceBasis, landmarks: NDArray[np.float32]) -> Fit:
    """Fit pose, identity and expression to one face.

    Args:
        basis: the face basis.
        landmarks: ``(>=468, 3)`` MediaPipe landmarks in pixels, z in the same scale.

    Returns:
        The fit; identity within ±3, expressions within 0-1.
    """
    weight = landmark_weights(basis)
    used = np.flatnonzero(weight > 0)
    vertex = basis.landmarks[used]
    target = landmarks[used].astype(np.float64) * (1.0, -1.0, -1.0)
    w = weight[used, None] * (1.0, 1.0, _TUNING.depth_weight)
    modes = basis.identity[:, vertex].astype(np.float64)
    fitted = [i for i, n in enumerate(basis.expression_names) if not n.startswith(_NOT_FITTED)]
    shapes = basis.expression[fitted][:, vertex].astype(np.float64)
    stack = np.concatenate([modes, shapes])
    mean = basis.neutral[vertex].astype(np.float64)
    x = np.zeros(len(stack))
    rotation, scale, offset = _align(mean, target, weight[used])
    for _ in range(_TUNING.iterations):
        points = mean + np.tensordot(x, stack, 1)
        rotation, scale, offset = _refine_pose(points, target, w, rotation, scale, offset)
        x = _solve_shape(stack, mean, target, w, rotation, scale, offset, len(modes))
    points = mean + np.tensordot(x, stack, 1)
    error = target - (scale * points @ rotation.T + offset)
    residual = np.zeros((468, 2))
    residual[used] = error[:, :2] * (1.0, -1.0)
    expression = np.zeros(len(basis.expression_names))
    expression[fitted] = x[len(modes) :]
    total = weight[used] ** 2
    rms = float(np.sqrt((total[:, None] * error[:, :2] ** 2).sum() / total.sum()))
    return Fit(
        rotation, scale, offset[:2] * (1.0, -1.0), x[: len(modes)], expression, residual, rms
    )


def fit_expression(basis: FaceBasis, known: Fit, landmarks: NDArray[np.float32]) -> Fit:
    """Fit pose and expression of a face whose identity another picture has given.

    What the basis cannot say of that picture's landmarks is kept as part of the identity.

    Args:
        basis: the face basis.
        known: the fit of the other picture, of the same size.
        landmarks: ``(>=468, 3)`` MediaPipe landmarks in pixels, z in the same scale.
    """
    weight = landmark_weights(basis)
    used = np.flatnonzero(weight > 0)
    vertex = basis.landmarks[used]
    target = landmarks[used].astype(np.float64) * (1.0, -1.0, -1.0)
    w = weight[used, None] * (1.0, 1.0, _TUNING.depth_weight)
    fitted = [i for i, n in enumerate(basis.expression_names) if not n.startswith(_NOT_FITTED)]
    shapes = basis.expression[fitted][:, vertex].astype(np.float64)
    mean = basis.neutral[vertex] + np.tensordot(known.identity, basis.identity[:, vertex], 1)
    mean = mean + (known.residual[used] / known.scale * (1.0, -1.0)) @ known.rotation[:2]
    x = known.expression[fitted].copy()
    rotation, scale = known.rotation, known.scale
    turned = scale * (mean + np.tensordot(x, shapes, 1)) @ rotation.T
    offset = np.array([*known.offset * (1.0, -1.0), float((target - turned)[:, 2].mean())])
    for _ in range(_TUNING.few_iterations):
        points = mean + np.tensordot(x, shapes, 1)
        rotation, scale, offset = _refine_pose(points, target, w, rotation, scale, offset)
        x = _solve_shape(shapes, mean, target, w, rotation, scale, offset, 0)
    error = target - (scale * (mean + np.tensordot(x, shapes, 1)) @ rotation.T + offset)
    expression = np.zeros(len(basis.expression_names))
    expression[fitted] = x
    total = weight[used] ** 2
    rms = float(np.sqrt((total[:, None] * error[:, :2] ** 2).sum() / total.sum()))
    return Fit(
        rotation, scale, offset[:2] * (1.0, -1.0), known.identity, expression, known.residual, rms
    )


def _align(
    points: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Similarity transform from points to target (Umeyama 1991, weighted)."""
    w = weight / weight.sum()
    mean_p, mean_t = w @ points, w @ target
    p, t = points - mean_p, target - mean_t
    u, d, vt = np.linalg.svd((t * w[:, None]).T @ p)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / (w @ (p**2).sum(1)))
    return rotation, scale, mean_t - scale * rotation @ mean_p


def _refine_pose(
    points: NDArray[np.float64],
    target: NDArray[np.float64],
    w: NDArray[np.float64],
    rotation: NDArray[np.float64],
    scale: float,
    offset: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Improve the pose by Gauss-Newton steps on rotation vector, log scale and offset."""
    for _ in range(4):
        turned = scale * points @ rotation.T
        error = (target - turned - offset) * w
        jacobian = np.zeros((len(points), 3, 7))
        for axis in range(3):
            jacobian[:, :, axis] = np.cross(np.eye(3)[axis], turned)
        jacobian[:, :, 3] = turned
        jacobian[:, :, 4:] = np.eye(3)
        jacobian *= w[:, :, None]
        step = np.linalg.lstsq(jacobian.reshape(-1, 7), error.ravel(), rcond=None)[0]
        rotation = Rotation.from_rotvec(step[:3]).as_matrix() @ rotation
        scale *= float(np.exp(step[3]))
        offset = offset + step[4:]
    return rotation, scale, offset


def _solve_shape(
    stack: NDArray[np.float64],
    mean: NDArray[np.float64],
    target: NDArray[np.float64],
    w: NDArray[np.float64],
    rotation: NDArray[np.float64],
    scale: float,
    offset: NDArray[np.float64],
    modes: int,
) -> NDArray[np.float64]:
    """Solve identity and expression for a fixed pose, bounded, with a ridge."""
    count = len(stack)
    a = ((scale * stack @ rotation.T) * w).reshape(count, -1).T
    b = ((target - scale * mean @ rotation.T - offset) * w).ravel()
    ridge = np.full(count, scale * _TUNING.ridge * np.sqrt(468) * _TUNING.expression_ridge)
    ridge[:modes] *= _TUNING.identity_ridge / _TUNING.expression_ridge
    # The triangular factor has the same solution and a tenth of the rows.
    gram = a.T @ a + np.diag(ridge**2)
    factor = np.linalg.cholesky(gram).T
    right = np.linalg.solve(factor.T, a.T @ b)
    low = np.where(np.arange(count) < modes, -3.0, 0.0)
    high = np.where(np.arange(count) < modes, 3.0, 1.0)
    return lsq_linear(factor, right, (low, high), method="bvls", max_iter=60).x
