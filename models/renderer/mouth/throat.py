"""What lies behind the teeth: a smooth tongue on the jaw, and the dark of the mouth.

The kit's tongue is a fragment of its gum mesh whose edges show at wide jaws; this one is a dome
of its own that follows the lower teeth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, Ints
from visavis.models.renderer.geometry.geometry import Rig
from visavis.models.renderer.geometry.pose import HeadPose


class _ThroatTuning(NamedTuple):
    """The shape of the tongue and of the bag behind it.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    across: int = 11  # vertices of the tongue
    along: int = 10
    width: float = 1.7  # cm, half of it
    length: float = 3.4  # cm
    # cm from the lower incisors' edge to the tip
    behind: float = 0.30
    below: float = 0.35
    dome: float = 0.85  # cm that the back lies higher than the tip
    sides: float = 0.45  # cm that the sides lie lower than the middle
    rise: float = 1.1  # cm at jawOpen 1: the jaw drops further than the tongue
    out: tuple[float, float] = (1.5, 0.75)  # cm forward and up at tongueOut 1
    tip_groove: float = 0.14  # of the light is missing in the middle line
    rows: int = 7  # of the bag between upper and lower lip
    bag_depth: tuple[float, float] = (4.0, 5.5)  # cm behind the lips, at its rim and in its middle


_TUNING = _ThroatTuning()


def grid_triangles(rows: int, columns: int, first: int = 0) -> Ints:
    """Return the triangles of a regular grid whose vertices are numbered by rows."""
    at = first + np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, :-1].ravel(), at[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)


class Throat:
    """Vertices, triangles and unlit colours of tongue and bag.

    Attributes:
        triangles: ``(F, 3)``, numbered from 0.
        base: ``(N, 3)`` unlit colour.
        light: ``(N,)`` light without shadow and depth.
    """

    def __init__(self, rig: Rig, basis: FaceBasis, identity: Identity) -> None:
        """Prepare the shapes of one identity."""
        self._rig = rig
        lower = basis.part_vertices("lower_teeth")
        front = lower[np.abs(basis.neutral[lower, 0]) < 0.5]
        top = rig.rest[front, 1] > rig.rest[front, 1].max() - 0.25
        self._edge = front[top]
        across = np.linspace(-1, 1, _TUNING.across, dtype=np.float32)
        along = np.linspace(0, 1, _TUNING.along, dtype=np.float32) ** 1.3
        v, u = np.meshgrid(along, across, indexing="ij")
        taper = np.sqrt(np.clip(v * 3.0 + 0.12, 0, 1))
        self._tongue = np.stack([
            _TUNING.width * u * taper * (0.72 + 0.28 * v),
            _TUNING.dome * np.sin(np.minimum(v, 0.85) / 0.85 * np.pi / 2)
            - _TUNING.sides * u**2 - _TUNING.below - 0.5 * (1 - v) ** 8,
            -_TUNING.behind - _TUNING.length * v - 0.25 * u**2,
        ], -1).reshape(-1, 3).astype(np.float32)  # fmt: skip
        self._along = v.reshape(-1)
        columns = len(rig.lips.stations)
        self._stations = rig.lips.stations
        count = self._tongue.shape[0]
        self.triangles = np.concatenate(
            [
                grid_triangles(_TUNING.along, _TUNING.across),
                grid_triangles(_TUNING.rows, columns, count),
            ]
        )
        t = np.linspace(0, 1, _TUNING.rows, dtype=np.float32)[:, None]
        s = self._stations[None]
        rim = np.maximum(np.abs(2 * t - 1) ** 2.2, np.abs(2 * s - 1) ** 2.6)
        self._down = np.broadcast_to(t, rim.shape).copy()
        self._deep = (
            _TUNING.bag_depth[1] + (_TUNING.bag_depth[0] - _TUNING.bag_depth[1]) * rim
        ).astype(np.float32)
        self.base, self.light = self._colours(identity, u.reshape(-1), rim.reshape(-1))
        self._points = np.zeros((len(self.base), 3), np.float32)
        self._weight = np.ones(count, np.float32)

    def _colours(self, identity: Identity, u: Floats, rim: Floats) -> tuple[Floats, Floats]:
        lip, level = np.array(identity.colours.lip), identity.colours.light
        tongue = 0.45 * lip * (1.0, 0.82, 0.84) + 0.55 * level * np.array([210, 128, 126])
        wall = 0.55 * lip * (1.0, 0.66, 0.66) + 0.45 * level * np.array([150, 74, 72])
        base = np.concatenate(
            [np.broadcast_to(tongue, (len(u), 3)), np.broadcast_to(wall, (len(rim), 3))]
        )
        if identity.colours.grey > 0.5:
            base = np.broadcast_to(base.mean(1, keepdims=True), base.shape)
        groove = 1.0 - _TUNING.tip_groove * np.exp(-((u / 0.10) ** 2))
        sides = 1.0 - 0.45 * u**2
        back = 1.0 - 0.40 * self._along
        light = np.concatenate([1.5 * groove * sides * back, 0.25 + 0.95 * rim])
        return base.astype(np.float32), light.astype(np.float32)

    def points(
        self, points: Floats, model: Floats, pose: HeadPose, jaw: float, out: float
    ) -> Floats:
        """Return the vertices in pixels for one frame; valid until the next call.

        Args:
            points: ``(V, 3)`` the frame's vertices in pixels.
            model: ``(V, 3)`` the same in model cm.
            pose: head and torso motion.
            jaw: jawOpen.
            out: tongueOut.
        """
        rig, count = self._rig, len(self._tongue)
        tongue = self._tongue + model[self._edge].mean(0)
        forward = 1.0 - self._along
        tongue[:, 1] += _TUNING.rise * jaw + _TUNING.out[1] * out * forward
        tongue[:, 2] += _TUNING.out[0] * out * forward
        rig.move(rig.project(tongue), self._weight, pose, self._points[:count])
        seam = rig.lips
        upper, lower = seam.read_upper @ points[seam.upper], seam.read_lower @ points[seam.lower]
        bag = self._points[count:].reshape(*self._down.shape, 3)
        t = 1.6 * self._down[..., None] - 0.3  # beyond the lips, which hide its edges
        bag[:] = upper + t * (lower - upper)
        bag[..., 2] -= self._deep * rig.scale
        return self._points
