"""The skin of a closed eye, of which a photo with open eyes shows nothing."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.appearance.layers.layers import push_pull
from visavis.models.appearance.layers.lid_relief import LidPlace, lid_place, lid_relief, pigment
from visavis.models.arrays import Floats, Image, Mask

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue
_LID_LIGHT = 0.85  # brightness of a closed lid under a socket that is too dark to copy
_SOCKET_SHADE = 0.35  # part of such a socket's shadow that falls on its lid too
_LID_SKIN = 0.33  # brightness over that of the skin below, from which a socket is skin, not a rim
_NOT_BROW = 0.88  # of a socket's brightness, from which what is above the eye is not hair
_ALIKE = 0.22  # of its brightness, within which skin has the hue a lid needs
_LID_DETAIL, _MOST_DETAIL = 1.0, 0.08  # of the skin's texture; of the light
_OUT_OF_SOCKET = 0.30  # how far a lid comes out of its socket's shade into the light of the skin
# Light of a closed lid over that of the skin below: real ones have .81; in side light a socket
# says .5 of one eye and 1.1 of the other, and nobody's lids differ like that.
_LID_LEVEL, _MOST_OUT = (0.80, 1.0), 0.75
_WARM_SHADE = 1.2  # how much more the colours that skin has little of lose in a shade
_EVEN = 0.13  # of the eye's width, over which one skin passes over into the other
_ROUGH, _SMOOTH_LID = (0.015, 0.05), 0.012  # of the light: fine folds, and pigment of a lid
_LID_HUE = 0.9  # how far a lid takes the hue of that skin
_LASHES, _LONGEST = 0.17, 0.32  # of the eye's width above it: no skin; lashes that stand out
_HAIR = 0.055  # of the eye's width, half of what is still a lash or a fold and not make-up


def grow(mask: Mask, pixels: float) -> Mask:
    """Grow a mask by so many pixels, or shrink it by as many below zero."""
    radius = round(abs(pixels))
    if radius == 0:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    operation = cv2.dilate if pixels > 0 else cv2.erode
    return operation(mask.astype(np.uint8), kernel) > 0


def lower_lid(contour: Floats, side: int, width: float) -> Floats:
    """Return how far each pixel is lower lid, ``(side, side)``: a blink leaves that as it is."""
    rim = contour[:9][np.argsort(contour[:9, 0])]
    edge = np.interp(np.arange(side), rim[:, 0], rim[:, 1])
    yy = np.arange(side, dtype=np.float32)[:, None]
    return np.clip((yy - edge[None]) / (0.12 * width) + 0.3, 0, 1).astype(np.float32)


def closed_skin(crop: Image, opening: Mask, width: float, lower: Floats) -> Image:
    """Close the lid over an eye and its lashes; the lower lid stays.

    Its colour passes over from the skin above the eye, make-up and shadow included, to that below
    it. Brow, lashes and folds are left out. A socket that is far darker than the skin below (the
    rim of dark glasses, a hard shadow) is not copied: a lid comes down out of it. Pores and
    wrinkles are those of the skin below, upside down.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    lashes = grow(opening, max(1.5, _LASHES * width))
    near = grow(opening, 0.40 * width) & ~lashes
    rows = np.flatnonzero(opening.any(1))
    middle = float(rows.mean()) if len(rows) else crop.shape[0] / 2
    above = near & (np.arange(crop.shape[0])[:, None] < middle)
    below = near & ~above
    level = _brighter_half(grey, below)
    socket = float(np.percentile(grey[above], 65)) if above.any() else level
    around = _around(grey, near, 0.2 * width)  # one side of an eye may lie in the shade
    known, dark = below, False
    if below.any():
        known = below & (grey >= np.minimum(np.percentile(grey[below], 50), 0.97 * around))
        dark = socket < _LID_SKIN * level
        skin = _LID_SKIN * level if dark else _NOT_BROW * np.minimum(socket, around)
        known |= above & (grey > skin)
    bare = _without_hairs(cv2.GaussianBlur(crop, (0, 0), 0.03 * width), _HAIR * width)
    filled = push_pull(bare, known | _far(near, lashes))
    filled = cv2.GaussianBlur(filled, (0, 0), _EVEN * width)
    if dark:
        light = level * (_LID_LIGHT - _SOCKET_SHADE * np.clip(1.0 - socket / level, 0, 0.8))
        found = float(np.median(cv2.cvtColor(filled, cv2.COLOR_RGB2GRAY)[opening]))
        filled = filled * np.clip(light / max(found, 1.0), 0.5, 1.5)
        wide = grow(opening, 0.62 * width) & ~lashes
        alike = wide & (np.abs(grey - light) < _ALIKE * light)
        lit = crop[alike] if alike.sum() > 0.02 * wide.sum() else crop[below & known]
        filled = np.clip(_tinted(filled, opening, lit), 0, 255)
    place = lid_place(opening, width)
    if place is not None:
        detail = _mirrored_detail(crop, opening, width)
        if not dark:
            filled = _lifted(filled, bare, known & below, place, width)
        rough = float(np.clip(1.5 * _roughness(grey, below, width), *_ROUGH))
        light = lid_relief(place, width, rough)
        light *= 1.0 + _SMOOTH_LID * pigment(place, width) * place.inside()
        filled = filled * _warm(light, filled[opening]) + detail
    reach = grow(opening, _LONGEST * width)
    soft = cv2.GaussianBlur(reach.astype(np.float32), (0, 0), 0.08 * width)
    soft = (np.clip(soft * 1.5, 0, 1) * (1 - lower))[..., None]
    return np.clip(np.rint(crop * (1 - soft) + filled * soft), 0, 255).astype(np.uint8)


