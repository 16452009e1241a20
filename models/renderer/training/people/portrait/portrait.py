"""Source portraits: choosing those that can lend a face its skin, and fitting them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.face.fit import OVAL, Fit, fit_face
from visavis.models.appearance.layers.layers import frame_face
from visavis.models.appearance.layers.shapes import polygon_mask
from visavis.models.arrays import Floats, Image

WORK = 512  # side of the square that a portrait is brought to
_SMALLEST = 228  # pixels of the portrait's own square
_DARK, _BAR = 16, 0.6  # a row is a bar when this share of it is darker
_LARGEST_TURN = np.radians((16.0, 20.0, 20.0))  # pitch, yaw, roll
_WORST_FIT = 0.028  # weighted rms over face width
_WIDEST_MOUTH = 0.30  # inner-lip gap over mouth width
_EYES_OPEN = 0.16  # lid gap over eye width
_HARDEST_LIGHT = 0.55  # (bright cheek - dark cheek) over their mean
_CHEEKS = ((117, 118, 50, 205, 36), (346, 347, 280, 425, 266))


@dataclass(frozen=True)
class Portrait:
    """One portrait, cut to a square of ``WORK`` pixels.

    Attributes:
        name: file name without folder.
        picture: ``(WORK, WORK, 3)`` RGB.
        points: ``(478, 3)`` landmarks in its pixels.
        fit: of the face basis.
        side: pixels of the original that the square covers.
    """

    name: str
    picture: Image
    points: Floats
    fit: Fit
    side: int


class UnfitPortraitError(Exception):
    """The portrait cannot lend its skin; the message says why."""


def trim_bars(photo: Image) -> tuple[int, int, int, int]:
    """Return (x0, y0, x1, y1) without dark bars and captions at the borders."""
    grey = photo.max(2)
    rows = (grey < _DARK).mean(1) > _BAR
    columns = (grey < _DARK).mean(0) > _BAR

    def ends(flags: NDArray[np.bool_]) -> tuple[int, int]:
        n = len(flags)
        low = np.flatnonzero(flags[: n // 6])
        high = np.flatnonzero(flags[-(n // 6) :])
        first = int(low[-1]) + 3 if len(low) else 0
        last = n - n // 6 + int(high[0]) - 2 if len(high) else n
        return first, last

    y0, y1 = ends(rows)
    x0, x1 = ends(columns)
    return x0, y0, x1, y1


def read_landmarks(folder: Path) -> dict[str, Floats]:
    """Return landmarks ``(478, 3)`` by file name of a folder of faces."""
    with np.load(folder / "train_landmarks.npz", allow_pickle=False) as data:
        return {
            str(n): m.astype(np.float32)
            for n, m in zip(data["names"], data["landmarks"], strict=True)
        }


def load_portrait(folder: Path, name: str, landmarks: Floats, basis: FaceBasis) -> Portrait:
    """Read, cut, fit and judge one portrait.

    Raises:
        UnfitPortraitError: its skin cannot be used; the message says why.
    """
    photo = cv2.imread(str(folder / "train" / name), cv2.IMREAD_COLOR)
    if photo is None:
        raise UnfitPortraitError("unreadable")
    photo = cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)
    x0, y0, x1, y1 = trim_bars(photo)
    photo = np.ascontiguousarray(photo[y0:y1, x0:x1])
    points = landmarks - np.array([x0, y0, 0], np.float32)
    framing = frame_face(photo, points, WORK)
    if framing.side < _SMALLEST:
        raise UnfitPortraitError("too small")
    oval = points[list(OVAL), :2]
    if (oval.min(0) < 2).any() or (oval.max(0) > np.array(photo.shape[1::-1]) - 2).any():
        raise UnfitPortraitError("cut off")
    picture, points = framing.cut(photo), framing.points(points)
    _judge_face(picture, points)
    fit = fit_face(basis, points)
    if (np.abs(fit.angles) > _LARGEST_TURN).any():
        raise UnfitPortraitError("turned")
    if fit.rms > _WORST_FIT * np.ptp(points[:468, 0]):
        raise UnfitPortraitError("misfit")
    return Portrait(name, picture, points, fit, framing.side)


def _gap(points: Floats, a: int, b: int, c: int, d: int) -> float:
    """Return |a - b| over |c - d| of landmarks."""
    return float(
        np.linalg.norm(points[a, :2] - points[b, :2])
        / (np.linalg.norm(points[c, :2] - points[d, :2]) + 1e-6)
    )


def _judge_face(picture: Image, points: Floats) -> None:
    if _gap(points, 13, 14, 78, 308) > _WIDEST_MOUTH:
        raise UnfitPortraitError("mouth open")
    if min(_gap(points, 159, 145, 33, 133), _gap(points, 386, 374, 263, 362)) < _EYES_OPEN:
        raise UnfitPortraitError("eyes closed")
    levels = []
    for cheek in _CHEEKS:
        hull = cv2.convexHull(points[list(cheek), :2].astype(np.float32))[:, 0]
        mask = polygon_mask(hull, picture.shape[:2])
        levels.append(np.median(picture[mask].astype(np.float32), 0))
    right, left = levels
    if abs(right.mean() - left.mean()) / (0.5 * (right.mean() + left.mean())) > _HARDEST_LIGHT:
        raise UnfitPortraitError("hard light")
    red, green, blue = 0.5 * (right + left)
    if min(right.mean(), left.mean()) < 34:
        raise UnfitPortraitError("too dark")
    # Skin under white light: red over green over blue, neither grey nor neon.
    if not (1.04 < red / green < 2.1 and 0.98 < green / blue < 2.0):
        raise UnfitPortraitError("coloured light")
