"""The frame of glasses in the graph: what ``eyes.FramePainter`` does."""

from __future__ import annotations

from visavis.models.renderer.graph.build import GraphBuilder
from visavis.models.renderer.graph.motion import Motion, move
from visavis.models.renderer.graph.raster import Raster, interpolated, rasterise

TRIANGLES, NODES = 20, 22
_PER_TILE, _USED = 12, 0.25  # measured 8 and .14


def worn(g: GraphBuilder, size: int, motion: Motion, picture: str) -> str:
    """Return the picture ``(B, S, S, 3)`` with the frame over it; without one it is the same."""
    nodes = g.input("glasses_nodes", (NODES, 3))
    moved = move(g, motion, nodes, g.input("glasses_weight", (NODES,)))
    index = g.input("glasses_triangles", (3 * TRIANGLES, 1), "int64")
    corners = g.shape(g.at(moved, index), TRIANGLES, 9)
    raster = Raster(size, size, TRIANGLES, TRIANGLES, _PER_TILE, _USED, 1e-5)
    drawn = rasterise(g, raster, corners)
    places = g.shape(g.at(g.input("glasses_places", (NODES, 2)), index), TRIANGLES, 6)
    at = interpolated(g, drawn, places, 2)
    last = g.shape(g.input("glasses_last", (2,)), 1, 1, 2)
    u, v = g.channels(g.op("Equal", at, g.op("Min", g.op("Max", at, 0.0), last)), 2)
    scale = g.constant([4 / (2 * size - 1), 4 / (size - 1)])
    texture = g.input("glasses", (4, size, 2 * size))
    found = g.op("GridSample", texture, g.sub(g.mul(at, scale), 1.0), mode="linear",
                 padding_mode="border", align_corners=1)  # fmt: skip
    found = g.op("Floor", g.add(g.op("Transpose", found, perm=[0, 2, 3, 1]), 0.5))
    alpha = g.mul(g.part(found, -1, 3, 4), 1 / 255)
    over = g.add(picture, g.mul(alpha, g.sub(g.part(found, -1, 0, 3), picture)))
    over = g.op("Floor", g.add(over, 0.5))
    seen = g.op("And", g.op("And", u, v), drawn.covered)
    return g.op("Where", seen, over, picture)