def _brighter_half(grey: Floats, part: Mask) -> float:
    """Return the median brightness of the brighter half of a part."""
    if not part.any():
        return 128.0
    return float(np.percentile(grey[part], 75))


def _around(grey: Floats, part: Mask, reach: float) -> Floats:
    """Return the mean brightness of a part around each pixel."""
    inside = part.astype(np.float32)
    total = cv2.GaussianBlur(grey * inside, (0, 0), reach)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(inside, (0, 0), reach), 1e-3), np.float32)


def _without_hairs(crop: Image, radius: float) -> Image:
    """Remove dark lines up to ``2 * radius`` wide: lashes, folds, hairs of the brow."""
    size = 2 * max(1, round(radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.morphologyEx(crop, cv2.MORPH_CLOSE, kernel), np.uint8)


def _mirrored_detail(crop: Image, opening: Mask, width: float) -> Floats:
    """Return the fine texture of the skin below the eye, folded up over the lid."""
    columns = np.flatnonzero(opening.any(0))
    side = crop.shape[0]
    ends = side - 1 - np.argmax(opening[::-1], axis=0)
    edge = np.interp(np.arange(side), columns, ends[columns]) + 0.10 * width
    yy, xx = np.mgrid[:side, :side].astype(np.float32)
    mirrored = np.where(yy < edge, np.minimum(2 * edge - yy, side - 1.0), yy).astype(np.float32)
    work = crop.astype(np.float32)
    fine = work - cv2.GaussianBlur(work, (0, 0), 0.05 * width)
    folded = cv2.remap(fine, xx, mirrored, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    limit = _MOST_DETAIL * float(np.median(work[opening | (yy > edge)]))
    return np.clip(_LID_DETAIL * folded, -limit, limit)


def _lifted(filled: Floats, bare: Image, skin: Mask, place: LidPlace, width: float) -> Floats:
    """Bring a lid out of its socket into the light that the skin below is in.

    It takes that skin's hue as it does so, for a shadow is warmer than what it lies on.
    """
    if not skin.any():
        return filled
    weight = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), 0.3 * width)[..., None]
    lit = cv2.GaussianBlur(bare * skin[..., None].astype(np.float32), (0, 0), 0.3 * width)
    lit /= np.maximum(weight, 1e-3)
    dull, bright = (cv2.GaussianBlur(v, (0, 0), 0.1 * width) @ _GREY for v in (filled, lit))
    inside = place.inside()
    level = dull / np.maximum(bright, 1.0)
    darker = np.clip(4.0 * (1.0 / np.maximum(level, 0.05) - 1.0), 0, 1)
    least, most = _LID_LEVEL
    needed = np.clip((least - level) / np.maximum(1.0 - level, 0.05), _OUT_OF_SOCKET, _MOST_OUT)
    part = (needed * inside * darker)[..., None]
    dimmed = 1.0 - inside * (1.0 - np.minimum(1.0, most / np.maximum(level, 0.05)))
    return np.asarray((filled * (1 - part) + lit * part) * dimmed[..., None], np.float32)


def _warm(light: Floats, skin: Floats) -> Floats:
    """Return the light ``(H, W)`` as that of each channel, ``(H, W, 3)``.

    A shade on skin is filled with light that has passed through it, so it is redder than grey; of
    a picture without colours nothing is tinted.
    """
    if not len(skin):
        return light[..., None]
    colour = np.median(skin, axis=0).astype(np.float32) + 1.0
    power = 1.0 + _WARM_SHADE * (colour.mean() - colour) / colour.mean()
    return np.asarray(np.maximum(light, 0.0)[..., None] ** np.clip(power, 0.4, 1.8), np.float32)


def _roughness(grey: Floats, skin: Mask, width: float) -> float:
    """Return how much skin varies within a few pixels, over its light; hard edges are none."""
    if not skin.any():
        return 0.0
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 0.05 * width))[skin]
    return float(np.median(fine) / max(np.median(grey[skin]), 1.0))


def _tinted(filled: Floats, opening: Mask, skin: Image) -> Floats:
    """Give a lid the hue of skin around the eye that is about as bright.

    The hue of brighter skin would not do: what is overexposed is pale, what is in shadow is warm.
    """
    if not len(skin) or not opening.any():
        return filled
    wanted = np.median(skin, axis=0).astype(np.float32) + 1
    found = np.median(filled[opening], axis=0).astype(np.float32) + 1
    ratio = (wanted / wanted.mean()) / (found / found.mean())
    return filled * np.clip(ratio, 0.7, 1.4) ** _LID_HUE


def _far(near: Mask, lashes: Mask) -> Mask:
    """Return nothing if there is any skin near the eye, else all that is no lash."""
    return np.zeros_like(near) if near.any() else ~lashes
