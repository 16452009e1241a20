"""The inside of the mouth that was painted at enrolment, on the kit's teeth, gums and tongue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.appearance.identity import Identity

Floats = NDArray[np.float32]

# The painting already has the light of the pose it was painted in; what a frame's own light is
# told from it, within what keeps teeth from glowing.
_LEAST_LIGHT = 0.6
_FIRST = 2.0  # channel value of part 0; 1 is the photo's own teeth, see teeth.py


@dataclass(frozen=True)
class PaintedMouth:
    """Painted parts and where their vertices find them.

    Attributes:
        texture: ``(h, w, 3)`` uint8.
        colours: ``(P, 3)`` mean colour of each part, which the texture is told from.
        rows: ``(N,)`` of the mouth's vertices that have a place in it.
        lookup: ``(N, 3)`` column, row and part (from ``_FIRST``).
        base: ``(N, 3)`` unlit colour.
        light: ``(N,)`` light that gives the painting back in the pose it was painted in.
    """

    texture: NDArray[np.uint8]
    colours: Floats
    rows: NDArray[np.int64]
    lookup: Floats
    base: Floats
    light: Floats


def painted_mouth(identity: Identity, used: NDArray[np.int64]) -> PaintedMouth | None:
    """Return what was painted for an identity; None where nothing was.

    Args:
        identity: the person.
        used: vertices of the face basis that the mouth draws, in its order.
    """
    if identity.painted.size == 0:
        return None
    places = identity.painted_places[used]
    rows = np.flatnonzero(places[:, 3] >= 0)
    if len(rows) == 0:
        return None
    places = places[rows]
    lookup = np.concatenate([places[:, :2], _FIRST + places[:, 3:]], 1)
    colours = np.maximum(identity.painted_colours, 1.0).astype(np.float32)
    return PaintedMouth(
        np.ascontiguousarray(identity.painted),
        colours,
        rows,
        np.ascontiguousarray(lookup, np.float32),
        colours[places[:, 3].astype(np.int64)],
        (1.0 / np.clip(places[:, 2], _LEAST_LIGHT, 1.0)).astype(np.float32),
    )


@njit(cache=True, fastmath=True, nogil=True)
def apply_painted(interior, texture, colours):
    """Scale painted pixels by the painting over its part's mean colour, in place.

    ``interior`` is ``(h, w, 6)``: red, green, blue, texture column, row and part; see
    ``PaintedMouth``.
    """
    rows, columns = texture.shape[0], texture.shape[1]
    for j in range(interior.shape[0]):
        for i in range(interior.shape[1]):
            if interior[j, i, 5] < 1.5:
                continue
            part = min(int(interior[j, i, 5] - np.float32(1.5)), colours.shape[0] - 1)
            x = min(max(interior[j, i, 3], np.float32(0)), np.float32(columns - 1.001))
            y = min(max(interior[j, i, 4], np.float32(0)), np.float32(rows - 1.001))
            xi, yi = int(x), int(y)
            fx, fy = x - xi, y - yi
            w00, w10 = (1 - fx) * (1 - fy), fx * (1 - fy)
            w01, w11 = (1 - fx) * fy, fx * fy
            for k in range(3):
                value = (
                    w00 * texture[yi, xi, k]
                    + w10 * texture[yi, xi + 1, k]
                    + w01 * texture[yi + 1, xi, k]
                    + w11 * texture[yi + 1, xi + 1, k]
                )
                lit = interior[j, i, k] * value / colours[part, k]
                interior[j, i, k] = min(lit, np.float32(255))
