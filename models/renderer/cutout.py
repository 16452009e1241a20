"""The person's edge for a new background, better than the one that stands before the old one.

Before the photo's own background an edge may carry some of it, and a lamp taken for a shoulder is
where it always was. Before another one both show. So for these the matte is gone over once more:
what hangs on the person by a thread or has the old backdrop's colours goes, the edge loses the
backdrop's colour, and clothes get a smooth outline. Where the edge of the head lies stays the
matte's: solved again from the colours on both sides it ate ears and light hair, and eyes that did
not know which was which preferred the plain matte in five of six pictures.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers.layers import foreground_colour, push_pull

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class _CutoutTuning(NamedTuple):
    """What of a matte is the person, before a background of another colour.

    Set by eye on cut-outs of 55 portraits, not fitted.
    """

    thread: float = 1 / 40  # of the picture: what is thinner holds nothing that is wider beyond it
    reach: float = 1.6  # of that: how far thin parts of the person themselves may reach
    sure: float = 0.98  # opacity from which it is the person
    none: float = 0.02  # opacity up to which it is not
    colours: int = 6  # that a backdrop, and a person, is described by
    like_backdrop: float = 0.5  # of the distance to the person's colours: then it is backdrop
    smallest: float = 0.004  # of the picture: smaller parts are left to the edge
    beside: float = 0.8  # of a part is above the chin, or it is clothes
    grain: float = 1 / 80  # of the picture: what is narrower is no part
    smooth: float = 1 / 300  # of the picture: sigma over which the outline of clothes is drawn


_TUNING = _CutoutTuning()


def cut_out(identity: Identity) -> Identity:
    """Return the person with a matte and colours fit for any background; the rest is the same."""
    alpha = identity.alpha.astype(np.float32) / 255.0
    cleaned = _without_threads(identity, alpha)
    cleaned = _without_backdrop(identity, cleaned)
    cleaned = _smooth_clothes(identity, cleaned)
    opacity = np.rint(255 * cleaned).astype(np.uint8)
    return replace(identity, alpha=opacity, foreground=_edge_colours(identity, alpha, cleaned))


def _edge_colours(identity: Identity, before: Floats, alpha: Floats) -> Image:
    """Return the person's colours, ``(S, S, 3)``: as they were, but at the edge free of the old."""
    solved = foreground_colour(identity.photo, alpha, identity.background)
    inner = push_pull(identity.photo, alpha > _TUNING.sure)
    # At a tenth of opacity nothing of a colour can be known; what is inside beside it is likelier.
    trust = np.clip((alpha[..., None] - 0.3) / 0.6, 0, 1)
    colour = np.clip(np.rint(solved * trust + inner * (1 - trust)), 0, 255).astype(np.uint8)
    # Further in, enrolment may have closed a smile or taken glasses off.
    inside = ((before > _TUNING.sure) & (alpha > _TUNING.sure))[..., None]
    return np.where(inside, identity.foreground, colour)


def _face(identity: Identity) -> tuple[float, float, float]:
    """Return column and row of the face's middle, and its height, in pixels."""
    landmarks = load_basis().landmarks
    top, chin = (identity.source[landmarks[n]] for n in (10, 152))
    return float(top[0] + chin[0]) / 2, float(top[1] + chin[1]) / 2, float(chin[1] - top[1])


def _disc(radius: float) -> Image:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _with(face: tuple[float, float, float], mask: Image) -> Mask:
    """Return the part of a mask that hangs together with the face."""
    _, labels = cv2.connectedComponents(mask)
    x, y = (int(np.clip(v, 0, len(mask) - 1)) for v in face[:2])
    label = labels[y, x]
    return np.asarray(labels == label) if label else np.ones(mask.shape, bool)


def _feathered(alpha: Floats, kept: Mask) -> Floats:
    """Return the opacity of what is kept, soft where something was taken off."""
    soft = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), len(alpha) / 256)
    return np.asarray(alpha * np.clip(2 * soft - 0.5, 0, 1), np.float32)


