"""Boxes of the picture in the graph: cut out, painted, laid back; and how much of one is skin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from visavis.models.renderer.graph.build import GraphBuilder
from visavis.models.renderer.graph.raster import FAR, Drawn, Raster, anything, between
from visavis.models.renderer.raster.warp import FULL

_FINE = 4  # samples per pixel and axis
_NEIGHBOURS = 9
# Triangles in 2 rows of pixels, and in 2 x 2 of them, at 256 and at 512: measured 342 and 243, 64
# and 41.
_PER_ROW, _PER_TILE = (480, 352), (88, 56)


class Box(NamedTuple):
    """A box of fixed size at a place of its own in each session's picture.

    Attributes:
        size: side of the picture.
        width: pixels, as many as the largest box needs.
        height: pixels.
        at: ``(B, 4)``: x0, y0, x1, y1 of what of it is meant, the latter two beyond.
    """

    size: int
    width: int
    height: int
    at: str


def corner(g: GraphBuilder, box: Box, *sides: int) -> tuple[str, str]:
    """Return first column and row, each ``(B, *sides)``."""
    return tuple(g.shape(g.part(box.at, 1, k, k + 1), *sides) for k in (0, 1))  # type: ignore[return-value]


def places(g: GraphBuilder, box: Box) -> tuple[str, str]:
    """Return column and row in the picture of each pixel of the box, ``(B, h, w, 1)``."""
    x0, y0 = corner(g, box, 1, 1, 1)
    x = g.add(g.constant(np.arange(box.width)[None, None, :, None]), x0)
    y = g.add(g.constant(np.arange(box.height)[None, :, None, None]), y0)
    zero = g.constant(np.zeros((1, box.height, box.width, 1)))
    return g.add(x, zero), g.add(y, zero)


def meant(g: GraphBuilder, box: Box) -> str:
    """Return ``(B, h, w, 1)`` bool: which pixels lie before x1 and y1."""
    x, y = places(g, box)
    x1, y1 = (g.shape(g.part(box.at, 1, k, k + 1), 1, 1, 1) for k in (2, 3))
    return g.op("And", g.op("Less", x, x1), g.op("Less", y, y1))


def cut(g: GraphBuilder, box: Box, picture: str, channels: int) -> str:
    """Return the box ``(B, h, w, C)`` of a picture ``(B, S, S, C)``."""
    size = box.size
    x, y = (g.clip(v, 0.0, float(size - 1)) for v in places(g, box))
    index = g.whole(g.add(g.mul(y, float(size)), x))
    return g.at(g.shape(picture, size * size, channels), index)


def laid(g: GraphBuilder, box: Box, part: str, picture: str, channels: int) -> str:
    """Return the picture ``(B, S, S, C)`` with the box ``(B, h, w, C)`` laid into it."""
    x0, y0 = corner(g, box, 1, 1, 1)
    every = np.arange(box.size)
    x = g.sub(g.constant(every[None, None, :, None]), x0)
    y = g.sub(g.constant(every[None, :, None, None]), y0)
    right, bottom = box.width - 1, box.height - 1
    across = g.op("Equal", x, g.clip(x, 0.0, float(right)))
    down = g.op("Equal", y, g.clip(y, 0.0, float(bottom)))
    index = g.add(g.mul(g.clip(y, 0.0, float(bottom)), float(box.width)), g.clip(x, 0, right))
    flat = g.shape(part, box.width * box.height, channels)
    return g.op("Where", g.op("And", across, down), g.at(flat, g.whole(index)), picture)


def coverage(g: GraphBuilder, box: Box, points: str, triangles: str, count: int) -> str:
    """Return of ``(B, h, w, 1)`` pixels how many of 16 samples are skin; beyond the box all are.

    Args:
        g: the graph.
        box: where.
        points: ``(B, V, 3)`` the frame's vertices in pixels.
        triangles: ``(B, 3 * count, 1)`` int64, those that can cover the hole.
        count: of them.
    """
    x0, y0 = corner(g, box, 1, 1)
    x, y, z = g.channels(g.at(points, triangles), 3)
    # Sub-sample i lies at (i + .5) / 4 - .5 pixels; in this space it lies at i.
    x, y = (g.add(g.mul(g.sub(a, b), float(_FINE)), 1.5) for a, b in ((x, x0), (y, y0)))
    corners = g.shape(g.op("Concat", x, y, z, axis=-1), count, 9)
    raster = Raster(
        _FINE * box.width,
        _FINE * box.height,
        count,
        between(box.size, *_PER_ROW),
        between(box.size, *_PER_TILE),
        slack=1e-5,
    )
    fine = anything(g, raster, corners)
    fine = g.shape(fine, box.height, _FINE, box.width, _FINE)
    total = g.op("ReduceSum", fine, g.constant([2, 4], "int64"), keepdims=0)
    total = g.shape(total, box.height, box.width, 1)
    return g.op("Where", meant(g, box), total, float(FULL))


def touched(g: GraphBuilder, box: Box, covered: str) -> str:
    """Return ``(B, S, S, 1)``: 1 where a pixel of the box has some skin."""
    some = g.op("And", g.op("Greater", covered, 0.0), meant(g, box))
    nothing = g.constant(np.zeros((1, box.size, box.size, 1)))
    return laid(g, box, g.number(some), nothing, 1)


def edges_closed(g: GraphBuilder, drawn: Drawn, flow: str, where: str) -> tuple[str, str]:
    """Give partly covered pixels without flow the mean flow of their neighbours.

    Args:
        g: the graph.
        drawn: the face.
        flow: ``(B, S, S, 3)`` source pixel and weight.
        where: ``(B, S, S, 1)``: 1 where a pixel has some skin.

    Returns:
        The flow, and whether there is any, as 0 and 1.
    """
    seen = g.number(drawn.covered)
    both = g.op("Concat", g.mul(flow, seen), seen, axis=-1)
    planes = g.op("Transpose", both, perm=[0, 3, 1, 2])
    around = g.op("AveragePool", planes, kernel_shape=[3, 3], pads=[1, 1, 1, 1],
                  count_include_pad=1)  # fmt: skip
    around = g.mul(g.op("Transpose", around, perm=[0, 2, 3, 1]), float(_NEIGHBOURS))
    count = g.part(around, -1, 3, 4)
    mean = g.div(g.part(around, -1, 0, 3), g.op("Max", count, 1.0))
    missing = g.op("And", g.op("Greater", count, 0.5), g.op("Greater", where, 0.5))
    missing = g.op("And", missing, g.op("LessOrEqual", drawn.depth, FAR / 2))
    return g.op("Where", missing, mean, flow), g.op("Max", seen, g.number(missing))
