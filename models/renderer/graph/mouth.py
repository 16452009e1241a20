"""The mouth in the graph: what ``mouth.MouthPainter`` does to pixels; vertices come in lit."""

from __future__ import annotations

import numpy as np

from visavis.models.renderer.graph.build import GraphBuilder
from visavis.models.renderer.graph.openings import Box, corner, cut, laid, meant, places
from visavis.models.renderer.graph.raster import Raster, between, interpolated, rasterise
from visavis.models.renderer.mouth.teeth import _TUNING as TEETH
from visavis.models.renderer.raster.warp import FULL

FINE = 2  # samples per pixel and axis
TRIANGLES, VERTICES, LINE = 2691, 1836, 21  # of the inside; points of the line between lips
# Triangles in 4 rows of pixels, and in 4 x 4 of them, at 256 and at 512: measured 1174 and 902, 305
# and 171.
_PER_ROW, _PER_TILE = (1600, 1250), (400, 232)


def _interior(g: GraphBuilder, box: Box, teeth: int) -> str:
    """Return the inside ``(B, h, w, 3)``, as it is without lips before it."""
    x0, y0 = corner(g, box, 1, 1)
    index = g.input("mouth_triangles", (3 * TRIANGLES, 1), "int64")
    x, y, z = g.channels(g.at(g.input("mouth_vertices", (VERTICES, 3)), index), 3)
    half = 0.5 * (FINE - 1)
    x, y = (g.add(g.mul(g.sub(a, b), float(FINE)), half) for a, b in ((x, x0), (y, y0)))
    corners = g.shape(g.op("Concat", x, y, z, axis=-1), TRIANGLES, 9)
    values = g.at(g.input("mouth_values", (VERTICES, 6)), index)
    raster = Raster(
        FINE * box.width,
        FINE * box.height,
        TRIANGLES,
        between(box.size, *_PER_ROW),
        between(box.size, *_PER_TILE),
        slack=1e-5,
    )
    drawn = rasterise(g, raster, corners)
    seen = interpolated(g, drawn, g.shape(values, TRIANGLES, 18), 6)
    colour = g.part(seen, -1, 0, 3)
    dark = g.shape(g.input("mouth_dark", (3,)), 1, 1, 3)
    toothed = _photo_teeth(g, colour, g.part(seen, -1, 3, 6), teeth)
    colour = g.op("Where", drawn.covered, toothed, dark)
    fine = g.shape(colour, box.height, FINE, box.width, FINE * 3)
    fine = g.op("ReduceMean", fine, g.constant([2], "int64"), keepdims=0)
    fine = g.shape(fine, box.height, box.width, FINE, 3)
    return g.op("ReduceMean", fine, g.constant([3], "int64"), keepdims=0)


def _photo_teeth(g: GraphBuilder, colour: str, place: str, side: int) -> str:
    """Return the colour, scaled by the photo's teeth over their mean: ``apply_photo_teeth``."""
    u, v, tooth = g.channels(place, 3)
    at = g.op("Concat", g.clip(u, 0.0, side - 2.0), g.clip(v, 0.0, side - 2.0), axis=-1)
    grid = g.sub(g.mul(at, 2.0 / (side - 1)), 1.0)
    found = g.op("GridSample", g.input("teeth", (4, side, side)), grid, mode="linear",
                 padding_mode="border", align_corners=1)  # fmt: skip
    found = g.op("Transpose", found, perm=[0, 2, 3, 1])
    opacity = g.mul(g.part(found, -1, 3, 4), 1 / 255)
    opacity = g.mul(opacity, g.number(g.op("GreaterOrEqual", tooth, 0.5)))
    mean = g.op("Max", g.shape(g.input("teeth_colour", (3,)), 1, 1, 3), 1.0)
    ratio = g.clip(g.div(g.part(found, -1, 0, 3), mean), TEETH.darkest, TEETH.brightest)
    scaled = g.mul(colour, g.add(g.mul(opacity, g.sub(ratio, 1.0)), 1.0))
    return g.op("Where", g.op("Greater", opacity, 0.0), g.op("Min", scaled, 255.0), colour)


def _blurred(g: GraphBuilder, box: Box, covered: str) -> str:
    """Return the coverage, blurred by the identity's own two matrices."""
    down = g.input("rim_down", (box.height, box.height))
    across = g.input("rim_across", (box.width, box.width))
    flat = g.shape(covered, box.height, box.width)
    blurred = g.op("MatMul", g.op("MatMul", down, flat), across)
    return g.shape(g.op("Floor", g.add(blurred, 0.5)), box.height, box.width, 1)


def _middle(g: GraphBuilder, box: Box, covered: str) -> str:
    """Return the row in the middle of each column's hole, ``(B, 1, w, 1)``."""
    hole = g.number(g.op("Less", covered, FULL / 2))
    rows = g.constant(np.arange(box.height)[None, :, None, None])
    none = g.op("Equal", g.op("ReduceMax", hole, g.constant([1], "int64"), keepdims=1), 0.0)
    outside = g.mul(g.sub(1.0, hole), 1e4)
    first = g.op("ReduceMin", g.add(rows, outside), g.constant([1], "int64"), keepdims=1)
    last = g.op("ReduceMax", g.sub(rows, outside), g.constant([1], "int64"), keepdims=1)
    y0, y1 = (g.shape(g.part(box.at, 1, k, k + 1), 1, 1, 1) for k in (1, 3))
    half = g.mul(g.sub(y1, y0), 0.5)
    return g.op("Where", none, half, g.mul(g.add(first, last), 0.5))


