"""The pose of head and torso: coefficients to a rigid motion, within what a photo allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from visavis.models.arrays import Floats
from visavis.models.coefficients import INDEX

CAMERA = 9.0  # inter-ocular distances from lens to face, for headZ and lean


class _PoseTuning(NamedTuple):
    """How far a head turns, nods, tips and moves.

    Set by eye on rendered portraits, not fitted.
    """

    yaw: float = np.radians(24.0)  # radians, as pitch and roll: limits, reached softly
    pitch: float = np.radians(15.0)
    roll: float = np.radians(16.0)
    frontal: float = np.radians(12.0)  # photo's yaw up to which heads turn by all of that
    aside: float = np.radians(32.0)  # photo's yaw from which they turn by the least of it
    least_turn: float = 0.35  # of the limit
    back_from: float = np.radians(8.0)  # the same for turning across the photo's far side
    back_to: float = np.radians(24.0)
    least_back: float = 0.3  # of the limit
    pitch_gain: float = 1.3  # a nod without the light's change looks like less
    shift: float = 0.6  # inter-ocular distances


_TUNING = _PoseTuning()


def soft_limit(value: float, limit: float) -> float:
    """Return the value, bent so that it never passes ``limit``; straight below 60 % of it."""
    knee = 0.6 * limit
    if abs(value) <= knee:
        return value
    rest = limit - knee
    return float(np.sign(value) * (knee + rest * np.tanh((abs(value) - knee) / rest)))


@dataclass(frozen=True)
class HeadPose:
    """Rigid motion of the head and of the torso, in pixels of the picture.

    Attributes:
        matrix: ``(3, 3)`` rotation and scale about the pivot.
        shift: ``(3,)`` pixels.
        breath: 0-1.
        shrug: 0-1.
        lean: radians.
        sway: radians.
        pitch: of the head, radians; chin down is positive.
    """

    matrix: Floats
    shift: Floats
    breath: float
    shrug: float
    lean: float
    sway: float
    pitch: float


def turning_range(photo_yaw: float) -> float:
    """Return how much of the usual turning a photo allows whose face looks aside by that angle.

    A frontal photo shows both cheeks; of a turned one the far cheek is missing.
    """
    beyond = (abs(photo_yaw) - _TUNING.frontal) / (_TUNING.aside - _TUNING.frontal)
    return float(np.clip(1.0 - (1.0 - _TUNING.least_turn) * beyond, _TUNING.least_turn, 1.0))


def turning_back(photo_yaw: float) -> float:
    """Return how much of the usual turning that photo allows back across its far side.

    Behind the far cheek's rim a turned photo shows no ear and no hair, but what is behind the
    person; a frontal one shows both.
    """
    beyond = (abs(photo_yaw) - _TUNING.back_from) / (_TUNING.back_to - _TUNING.back_from)
    return float(np.clip(1.0 - (1.0 - _TUNING.least_back) * beyond, _TUNING.least_back, 1.0))


def head_pose(
    coefficients: Floats, inter_ocular: float, turning: float = 1.0, photo_yaw: float = 0.0
) -> HeadPose:
    """Read the pose part of a coefficient vector, within limits.

    Args:
        coefficients: ``(COUNT,)``.
        inter_ocular: distance between the eyes in pixels.
        turning: part of the usual limits that the photo allows, see ``turning_range``.
        photo_yaw: how far the photo's face looks aside, radians, see ``turning_back``.
    """

    def value(name: str) -> float:
        return float(coefficients[INDEX[name]])

    yaw = value("headYaw")
    most = min(turning, turning_back(photo_yaw)) if yaw * photo_yaw < 0 else turning
    yaw = soft_limit(yaw, most * _TUNING.yaw)
    most = min(1.0, turning + 0.3)
    pitch = soft_limit(_TUNING.pitch_gain * value("headPitch"), most * _TUNING.pitch)
    roll = soft_limit(value("headRoll"), _TUNING.roll)
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll),
    )  # fmt: skip
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tip = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    near = 1.0 / (1.0 - soft_limit(value("headZ"), 1.2) / CAMERA)
    shift = inter_ocular * np.array(
        [soft_limit(value("headX"), _TUNING.shift), soft_limit(value("headY"), _TUNING.shift), 0.0]
    )
    return HeadPose(
        (near * (tip @ turn @ nod)).astype(np.float32),
        shift.astype(np.float32),
        min(1.0, max(0.0, value("torsoBreath"))),
        min(1.0, max(0.0, value("torsoShrug"))),
        soft_limit(value("torsoLean"), 0.35),
        soft_limit(value("torsoSway"), 0.15),
        float(pitch),
    )
