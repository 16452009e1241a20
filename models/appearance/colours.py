"""Textures and colours of mouth and eyes, taken from the photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.fit import EYE_CONTOUR
from visavis.models.appearance.identity import Colours, EyePatch
from visavis.models.appearance.layers.closed_mouth import even_lips, without_teeth
from visavis.models.appearance.layers.layers import push_pull
from visavis.models.appearance.layers.lids import closed_skin, grow, lower_lid
from visavis.models.appearance.layers.shapes import CHEEKS, INNER_LIPS, OUTER_LIPS, polygon_mask
from visavis.models.arrays import Floats, Image, Mask

# MediaPipe landmarks, subject's left then right.
_UPPER_LID = ((398, 384, 385, 386, 387, 388, 466), (173, 157, 158, 159, 160, 161, 246))
_IRIS = ((473, 474, 475, 476, 477), (468, 469, 470, 471, 472))
_WHITE = 1.45  # brightness of light skin over that of the eye's white
_LIGHTER = 1.7  # of the skin's own brightness, the most that is believed
_REDDER = 45.0  # of 255, saturation
_WARMEST = np.array([1.0, 0.86, 0.72])  # enamel's red, green and blue
_GREY = np.array([0.299, 0.587, 0.114])
_SHOWN_TEETH = 0.03  # inner-lip gap over face width from which teeth are looked for


@dataclass(frozen=True)
class EyeTextures:
    """One eye, taken apart.

    Attributes:
        patch: where it is.
        lids: ``(P, P, 3)`` the skin with the eye closed over.
        eyeball: ``(P, P, 3)`` the eye with the lids taken away.
    """

    patch: EyePatch
    lids: Image
    eyeball: Image


def eye_patch_size(landmarks: Floats) -> int:
    """Return the side of the square eye patches, even, in pixels."""
    widths = [np.linalg.norm(landmarks[c[0], :2] - landmarks[c[8], :2]) for c in EYE_CONTOUR]
    return int(2 * round(max(widths) * 1.0))


def take_eye(picture: Image, landmarks: Floats, eye: int, side: int) -> EyeTextures:
    """Separate lids and eyeball of the left (0) or right (1) eye."""
    contour = landmarks[list(EYE_CONTOUR[eye]), :2]
    ring = landmarks[list(_IRIS[eye]), :2]
    centre = contour.mean(0)
    limit = picture.shape[0] - side
    left, top = (int(np.clip(round(float(v) - side / 2), 0, limit)) for v in centre)
    crop = picture[top : top + side, left : left + side]
    local = contour - (left, top)
    iris = ring[0] - (left, top)
    radius = float(np.linalg.norm(ring[1:] - ring[0], axis=1).mean())
    width = float(np.linalg.norm(contour[0] - contour[8]))
    opening = polygon_mask(local, (side, side))
    lids = closed_skin(crop, opening, width, lower_lid(local, side, width))
    ball = _whole_eyeball(crop, opening, iris, radius, width)
    return EyeTextures(
        EyePatch(left, top, (float(ring[0, 0]), float(ring[0, 1])), radius), lids, ball
    )


def _whole_eyeball(
    crop: Image, opening: Mask, iris: NDArray[np.floating], radius: float, width: float
) -> Image:
    """Continue iris and white behind the lids."""
    side = crop.shape[0]
    yy, xx = np.mgrid[:side, :side].astype(np.float32)
    distance = np.hypot(xx - iris[0], yy - iris[1])
    inner = grow(opening, -max(1.0, 0.035 * width))
    white = inner & (distance > 1.2 * radius)
    if white.sum() < 8:
        white = opening & (distance > 1.1 * radius)
    filled = push_pull(crop, white) if white.any() else np.full(crop.shape, 200.0, np.float32)
    # The eyeball turns away from the light towards its rim and under the upper lid.
    rim = np.clip((distance - 1.3 * radius) / (1.6 * radius), 0, 1)[..., None]
    filled *= 1.0 - 0.25 * rim
    rows = np.flatnonzero(opening.any(1))
    if len(rows):
        top = rows[0] + 0.25 * len(rows)
        filled *= 1.0 - 0.35 * np.clip((top - yy) / (0.12 * width), 0, 1)[..., None]
    seen_iris = inner & (distance < 1.02 * radius)
    if seen_iris.sum() > 12:
        rings = np.clip((distance / radius * 8).astype(np.int64), 0, 8)
        profile = np.zeros((9, 3), np.float32)
        last = crop[seen_iris].mean(0)
        for r in range(8, -1, -1):
            here = seen_iris & (rings == r)
            last = np.median(crop[here], 0) if here.sum() >= 3 else last
            profile[r] = last
        place = np.clip(distance / radius * 8 - 0.5, 0, 8)
        low = np.floor(place).astype(np.int64)
        part = (place - low)[..., None]
        disc = profile[low] * (1 - part) + profile[np.minimum(low + 1, 8)] * part
        edge = np.clip((1.08 * radius - distance) / (0.16 * radius), 0, 1)[..., None]
        filled = filled * (1 - edge) + disc * edge
    soft = cv2.GaussianBlur(grow(opening, 0.02 * width).astype(np.float32), (0, 0), 0.8)[..., None]
    return np.clip(np.rint(crop * soft + filled * (1 - soft)), 0, 255).astype(np.uint8)


def take_teeth(picture: Image, landmarks: Floats) -> tuple[Image, Image]:
    """Return (teeth, foreground): the photo's teeth with opacity, and the picture without them.

    ``teeth`` is ``(S, S, 4)``, or ``(0, 0, 4)`` where the mouth is closed.
    """
    face = float(np.ptp(landmarks[:468, 0]))
    gap = float(np.linalg.norm(landmarks[13, :2] - landmarks[14, :2]))
    none = np.zeros((0, 0, 4), np.uint8)
    if gap < 0.022 * face:
        return none, picture
    mouth = polygon_mask(landmarks[list(INNER_LIPS), :2], picture.shape[:2])
    clean = without_teeth(even_lips(picture, landmarks, face), landmarks, mouth, face)
    if gap < _SHOWN_TEETH * face:
        return none, clean
    return _teeth_texture(picture, grow(mouth, -1), none), clean


def _teeth_texture(picture: Image, mouth: Mask, none: Image) -> Image:
    """Find bright, pale pixels in the mouth; nothing where they are too few."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    value, saturation = hsv[..., 2].astype(np.float32), hsv[..., 1].astype(np.float32)
    if mouth.sum() < 30:
        return none
    bright = np.percentile(value[mouth], 90)
    teeth = mouth & (value > 0.62 * bright) & (saturation < 110)
    if teeth.any():  # lips that shine are redder than the teeth beside them
        palest = float(np.percentile(saturation[teeth], 25))
        teeth &= saturation < palest + _REDDER
    if bright < 70 or teeth.sum() < 0.30 * mouth.sum():
        return none
    opacity = cv2.GaussianBlur(teeth.astype(np.float32), (0, 0), 0.9)
    filled = push_pull(picture, teeth)
    return np.dstack([np.clip(filled, 0, 255), opacity * 255]).astype(np.uint8)


