"""How light falls on a closed lid: round over the eyeball, a fold above it, lashes below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from visavis.models.arrays import Floats, Mask, ease


class _ReliefTuning(NamedTuple):
    """The fold, the bulge and the lines of a closed lid.

    Set by eye on rendered portraits, not fitted.
    """

    fold: float = 0.14  # of the eye's width above the open eye: where a closed lid folds
    # of its height, by which the fold is lower over the corners: it does not end there
    bent: float = 0.25
    seam: float = 0.02  # of the eye's width below the open eye: where the rims meet
    bulge: float = 0.10  # of the light: more where a lid faces the viewer
    corners: float = 0.05  # of the light: less where it does not
    dim: float = 0.09  # of the light: lids are a little darker than cheeks
    roots: float = 0.40  # of the light between the lashes' roots
    roots_reach: float = 0.075  # of the eye's width
    crease: float = 0.10  # of the light
    crease_up: float = 0.07  # of the eye's width, as the next
    crease_down: float = 0.04
    # Fine folds: places from rim to fold, and how deep each is beside the others.
    lines: tuple[tuple[float, float], ...] = (
        (0.36, 0.4), (0.54, 0.7), (0.70, 1.0), (0.86, 0.8), (1.22, 0.8),
    )  # fmt: skip
    line_depth: float = 1.0  # of the light, where the skin is rough
    line_width: float = 0.017  # of the eye's width


_TUNING = _ReliefTuning()


@dataclass(frozen=True)
class LidPlace:
    """Where each pixel of an eye's patch lies on its closed lid; all ``(P, P)`` float32.

    Attributes:
        along: from the eye's middle, -1 and 1 in the corners.
        up: of the way from where the rims meet, 0, to the fold, 1.
        height: above where the rims meet, in pixels.
    """

    along: Floats
    up: Floats
    height: Floats

    def span(self) -> Floats:
        """Return how high the lid is at a pixel, in pixels."""
        up = np.where(np.abs(self.up) > 1e-3, self.up, 1.0)
        return np.where(np.abs(self.up) > 1e-3, self.height / up, 1.0).astype(np.float32)

    def inside(self) -> Floats:
        """Return how far a pixel is lid, softly, 0-1."""
        down = smooth(self.up, -0.3, 0.0) * (1.0 - smooth(self.up, 0.75, 1.7))
        return down * (1.0 - smooth(np.abs(self.along), 0.3, 1.1))


def smooth(x: Floats, low: float, high: float) -> Floats:
    """Return the cubic step from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(ease(t), np.float32)


def lid_place(opening: Mask, width: float) -> LidPlace | None:
    """Return where the closed lid of an open eye lies; None for an eye that is not there.

    Args:
        opening: ``(P, P)`` between the open eye's rims.
        width: of the eye in pixels.
    """
    columns = np.flatnonzero(opening.any(0))
    if len(columns) < 3:
        return None
    side = opening.shape[0]
    x, yy = np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32)[:, None]
    tops = np.argmax(opening, 0)[columns].astype(np.float32)
    ends = (side - 1 - np.argmax(opening[::-1], axis=0))[columns].astype(np.float32)
    along = (x - columns.mean()) / (0.5 * max(float(np.ptp(columns)), 1.0))
    # A line through the corners; the fold is an arch over it that is flatter than the rim's.
    first, last = ((tops[k] + ends[k]) / 2 for k in (0, -1))
    base = first + (last - first) * np.clip((along + 1) / 2, -0.1, 1.1)
    rise = float((base[columns] - tops).max()) + _TUNING.fold * width
    fold = base - rise * (1.0 - _TUNING.bent * np.clip(np.abs(along), 0, 1.3) ** 2)
    ends = cv2.blur(ends[None], (2 * max(1, round(0.04 * width)) + 1, 1))[0]
    seam = np.interp(x, columns, ends) + _TUNING.seam * width
    height = seam[None] - yy
    up = height / np.maximum(seam - fold, 0.1 * width)[None]
    flat = np.broadcast_to(along[None], opening.shape)
    return LidPlace(flat.astype(np.float32), up.astype(np.float32), height.astype(np.float32))


def lid_relief(place: LidPlace, width: float, roughness: float) -> Floats:
    """Return the light on a closed lid over that on flat skin, ``(P, P)``.

    Args:
        place: of ``lid_place``.
        width: of the eye in pixels.
        roughness: how much the skin around varies, of its light: old skin has fine folds.
    """
    up, aside = place.up, np.abs(place.along)
    ends = 1.0 - smooth(aside, 0.5, 1.2)
    bulge = _TUNING.bulge * np.exp(-(((up - 0.45) / 0.32) ** 2)) * ends
    corners = _TUNING.corners * smooth(aside, 0.4, 1.0) * (1.0 - smooth(aside, 1.0, 1.4))
    corners *= smooth(up, -0.3, 0.0) * (1.0 - smooth(up, 0.5, 1.1))
    roots = _TUNING.roots * np.exp(-((place.height / (_TUNING.roots_reach * width)) ** 2))
    roots *= 1.0 - smooth(aside, 0.75, 1.15)
    # The fold is a shadow below an edge of skin that turns away little by little.
    above = (up - 1.0) * place.span()
    reach = np.where(above < 0, _TUNING.crease_down, _TUNING.crease_up) * width
    crease = _TUNING.crease * np.exp(-((above / reach) ** 2)) * (1.0 - smooth(aside, 0.3, 1.1))
    light = 1.0 + bulge - _TUNING.dim * place.inside() - corners - roots - crease
    return np.asarray(light * _fine_folds(place, width, roughness), np.float32)


def _fine_folds(place: LidPlace, width: float, roughness: float) -> Floats:
    """Return the light on a lid with the fine folds that run along it, 1 where there is none."""
    light = np.ones_like(place.up)
    span = place.span()
    for k, (at, depth) in enumerate(_TUNING.lines):
        # None runs the whole way or quite parallel to the fold.
        start = 0.25 * np.sin(2.1 * k + 0.7)
        lean = 0.04 * place.along * np.cos(1.7 * k)
        there = np.exp(-(((place.along - start) / 0.5) ** 2))
        off = (place.up - at - lean) * span / (max(_TUNING.line_width * width, 0.8))
        # A line, and beside it the skin that it heaps up.
        line = np.exp(-(off**2)) - 0.5 * np.exp(-((off - 1.8) ** 2))
        light -= np.float32(_TUNING.line_depth * depth * roughness) * there * line
    return light


def pigment(place: LidPlace, width: float) -> Floats:
    """Return soft blotches and veins of a lid, the same for every lid of a size, about 0 +- 1."""
    noise = np.random.default_rng(5).standard_normal(place.up.shape).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 0.035 * width, sigmaY=0.09 * width)
    return np.asarray(soft / max(float(soft.std()), 1e-6), np.float32)
