"""How far each pixel is beard."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.appearance.layers.lids import grow
from visavis.models.appearance.layers.shapes import CHEEKS, OUTER_LIPS, polygon_mask
from visavis.models.arrays import Floats, Image

_SMOOTH = 0.008  # of the light: what smooth cheeks vary by
_ROUGHER = 1.8  # than cheeks are on average: a hair
_DENSE = (0.35, 0.55)  # of pixels that are hairs: from where it is beard, and surely
_DARKER = (0.36, 0.50)  # of the cheeks' light: surely beard, and up to where


def beard_of(picture: Image, landmarks: Floats, face: float) -> Floats:
    """Return how far each pixel ``(S, S)`` is beard: far darker or rougher than the cheeks."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), max(0.8, 0.008 * face)))
    lips = polygon_mask(landmarks[list(OUTER_LIPS), :2], grey.shape)
    fine[grow(lips, 0.025 * face)] = 0.0
    light = cv2.GaussianBlur(grey, (0, 0), 0.035 * face)
    hairs = []
    for cheek in CHEEKS:
        skin = polygon_mask(landmarks[list(cheek), :2], grey.shape)
        if not skin.any():
            return np.zeros_like(grey)
        level = max(float(np.median(grey[skin])), 1.0)
        usual = max(float(fine[skin].mean()), _SMOOTH * level)
        # Hairs lie close; the edge of a fold stands alone.
        rough = cv2.GaussianBlur((fine > _ROUGHER * usual).astype(np.float32), (0, 0), 0.06 * face)
        (a, b), (c, d) = _DENSE, _DARKER
        rougher, darker = (rough - a) / (b - a), (d - light / level) / (d - c)
        hairs.append(np.clip(np.maximum(rougher, darker), 0, 1))
    # Each side by its own cheek: light comes from one side.
    ends = [float(landmarks[list(cheek), 0].mean()) for cheek in CHEEKS]
    way = (np.arange(grey.shape[1], dtype=np.float32) - ends[0]) / max(abs(ends[1] - ends[0]), 1.0)
    way = np.clip(way * np.sign(ends[1] - ends[0]), 0, 1)
    return np.asarray(hairs[0] + way * (hairs[1] - hairs[0]), np.float32)