def measure_colours(picture: Image, landmarks: Floats, teeth: Image) -> Colours:
    """Measure skin, lips, teeth and lashes."""
    size = picture.shape[:2]
    skin = np.median(
        np.concatenate([
            picture[polygon_mask(landmarks[list(c), :2], size)].reshape(-1, 3) for c in CHEEKS
        ]), 0,
    )  # fmt: skip
    mouth = polygon_mask(landmarks[list(INNER_LIPS), :2], size)
    lips = polygon_mask(landmarks[list(OUTER_LIPS), :2], size) & ~grow(mouth, 1)
    lip = np.median(picture[lips], 0) if lips.sum() > 10 else skin * (0.8, 0.6, 0.6)
    light = float(np.clip(_light(skin, _eye_white(picture, landmarks)) / 255.0, 0.15, 1.0))
    chroma = np.abs(picture.astype(np.float32) - picture.mean(2, keepdims=True)).mean()
    grey = float(np.clip((4.0 - chroma) / 3.0, 0, 1))
    return Colours(
        skin=tuple(float(v) for v in skin),
        lip=tuple(float(v) for v in lip),
        teeth=_teeth_colour(picture, teeth, skin, landmarks),
        lash=_lash_colour(picture, landmarks),
        light=light,
        grey=grey,
    )


def _teeth_colour(
    picture: Image, teeth: Image, skin: NDArray[np.float64], landmarks: Floats
) -> tuple[float, float, float]:
    if teeth.size:
        solid = teeth[..., 3] > 220
        if solid.sum() > 20:
            shown = np.percentile(picture[solid], 60, axis=0)
            return tuple(float(v) for v in shown)
    white = _eye_white(picture, landmarks)
    # Enamel in the photo's light: near the skin's brightness, warmer than the eye's white.
    light = float(np.clip(_light(skin, white), 60, 235))
    tint = np.array([1.0, 0.95, 0.88]) if white is None else white / max(white.max(), 1.0)
    tint = 0.65 * tint + 0.35 * np.array([1.0, 0.955, 0.89])
    # A red eye in the shade of a lid is no measure: enamel is never as warm as skin.
    pale = np.maximum(tint, tint.max() * _WARMEST)
    pale *= (tint @ _GREY) / (pale @ _GREY)
    return tuple(float(v) for v in np.clip(pale * light * 1.02, 0, 240))


def _eye_white(picture: Image, landmarks: Floats) -> NDArray[np.float64] | None:
    """Return the colour of the eyes' white; None where too little of it shows."""
    whites = []
    for contour, iris in zip(EYE_CONTOUR, _IRIS, strict=True):
        inner = grow(polygon_mask(landmarks[list(contour), :2], picture.shape[:2]), -1)
        ring = landmarks[list(iris), :2]
        radius = np.linalg.norm(ring[1:] - ring[0], axis=1).mean()
        yy, xx = np.nonzero(inner)
        away = np.hypot(xx - ring[0, 0], yy - ring[0, 1]) > 1.25 * radius
        whites.append(picture[yy[away], xx[away]].reshape(-1, 3))
    white = np.concatenate(whites)
    return np.percentile(white, 75, axis=0) if len(white) >= 12 else None


def _light(skin: NDArray[np.float64], white: NDArray[np.float64] | None) -> float:
    """Return how bright light skin would be in the photo's light, 0-255.

    Skin alone would say that it is dark around dark skin, and grey the teeth. Over 278 portraits
    the eye's white is 0.70 of the brightness of light skin and 0.94 of that of dark skin.
    """
    own = float(skin.max())
    return own if white is None else float(np.clip(_WHITE * white.max(), own, _LIGHTER * own))


def _lash_colour(picture: Image, landmarks: Floats) -> tuple[float, float, float]:
    rows = []
    for lid in _UPPER_LID:
        for x, y in landmarks[list(lid), :2]:
            r, c = round(float(y)), round(float(x))
            rows.append(picture[max(0, r - 2) : r + 2, max(0, c - 1) : c + 2].reshape(-1, 3))
    pixels = np.concatenate(rows).astype(np.float32)
    order = np.argsort(pixels.sum(1))
    return tuple(float(v) for v in pixels[order[: max(1, len(order) // 6)]].mean(0))
