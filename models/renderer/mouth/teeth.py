"""The photo's own teeth on the kit's upper row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats

_ROW_BACK, _ROW_SHADE = (
    {"upper_teeth": (0.9, 2.3), "lower_teeth": (0.7, 1.75)},
    0.7,
)  # cm; of the light


class _TeethTuning(NamedTuple):
    """Where the photo's teeth are read, and how a row of teeth is shaded.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    front: float = 0.9  # cm from the middle, the incisors
    furthest: float = 0.9  # cm the kit's edge may lie from the photo's
    span: float = 0.35  # of the visible row's width, in whose middle the edge is looked for
    # of the measured colour
    darkest: float = 0.45
    brightest: float = 1.30
    tooth_edge: float = 0.55  # of a tooth's half width
    tooth_shade: float = 0.30  # of the light


_TUNING = _TeethTuning()


@dataclass(frozen=True)
class PhotoTeeth:
    """Teeth seen in the photo and where the kit's vertices find them.

    Attributes:
        texture: ``(S, S, 4)`` uint8, colour and opacity.
        lookup: ``(V, 3)`` pixel of the texture and 1 for vertices that use it, else 0.
        colour: ``(3,)`` the teeth's measured colour.
    """

    texture: NDArray[np.uint8]
    lookup: Floats
    colour: Floats

    def shown(self) -> Floats:
        """Return ``(V,)`` how far, 0-1, the photo shows the tooth at each vertex of its row."""
        at = np.rint(self.lookup[:, :2]).astype(np.int64)
        last = len(self.texture) - 1
        opacity = self.texture[at[:, 1].clip(0, last), at[:, 0].clip(0, last), 3]
        return np.asarray(self.lookup[:, 2] * opacity / np.float32(255), np.float32)


def tooth_relief(basis: FaceBasis, name: str) -> Floats:
    """Return the light ``(N,)`` on the vertices of a row of teeth.

    Each tooth darkens towards its neighbours, and the row towards the back, as a row does whose
    light comes through the lips. The kit's smooth arch alone reads as one white band.
    """
    tris, members = basis.part(name), basis.part_vertices(name)
    number = np.full(len(basis.neutral), -1)
    number[members] = np.arange(len(members))
    pairs = number[np.concatenate([tris[:, [0, 1]], tris[:, [1, 2]]])]
    links = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(members),) * 2)
    label = connected_components(links, directed=False)[1]
    at = basis.neutral[members]
    light = np.ones(len(members), np.float32)
    for tooth in np.unique(label):
        rows = np.flatnonzero(label == tooth)
        if abs(at[rows, 0].mean()) < 0.2:  # the kit's two middle incisors are one piece
            groups = [rows[at[rows, 0] < 0], rows[at[rows, 0] >= 0]]
        else:
            groups = [rows]
        for group in groups:
            place = np.abs(at[group, 0])
            low, high = place.min(), place.max()
            u = np.abs(2 * (place - low) / max(high - low, 1e-3) - 1)
            t = np.clip((u - _TUNING.tooth_edge) / (1 - _TUNING.tooth_edge), 0, 1)
            light[group] = 1 - _TUNING.tooth_shade * t * t
    near, far = _ROW_BACK[name]
    back = np.clip((np.abs(at[:, 0]) - near) / (far - near), 0, 1)
    return (light * (1 - _ROW_SHADE * back)).astype(np.float32)


def incisal_edge(opacity: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Find the lower edge of the upper incisors: (middle column, row), or None.

    The scan runs down from the gums and stops at the first dark gap, so that a lower row that
    shows as well is not taken for the upper one.
    """
    seen = opacity > 127
    columns = np.flatnonzero(seen.any(0))
    if len(columns) < 8:
        return None
    low, high = int(columns[0]), int(columns[-1])
    middle, reach = (low + high) / 2, 0.5 * _TUNING.span * (high - low)
    edges = []
    for x in range(int(middle - reach), int(middle + reach) + 1):
        rows = np.flatnonzero(seen[:, x])
        if len(rows) >= 3:
            gaps = np.flatnonzero(np.diff(rows) > 1)
            edges.append(rows[gaps[0]] if len(gaps) else rows[-1])
    return (middle, float(np.median(edges))) if len(edges) >= 3 else None


def photo_teeth(basis: FaceBasis, identity: Identity) -> PhotoTeeth | None:
    """Align the photo's teeth with the kit's upper row; None where it shows none."""
    if identity.teeth.size == 0:
        return None
    edge = incisal_edge(identity.teeth[..., 3])
    if edge is None:
        return None
    upper = basis.part_vertices("upper_teeth")
    front = upper[np.abs(basis.neutral[upper, 0]) < _TUNING.front]
    shift = edge[1] - float(identity.source[front, 1].max())
    if abs(shift) > _TUNING.furthest * identity.scale:
        return None
    lookup = np.zeros((len(basis.neutral), 3), np.float32)
    lookup[upper, :2] = identity.source[upper] + (0.0, shift)
    lookup[upper, 2] = 1.0
    return PhotoTeeth(identity.teeth, lookup, np.array(identity.colours.teeth, np.float32))


@njit(cache=True, fastmath=True, nogil=True)
def apply_photo_teeth(interior, texture, colour):
    """Scale teeth pixels by the photo's teeth over their mean colour, in place.

    ``interior`` is ``(h, w, 6)``: red, green, blue, texture column, row and how far it is tooth.
    """
    rows, columns = texture.shape[0], texture.shape[1]
    for j in range(interior.shape[0]):
        for i in range(interior.shape[1]):
            if interior[j, i, 5] < 0.5:
                continue
            x = min(max(interior[j, i, 3], np.float32(0)), np.float32(columns - 2))
            y = min(max(interior[j, i, 4], np.float32(0)), np.float32(rows - 2))
            xi, yi = int(x), int(y)
            fx, fy = x - xi, y - yi
            w00, w10 = (1 - fx) * (1 - fy), fx * (1 - fy)
            w01, w11 = (1 - fx) * fy, fx * fy
            opacity = (
                w00 * texture[yi, xi, 3]
                + w10 * texture[yi, xi + 1, 3]
                + w01 * texture[yi + 1, xi, 3]
                + w11 * texture[yi + 1, xi + 1, 3]
            ) / np.float32(255)
            if opacity <= 0:
                continue
            for k in range(3):
                value = (
                    w00 * texture[yi, xi, k]
                    + w10 * texture[yi, xi + 1, k]
                    + w01 * texture[yi + 1, xi, k]
                    + w11 * texture[yi + 1, xi + 1, k]
                )
                ratio = value / max(colour[k], np.float32(1))
                ratio = min(max(ratio, np.float32(_TUNING.darkest)), np.float32(_TUNING.brightest))
                scale = np.float32(1) + opacity * (ratio - np.float32(1))
                interior[j, i, k] = min(interior[j, i, k] * scale, np.float32(255))
