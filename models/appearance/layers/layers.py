"""Cut the photo into layers: framing, person matte, background behind the person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.fit import OVAL
from visavis.models.arrays import Floats, Image

FACE_WIDTHS = 3.0  # side of the crop


class _LayersTuning(NamedTuple):
    """Where the person ends in a photo, and what lies behind.

    Set by eye on rendered portraits, not fitted.
    """

    face_height_in_crop: float = 0.44  # where the middle of the face sits, from the top
    largest_bar: float = 0.2  # of the photo's side
    bar_noise: int = 10  # of 255, in a plain bar
    bar_dark: int = 24  # of 255: bars are black
    bar_light: int = 244  # or white
    # of a row that has the bar's colour: inside it, and after it
    plain: float = 0.60
    not_plain: float = 0.30
    bar_end: int = 5  # rows within which a bar ends
    strands: float = 0.045  # of the picture: how far strands are looked for
    told_apart: float = 45.0  # grey levels between hair and backdrop from which strands are told
    like_hair: float = 0.2  # of the way from the backdrop's colour to the hair's
    fewest: float = 0.005  # of the picture that is needed to know a backdrop
    apart: float = 0.05  # of the picture: what is further from the person is none of it
    detail: float = 1 / 40  # of the picture: structure below this is mirrored behind the person
    detail_reach: float = 0.25  # of the picture: how far behind
    detail_limit: float = 2.5  # of the usual strength of the structure
    sure: float = 0.98  # opacity from which all is the person's
    local: float = 0.025  # of the picture, around an edge: colours that it may have
    local_room: float = 6.0  # grey levels beyond those
    none: float = 0.02  # opacity up to which nothing is the person's


_TUNING = _LayersTuning()


@dataclass(frozen=True)
class Framing:
    """A square of the photo and the scale to the avatar's picture.

    Attributes:
        left: first column of the square.
        top: first row.
        side: pixels of the photo.
        size: pixels of the avatar.
        tight: face widths that fit in the square, ``FACE_WIDTHS`` when nothing was clamped.
    """

    left: int
    top: int
    side: int
    size: int
    tight: float

    def points(self, landmarks: Floats) -> Floats:
        """Map photo landmarks ``(N, 3)`` to pixels of the avatar's picture."""
        scale = self.size / self.side
        moved = (landmarks - (self.left, self.top, 0.0) + (0.5, 0.5, 0.0)) * scale
        return (moved - (0.5, 0.5, 0.0)).astype(np.float32)

    def cut(self, photo: Image) -> Image:
        """Return the square, resampled to ``(size, size, 3)``."""
        square = photo[self.top : self.top + self.side, self.left : self.left + self.side]
        way = cv2.INTER_AREA if self.side > self.size else cv2.INTER_CUBIC
        return cv2.resize(square, (self.size, self.size), interpolation=way)


