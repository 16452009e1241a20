"""The motion vocabulary every part speaks: 52 ARKit coefficients and twelve of pose.

Order and names of the face coefficients follow ARKit's blend shape locations as Live Link Face
writes them; *left* and *right* are the subject's own. A coefficient is 0 at rest and 1 at the
extreme of the shape. Pose is in radians and in inter-ocular distances, in the viewer's frame:

* ``headYaw`` > 0: the face turns towards the viewer's right (+x of the picture);
* ``headPitch`` > 0: the chin goes down (a nod);
* ``headRoll`` > 0: the crown tips towards the viewer's right (clockwise in the picture);
* ``headX`` / ``headY`` / ``headZ``: translation right / down / towards the viewer,
  in inter-ocular distances (distance between the eye centres);
* ``gazeYaw`` > 0: eyes towards the viewer's right; ``gazePitch`` > 0: eyes down; both relative
  to the head;
* ``torsoBreath``: 0 exhaled, 1 inhaled; ``torsoShrug``: 0 rest, 1 shoulders up;
  ``torsoLean`` (towards the viewer) and ``torsoSway`` (towards the viewer's right): radians.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ARKIT: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip

POSE: tuple[str, ...] = (
    "headPitch", "headYaw", "headRoll", "headX", "headY", "headZ",
    "gazeYaw", "gazePitch",
    "torsoBreath", "torsoShrug", "torsoLean", "torsoSway",
)  # fmt: skip

COEFFICIENTS: tuple[str, ...] = ARKIT + POSE
INDEX: dict[str, int] = {name: i for i, name in enumerate(COEFFICIENTS)}
COUNT = len(COEFFICIENTS)


def neutral() -> NDArray[np.float32]:
    """Return the rest pose, ``(COUNT,)`` float32 zeros."""
    return np.zeros(COUNT, np.float32)
