"""Textures and colours of mouth and eyes, taken from the photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.fit import EYE_CONTOUR
from visavis.models.appearance.identity import Colours, EyePatch
from visavis.models.appearance.layers.layers import push_pull
from visavis.models.appearance.layers.lids import closed_skin, grow, lower_lid
from visavis.models.arrays import Floats, Image, Mask

# MediaPipe landmarks, subject's left then right.
_UPPER_LID = ((398, 384, 385, 386, 387, 388, 466), (173, 157, 158, 159, 160, 161, 246))
_IRIS = ((473, 474, 475, 476, 477), (468, 469, 470, 471, 472))
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308,
               324, 318, 402, 317, 14, 87, 178, 88, 95)  # fmt: skip
_OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291,
               375, 321, 405, 314, 17, 84, 181, 91, 146)  # fmt: skip
_UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291,
              308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78)  # fmt: skip
_LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291,
              308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78)  # fmt: skip
_CHEEKS = ((50, 101, 118, 117), (280, 330, 347, 346))
# From the nostril's wing past the corner of the mouth.
_FOLDS = ((129, 203, 206, 216, 212, 202), (358, 423, 426, 436, 432, 422))
_LIP_CORNERS, _CORNER_REACH = (61, 291), 0.075  # of the face's width: dimples that go too
_FOLD_LIFT = 0.85  # of a strong smile's folds
_FOLD_ROUNDS = 2
_SMOOTH = 0.008  # of the light: what smooth cheeks vary by
_ROUGHER = 1.8  # than cheeks are on average: a hair
_DENSE = (0.35, 0.55)  # of pixels that are hairs: from where it is beard, and surely
_DARKER = (0.36, 0.50)  # of the cheeks' light: surely beard, and up to where
_WHITE = 1.45  # brightness of light skin over that of the eye's white
_LIGHTER = 1.7  # of the skin's own brightness, the most that is believed
_UPPER_LIGHT = 0.85  # of the lower lip's brightness: light comes from above
_REDDER = 45.0  # of 255, saturation
_WARMEST = np.array([1.0, 0.86, 0.72])  # enamel's red, green and blue
_GREY = np.array([0.299, 0.587, 0.114])
_CORNER_LIGHT, _CORNER_SHADE = 0.85, 0.06  # of the lips' light; of the face's width
_CORNER_DARKEST = 0.75  # of that light: a corner is no hole
_CREASE = 0.80  # of the light of the skin beside a corner: below it is a crease
_MOST_CREASE, _SOME_BEARD = 0.15, 0.15  # of that skin: what is more is a shadow or hair
_PALER = 30.0  # of 255, lightness above the lips' from which it is no lip
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


def polygon_mask(points: NDArray[np.floating], size: tuple[int, int]) -> Mask:
    """Return the pixels of ``size`` (rows, columns) inside a polygon of ``(N, 2)`` pixels."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 1, shift=4)
    return mask > 0


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
    mouth = polygon_mask(landmarks[list(_INNER_LIPS), :2], picture.shape[:2])
    clean = _without_teeth(_even_lips(picture, landmarks, face), landmarks, mouth, face)
    if gap < _SHOWN_TEETH * face:
        return none, clean
    return _teeth_texture(picture, grow(mouth, -1), none), clean


def _even_lips(picture: Image, landmarks: Floats, face: float) -> Image:
    """Bring a smile's upper lip nearer to the lower one.

    It is rolled in and in its own shadow; closed over the teeth it would be a grey moustache.
    """
    size = picture.shape[:2]
    upper = polygon_mask(landmarks[list(_UPPER_LIP), :2], size)
    lower = polygon_mask(landmarks[list(_LOWER_LIP), :2], size)
    if min(upper.sum(), lower.sum()) < 20:
        return picture
    found = np.median(picture[upper], 0).astype(np.float32) + 1
    wanted = 0.4 * found + 0.6 * _UPPER_LIGHT * np.median(picture[lower], 0)
    gain = np.clip(wanted / found, 1.0, 1.6) - 1.0
    soft = cv2.GaussianBlur(upper.astype(np.float32), (0, 0), 0.012 * face)[..., None]
    return np.clip(np.rint(picture * (1.0 + soft * gain)), 0, 255).astype(np.uint8)


