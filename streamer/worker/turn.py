"""Looking somewhere: the eyes go first, the head follows half of the way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.models.coefficients import COUNT, INDEX

MOST_YAW_DEGREES = 20.0
MOST_PITCH_DEGREES = 10.0
_HEAD_SHARE = 0.5  # of a turn of the gaze beyond ten degrees (Freedman, 2008)
_EYES_S = 0.06  # time constants with which a new direction is taken
_HEAD_S = 0.28
_DEGREE = np.float32(np.pi / 180)
_STILL = 1e-3  # degrees
_YAW = INDEX["headYaw"], INDEX["gazeYaw"]
_PITCH = INDEX["headPitch"], INDEX["gazePitch"]


class Turn:
    """Adds a direction to frames of coefficients.

    Args:
        fps: frames per second.
    """

    def __init__(self, fps: int) -> None:
        self._wanted = np.zeros(2, np.float32)  # yaw and pitch of the line of sight, in degrees
        self._sight = np.zeros(2, np.float32)
        self._head = np.zeros(2, np.float32)
        self._eyes_share = np.float32(1 - np.exp(-1 / (fps * _EYES_S)))
        self._head_share = np.float32(1 - np.exp(-1 / (fps * _HEAD_S)))

    def to(self, yaw: float, pitch: float) -> None:
        """Look there from the next frame on.

        Args:
            yaw: degrees, positive towards the subject's own left.
            pitch: degrees, positive down.
        """
        self._wanted = np.array(
            [
                np.clip(yaw, -MOST_YAW_DEGREES, MOST_YAW_DEGREES),
                np.clip(pitch, -MOST_PITCH_DEGREES, MOST_PITCH_DEGREES),
            ],
            np.float32,
        )

    def apply(self, frames: NDArray[np.float32]) -> None:
        """Turn ``(k, COUNT)`` frames in place, one after another; other coefficients are left."""
        if frames.shape[-1] != COUNT:
            return
        for row in frames:
            self._sight = self._sight + self._eyes_share * (self._wanted - self._sight)
            self._head = self._head + self._head_share * (_HEAD_SHARE * self._wanted - self._head)
            if max(np.abs(self._sight).max(), np.abs(self._head).max()) < _STILL:
                continue
            for (head, gaze), axis in ((_YAW, 0), (_PITCH, 1)):
                row[head] += self._head[axis] * _DEGREE
                row[gaze] += (self._sight[axis] - self._head[axis]) * _DEGREE