def without_bars(photo: Image) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the photo without plain bars at its edges.

    A bar is black or white over most of its length (a caption may stand on it) and ends within a
    few rows along the whole edge. A plain backdrop does not: the person ends it piece by piece.
    """
    height, width = photo.shape[:2]
    top, bottom = _bar(photo), height - _bar(photo[::-1])
    turned = photo[top:bottom].transpose(1, 0, 2)
    left, right = _bar(turned), width - _bar(turned[::-1])
    return left, top, right, bottom


def _bar(rows: Image) -> int:
    """Return how many of the first rows are a bar."""
    limit = int(_TUNING.largest_bar * len(rows))
    if limit < 2:
        return 0
    colour = np.median(rows[0].astype(np.int16), axis=0)
    if colour.max() > _TUNING.bar_dark and colour.min() < _TUNING.bar_light:
        return 0
    part = rows[: limit + _TUNING.bar_end].astype(np.int16)
    plain = (np.abs(part - colour).max(2) <= _TUNING.bar_noise).mean(1)
    ended = np.flatnonzero(plain < _TUNING.plain)
    if plain[0] < _TUNING.plain or not len(ended) or ended[0] > limit:
        return 0
    first = int(ended[0])
    after = plain[first : first + _TUNING.bar_end]
    for k, share in enumerate(after):
        if share < _TUNING.not_plain:
            return first + k
    return 0


def frame_face(photo: Image, landmarks: Floats, size: int) -> Framing:
    """Choose the square around head and shoulders that the photo has room for."""
    height, width = photo.shape[:2]
    oval = landmarks[list(OVAL), :2]
    low, high = oval.min(0), oval.max(0)
    face = float(high[0] - low[0])
    side = int(min(FACE_WIDTHS * face, height, width))
    centre = (low + high) / 2
    left = int(np.clip(round(centre[0] - side / 2), 0, width - side))
    top = int(np.clip(round(centre[1] - side * _TUNING.face_height_in_crop), 0, height - side))
    return Framing(left, top, side, size, side / face)


def push_pull(image: NDArray[np.floating], weight: NDArray[np.floating]) -> Floats:
    """Fill where ``weight`` is 0 from where it is 1, smoothly at every distance.

    Gortler et al., *The Lumigraph* (1996): average down a pyramid, fill back up.

    Args:
        image: ``(H, W, C)``.
        weight: ``(H, W)`` in 0-1.

    Returns:
        ``(H, W, C)`` float32, equal to the image where the weight is 1.
    """
    weight = np.clip(weight, 0, 1).astype(np.float32)
    image = image.astype(np.float32)
    levels = []
    colour, w = image * weight[..., None], weight
    while min(w.shape) > 1:
        levels.append((colour, w))
        half = (max(1, (w.shape[1] + 1) // 2), max(1, (w.shape[0] + 1) // 2))
        colour = cv2.resize(cv2.GaussianBlur(colour, (5, 5), 0), half, interpolation=cv2.INTER_AREA)
        w = cv2.resize(cv2.GaussianBlur(w, (5, 5), 0), half, interpolation=cv2.INTER_AREA)
        # Saturating the weight lets sparse samples speak at full strength further up.
        gain = np.minimum(1.0, w * 4.0) / np.maximum(w, 1e-6)
        colour, w = colour.reshape(*w.shape, -1) * gain[..., None], w * gain
    filled = colour.reshape(*w.shape, -1) / np.maximum(w, 1e-6)[..., None]
    for colour, w in reversed(levels):
        up = cv2.resize(filled, (w.shape[1], w.shape[0]), interpolation=cv2.INTER_LINEAR)
        filled = colour + up.reshape(colour.shape) * (1.0 - w[..., None])
    return filled.astype(np.float32)


def guided_filter(guide: Floats, target: Floats, radius: int, eps: float) -> Floats:
    """Grey guided filter (He et al. 2013); guide and target in 0-1.

    Not OpenCV's, which is of its contributed modules: it mirrors at the picture's edges otherwise
    (up to 0.05 of opacity there, 1.5e-5 inside), and would give every avatar that was enrolled
    before another outline, for 10 ms of an enrolment.
    """
    kernel = (2 * radius + 1, 2 * radius + 1)
    mean_g, mean_t = cv2.blur(guide, kernel), cv2.blur(target, kernel)
    variance = cv2.blur(guide * guide, kernel) - mean_g**2
    a = (cv2.blur(guide * target, kernel) - mean_g * mean_t) / (variance + eps)
    b = mean_t - a * mean_g
    return cv2.blur(a, kernel) * guide + cv2.blur(b, kernel)


def refine_matte(picture: Image, probability: Floats, face: NDArray[np.bool_]) -> Floats:
    """Return the person's opacity ``(H, W)`` in 0-1 with hair edges that follow the picture.

    Args:
        picture: ``(S, S, 3)`` RGB.
        probability: ``(S, S)`` from the segmentation.
        face: ``(S, S)`` pixels that surely belong to the person.
    """
    size = picture.shape[0]
    p = np.clip((probability - 0.25) / 0.4, 0, 1).astype(np.float32)
    p[face] = 1.0
    unit = max(1, round(size / 128))
    grown = np.ones((2 * unit + 1, 2 * unit + 1), np.uint8)
    sure = cv2.erode((p > 0.9).astype(np.uint8), np.ones((4 * unit + 1,) * 2, np.uint8)) > 0
    never = cv2.dilate((p > 0.08).astype(np.uint8), grown, iterations=2) == 0
    total = np.zeros_like(p)
    for channel in range(3):
        guide = picture[..., channel].astype(np.float32) / 255.0
        total += guided_filter(guide, p, 2 * unit, 2e-4)
    alpha = np.clip((total / 3.0 - 0.12) / 0.76, 0, 1)
    alpha[sure | face] = 1.0
    alpha[never] = 0.0
    return _one_piece(alpha, face).astype(np.float32)


def _one_piece(alpha: Floats, face: NDArray[np.bool_]) -> Floats:
    """Return the opacity of what hangs together with the face; chairs and hands apart do not."""
    count, labels = cv2.connectedComponents((alpha > 0.5).astype(np.uint8))
    if count <= 2 or not face.any():
        return alpha
    kept = labels == np.bincount(labels[face], minlength=count).argmax()
    return np.asarray(alpha * cv2.dilate(kept.astype(np.uint8), _disc(_TUNING.apart * len(alpha))))


def _strands(picture: Image, alpha: Floats) -> NDArray[np.bool_]:
    """Return where beside the outline the picture rather has the hair's colour.

    Strands that the matte leaves out must not be taken for what is behind the person.
    """
    size = len(alpha)
    reach = cv2.dilate((alpha > 0.5).astype(np.uint8), _disc(_TUNING.strands * size)) > 0
    far = (
        cv2.dilate((alpha > _TUNING.none).astype(np.uint8), _disc(1.5 * _TUNING.strands * size))
        == 0
    )
    inside = cv2.erode((alpha > _TUNING.sure).astype(np.uint8), _disc(size / 128)) > 0
    if far.mean() < _TUNING.fewest or not inside.any():
        return np.zeros(alpha.shape, bool)
    back = push_pull(picture, far)
    way = push_pull(picture, inside) - back
    length = (way**2).sum(2)
    share = ((picture - back) * way).sum(2) / np.maximum(length, 1.0)
    return np.asarray(reach & (share > _TUNING.like_hair) & (length > _TUNING.told_apart**2))


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _fill(picture: Image, seed: NDArray[np.bool_]) -> Floats:
    """Return the picture filled from the seeds, with their fine structure, ``(H, W, 3)``.

    A smooth filling shows as a ghost of the person wherever the backdrop has a grain or a pattern.
    So the structure beside the seeds' border is mirrored beyond it.
    """
    size = picture.shape[0]
    sigma = _TUNING.detail * size
    weight = seed.astype(np.float32)
    share = cv2.GaussianBlur(weight, (0, 0), sigma)
    smooth = cv2.GaussianBlur(picture * weight[..., None], (0, 0), sigma)
    detail = (picture - smooth / np.maximum(share, 1e-3)[..., None]) * weight[..., None]
    # A grain goes on behind the person; a bright window or a dark frame would be a second one.
    limit = _TUNING.detail_limit * np.median(np.abs(detail[seed]), 0) + 1.0
    # Corners of backdrop between curls are no pattern.
    limit = limit * np.clip((seed.mean() - 0.04) / 0.08, 1e-3, 1)
    detail = (limit * np.tanh(detail / limit)).astype(np.float32)
    distance, labels = cv2.distanceTransformWithLabels(
        (~seed).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.zeros((int(labels.max()) + 1, 2), np.float32)
    rows, columns = np.nonzero(seed)
    places[labels[rows, columns]] = np.stack([columns, rows], 1)
    y, x = np.mgrid[: seed.shape[0], : seed.shape[1]].astype(np.float32)
    nearest = cv2.GaussianBlur(places[labels], (0, 0), max(1.0, size / 128))
    u, v = 2 * nearest[..., 0] - x, 2 * nearest[..., 1] - y
    mirrored = cv2.remap(detail, u, v, cv2.INTER_LINEAR)
    known = cv2.remap(weight, u, v, cv2.INTER_LINEAR)
    known = np.clip(2 * cv2.GaussianBlur(known, (0, 0), size / 85) - 1, 0, 1)
    fade = np.clip(1 - distance / (_TUNING.detail_reach * size), 0, 1) * known
    fade = np.where(seed, 1.0, fade)[..., None]
    return push_pull(picture - detail, seed) + np.where(seed[..., None], detail, mirrored) * fade


def background_behind(picture: Image, alpha: Floats) -> Image:
    """Return the picture with the person filled from around; untouched where alpha is 0."""
    unit = max(1, picture.shape[0] // 170)
    taken = (alpha > _TUNING.none).astype(np.uint8)
    # Beside hair the picture still carries some of it, so a rim is filled too.
    near = cv2.dilate(taken, np.ones((2 * unit + 1,) * 2, np.uint8))
    seed = cv2.dilate(near, np.ones((2 * unit + 1,) * 2, np.uint8)) == 0
    strands = _strands(picture, alpha)
    if (seed & ~strands).mean() >= _TUNING.fewest:
        seed &= ~strands
        # What the filling must not see must not stay beside it either: left in the picture, a
        # strand or the head's own shadow is an outline that the head leaves behind as it moves.
        near = np.maximum(near, _softly_ended(strands, unit))
    if seed.mean() < _TUNING.fewest:
        seed = taken == 0
    if not seed.any():
        return cv2.GaussianBlur(picture, (0, 0), picture.shape[0] / 8)
    filled = _fill(picture, seed)
    grown = cv2.dilate(near, np.ones((unit + 1,) * 2, np.uint8)).astype(np.float32)
    blend = np.maximum(cv2.GaussianBlur(grown, (0, 0), 0.6 * unit), near)
    blend[grown == 0] = 0.0
    mixed = picture * (1 - blend[..., None]) + filled * blend[..., None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _softly_ended(part: NDArray[np.bool_], unit: int) -> NDArray[np.uint8]:
    """Return a part without its specks, a little larger."""
    whole = cv2.morphologyEx(part.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    return np.asarray(cv2.dilate(whole, _disc(2 * unit)), np.uint8)


def _local_range(picture: Image, sure: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the darkest and lightest ``(H, W, 3)`` that the person surely has nearby.

    Where the old backdrop was darker than what fills its place, the edge would keep the difference
    as a dark line; no colour is there that is not also beside it.
    """
    near = _disc(_TUNING.local * len(picture))
    soft = cv2.GaussianBlur(picture, (0, 0), len(picture) / 512)
    low = cv2.erode(np.where(sure[..., None], soft, 255).astype(np.uint8), near)
    high = cv2.dilate(np.where(sure[..., None], soft, 0).astype(np.uint8), near)
    found = high >= low
    return (
        np.where(found, low, 0).astype(np.float32) - _TUNING.local_room,
        np.where(found, high, 255).astype(np.float32) + _TUNING.local_room,
    )


def foreground_colour(picture: Image, alpha: Floats, background: Image) -> Image:
    """Return the person's own colour, freed of the background at soft edges and beyond them."""
    a = alpha[..., None]
    back = background.astype(np.float32)
    solved = (picture - (1 - a) * back) / np.maximum(a, 0.25)
    inner = push_pull(picture, alpha > _TUNING.sure)
    low, high = _local_range(picture, alpha > _TUNING.sure)
    low, high = np.maximum(low, inner - 60.0), np.minimum(high, inner + 60.0)
    solved = np.clip(solved, np.minimum(low, inner), np.maximum(high, inner))
    trust = np.clip((a - 0.15) / 0.45, 0, 1)
    colour = np.where(a > _TUNING.sure, picture, solved * trust + inner * (1 - trust))
    return np.clip(np.rint(colour), 0, 255).astype(np.uint8)
