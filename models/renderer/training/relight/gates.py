"""Where a network may change a picture; see ``crop.gate`` for the mouth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.renderer.refiner import CELL
from visavis.models.renderer.relight.crop import gate

Floats = NDArray[np.float32]

# Shift of the photo's pixels in inter-ocular distances (half a pixel, two pixels at 512):
_STILL, _MOVED = 0.004, 0.016
_CELLS = 3  # across which it spreads
_AROUND = 5  # cells about each of the mouth's that are left alone
_LEAST = 1e-4


def open_cells(shift: Floats, hole: NDArray[np.uint8]) -> Floats:
    """Return where a network for whole frames may act, ``(h, w)`` in 0-1, a cell of 4 x 4 pixels.

    It opens as far as the picture has moved, so that a still one keeps every bit and nothing
    jumps; and never inside the mouth, whose own network has acted before.

    Args:
        shift: ``(h, w, 2)`` inter-ocular distances.
        hole: ``(h, w)`` uint8, 255 where a cell has some inside of the mouth.
    """
    far = cv2.dilate(np.abs(shift).max(2), np.ones((_CELLS, _CELLS), np.uint8))
    t = np.clip((far - _STILL) / (_MOVED - _STILL), 0, 1)
    open_ = cv2.blur(t * t * (3 - 2 * t), (_CELLS, _CELLS))
    near = cv2.dilate(hole, np.ones((_AROUND, _AROUND), np.uint8)).astype(np.float32) / 255.0
    gate = open_ * (1 - cv2.blur(near, (_CELLS, _CELLS)))
    gate[gate < _LEAST] = 0.0  # sums of a running mean do not come back to nothing
    return gate


def moved_gate(shift: Floats, inside: NDArray[np.uint8]) -> Floats:
    """Return the same for pixels, ``(S, S)``; S is a multiple of 4.

    Args:
        shift: ``(S, S, 2)`` inter-ocular distances.
        inside: ``(S, S)`` uint8, 255 inside the mouth.
    """
    size = len(shift)
    cells = (size // CELL, CELL, size // CELL, CELL)
    mean = shift.astype(np.float32, copy=False).reshape(*cells, 2).mean((1, 3))
    return cv2.resize(open_cells(mean, inside.reshape(cells).max((1, 3))), (size, size))


def gates_of(arrays: dict[str, NDArray], kind: str) -> NDArray[np.uint8]:
    """Return the gates ``(N, S, S)`` uint8 of pairs.

    Args:
        arrays: of the pairs, by name.
        kind: mouth, eyes (whose pairs bring their gates) or frame.
    """
    if kind == "eyes":
        return arrays["gate"]
    side = arrays["inside"].shape[1:]
    if kind == "mouth":
        gates = [gate(inside) for inside in arrays["inside"]]
    else:
        found = zip(arrays["shift"], arrays["inside"], strict=True)
        gates = [moved_gate(shift, inside) for shift, inside in found]
    return np.array([np.rint(255 * g) for g in gates], np.uint8).reshape(-1, *side)
