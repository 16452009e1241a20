"""Whether mouth and eyes can be seen at all, or a mask, a hand or dark glasses hides them.

Drawings in flat colour and closed eyes are told here too.

The tracker draws a plausible mouth on anything that covers one, so landmarks cannot tell. Colours
can: lips differ from the skin around them, and an open eye is dark and bright at once.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.fit import OVAL
from visavis.models.appearance.photo.errors import EnrolmentRefused

_UNIT = 60.0  # px between the eyes, at which everything is measured
_SIDE = 256
_EYE_CENTRE = (128.0, 90.0)  # where the middle between the eyes goes
_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_CHEEKS = ((50, 101, 118, 117), (280, 330, 347, 346))
_LIDS = (
    ((33, 133), ((160, 144), (159, 145), (158, 153))),
    ((263, 362), ((387, 373), (386, 374), (385, 380))),
)
_EYES = ((33, 160, 159, 158, 133, 153, 145, 144), (263, 387, 386, 385, 362, 380, 374, 373))
_IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
_LOWER_CHEEKS, _NOSE_CHIN = (205, 425), (4, 199)
_BAGS = ((23, 230), (253, 450))
# Height over width of the wider eye. Laughing eyes of some people are no wider than 0.105.
_EYES_CLOSED, EYES_NEARLY_CLOSED = 0.10, 0.15


class _CoveredTuning(NamedTuple):
    """From where a face counts as covered.

    Fitted on synthetic portraits, as the comments say. Lightness and chroma are CIELAB's.
    """

    # Set on 824 synthetic portraits, of which they refuse five: one in sunglasses and four in the
    # dark.
    lip_texture: float = 3.0
    lip_like_skin: tuple[float, ...] = (1.0, 4.0, 8.0)  # chroma, lightness, texture: all below
    # A scarf or mask with folds: little difference to what is around it, which in turn has another
    # hue than the cheeks. Of 549 portraits it takes one in a scarf and one picture that shows no
    # face.
    lip_like_cloth: tuple[float, ...] = (1.2, 5.0, 12.0)
    cloth_not_skin: float = 10.0
    eye_range: float = 6.0
    # Logistic regression on 1647 synthetic portraits, 55 of them in dark glasses. In five-fold
    # cross validation the threshold finds 41 of those and 8 of the others, mostly with closed eyes.
    glasses_weights: tuple[float, ...] = (
        -0.0448, -0.0322, -0.01, -0.1117, 0.3123, -0.0594, -0.0752,
    )  # fmt: skip
    glasses_bias: float = -2.372
    glasses: float = 2.0
    # Of 412 portraits the flattest, underexposed one, has 0.47; a felt-pen face has 0.93.
    flat: float = 0.65


_TUNING = _CoveredTuning()


def refuse_covered(photo: NDArray[np.uint8], points: NDArray[np.float32]) -> None:
    """Refuse a face whose mouth or eyes do not show.

    Args:
        photo: ``(H, W, 3)`` RGB uint8.
        points: ``(478, 3)`` landmarks in pixels.

    Raises:
        EnrolmentRefused: with the sentence for its owner.
    """
    lab, landmarks = _upright_lab(photo, points)
    if _flat_share(lab[_area(landmarks, OVAL, 0.95)][:, 0]) > _TUNING.flat:
        raise EnrolmentRefused(
            "The face is one flat colour, as in a drawing; please use a photo or a painting.",
            "drawing",
        )
    if _lips_hidden(lab, landmarks):
        raise EnrolmentRefused(
            "The mouth cannot be seen; nothing may cover it, nor deep shadow.", "mouth-hidden"
        )
    if eye_opening(points) < _EYES_CLOSED:
        raise EnrolmentRefused(
            "The eyes are closed; please use a photo with open eyes.", "eyes-closed"
        )
    flat = all(_range(lab, _area(landmarks, eye, 1.15)) < _TUNING.eye_range for eye in _EYES)
    if flat or _dark_glasses(lab, landmarks) > _TUNING.glasses:
        raise EnrolmentRefused(
            "The eyes cannot be seen; please take off dark glasses or a low hat.", "eyes-hidden"
        )


def _flat_share(lightness: NDArray[np.float32]) -> float:
    """Return the share of pixels in the fullest two neighbouring steps of lightness."""
    counts = np.histogram(lightness, bins=np.arange(0.0, 102.0))[0]
    return float((counts[:-1] + counts[1:]).max()) / max(1, len(lightness))


def eye_opening(points: NDArray[np.float32]) -> float:
    """Return height over width of the wider eye, from ``(>=468, 2+)`` landmarks."""
    found = []
    for (a, b), lids in _LIDS:
        width = float(np.linalg.norm(points[a, :2] - points[b, :2])) + 1e-6
        heights = [np.linalg.norm(points[up, :2] - points[low, :2]) for up, low in lids]
        found.append(float(np.mean(heights)) / width)
    return max(found)


def _upright_lab(
    photo: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the face at a fixed size in CIELAB, and its landmarks there."""
    right, left = points[[33, 133], :2].mean(axis=0), points[[263, 362], :2].mean(axis=0)
    scale = _UNIT / max(1.0, float(np.hypot(*(left - right))))
    shift = np.array(_EYE_CENTRE) - scale * (right + left) / 2
    if scale < 1.0:  # shrinking by interpolation alone would alias texture into the measure
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.4 / scale), np.uint8)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    face = cv2.warpAffine(photo, matrix, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(face.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(lab, np.float32), (points[:, :2] * scale + shift).astype(np.float32)


def _lips_hidden(lab: NDArray[np.float32], landmarks: NDArray[np.float32]) -> bool:
    lips = _area(landmarks, _LIPS, 1.0)
    around = _area(landmarks, _LIPS, 1.5) & ~_area(landmarks, _LIPS, 1.2)
    if not lips.any() or not around.any():
        return True
    difference = lab[lips].mean(axis=0) - lab[around].mean(axis=0)
    texture = float(lab[lips][:, 0].std())
    measured = (float(np.hypot(*difference[1:])), abs(float(difference[0])), texture)
    like_skin = all(
        value < limit for value, limit in zip(measured, _TUNING.lip_like_skin, strict=True)
    )
    if texture < _TUNING.lip_texture or like_skin:
        return True
    cheeks = np.concatenate([lab[_area(landmarks, cheek, 1.0)] for cheek in _CHEEKS])
    if not len(cheeks):
        return False
    other = float(np.hypot(*(lab[around].mean(axis=0) - cheeks.mean(axis=0))[1:]))
    like_cloth = all(v < limit for v, limit in zip(measured, _TUNING.lip_like_cloth, strict=True))
    return like_cloth and other > _TUNING.cloth_not_skin


def _range(lab: NDArray[np.float32], area: NDArray[np.bool_]) -> float:
    if not area.any():
        return 0.0
    low, high = np.percentile(lab[area][:, 0], (5, 95))
    return float(high - low)


def _dark_glasses(lab: NDArray[np.float32], landmarks: NDArray[np.float32]) -> float:
    """Return the log odds that dark or mirroring glasses hide the eyes.

    An open eye has a white that is brighter than its iris; what is under it has about the light
    and the hue of cheek, nose and chin. A lens has neither, whatever it mirrors.
    """
    skin = [np.median(_spot(lab, landmarks[k], 4), axis=0) for k in (*_LOWER_CHEEKS, *_NOSE_CHIN)]
    whites, bags, hues, ranges = [], [], [], []
    for side, (eye, iris) in enumerate(zip(_EYES, _IRISES, strict=True)):
        whites.append(_white_over_iris(lab, landmarks, eye, iris))
        bag = np.concatenate([_spot(lab, landmarks[k], 2) for k in _BAGS[side]])
        under = np.median(bag, axis=0)
        near = np.array([skin[side], *skin[2:]])
        darker = under[0] - near[:, 0]
        bags.append(max(float(darker[0]), float(np.median(darker))))
        hues.append(float(np.hypot(*(under[1:] - near[:, 1:]).T).min()))
        ranges.append(_range(lab, _area(landmarks, eye, 1.15)))
    best, worst = zip(*whites, strict=True)
    measured = (max(best), min(best), max(bags), min(bags), min(hues), max(ranges), max(worst))
    return float(np.dot(np.clip(measured, -80, 80), _TUNING.glasses_weights) + _TUNING.glasses_bias)


def _white_over_iris(
    lab: NDArray[np.float32], landmarks: NDArray[np.float32], eye: tuple[int, ...],
    iris: tuple[int, ...],
) -> tuple[float, float]:  # fmt: skip
    """Return how much brighter the white is than the iris: beside its better, its worse side."""
    yy, xx = np.nonzero(_area(landmarks, eye, 1.0))
    centre = landmarks[iris[0]]
    radius = float(np.linalg.norm(landmarks[list(iris[1:])] - centre, axis=1).mean())
    distance = np.hypot(xx - centre[0], yy - centre[1])
    light = lab[yy, xx, 0]
    inside = light[distance < 0.8 * radius]
    beside = [light[(distance > 1.15 * radius) & side] for side in (xx < centre[0], xx > centre[0])]
    whites = [float(np.percentile(part, 70)) for part in beside if len(part) > 3]
    if len(inside) <= 3 or not whites:
        return 0.0, 0.0
    middle = float(np.median(inside))
    return max(whites) - middle, min(whites) - middle


def _spot(lab: NDArray[np.float32], place: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Return the pixels ``(N, 3)`` around a place; at least one."""
    x, y = (int(np.clip(v, reach, _SIDE - 1 - reach)) for v in place)
    return lab[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3)


def _area(
    landmarks: NDArray[np.float32], outline: tuple[int, ...], grown: float
) -> NDArray[np.bool_]:
    corners = landmarks[list(outline)]
    middle = corners.mean(axis=0)
    polygon = np.rint(middle + (corners - middle) * grown).astype(np.int32)
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillPoly(mask, [polygon], (1.0,))
    return mask > 0