def _without_threads(identity: Identity, alpha: Floats) -> Floats:
    """Take off what is joined to the person by something thin only."""
    radius = _TUNING.thread * len(alpha) / 2
    solid = (alpha > 0.5).astype(np.uint8)
    # What the picture's edge cuts is as thick as it would be beyond it.
    pad = round(radius) + 1
    wide = cv2.copyMakeBorder(solid, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    core = cv2.erode(wide, _disc(radius))[pad:-pad, pad:-pad]
    kept = _with(_face(identity), np.ascontiguousarray(core))
    kept &= core > 0
    if not kept.any():
        return alpha
    near = cv2.dilate(kept.astype(np.uint8), _disc(radius * (1 + _TUNING.reach))) > 0
    return _feathered(alpha, near)


def _certain(identity: Identity) -> Mask:
    """Return where dark hair before a dark wall stays: a head with its hair, neck, chest."""
    x, y, height = _face(identity)
    rows, columns = np.mgrid[: identity.size, : identity.size].astype(np.float32)
    head = ((columns - x) / (0.75 * height)) ** 2 + ((rows - y) / (1.15 * height)) ** 2 < 1
    slope = np.maximum(rows - (y + height / 2), 0) / height
    torso = (slope > 0) & (np.abs(columns - x) < height * (0.3 + slope))
    return np.asarray(head | torso)


def _without_backdrop(identity: Identity, alpha: Floats) -> Floats:
    """Take off large parts beside the person that have the backdrop's colours, not theirs."""
    person, certain, behind = alpha > 0.5, _certain(identity), alpha < _TUNING.none
    if behind.mean() < _TUNING.smallest * 10 or not (person & certain).any():
        return alpha
    picture = cv2.GaussianBlur(identity.photo, (0, 0), len(alpha) / 170).astype(np.float32)
    own, other = (_palette(picture[mask]) for mask in (person & certain, behind))
    at = person & ~certain
    to_own, to_other = (_distance(picture[at], colours) for colours in (own, other))
    like = np.zeros(alpha.shape, np.uint8)
    like[at] = to_other < _TUNING.like_backdrop * to_own
    like = cv2.morphologyEx(like, cv2.MORPH_OPEN, _disc(_TUNING.grain * len(alpha)))
    count, labels, facts, _ = cv2.connectedComponentsWithStats(like)
    _, y, height = _face(identity)
    above = np.bincount(labels[: round(y + height / 2)].ravel(), minlength=count)
    area = facts[:, cv2.CC_STAT_AREA]
    # Clothes have the colours of some backdrop or other; lamps and posters hang beside the head.
    beside = (area > _TUNING.smallest * alpha.size) & (above > _TUNING.beside * area)
    large = [n for n in range(1, count) if beside[n]]
    if not large:
        return alpha
    gone = cv2.dilate(_u8(np.isin(labels, large)), _disc(_TUNING.grain * len(alpha))) > 0
    left = _without_threads(identity, np.where(gone & ~certain, 0, alpha).astype(np.float32))
    return _feathered(alpha, left > 0.5)


def _u8(mask: Mask) -> Image:
    return np.ascontiguousarray(mask.astype(np.uint8))


def _palette(colours: Floats) -> Floats:
    """Return a few colours ``(k, 3)`` that stand for many ``(n, 3)``, the same each time."""
    few = colours[:: max(1, len(colours) // 4000)].astype(np.float32)
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 12, 0.0)
    count = min(_TUNING.colours, len(few))
    _, _, centres = cv2.kmeans(few, count, None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    return np.asarray(centres, np.float32)


def _distance(colours: Floats, palette: Floats) -> Floats:
    apart = colours[:, None, :] - palette[None]
    return np.asarray(np.sqrt((apart**2).sum(2)).min(1), np.float32)


def _smooth_clothes(identity: Identity, alpha: Floats) -> Floats:
    """Draw the outline below the chin smoothly: cloth has no strands, a matte has steps."""
    _, y, height = _face(identity)
    soft = cv2.GaussianBlur(alpha, (0, 0), _TUNING.smooth * len(alpha))
    sharp = np.clip((soft - 0.5) * 1.5 + 0.45, 0, 1)
    rows = np.arange(len(alpha), dtype=np.float32)[:, None]
    share = np.clip((rows - (y + 0.65 * height)) / (0.15 * height), 0, 1)
    return np.asarray(alpha + share * (sharp - alpha), np.float32)