def _without_teeth(picture: Image, landmarks: Floats, mouth: Mask, face: float) -> Image:
    """Fill the open mouth and its dark or bright corners from lips and skin around them."""
    size = picture.shape[:2]
    lips = polygon_mask(landmarks[list(_OUTER_LIPS), :2], size)
    around = grow(lips, 0.012 * face)
    hole = grow(mouth, max(1.0, 0.008 * face))
    near = grow(mouth, 0.05 * face) & lips
    corners = np.zeros(size, np.uint8)
    for corner in (78, 308):
        x, y = (round(float(v)) for v in landmarks[corner, :2])
        cv2.circle(corners, (x, y), max(2, round(0.055 * face)), 1, -1)
    # Teeth and the dark corners of a smile reach beyond the contour. They must colour neither
    # lips nor skin, nor does what is in the teeth's shadow.
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    level = float(np.median(grey[near & ~hole])) if (near & ~hole).any() else 128.0
    pale = _paler_than_lips(picture, near & ~grow(mouth, 0.014 * face))
    odd = (corners > 0) & around & ((grey < 0.62 * level) | (pale & grow(mouth, 0.025 * face)))
    odd = grow(odd, 0.006 * face)
    skin = (corners > 0) & ~around & ~odd
    # The crease beyond a corner would colour all that is filled, and stay behind where lips end.
    crease = _crease(grey, skin, _beard(picture, landmarks, face))
    odd |= grow(crease, 0.012 * face)
    skin &= ~odd
    known = ((near & (grey > 0.75 * level) & ~pale) | skin) & ~hole & ~odd
    hole |= odd
    y0, y1, x0, x1 = _box(grow(hole, 0.08 * face))
    window = np.s_[y0:y1, x0:x1]
    if known[window].sum() <= 20:
        return picture
    filled = push_pull(picture[window], known[window])
    own = grow(mouth, 0.05 * face) & lips & ~hole & ~pale
    inside = cv2.GaussianBlur((lips | mouth)[window].astype(np.float32), (0, 0), 0.006 * face)
    ends = landmarks[[78, 308], :2] - (x0, y0)
    filled = _shaded_corners(filled, picture[window], ends, face, own[window], inside)
    soft = cv2.GaussianBlur(
        grow(hole, 0.006 * face)[window].astype(np.float32), (0, 0), 0.006 * face
    )
    soft = np.maximum(soft, grow(hole, 1)[window])[..., None]
    clean = picture.copy()
    clean[window] = np.clip(picture[window] * (1 - soft) + filled * soft, 0, 255)
    return clean


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
    lips = grow(polygon_mask(landmarks[list(_OUTER_LIPS), :2], picture.shape[:2]), 0.01 * face)
    lines[lips] = 0
    mask = cv2.GaussianBlur(lines.astype(np.float32) / 255.0, (0, 0), 0.022 * face)
    mask *= 1.0 - _beard(picture, landmarks, face)
    x0, x1, y0, y1 = _window(mask > 0.01, 0.2 * face)
    part = np.s_[y0:y1, x0:x1]
    changed = picture[part].astype(np.float32)
    for _ in range(_FOLD_ROUNDS):  # what surrounds a wide fold is dark itself at first
        fine = cv2.GaussianBlur(changed, (0, 0), max(0.5, 0.006 * face))
        around = cv2.GaussianBlur(changed, (0, 0), 0.04 * face)
        # Folds are not only darker but redder than the cheek: each channel goes to its
        # surroundings.
        lift = around - fine
        darker = np.clip(lift.mean(2, keepdims=True) / (0.03 * np.maximum(around, 16.0)), 0, 1)
        changed += strength * mask[part][..., None] * darker * lift
    out = picture.copy()
    out[part] = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return out


def _beard(picture: Image, landmarks: Floats, face: float) -> Floats:
    """Return how far each pixel ``(S, S)`` is beard: far darker or rougher than the cheeks."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), max(0.8, 0.008 * face)))
    lips = polygon_mask(landmarks[list(_OUTER_LIPS), :2], grey.shape)
    fine[grow(lips, 0.025 * face)] = 0.0
    light = cv2.GaussianBlur(grey, (0, 0), 0.035 * face)
    hairs = []
    for cheek in _CHEEKS:
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
    ends = [float(landmarks[list(cheek), 0].mean()) for cheek in _CHEEKS]
    way = (np.arange(grey.shape[1], dtype=np.float32) - ends[0]) / max(abs(ends[1] - ends[0]), 1.0)
    way = np.clip(way * np.sign(ends[1] - ends[0]), 0, 1)
    return np.asarray(hairs[0] + way * (hairs[1] - hairs[0]), np.float32)


def _window(mask: Mask, pad: float) -> tuple[int, int, int, int]:
    """Return (x0, x1, y0, y1) around a mask, padded and inside the picture."""
    y0, y1, x0, x1 = _box(mask) if mask.any() else (0, 1, 0, 1)
    p = round(pad)
    return max(0, x0 - p), min(mask.shape[1], x1 + p), max(0, y0 - p), min(mask.shape[0], y1 + p)


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
            picture[polygon_mask(landmarks[list(c), :2], size)].reshape(-1, 3) for c in _CHEEKS
        ]), 0,
    )  # fmt: skip
    mouth = polygon_mask(landmarks[list(_INNER_LIPS), :2], size)
    lips = polygon_mask(landmarks[list(_OUTER_LIPS), :2], size) & ~grow(mouth, 1)
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


def _box(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
