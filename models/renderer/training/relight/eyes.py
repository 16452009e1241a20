"""The eyes' crops: one square per eye, and where in it the warp has changed the photo's eye."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.renderer.expression import smoothstep
from visavis.models.renderer.refiner import Box, EyePlace, RefinerInput
from visavis.models.renderer.relight.crop import pack, take

Floats = NDArray[np.float32]

EYE_SIDE = 64  # pixels of the network's crop
EYE_REACH = 0.85  # side of the crop in inter-ocular distances
# In inter-ocular distances:
_RISE = 0.04  # of the crop's middle above the eye's: lids fold above
_ABOVE, _BELOW, _ASIDE = 0.13, 0.06, 0.05  # around both rims, what a moving lid takes along
_LID_MOVED = (0.012, 0.05)  # of a rim: nothing yet, and enough; a smile moves them by .008
_TURNED = (0.08, 0.40)  # radii of the iris, the same of a gaze
# In parts of the crop's side:
_SOFT, _BALL_SOFT = 0.035, 0.025  # over which the change fades
_EDGE = 1 / 12  # to the crop's border in which nothing changes
_FIXED = 6  # bits of a pixel's part, for drawing between pixels


def eye_box(size: int, eye: EyePlace, unit: float) -> Box | None:
    """Return the square around an eye, which lids do not move; None if it is not in the picture."""
    low, high = eye.still.min(0), eye.still.max(0)
    middle = 0.5 * (low + high) - np.array([0.0, _RISE * unit], np.float32)
    if not np.all((middle > 0) & (middle < size - 1)):
        return None
    side = min(size, max(8, round(EYE_REACH * unit)))
    left, top = (int(np.clip(round(float(v) - side / 2), 0, size - side)) for v in middle)
    return left, top, left + side, top + side


def changes(eye: EyePlace, unit: float) -> tuple[float, float]:
    """Return how far the lids, and lids or gaze, differ from the photo: 0 not, 1 enough."""
    moved = float(np.hypot(*(eye.now - eye.still).T).max()) / unit
    lids = smoothstep(*_LID_MOVED, moved)
    return lids, max(lids, smoothstep(*_TURNED, eye.turn))


def eye_gate(eye: EyePlace, box: Box, unit: float) -> Floats:
    """Return where a network may change the picture, ``(EYE_SIDE, EYE_SIDE)`` in 0-1.

    The lids as far as they have moved, the eyeball as far as the gaze or the lids have; nothing at
    all where both are the photo's, and never the border of the crop.
    """
    lids, ball = changes(eye, unit)
    if ball <= 0.0:
        return np.zeros((EYE_SIDE, EYE_SIDE), np.float32)
    open_ = np.float32(ball) * _filled(eye.now, box, _BALL_SOFT)
    if lids > 0.0:
        open_ = np.maximum(open_, np.float32(lids) * _filled(_around(eye, unit), box, _SOFT))
    ramp = np.clip((np.arange(EYE_SIDE, dtype=np.float32) + 0.5) / (_EDGE * EYE_SIDE) - 0.5, 0, 1)
    ramp = np.minimum(ramp, ramp[::-1])
    return open_ * np.minimum(ramp[:, None], ramp[None])


def pack_eye(frame: RefinerInput, eye: EyePlace, box: Box, unit: float) -> Floats:
    """Return the network's input ``(CHANNELS, EYE_SIDE, EYE_SIDE)`` of one eye."""
    return pack(take(frame, box, unit, EYE_SIDE), eye_gate(eye, box, unit))


def _around(eye: EyePlace, unit: float) -> Floats:
    """Return points around the lids ``(M, 2)``: both rims, then and now, and what is near."""
    rims = np.concatenate([eye.still, eye.now])
    first, last = eye.still[eye.still[:, 0].argmin()], eye.still[eye.still[:, 0].argmax()]
    along = (last - first) / max(float(np.hypot(*(last - first))), 1e-3)
    down = np.array([-along[1], along[0]], np.float32)
    return np.concatenate(
        [
            rims - np.float32(_ABOVE * unit) * down,
            rims + np.float32(_BELOW * unit) * down,
            rims - np.float32(_ASIDE * unit) * along,
            rims + np.float32(_ASIDE * unit) * along,
        ]
    )


def _filled(points: Floats, box: Box, soft: float) -> Floats:
    """Return the hull of points of the frame with a soft edge, ``(EYE_SIDE, EYE_SIDE)`` in 0-1."""
    x0, y0, x1, _ = box
    at = (points - np.array([x0, y0], np.float32) + 0.5) * np.float32(EYE_SIDE / (x1 - x0)) - 0.5
    hull = cv2.convexHull(at.astype(np.float32))
    drawn = np.zeros((EYE_SIDE, EYE_SIDE), np.uint8)
    fixed = np.rint(hull * (1 << _FIXED)).astype(np.int32)
    cv2.fillConvexPoly(drawn, fixed, 255, cv2.LINE_AA, _FIXED)
    # From here on in floats: bytes would move the soft edge in steps.
    return cv2.GaussianBlur(drawn.astype(np.float32) / 255.0, (0, 0), soft * EYE_SIDE)
