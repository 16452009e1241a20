"""Folds that a smile has drawn into the skin."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.appearance.layers.beard import beard_of
from visavis.models.appearance.layers.layers import push_pull
from visavis.models.appearance.layers.lids import grow
from visavis.models.appearance.layers.shapes import OUTER_LIPS, box, polygon_mask
from visavis.models.arrays import Floats, Image, Mask

# MediaPipe landmarks from the nostril's wing past the corner of the mouth.
_FOLDS = ((129, 203, 206, 216, 212, 202), (358, 423, 426, 436, 432, 422))
_LIP_CORNERS, _CORNER_REACH = (61, 291), 0.075  # of the face's width: dimples that go too
_FOLD_LIFT = 0.85  # of a strong smile's folds
_FOLD_ROUNDS = 2


def soften_folds(picture: Image, landmarks: Floats, smile: float) -> Image:
    """Fade the folds beside nose and mouth that a smile has drawn, or they stay when it goes.

    Only what is darker than its surroundings at the scale of a fold is lifted; pores, beard and
    the light on the cheek remain.

    Args:
        picture: ``(S, S, 3)`` RGB.
        landmarks: ``(478, 3)`` in its pixels.
        smile: strength of the photo's mouth expression, 0-1.
    """
    strength = _FOLD_LIFT * float(np.clip((smile - 0.25) / 0.4, 0, 1))
    if strength <= 0:
        return picture
    face = float(np.ptp(landmarks[:468, 0]))
    lines = np.zeros(picture.shape[:2], np.uint8)
    for fold in _FOLDS:
        points = np.rint(landmarks[list(fold), :2]).astype(np.int32)
        cv2.polylines(lines, [points], False, 255, max(1, round(0.10 * face)))
    for corner in _LIP_CORNERS:
        x, y = (round(float(v)) for v in landmarks[corner, :2])
        cv2.circle(lines, (x, y), max(2, round(_CORNER_REACH * face)), (255,), -1)
    lips = grow(polygon_mask(landmarks[list(OUTER_LIPS), :2], picture.shape[:2]), 0.01 * face)
    lines[lips] = 0
    mask = cv2.GaussianBlur(lines.astype(np.float32) / 255.0, (0, 0), 0.022 * face)
    mask *= 1.0 - beard_of(picture, landmarks, face)
    x0, x1, y0, y1 = _window(mask > 0.01, 0.2 * face)
    part = np.s_[y0:y1, x0:x1]
    changed = picture[part].astype(np.float32)
    fine = cv2.GaussianBlur(changed, (0, 0), max(0.5, 0.006 * face))
    # What the skin would be without: from one side of the band to the other. Folds are not only
    # darker but redder than the cheek, and the cheek beside bulges: each channel goes both ways.
    known = (lines[part] == 0) & ~lips[part]
    across = cv2.GaussianBlur(push_pull(fine, known), (0, 0), 0.012 * face)
    changed += strength * mask[part][..., None] * (across - fine)
    out = picture.copy()
    out[part] = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return out


def _window(mask: Mask, pad: float) -> tuple[int, int, int, int]:
    """Return (x0, x1, y0, y1) around a mask, padded and inside the picture."""
    y0, y1, x0, x1 = box(mask) if mask.any() else (0, 1, 0, 1)
    p = round(pad)
    return max(0, x0 - p), min(mask.shape[1], x1 + p), max(0, y0 - p), min(mask.shape[0], y1 + p)
