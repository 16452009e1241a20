"""The mouth of a photo that shows teeth, closed: lips and the skin at their ends, filled."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.appearance.layers.beard import beard_of
from visavis.models.appearance.layers.layers import push_pull
from visavis.models.appearance.layers.lids import grow
from visavis.models.appearance.layers.shapes import (
    LOWER_LIP,
    OUTER_LIPS,
    UPPER_LIP,
    box,
    polygon_mask,
)
from visavis.models.arrays import Floats, Image, Mask

_UPPER_LIGHT = 0.85  # of the lower lip's brightness: light comes from above
_GREY = np.array([0.299, 0.587, 0.114])
_CORNER_LIGHT, _CORNER_SHADE = 0.85, 0.06  # of the lips' light; of the face's width
_CORNER_DARKEST = 0.75  # of that light: a corner is no hole
_CREASE = 0.80  # of the light of the skin beside a corner: below it is a crease
_MOST_CREASE, _SOME_BEARD = 0.15, 0.15  # of that skin: what is more is a shadow or hair
_SHADOW = 0.02  # of the face's width: how far from the teeth lips are in their shadow
_WITHIN = 0.009  # of the face's width: lips that are filled end so far within their outline
_CORNER = 0.055  # of the face's width: radius about a corner in which it is mended
_FADE = (1.2, 1.6)  # of that radius: where its filling begins to end, and has ended
_SKIN_BESIDE = 0.06  # of the face's width: skin that fills what was dark or bright beside lips
_PALER = 30.0  # of 255, lightness above the lips' from which it is no lip


def even_lips(picture: Image, landmarks: Floats, face: float) -> Image:
    """Bring a smile's upper lip nearer to the lower one.

    It is rolled in and in its own shadow; closed over the teeth it would be a grey moustache.
    """
    size = picture.shape[:2]
    upper = polygon_mask(landmarks[list(UPPER_LIP), :2], size)
    lower = polygon_mask(landmarks[list(LOWER_LIP), :2], size)
    if min(upper.sum(), lower.sum()) < 20:
        return picture
    found = np.median(picture[upper], 0).astype(np.float32) + 1
    wanted = 0.4 * found + 0.6 * _UPPER_LIGHT * np.median(picture[lower], 0)
    gain = np.clip(wanted / found, 1.0, 1.6) - 1.0
    soft = cv2.GaussianBlur(upper.astype(np.float32), (0, 0), 0.012 * face)[..., None]
    return np.clip(np.rint(picture * (1.0 + soft * gain)), 0, 255).astype(np.uint8)


def without_teeth(picture: Image, landmarks: Floats, mouth: Mask, face: float) -> Image:
    """Fill the open mouth and its dark or bright corners: lips from lips, skin from skin.

    Args:
        picture: ``(S, S, 3)`` RGB.
        landmarks: ``(478, 3)`` in its pixels.
        mouth: ``(S, S)`` what is between the lips.
        face: the face's width in pixels.
    """
    size = picture.shape[:2]
    lips = polygon_mask(landmarks[list(OUTER_LIPS), :2], size)
    around = grow(lips, 0.012 * face)
    hole = grow(mouth, max(1.0, 0.008 * face))
    near = grow(mouth, 0.05 * face) & lips
    corners = _discs(size, landmarks[[78, 308], :2], _CORNER * face)
    # Teeth and the dark corners of a smile reach beyond the contour. They must colour neither
    # lips nor skin, nor does what is in the teeth's shadow.
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    level = _lip_light(grey, near & ~hole, polygon_mask(landmarks[list(UPPER_LIP), :2], size))
    pale = _paler_than_lips(picture, near & ~grow(mouth, 0.014 * face))
    dark = grey < 0.62 * level
    odd = corners & around & (dark | (pale & grow(mouth, 0.025 * face)))
    hole |= dark & lips & grow(mouth, _SHADOW * face)
    odd = grow(odd, 0.006 * face)
    beside = _discs(size, landmarks[[78, 308], :2], _FADE[1] * _CORNER * face) & ~around & ~odd
    # The crease beyond a corner would colour all that is filled, and stay behind where lips end.
    crease = _crease(grey, beside, beard_of(picture, landmarks, face))
    odd |= grow(crease, 0.012 * face)
    of_lips = near & (grey > 0.75 * level) & ~pale & ~hole & ~odd
    skin = grow(lips, _SKIN_BESIDE * face) & ~around & ~odd
    y0, y1, x0, x1 = box(grow(hole | odd, 0.08 * face))
    window = np.s_[y0:y1, x0:x1]
    if of_lips[window].sum() <= 20 or skin[window].sum() <= 20:
        return picture
    # Skin that is filled from lips is a blot beside the corner, lips from skin end too soon.
    # Beyond the corners skin is stretched when they come nearer, and what strays into it as well.
    within = grow(lips | mouth, -_WITHIN * face)[window].astype(np.float32)
    inside = cv2.GaussianBlur(within, (0, 0), 0.005 * face)
    filled = push_pull(picture[window], skin[window])
    filled += inside[..., None] * (push_pull(picture[window], of_lips[window]) - filled)
    own = grow(mouth, 0.05 * face) & lips & ~hole & ~odd & ~pale
    ends = landmarks[[78, 308], :2] - (x0, y0)
    filled = _shaded_corners(filled, picture[window], ends, face, own[window], inside)
    soft = _softly(hole[window], 0.006 * face)
    yy, xx = np.mgrid[: soft.shape[0], : soft.shape[1]].astype(np.float32)
    away = np.min([np.hypot(xx - x, yy - y) for x, y in ends], axis=0) / (_CORNER * face)
    # Lips whose ends are dark would else end where the corners' circle does.
    fading = np.interp(away, _FADE, (1.0, 0.0)).astype(np.float32)
    soft = np.maximum(soft, _softly(odd[window], 0.006 * face) * fading)[..., None]
    clean = picture.copy()
    clean[window] = np.clip(picture[window] * (1 - soft) + filled * soft, 0, 255)
    return clean


def _discs(size: tuple[int, int], centres: Floats, radius: float) -> Mask:
    """Return ``size`` pixels that lie within so many of one of the ``(N, 2)`` centres."""
    found = np.zeros(size, np.uint8)
    for x, y in centres:
        cv2.circle(found, (round(float(x)), round(float(y))), max(2, round(radius)), (1,), -1)
    return found > 0


def _lip_light(grey: Floats, lips: Mask, upper: Mask) -> Floats:
    """Return ``(S, S)`` the usual brightness of the lip a pixel belongs to; the upper is darker."""
    both = float(np.median(grey[lips])) if lips.any() else 128.0
    level = np.full(grey.shape, both, np.float32)
    for lip in (upper, ~upper):
        if (lips & lip).sum() >= 20:
            level[lip] = min(both, float(np.median(grey[lips & lip])))
    return level


def _softly(mask: Mask, pixels: float) -> Floats:
    """Return a mask, grown and with a soft edge, that is whole where it was and a pixel beyond."""
    soft = cv2.GaussianBlur(grow(mask, pixels).astype(np.float32), (0, 0), pixels)
    return np.maximum(soft, grow(mask, 1).astype(np.float32))


def _crease(grey: Floats, skin: Mask, beard: Floats) -> Mask:
    """Return what of the skin beside each corner is far darker than it is for the most part.

    A beard is no crease, nor is a shadow, which is more than a line.
    """
    found = np.zeros_like(skin)
    _, labels = cv2.connectedComponents(_joined(skin))
    for corner in range(1, int(labels.max()) + 1):
        here = skin & (labels == corner)
        dark = here & (grey < _CREASE * np.median(grey[here]))
        if dark.sum() <= _MOST_CREASE * here.sum() and beard[here].mean() < _SOME_BEARD:
            found |= dark
    return found


def _joined(skin: Mask) -> Image:
    """Return the hulls of what lies beside the two corners: lips part each into pieces."""
    whole = np.zeros(skin.shape, np.uint8)
    middle = np.flatnonzero(skin.any(0)).mean() if skin.any() else 0.0
    yy, xx = np.nonzero(skin)
    for side in (xx < middle, xx >= middle):
        points = np.stack([xx[side], yy[side]], 1).astype(np.int32)
        if len(points):
            cv2.fillConvexPoly(whole, cv2.convexHull(points), 1)
    return whole


def _shaded_corners(
    filled: Floats, picture: Image, corners: Floats, face: float, lips: Mask, inside: Floats
) -> Floats:
    """Give what fills the corners of the mouth the lips' own colour, a little darker.

    It was filled from lips and skin alike, and skin in shadow is grey beside lips.

    Args:
        filled: ``(H, W, 3)``.
        picture: ``(H, W, 3)`` the photo.
        corners: ``(2, 2)`` pixels of it.
        face: the face's width in pixels.
        lips: ``(H, W)`` pixels that are lips as they were.
        inside: ``(H, W)`` how far a pixel lies within their outline; skin stays as it is.
    """
    if lips.sum() < 20:
        return filled
    colour = np.median(picture[lips], axis=0).astype(np.float32)
    light = filled @ _GREY.astype(np.float32)
    most = _CORNER_LIGHT * float(colour @ _GREY)
    yy, xx = np.mgrid[: light.shape[0], : light.shape[1]].astype(np.float32)
    away = np.min([np.hypot(xx - x, yy - y) for x, y in corners], axis=0) / face
    near = (inside * np.clip(1.5 - away / _CORNER_SHADE, 0, 1))[..., None]
    # Of the filling stays how it is lit, not its hue.
    lit = np.clip(light, _CORNER_DARKEST * most, most)[..., None] / max(float(colour @ _GREY), 1.0)
    return np.asarray(filled + near * (colour * lit - filled), np.float32)


def _paler_than_lips(picture: Image, lips: Mask) -> Mask:
    """Return which pixels are brighter than lips are, as teeth and reflections on lips."""
    if lips.sum() < 20:
        return np.zeros(lips.shape, bool)
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float32)
    usual = float(np.median(light[lips]))
    spread = float(np.median(np.abs(light[lips] - usual)))
    return np.asarray(light > usual + max(_PALER, 3.0 * spread))