def _mixed(g: GraphBuilder, box: Box, out: str, interior: str, covered: str) -> str:
    """Return the box with the inside behind partly covered skin: see ``mouth._mix``."""
    near = g.mul(_blurred(g, box, covered), 1 / FULL)
    rows = g.constant(np.arange(box.height)[None, :, None, None])
    low = g.mul(g.sub(rows, _middle(g, box, covered)), 0.25)
    low = g.clip(g.add(low, 0.5), 0.0, 1.0)
    share = g.mul(covered, 1 / FULL)
    edge = g.mul(g.op("Min", g.mul(g.sub(1.0, near), 2.0), 1.0), share)
    rim = g.channels(g.shape(g.input("mouth_rim", (4,)), 1, 1, 4), 4)
    shade, lining = (g.add(a, g.mul(low, g.sub(b, a))) for a, b in (rim[:2], rim[2:]))
    skin = g.sub(1.0, g.mul(edge, shade))
    close = g.op("Min", g.mul(near, 2.0), 1.0)
    thin = g.shape(g.input("mouth_thin", (3,)), 1, 1, 3)
    value = g.add(interior, g.mul(close, close, lining, g.sub(thin, interior)))
    # Red goes last: the light has passed through flesh.
    kept = g.op("Concat", g.mul(g.add(skin, 1.0), 0.5), skin, skin, axis=-1)
    lit = g.add(g.mul(share, kept, out), g.mul(g.sub(1.0, share), value))
    lit = g.op("Floor", g.add(lit, 0.5))
    inner = g.op("And", g.op("Less", edge, 0.02), g.op("Greater", covered, FULL - 1.0))
    drawn = g.op("And", g.op("Not", inner), meant(g, box))
    is_open = g.op("Greater", g.shape("mouth_open", 1, 1, 1), 0.5)
    return g.op("Where", g.op("And", drawn, is_open), lit, out)


def _seam(g: GraphBuilder, box: Box, out: str) -> str:
    """Return the box, darker along the line where closed lips meet: see ``seam_line``."""
    line = g.input("seam", (LINE, 3))
    half = g.shape(g.input("seam_half", (1,)), 1, 1, 1)
    a, b = (
        g.channels(g.shape(g.part(line, 1, k, k + LINE - 1), 1, 1, LINE - 1, 3), 3) for k in (0, 1)
    )
    # (B, 1, 1, segments), against pixels (B, h, w, 1)
    (ax, ay, a_dark), (bx, by, b_dark) = (
        [g.shape(v, 1, 1, LINE - 1) for v in ends] for ends in (a, b)
    )
    x, y = places(g, box)
    ex, ey, px, py = g.sub(bx, ax), g.sub(by, ay), g.sub(x, ax), g.sub(y, ay)
    length = g.add(g.mul(ex, ex), g.mul(ey, ey), 1e-6)
    t = g.clip(g.div(g.add(g.mul(px, ex), g.mul(py, ey)), length), 0.0, 1.0)
    gx, gy = g.sub(px, g.mul(t, ex)), g.sub(py, g.mul(t, ey))
    d = g.div(g.add(g.mul(gx, gx), g.mul(gy, gy)), g.mul(half, half))
    dark = g.mul(g.add(a_dark, g.mul(t, g.sub(b_dark, a_dark))), g.op("Exp", g.op("Neg", d)))
    reach = g.mul(half, 2.0)
    beside = g.op("Less", x, g.sub(ax, reach))
    beside = g.op("Or", beside, g.op("Greater", x, g.add(bx, reach)))
    dark = g.mul(dark, g.sub(1.0, g.number(beside)))
    best = g.op("ReduceMax", dark, g.constant([3], "int64"), keepdims=1)
    # Blue and green go first: the line is flesh in shadow, not ink.
    fade = g.constant(np.array([0.85, 1.0, 1.0])[None, None, None])
    darker = g.op("Floor", g.add(g.mul(out, g.sub(1.0, g.mul(fade, best))), 0.5))
    seen = g.op("And", g.op("Greater", best, 0.004), meant(g, box))
    return g.op("Where", seen, darker, out)


def painted_mouth(g: GraphBuilder, box: Box, covered: str, picture: str, teeth: int) -> str:
    """Return the picture ``(B, S, S, 3)`` with the inside of the mouth, or the closed lips' line.

    Args:
        g: the graph.
        box: around the lips.
        covered: ``(B, h, w, 1)`` its skin, 0-16.
        picture: whole numbers.
        teeth: side of the photo's picture of teeth.
    """
    out = cut(g, box, picture, 3)
    out = _mixed(g, box, out, _interior(g, box, teeth), covered)
    return laid(g, box, _seam(g, box, out), picture, 3)
