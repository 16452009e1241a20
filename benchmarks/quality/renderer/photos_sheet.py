"""Contact sheets: every portrait at every motion, to be looked at."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, Image
from visavis.models.coefficients import INDEX, neutral
from visavis.streamer.worker.pipeline.picture_models import load_pictures

_LABEL = 16
_PAPER, _INK = 255, (40, 40, 40)
_DEGREE = float(np.pi / 180)

SPEECH: dict[str, dict[str, float]] = {
    "rest": {},
    "smile": {"mouthSmile": 0.6, "cheekSquint": 0.3, "jawOpen": 0.08, "mouthUpperUp": 0.25,
              "mouthLowerDown": 0.12},
    "m b p": {"mouthPress": 0.35, "jawOpen": 0.05, "mouthClose": 0.05, "mouthRollLower": 0.2,
              "mouthRollUpper": 0.15},
    "ah": {"jawOpen": 0.38, "mouthLowerDown": 0.12, "mouthUpperUp": 0.06},
    "wide .7": {"jawOpen": 0.7, "mouthLowerDown": 0.15, "mouthUpperUp": 0.1},
    "oh": {"jawOpen": 0.25, "mouthFunnel": 0.4, "mouthPucker": 0.35},
    "oo": {"jawOpen": 0.08, "mouthFunnel": 0.2, "mouthPucker": 0.65},
    "w": {"jawOpen": 0.03, "mouthPucker": 0.75, "mouthFunnel": 0.1},
    "ee": {"jawOpen": 0.08, "mouthLowerDown": 0.22, "mouthUpperUp": 0.12, "mouthSmile": 0.22,
           "mouthStretch": 0.15},
    "eh": {"jawOpen": 0.2, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1, "mouthSmile": 0.1},
    "f v": {"jawOpen": 0.06, "mouthRollLower": 0.4, "mouthUpperUp": 0.22},
    "ah, blink": {"jawOpen": 0.3, "mouthLowerDown": 0.1, "eyeBlink": 1.0},
}  # fmt: skip
"""Coefficients by motion; a name without side means both."""

POSES: dict[str, dict[str, float]] = {
    "blink": {"eyeBlink": 1.0},
    "half": {"eyeBlink": 0.5},
    "left": {"gazeYaw": -0.4},
    "right": {"gazeYaw": 0.4},
    "up": {"gazePitch": -0.3},
    "down": {"gazePitch": 0.4},
    "yaw -20": {"headYaw": -20 * _DEGREE, "jawOpen": 0.2, "mouthLowerDown": 0.1},
    "yaw +20": {"headYaw": 20 * _DEGREE},
    "pitch -12": {"headPitch": -12 * _DEGREE},
    "pitch +12": {"headPitch": 12 * _DEGREE, "jawOpen": 0.2, "mouthLowerDown": 0.1},
    "roll -12": {"headRoll": -12 * _DEGREE, "headYaw": 8 * _DEGREE},
    "roll +12": {"headRoll": 12 * _DEGREE},
}
"""The same for eyes and head."""


def coefficients(values: dict[str, float]) -> Floats:
    """Return the vector of named values; a name without side means both.

    Raises:
        KeyError: there is no such coefficient.
    """
    vector = neutral()
    for name, value in values.items():
        found = [n for n in (name, name + "Left", name + "Right") if n in INDEX]
        if not found:
            raise KeyError(name)
        for full in found:
            vector[INDEX[full]] = value
    return vector


def contact_sheet(
    identities: dict[str, Identity],
    motions: dict[str, dict[str, float]],
    *,
    cell: int = 256,
    size: int = 512,
) -> Image:
    """Return a row per identity, the photo first, and a column per motion.

    Args:
        identities: by the name that is written at the row's start.
        motions: coefficients by the name that is written over the column.
        cell: side of one picture on the sheet in pixels.
        size: side at which it is drawn.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    head = np.full((_LABEL, cell * (len(motions) + 1), 3), _PAPER, np.uint8)
    for column, name in enumerate(("photo", *motions)):
        _text(head, name, (column * cell + 4, _LABEL - 4))
    rows = [head]
    pictures = load_pictures("cpu")
    for name, identity in identities.items():
        renderer = pictures.renderer(identity, size)
        cells = [_fit(identity.photo, cell)]
        cells += [_fit(renderer.render(coefficients(v)), cell) for v in motions.values()]
        row = np.hstack(cells)
        _text(row, name, (4, 12))
        rows.append(row)
    return np.vstack(rows)


def _fit(picture: Image, side: int) -> Image:
    if picture.shape[0] == side:
        return picture.copy()
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def _text(sheet: Image, text: str, place: tuple[int, int]) -> None:
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
