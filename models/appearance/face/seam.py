"""Seams: two edges of the face that meet (lips, lids), and moving them to a wanted gap.

Linear shapes never close a mouth or an eye exactly. A seam measures the gap between its two
edges in columns from corner to corner and moves the skin around each edge so that the gap
becomes what it should be, with a smooth falloff.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Floats, ease


@dataclass(frozen=True)
class Seam:
    """Matrices of one seam with ``K`` columns.

    Attributes:
        upper: vertices of the upper edge.
        lower: vertices of the lower edge.
        read_upper: ``(K, len(upper))`` interpolation of the edge at the columns.
        read_lower: ``(K, len(lower))``.
        moved: ``(M,)`` vertices that may move.
        spread: ``(M, K)`` vertical displacement per unit of gap change.
        stations: ``(K,)`` place of each column between the corners, 0-1.
    """

    upper: NDArray[np.int64]
    lower: NDArray[np.int64]
    read_upper: Floats
    read_lower: Floats
    moved: NDArray[np.int64]
    spread: Floats
    stations: Floats

    def gap(self, points: Floats) -> Floats:
        """Return the signed vertical gap per column of model points ``(V, 3)``, cm."""
        return self.read_upper @ points[self.upper, 1] - self.read_lower @ points[self.lower, 1]

    def change(self, points: Floats, delta: Floats) -> None:
        """Widen the gap by ``delta`` ``(K,)`` cm, in place."""
        points[self.moved, 1] += self.spread @ delta


def make_seam(
    points: Floats,
    opened: Floats,
    upper: NDArray[np.integer],
    lower: NDArray[np.integer],
    candidates: NDArray[np.int64],
    *,
    columns: int,
    reach: float,
    upper_share: float,
) -> Seam:
    """Prepare a seam.

    Args:
        points: ``(V, 3)`` rest position, where columns are placed by x.
        opened: ``(V, 3)`` the face with this seam open, where sides are told apart.
        upper: edge vertices, ordered along x.
        lower: edge vertices, ordered along x.
        candidates: vertices that may be moved.
        columns: number of columns.
        reach: cm over which the movement fades.
        upper_share: part of a gap change that the upper side takes.
    """
    upper, lower = np.asarray(upper, np.int64), np.asarray(lower, np.int64)
    ends = points[upper[[0, -1]], 0]
    stations = np.linspace(0.0, 1.0, columns, dtype=np.float32)
    xs = ends[0] + stations * (ends[1] - ends[0])
    distance_u = _distance(opened, candidates, upper)
    distance_l = _distance(opened, candidates, lower)
    upper_side = np.clip(0.5 + (distance_l - distance_u) / (0.25 * reach), 0, 1)
    fade_u, fade_l = _fade(distance_u / reach), _fade(distance_l / reach)
    amount = upper_share * upper_side * fade_u - (1 - upper_share) * (1 - upper_side) * fade_l
    keep = np.abs(amount) > 1e-3
    moved, amount = candidates[keep], amount[keep]
    hats = _hats(points[moved, 0], xs)
    return Seam(
        upper,
        lower,
        _read(points[upper, 0], xs),
        _read(points[lower, 0], xs),
        moved,
        (hats * amount[:, None]).astype(np.float32),
        stations,
    )


def _distance(
    points: Floats, rows: NDArray[np.int64], edge: NDArray[np.int64]
) -> NDArray[np.float64]:
    gaps = points[rows][:, None, :].astype(np.float64) - points[edge][None]
    return np.sqrt((gaps**2).sum(2)).min(1)


def _fade(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.clip(1.0 - ratio, 0.0, 1.0)
    return ease(t)


def _hats(x: Floats, stations: Floats) -> Floats:
    """Return linear interpolation weights of ``x`` on increasing stations, ``(N, K)``."""
    place = np.interp(x, stations, np.arange(len(stations)))
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(len(stations)))).astype(
        np.float32
    )


def _read(edge_x: Floats, stations: Floats) -> Floats:
    """Return the ``(K, E)`` matrix that interpolates edge values at the stations."""
    order = np.argsort(edge_x, kind="stable")
    rows = np.stack([np.interp(stations, edge_x[order], column) for column in np.eye(len(order))])
    matrix = np.zeros((len(stations), len(edge_x)), np.float32)
    matrix[:, order] = rows.T
    return matrix


def lid_edges(
    loop: NDArray[np.integer], points: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split an eye's boundary into upper and lower edge, both ordered along x, corners shared."""
    loop = np.asarray(loop, np.int64)
    start, end = int(points[loop, 0].argmin()), int(points[loop, 0].argmax())
    forward = _arc(loop, start, end)
    back = _arc(loop, end, start)[::-1]
    if points[forward, 1].mean() > points[back, 1].mean():
        return forward, back
    return back, forward


def _arc(loop: NDArray[np.int64], start: int, end: int) -> NDArray[np.int64]:
    count = (end - start) % len(loop) + 1
    return loop[(start + np.arange(count)) % len(loop)]
