"""The skin of a closed eye, of which a photo with open eyes shows nothing."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from visavis.models.appearance.layers.layers import push_pull
from visavis.models.appearance.layers.lid_relief import LidPlace, lid_place, lid_relief, pigment
from visavis.models.arrays import Floats, Image, Mask

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue


class _LidTuning(NamedTuple):
    """What skin a closed lid gets.

    Set by eye on rendered portraits, not fitted.
    """

    lid_light: float = 0.85  # brightness of a closed lid under a socket that is too dark to copy
    socket_shade: float = 0.35  # part of such a socket's shadow that falls on its lid too
    # brightness over that of the skin below, from which a socket is skin, not a rim
    lid_skin: float = 0.33
    not_brow: float = 0.88  # of a socket's brightness, from which what is above the eye is not hair
    alike: float = 0.22  # of its brightness, within which skin has the hue a lid needs
    lid_detail: float = 1.0  # of the skin's texture
    most_detail: float = 0.08  # of the light
    # how far a lid comes out of its socket's shade into the light of the skin
    out_of_socket: float = 0.30
    # Light of a closed lid over that of the skin below: real ones have .81; in side light a socket
    # says .5 of one eye and 1.1 of the other, and nobody's lids differ like that.
    lid_level: tuple[float, float] = (0.80, 1.0)
    most_out: float = 0.75
    warm_shade: float = 1.2  # how much more the colours that skin has little of lose in a shade
    even: float = 0.13  # of the eye's width, over which one skin passes over into the other
    rough: tuple[float, float] = (0.015, 0.05)  # of the light: fine folds
    smooth_lid: float = 0.012  # of the light: pigment of a lid
    lid_hue: float = 0.9  # how far a lid takes the hue of that skin
    lashes: float = 0.17  # of the eye's width above it: no skin
    longest: float = 0.32  # of the eye's width: lashes that stand out
    # of the eye's width, half of what is still a lash or a fold and not make-up
    hair: float = 0.055


_TUNING = _LidTuning()


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
    lashes = grow(opening, max(1.5, _TUNING.lashes * width))
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
        dark = socket < _TUNING.lid_skin * level
        skin = _TUNING.lid_skin * level if dark else _TUNING.not_brow * np.minimum(socket, around)
        known |= above & (grey > skin)
    bare = _without_hairs(cv2.GaussianBlur(crop, (0, 0), 0.03 * width), _TUNING.hair * width)
    filled = push_pull(bare, known | _far(near, lashes))
    filled = cv2.GaussianBlur(filled, (0, 0), _TUNING.even * width)
    if dark:
        light = level * (
            _TUNING.lid_light - _TUNING.socket_shade * np.clip(1.0 - socket / level, 0, 0.8)
        )
        found = float(np.median(cv2.cvtColor(filled, cv2.COLOR_RGB2GRAY)[opening]))
        filled = filled * np.clip(light / max(found, 1.0), 0.5, 1.5)
        wide = grow(opening, 0.62 * width) & ~lashes
        alike = wide & (np.abs(grey - light) < _TUNING.alike * light)
        lit = crop[alike] if alike.sum() > 0.02 * wide.sum() else crop[below & known]
        filled = np.clip(_tinted(filled, opening, lit), 0, 255)
    place = lid_place(opening, width)
    if place is not None:
        detail = _mirrored_detail(crop, opening, width)
        if not dark:
            filled = _lifted(filled, bare, known & below, place, width)
        rough = float(np.clip(1.5 * _roughness(grey, below, width), *_TUNING.rough))
        light = lid_relief(place, width, rough)
        light *= 1.0 + _TUNING.smooth_lid * pigment(place, width) * place.inside()
        filled = filled * _warm(light, filled[opening]) + detail
    reach = grow(opening, _TUNING.longest * width)
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
    limit = _TUNING.most_detail * float(np.median(work[opening | (yy > edge)]))
    return np.clip(_TUNING.lid_detail * folded, -limit, limit)


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
    least, most = _TUNING.lid_level
    needed = np.clip(
        (least - level) / np.maximum(1.0 - level, 0.05), _TUNING.out_of_socket, _TUNING.most_out
    )
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
    power = 1.0 + _TUNING.warm_shade * (colour.mean() - colour) / colour.mean()
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
    return filled * np.clip(ratio, 0.7, 1.4) ** _TUNING.lid_hue


def _far(near: Mask, lashes: Mask) -> Mask:
    """Return nothing if there is any skin near the eye, else all that is no lash."""
    return np.zeros_like(near) if near.any() else ~lashes
