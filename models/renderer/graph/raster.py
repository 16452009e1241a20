"""Rasterising in standard operators: tiles, their triangles, and a z-buffer by ``ArgMax``.

A GPU's own rasteriser is out of a graph's reach. So the picture is cut into tiles of 8 x 8 pixels;
``TopK`` finds the few triangles that touch each (first per row of tiles, then per tile), and the
tiles that any touches; barycentric coordinates are linear in x and y. Exact, as
``raster.warp.rasterise``. What costs is memory: a value per tile, triangle and pixel; so those are
worked out once, for the depth alone, and what is at the nearest is worked out again.
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
        used: part of the tiles that triangles can touch; what is beyond is not drawn.
        slack: of a barycentric coordinate, by which a pixel may lie outside.
    """

    width: int
    height: int
    triangles: int
    per_row: int
    per_tile: int
    used: float = 1.0
    slack: float = 1e-4

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return self.width // TILE

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return self.height // TILE

    @property
    def drawn(self) -> int:
        """Tiles that can be drawn into."""
        return max(1, round(self.used * self.rows * self.columns))


class Tiles(NamedTuple):
    """Tiles of a picture and the triangles that touch them; tensors by name.

    Attributes:
        record: ``(B, T, 9)`` see ``_Planes``.
        chosen: ``(B, drawn, per_tile)`` int64, triangles.
        covered: ``(B, drawn, per_tile, TILE * TILE)`` bool.
        depth: the same, of each triangle.
        rank: ``(B, tiles, 1)`` int64, which of the drawn tiles each tile of the picture is.
        touched: ``(B, tiles, 1)`` bool, whether it is one at all.
    """

    record: str
    chosen: str
    covered: str
    depth: str
    rank: str
    touched: str


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
    # A triangle without area lies nowhere: its depth is FAR at every pixel.
    inverse = g.op("Where", thin, 0.0, g.div(1.0, g.op("Where", thin, 1.0, area)))
    b_dx, b_dy = g.mul(cay, inverse), g.op("Neg", g.mul(cax, inverse))
    c_dx, c_dy = g.op("Neg", g.mul(bay, inverse)), g.mul(bax, inverse)
    baz, caz = g.sub(bz, az), g.sub(cz, az)
    z_dx = g.add(g.mul(b_dx, baz), g.mul(c_dx, caz))
    z_dy = g.add(g.mul(b_dy, baz), g.mul(c_dy, caz))
    start = g.op("Where", thin, FAR, az)
    record = g.op("Concat", ax, ay, b_dx, b_dy, c_dx, c_dy, z_dx, z_dy, start, axis=-1)
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


def _ranked(g: GraphBuilder, raster: Raster, held: str) -> tuple[str, str, str]:
    """Return the tiles that something touches: ``(B, drawn)``, and ``rank`` and ``touched``."""
    tiles = raster.rows * raster.columns
    some = g.op("ReduceMax", held, g.constant([2], "int64"), keepdims=0)
    some = g.shape(some, tiles)
    order = g.mul(some, g.constant(np.arange(tiles, 0, -1)[None]))
    count = g.constant([raster.drawn], "int64")
    _, index = g.ops("TopK", 2, order, count, axis=-1, largest=1, sorted=1)
    rank = g.sub(g.op("CumSum", some, g.constant(1, "int64")), 1.0)
    seen = g.op("And", g.op("Greater", some, 0.5), g.op("Less", rank, float(raster.drawn)))
    rank = g.whole(g.clip(rank, 0.0, raster.drawn - 1.0))
    return index, g.shape(rank, tiles, 1), g.shape(seen, tiles, 1)


def _each(g: GraphBuilder, index: str) -> str:
    """Return an index ``(B, ...)`` as ``at`` takes it, ``(B, ..., 1)``."""
    return g.op("Unsqueeze", index, g.constant([-1], "int64"))


def tiled(g: GraphBuilder, raster: Raster, corners: str) -> Tiles:
    """Return which pixels of each tile its triangles cover, and how near they are.

    Args:
        g: the graph.
        raster: the picture.
        corners: ``(B, T, 9)`` x, y in its pixels and depth of three corners.
    """
    planes = _planes(g, corners)
    chosen, held = _chosen(g, raster, planes.touched)
    index, rank, seen = _ranked(g, raster, held)
    chosen, held = (g.at(v, _each(g, index)) for v in (chosen, held))
    corner = np.stack(np.meshgrid(_starts(raster.columns), _starts(raster.rows)), -1)
    start = g.op("Gather", g.constant(corner.reshape(-1, 2)), index, axis=0)
    left, top = (g.shape(v, raster.drawn, 1, 1) for v in g.channels(start, 2))
    inner = np.stack(np.meshgrid(np.arange(TILE), np.arange(TILE)), -1).reshape(-1, 2)
    x, y = (
        g.add(edge, g.constant(inner[:, k][None, None, None])) for k, edge in enumerate((left, top))
    )
    b, c, z = _linear(g, g.at(planes.record, _each(g, chosen)), x, y)
    least = g.op("Min", g.sub(g.sub(1.0, b), c), b, c)
    covered = g.op("GreaterOrEqual", least, -raster.slack)
    covered = g.op("And", covered, g.op("Greater", held, 0.5))
    return Tiles(planes.record, chosen, covered, z, rank, seen)


