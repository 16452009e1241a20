"""The skin of a closed eye, of which a photo with open eyes shows nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.appearance.layers import push_pull

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LID_LIGHT = 0.97  # brightness of a closed lid before its relief, over that of the skin below
_SOCKET_SHADE = 0.40  # part of a socket's shadow that falls on its lid too
_LID_SKIN = 0.78  # of that brightness, from which what is above the eye counts as skin
_ALIKE = 0.22  # of its brightness, within which skin has the hue a lid needs
_LID_DETAIL = 0.8  # of the skin's texture
_LID_HUE = 0.9  # how far a lid takes the hue of that skin


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

    Its light and hue are those of the skin around, chiefly below: a lid comes down out of its
    socket and catches light that the socket does not. Brow, lashes, glasses and folds are left
    out: only the brighter half of the skin counts, and above the eye only what is about as bright
    as below it. Pores and wrinkles are those of the skin below, upside down.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    lashes = grow(opening, max(1.5, 0.17 * width))
    near = grow(opening, 0.40 * width) & ~lashes
    rows = np.flatnonzero(opening.any(1))
    middle = float(rows.mean()) if len(rows) else crop.shape[0] / 2
    above = np.broadcast_to(np.arange(crop.shape[0])[:, None] < middle, near.shape)
    below = near & ~above
    known = below & (grey >= np.percentile(grey[below], 50)) if below.any() else below
    light = 1.0
    if known.any():  # the frame of glasses is no skin, however much of it there is
        level = float(np.median(grey[known]))
        over = near & above
        socket = float(np.percentile(grey[over], 65)) if over.any() else level
        light = level * (_LID_LIGHT - _SOCKET_SHADE * np.clip(1.0 - socket / level, 0, 0.8))
        known |= near & above & (grey > _LID_SKIN * level)
    filled = push_pull(cv2.GaussianBlur(crop, (0, 0), 0.03 * width), known | _far(near, lashes))
    filled = cv2.GaussianBlur(filled, (0, 0), 0.06 * width)
    if known.any():
        found = float(np.median(cv2.cvtColor(filled, cv2.COLOR_RGB2GRAY)[opening]))
        filled = filled * np.clip(light / max(found, 1.0), 0.5, 1.5)
        around = grow(opening, 0.62 * width) & ~lashes
        alike = around & (np.abs(grey - light) < _ALIKE * light)
        skin = crop[alike] if alike.sum() > 0.02 * around.sum() else crop[below & known]
        filled = np.clip(_tinted(filled, opening, skin), 0, 255)
    filled *= _lid_relief(opening, width)[..., None]
    filled += _mirrored_detail(crop, opening, width)
    soft = cv2.GaussianBlur(lashes.astype(np.float32), (0, 0), 0.05 * width)
    soft = (np.clip(soft * 1.5, 0, 1) * (1 - lower))[..., None]
    return np.clip(np.rint(crop * (1 - soft) + filled * soft), 0, 255).astype(np.uint8)


def _mirrored_detail(crop: Image, opening: Mask, width: float) -> Floats:
    """Return the fine texture of the skin below the eye, folded up over the lid."""
    columns = np.flatnonzero(opening.any(0))
    if not len(columns):
        return np.zeros(crop.shape, np.float32)
    side = crop.shape[0]
    ends = side - 1 - np.argmax(opening[::-1], axis=0)
    edge = np.interp(np.arange(side), columns, ends[columns]) + 0.10 * width
    yy, xx = np.mgrid[:side, :side].astype(np.float32)
    mirrored = np.where(yy < edge, np.minimum(2 * edge - yy, side - 1.0), yy).astype(np.float32)
    work = crop.astype(np.float32)
    fine = work - cv2.GaussianBlur(work, (0, 0), 0.05 * width)
    folded = cv2.remap(fine, xx, mirrored, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    limit = 0.05 * float(np.median(work[opening | (yy > edge)]))
    return np.clip(_LID_DETAIL * folded, -limit, limit)


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


def _lid_relief(opening: Mask, width: float) -> Floats:
    """Shade a closed lid: round over the eyeball, darker in the fold, at rim and corners."""
    side = opening.shape[0]
    columns = np.flatnonzero(opening.any(0))
    if not len(columns):
        return np.ones(opening.shape, np.float32)
    top = np.interp(np.arange(side), columns, np.argmax(opening, 0)[columns]) - 0.13 * width
    ends = side - 1 - np.argmax(opening[::-1], axis=0)
    bottom = np.interp(np.arange(side), columns, ends[columns]) + 0.02 * width
    yy = np.arange(side, dtype=np.float32)[:, None]
    s = np.clip((yy - top) / np.maximum(bottom - top, 1.0), 0, 1)
    u = (np.arange(side)[None] - columns.mean()) / max(0.5 * np.ptp(columns), 1.0)
    arch, ends = np.abs(s - 0.52) / 0.52, np.clip(np.abs(u), 0, 1.2)
    round_lid = 1.0 - 0.16 * arch**2.2 - 0.10 * ends**3
    fold = np.exp(-(((yy - top) / (0.05 * width)) ** 2))
    return (round_lid - 0.07 * fold).astype(np.float32)
