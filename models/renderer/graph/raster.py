"""Rasterising in standard operators: tiles, their triangles, and products of matrices.

A GPU's own rasteriser is out of a graph's reach. So the picture is cut into tiles of 8 x 8 pixels;
``TopK`` finds the few triangles that touch each (first per row of tiles, then per tile).
Barycentric coordinates are linear in x and y, so those of all pixels and triangles of a tile are
one product of matrices; ``ArgMax`` over depth is the z-buffer. Exact, as ``raster.warp.rasterise``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from visavis.models.renderer.graph.build import GraphBuilder

TILE = 8  # pixels
FAR = -1e9
_THIN = 1e-6  # pixels squared: smaller triangles are not drawn


@dataclass(frozen=True)
class Raster:
    """A picture that triangles are drawn into.

    Attributes:
        width: pixels, a multiple of ``TILE``.
        height: pixels, a multiple of ``TILE``.
        triangles: of the mesh, those of no area among them.
        per_row: triangles that a row of tiles can hold.
        per_tile: triangles that a tile can hold; what is beyond is not drawn.
        slack: of a barycentric coordinate, by which a pixel may lie outside.
    """

    width: int
    height: int
    triangles: int
    per_row: int
    per_tile: int
    slack: float = 1e-4

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return self.width // TILE

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return self.height // TILE


class Drawn(NamedTuple):
    """What was drawn; tensors by name.

    Attributes:
        covered: ``(B, H, W, 1)`` bool.
        depth: ``(B, H, W, 1)``, ``FAR`` where nothing is.
        triangle: ``(B, H, W, 1)`` int64, of the nearest.
        weights: ``(B, H, W, 3)`` barycentric coordinates there.
    """

    covered: str
    depth: str
    triangle: str
    weights: str


class _Planes(NamedTuple):
    """Triangles as linear functions.

    Attributes:
        record: ``(B, T, 9)``: the corner a; slopes of the weights of b and c and of the depth by x
            and y; the depth at a.
        touched: ``(B, T, 4)`` x0, y0, x1, y1 of the pixels that each can touch; x1 < x0 if none.
    """

    record: str
    touched: str


def _planes(g: GraphBuilder, corners: str) -> _Planes:
    """Return the triangles ``(B, T, 9)``, corner after corner, as linear functions."""
    ax, ay, az, bx, by, bz, cx, cy, cz = g.channels(corners, 9)
    bax, bay, cax, cay = g.sub(bx, ax), g.sub(by, ay), g.sub(cx, ax), g.sub(cy, ay)
    area = g.sub(g.mul(bax, cay), g.mul(bay, cax))
    thin = g.op("Less", g.op("Abs", area), _THIN)
    inverse = g.div(1.0, g.op("Where", thin, 1.0, area))
    b_dx, b_dy = g.mul(cay, inverse), g.op("Neg", g.mul(cax, inverse))
    c_dx, c_dy = g.op("Neg", g.mul(bay, inverse)), g.mul(bax, inverse)
    baz, caz = g.sub(bz, az), g.sub(cz, az)
    z_dx = g.add(g.mul(b_dx, baz), g.mul(c_dx, caz))
    z_dy = g.add(g.mul(b_dy, baz), g.mul(c_dy, caz))
    record = g.op("Concat", ax, ay, b_dx, b_dy, c_dx, c_dy, z_dx, z_dy, az, axis=-1)
    x0, y0 = (g.op("Ceil", g.sub(g.op("Min", *v), 1e-4)) for v in ((ax, bx, cx), (ay, by, cy)))
    x1, y1 = (g.op("Floor", g.add(g.op("Max", *v), 1e-4)) for v in ((ax, bx, cx), (ay, by, cy)))
    empty = g.op("Or", thin, g.op("Or", g.op("Less", x1, x0), g.op("Less", y1, y0)))
    x0 = g.op("Where", empty, 1e6, x0)
    return _Planes(record, g.op("Concat", x0, y0, x1, y1, axis=-1))


def _starts(count: int) -> list[float]:
    return [float(TILE * k) for k in range(count)]


def _overlap(g: GraphBuilder, low: str, high: str, starts: str) -> str:
    """Return as float where ``low``-``high`` meets the tiles that begin at ``starts``."""
    before = g.op("Less", low, g.add(starts, float(TILE)))
    after = g.op("GreaterOrEqual", high, starts)
    return g.number(g.op("And", before, after))


def _chosen(g: GraphBuilder, raster: Raster, touched: str) -> tuple[str, str]:
    """Return which triangles touch each tile: ``(B, rows * columns, per_tile)`` int64 and bool."""
    x0, y0, x1, y1 = (g.shape(v, 1, -1) for v in g.channels(touched, 4))
    starts = g.constant(np.array(_starts(raster.rows))[None, :, None])
    some = g.op("Greater", g.op("Add", x1, 1.0), x0)
    some = g.op("And", some, g.op("Less", x0, float(raster.width)))
    in_row = g.mul(_overlap(g, y0, y1, starts), g.number(some))
    many = g.constant([raster.per_row], "int64")
    held, row = g.ops("TopK", 2, in_row, many, axis=-1, largest=1, sorted=0)
    spans = g.at(touched, g.op("Unsqueeze", row, g.constant([-1], "int64")))
    low, _, high, _ = (g.shape(v, raster.rows, 1, raster.per_row) for v in g.channels(spans, 4))
    starts = g.constant(np.array(_starts(raster.columns))[None, None, :, None])
    here = g.mul(_overlap(g, low, high, starts), g.shape(held, raster.rows, 1, raster.per_row))
    few = g.constant([raster.per_tile], "int64")
    held, place = g.ops("TopK", 2, here, few, axis=-1, largest=1, sorted=0)
    tiles = raster.rows * raster.columns
    place = g.shape(place, raster.rows, raster.columns * raster.per_tile)
    chosen = g.op("GatherElements", row, place, axis=-1)
    return g.shape(chosen, tiles, raster.per_tile), g.shape(held, tiles, raster.per_tile, 1)


def _weights(g: GraphBuilder, raster: Raster, record: str) -> tuple[str, str, str]:
    """Return the weights of b and c and the depth, each ``(B, tiles, per_tile, TILE * TILE)``."""
    columns, rows = _starts(raster.columns), _starts(raster.rows)
    corner = np.stack(np.meshgrid(columns, rows), -1).reshape(1, -1, 1, 2)
    left, top = (g.constant(corner[..., k : k + 1]) for k in (0, 1))
    ax, ay, b_dx, b_dy, c_dx, c_dy, z_dx, z_dy, az = g.channels(record, 9)
    x, y = g.sub(left, ax), g.sub(top, ay)
    xy = np.stack(np.meshgrid(np.arange(TILE), np.arange(TILE)), -1).reshape(-1, 2)
    pixels = np.concatenate([xy, np.ones((len(xy), 1))], 1).T  # (3, TILE * TILE)
    basis = g.constant(pixels)
    found = []
    for dx, dy, start in ((b_dx, b_dy, None), (c_dx, c_dy, None), (z_dx, z_dy, az)):
        first = g.add(g.mul(x, dx), g.mul(y, dy))
        first = first if start is None else g.add(first, start)
        found.append(g.op("MatMul", g.op("Concat", dx, dy, first, axis=-1), basis))
    return found[0], found[1], found[2]


def untiled(g: GraphBuilder, raster: Raster, value: str) -> str:
    """Return ``(B, tiles, TILE * TILE)`` as a picture ``(B, H, W, 1)``."""
    split = g.shape(value, raster.rows, raster.columns, TILE, TILE)
    ordered = g.op("Transpose", split, perm=[0, 1, 3, 2, 4])
    return g.shape(ordered, raster.height, raster.width, 1)


def inside(g: GraphBuilder, raster: Raster, corners: str) -> tuple[str, str, str, str, str]:
    """Return per tile which pixels each of its triangles covers.

    Args:
        g: the graph.
        raster: the picture.
        corners: ``(B, T, 9)`` x, y in its pixels and depth of three corners.

    Returns:
        ``(B, tiles, per_tile, TILE * TILE)``: whether it is covered, the weights of b and c, the
        depth; and which triangles they are, ``(B, tiles, per_tile)``.
    """
    planes = _planes(g, corners)
    chosen, held = _chosen(g, raster, planes.touched)
    record = g.at(planes.record, g.op("Unsqueeze", chosen, g.constant([-1], "int64")))
    b, c, z = _weights(g, raster, record)
    a = g.sub(g.sub(1.0, b), c)
    covered = g.op("GreaterOrEqual", g.op("Min", a, b, c), -raster.slack)
    covered = g.op("And", covered, g.op("Greater", held, 0.5))
    return covered, b, c, z, chosen


def rasterise(g: GraphBuilder, raster: Raster, corners: str) -> Drawn:
    """Draw triangles, the nearest wins; see :func:`inside` for the arguments."""
    covered, b, c, z, chosen = inside(g, raster, corners)
    depth = g.op("Where", covered, z, FAR)
    nearest = g.op("ArgMax", depth, axis=2, keepdims=1)
    depth, b, c = (g.op("GatherElements", v, nearest, axis=2) for v in (depth, b, c))
    nearest = g.shape(nearest, raster.rows * raster.columns, TILE * TILE)
    triangle = g.op("GatherElements", chosen, nearest, axis=2)
    depth, b, c, triangle = (untiled(g, raster, v) for v in (depth, b, c, triangle))
    weights = g.op("Concat", g.sub(g.sub(1.0, b), c), b, c, axis=-1)
    return Drawn(g.op("Greater", depth, FAR / 2), depth, triangle, weights)


def interpolated(g: GraphBuilder, drawn: Drawn, values: str, count: int) -> str:
    """Return values of corners ``(B, T, 3 * count)`` as a picture ``(B, H, W, count)``."""
    three = g.at(values, drawn.triangle)
    at = g.channels(drawn.weights, 3)
    parts = [g.part(three, -1, k * count, (k + 1) * count) for k in range(3)]
    return g.add(*(g.mul(w, v) for w, v in zip(at, parts, strict=True)))