def _linear(g: GraphBuilder, record: str, x: str, y: str) -> tuple[str, str, str]:
    """Return the weights of b and c and the depth of triangles at pixels."""
    ax, ay, b_dx, b_dy, c_dx, c_dy, z_dx, z_dy, az = g.channels(record, 9)
    px, py = g.sub(x, ax), g.sub(y, ay)
    b = g.add(g.mul(px, b_dx), g.mul(py, b_dy))
    c = g.add(g.mul(px, c_dx), g.mul(py, c_dy))
    return b, c, g.add(az, g.mul(px, z_dx), g.mul(py, z_dy))


def untiled(g: GraphBuilder, raster: Raster, tiles: Tiles, value: str) -> str:
    """Return ``(B, drawn, TILE * TILE)`` as a picture ``(B, H, W, 1)``; other tiles repeat some."""
    split = g.shape(g.at(value, tiles.rank), raster.rows, raster.columns, TILE, TILE)
    ordered = g.op("Transpose", split, perm=[0, 1, 3, 2, 4])
    return g.shape(ordered, raster.height, raster.width, 1)


def anything(g: GraphBuilder, raster: Raster, corners: str) -> str:
    """Return ``(B, H, W, 1)``: 1.0 where any triangle is; see :func:`tiled` for the arguments."""
    tiles = tiled(g, raster, corners)
    some = g.op("ReduceMax", g.number(tiles.covered), g.constant([2], "int64"), keepdims=0)
    return g.mul(untiled(g, raster, tiles, some), _touched(g, raster, tiles))


def _touched(g: GraphBuilder, raster: Raster, tiles: Tiles) -> str:
    """Return ``(B, H, W, 1)``: 1.0 in tiles that are drawn."""
    seen = g.shape(g.number(tiles.touched), raster.rows, 1, raster.columns, 1)
    wide = g.mul(seen, g.constant(np.ones((1, 1, TILE, 1, TILE))))
    return g.shape(wide, raster.height, raster.width, 1)


def rasterise(g: GraphBuilder, raster: Raster, corners: str) -> Drawn:
    """Draw triangles, the nearest wins; see :func:`tiled` for the arguments."""
    tiles = tiled(g, raster, corners)
    depth = g.op("Where", tiles.covered, tiles.depth, FAR)
    nearest = g.op("ArgMax", depth, axis=2, keepdims=0)
    triangle = g.op("GatherElements", tiles.chosen, nearest, axis=2)
    triangle = untiled(g, raster, tiles, triangle)
    x = g.constant(np.arange(raster.width)[None, None, :, None])
    y = g.constant(np.arange(raster.height)[None, :, None, None])
    b, c, z = _linear(g, g.at(tiles.record, triangle), x, y)
    a = g.sub(g.sub(1.0, b), c)
    # Where no triangle is, the first of the tile was taken, which does not cover the pixel.
    covered = g.op("GreaterOrEqual", g.op("Min", a, b, c), -raster.slack)
    covered = g.op("And", covered, g.op("Greater", z, FAR / 2))
    covered = g.op("And", covered, g.op("Greater", _touched(g, raster, tiles), 0.5))
    weights = g.op("Concat", a, b, c, axis=-1)
    return Drawn(covered, g.op("Where", covered, z, FAR), triangle, weights)


def between(size: int, at_256: int, at_512: int) -> int:
    """Return a bound for a size of picture, in proportion to two that were measured."""
    share = min(1.0, max(0.0, (size - 256) / 256))
    return round(at_256 + share * (at_512 - at_256))


def interpolated(g: GraphBuilder, drawn: Drawn, values: str, count: int) -> str:
    """Return values of corners ``(B, T, 3 * count)`` as a picture ``(B, H, W, count)``."""
    three = g.at(values, drawn.triangle)
    at = g.channels(drawn.weights, 3)
    parts = [g.part(three, -1, k * count, (k + 1) * count) for k in range(3)]
    return g.add(*(g.mul(w, v) for w, v in zip(at, parts, strict=True)))
