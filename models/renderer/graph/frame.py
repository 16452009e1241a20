"""The frame as one graph: vertices and a pose in, a picture out, for a batch of sessions.

In it are the sheet of hair, neck and torso, the face mesh, the matte, the background, the
eyes, frames of glasses, the mouth, and the conversion to what an encoder takes. Not in it, yet: the
light of the networks, and the smoothing of edges. What is done per vertex stays on the CPU: a
millisecond or less that grows with no picture.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import onnx

from visavis.models.appearance.face.basis import load_basis
from visavis.models.renderer.chin import _TUNING as CHIN
from visavis.models.renderer.crown import rows_outside
from visavis.models.renderer.graph.build import GraphBuilder
from visavis.models.renderer.graph.constants import (
    CONTOUR,
    EYE_NAMES,
    HOLE,
    TEETH_SIDE,
    eye_sides,
    grid_triangles,
    mouth_sides,
    triangle_count,
)
from visavis.models.renderer.graph.eyes import painted_eye
from visavis.models.renderer.graph.glasses import worn
from visavis.models.renderer.graph.motion import Motion, Outline, move, pulled
from visavis.models.renderer.graph.mouth import painted_mouth
from visavis.models.renderer.graph.openings import Box, coverage, edges_closed, touched
from visavis.models.renderer.graph.raster import TILE, Raster, between, interpolated, rasterise
from visavis.models.renderer.raster.warp import FULL
from visavis.models.renderer.shell import NODES, STEP

Colour = Literal["rgb", "nv12"]

# Triangles of the face in 8 rows of pixels, and in 8 x 8 of them, at 256 and at 512: measured 679
# and 629, 144 and 93; and the part of the tiles that it touches: measured .42.
_PER_ROW, _PER_TILE, _USED = (960, 900), (192, 128), 0.6
# The same of the sheet, in cells of 4 pixels: measured 842 and 488, 134 and 64.
_SHEET_ROW, _SHEET_TILE = (1100, 680), (176, 88)
# BT.601, limited range: Y, U and V of RGB in 0-255.
_YUV = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])


class _Frame(NamedTuple):
    """What parts of the graph share; tensors by name."""

    size: int
    motion: Motion
    points: str
    pitch: str


def frame_graph(size: int, *, colour: Colour = "nv12") -> onnx.ModelProto:
    """Build the graph for square pictures.

    Args:
        size: side in pixels, a multiple of 8.
        colour: ``"rgb"`` gives ``(B, S, S, 3)`` uint8, ``"nv12"`` ``(B, 3 S / 2, S)`` uint8 in
            BT.601 limited range, as the encoders take it.

    Raises:
        ValueError: the size is no multiple of 8.
    """
    if size % TILE:
        raise ValueError(f"A picture of {size} pixels cannot be cut into tiles of {TILE}.")
    g = GraphBuilder()
    frame = _inputs(g, size)
    flow = _sheet(g, frame)
    mouth = Box(size, *mouth_sides(size), g.input("mouth_box", (4,)))
    lips = _lips_covered(g, frame, mouth)
    skin = touched(g, mouth, lips)
    eyes: list[tuple[str, Box, str]] = []
    for name in EYE_NAMES:
        box = Box(size, *eye_sides(size), g.input(f"{name}_box", (4,)))
        triangles = g.input(f"{name}_triangles", (3 * HOLE, 1), "int64")
        lids = coverage(g, box, frame.points, triangles, HOLE)
        skin = g.op("Max", skin, touched(g, box, lids))
        eyes.append((name, box, lids))
    source = _face(g, frame, flow, skin)
    picture = _composed(g, size, source)
    for name, box, lids in eyes:
        picture = painted_eye(g, box, name, lids, source, picture)
    picture = worn(g, size, frame.motion, picture)
    picture = painted_mouth(g, mouth, lips, picture, TEETH_SIDE)
    if colour == "rgb":
        g.output(picture, "rgb", (size, size, 3), "uint8")
    else:
        g.output(_nv12(g, size, picture), "nv12", (3 * size // 2, size), "uint8")
    return g.model(f"frame{size}")


def _inputs(g: GraphBuilder, size: int) -> _Frame:
    vertices = len(load_basis().neutral)
    model = g.input("model", (vertices, 3))
    motion = Motion(
        g.input("matrix", (3, 3)), g.input("shift", (3,)), g.input("torso", (4,)),
        g.input("pivot", (3,)), g.input("neck", (2,)), g.input("unit", (1,)), float(size),
    )  # fmt: skip
    pitch = g.input("pitch", (1,))
    offset = g.shape(g.input("offset", (3,)), 1, 3)
    pixels = g.add(g.op("MatMul", model, g.input("view", (3, 3))), offset)
    points = move(g, motion, pixels, g.input("weight", (vertices,)))
    return _Frame(size, motion, points, pitch)


def _sheet(g: GraphBuilder, frame: _Frame) -> str:
    """Return the sheet's inverse flow at every pixel, ``(B, S, S, 2)``."""
    size, count = frame.size, NODES * NODES
    nodes = g.input("nodes", (count, 3))
    outline = Outline(
        g.input("contour", (CONTOUR, 1), "int64"), g.input("outward", (CONTOUR, 2)),
        g.input("rim", (CONTOUR, 3)), g.input("rim_weight", (CONTOUR,)),
        g.input("sheet", (CONTOUR, 3)), g.input("sheet_weight", (CONTOUR,)),
        g.input("pull", (count, CONTOUR)),
    )  # fmt: skip
    moved = move(g, frame.motion, nodes, g.input("node_weight", (count,)))
    x, y, z = g.channels(moved, 3)
    px, py = g.channels(pulled(g, frame.motion, outline, frame.points), 2)
    moved = g.op("Concat", g.mul(g.add(x, px), 1 / STEP), g.mul(g.add(y, py), 1 / STEP), z, axis=-1)
    triangles = grid_triangles()
    index = g.constant(triangles.ravel(), "int64")
    corners = g.shape(g.op("Gather", moved, index, axis=1), len(triangles), 9)
    values = g.op("Gather", g.part(nodes, -1, 0, 2), index, axis=1)
    cells = size // STEP + 1
    side = -(-cells // TILE) * TILE
    held = (between(size, *_SHEET_ROW), between(size, *_SHEET_TILE))
    drawn = rasterise(g, Raster(side, side, len(triangles), *held), corners)
    flow = interpolated(g, drawn, g.shape(values, len(triangles), 6), 2)
    still = np.stack(np.meshgrid(*2 * [np.arange(side) * STEP]), -1)[None]
    flow = g.op("Where", drawn.covered, flow, g.constant(still))
    # Bilinear between cells, as two products of matrices.
    at = np.arange(size) / STEP
    share = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side)))  # (S, side)
    planes = g.op("Transpose", flow, perm=[0, 3, 1, 2])
    wide = g.op("MatMul", planes, g.constant(share.T))
    fine = g.op("MatMul", g.constant(share), wide)
    return g.op("Transpose", fine, perm=[0, 2, 3, 1])


def _lips_covered(g: GraphBuilder, frame: _Frame, box: Box) -> str:
    """Return the skin at the mouth, 0-16; closed lips hide everything."""
    triangles = g.input("lip_triangles", (3 * HOLE, 1), "int64")
    found = coverage(g, box, frame.points, triangles, HOLE)
    is_open = g.op("Greater", g.shape(g.input("mouth_open", (1,)), 1, 1, 1), 0.5)
    return g.op("Where", is_open, found, float(FULL))


def _face(g: GraphBuilder, frame: _Frame, sheet: str, skin: str) -> str:
    """Return which pixel of the photo each pixel shows, ``(B, S, S, 2)``.

    ``skin`` ``(B, S, S, 1)`` is 1 where holes have some of it beside them.
    """
    count = triangle_count()
    corners = g.at(frame.points, g.input("skin", (3 * count, 1), "int64"))
    corners = g.shape(corners, count, 9)
    held = (between(frame.size, *_PER_ROW), between(frame.size, *_PER_TILE))
    raster = Raster(frame.size, frame.size, count, *held, _USED)
    drawn = rasterise(g, raster, corners)
    u, v, blend = g.channels(interpolated(g, drawn, g.input("skin_values", (count, 9)), 3), 3)
    v = _neck_continued(g, frame, drawn.depth, u, v)
    flow, seen = edges_closed(g, drawn, g.op("Concat", u, v, blend, axis=-1), skin)
    face, share = g.part(flow, -1, 0, 2), g.mul(g.part(flow, -1, 2, 3), seen)
    return g.add(sheet, g.mul(share, g.sub(face, sheet)))


def _neck_continued(g: GraphBuilder, frame: _Frame, depth: str, u: str, v: str) -> str:
    """Return the row of the photo, below a raised chin that of the neck: see ``chin.Chin``."""
    size, basis = frame.size, load_basis()
    lip, chin = (
        g.op("Gather", frame.points, g.constant(int(basis.landmarks[n]), "int64"), axis=1)
        for n in (17, 152)
    )
    begins, full = (float(r) for r in CHIN.raised)
    t = g.div(g.sub(g.op("Neg", frame.pitch), begins), full - begins)
    raised = g.shape(g.smooth(g.clip(t, 0.0, 1.0)), 1, 1, 1)
    # Pixels per centimetre, from the view that has it.
    scale = g.shape(g.op("ReduceL2", "view", g.constant([1], "int64"), keepdims=1), 3, 1)
    scale = g.shape(g.part(scale, 1, 0, 1), 1, 1, 1)
    column = g.clip(g.op("Floor", g.add(u, 0.5)), 0.0, float(size - 1))
    column = g.whole(column)
    edge, share, front = g.channels(g.at(g.input("chin", (size, 3)), column), 3)
    chin_z = g.shape(g.part(chin, -1, 2, 3), 1, 1, 1)
    near, far = (g.mul(scale, float(d)) for d in CHIN.behind)
    behind = g.sub(g.sub(g.add(front, chin_z), depth), near)
    behind = g.clip(g.div(behind, g.sub(far, near)), 0.0, 1.0)
    up = g.op("Max", g.sub(g.add(edge, g.mul(scale, CHIN.shadow)), v), 0.0)
    lip_y, chin_y = (g.shape(g.part(p, -1, 1, 2), 1, 1, 1) for p in (lip, chin))
    first = g.op("Floor", g.add(lip_y, g.mul(g.sub(chin_y, lip_y), CHIN.begins)))
    rows = g.constant(np.arange(size)[None, :, None, None])
    lower = g.number(g.op("GreaterOrEqual", rows, first))
    return g.add(v, g.mul(raised, share, behind, up, lower))


def _composed(g: GraphBuilder, size: int, source: str) -> str:
    """Return the person over the background, ``(B, S, S, 3)`` whole numbers."""
    lift = rows_outside(size)
    high, wide = 2 * (size + lift), 2 * (size + 2 * lift)
    texture = g.input("texture", (4, high, wide))
    background = g.input("background", (3, size, size))
    # Pixels of the doubled texture as GridSample counts them, from -1 to 1 over corners.
    scale = g.constant([4 / (wide - 1), 4 / (high - 1)])
    place = g.sub(g.mul(g.add(source, float(lift)), scale), 1.0)
    person = g.op("GridSample", texture, place, mode="linear", padding_mode="border",
                  align_corners=1)  # fmt: skip
    colour, alpha = g.part(person, 1, 0, 3), g.mul(g.part(person, 1, 3, 4), 1 / 255)
    # Whole numbers, as the compiled renderer keeps them before and after the matte.
    colour = g.op("Floor", g.add(colour, 0.5))
    mixed = g.add(background, g.mul(alpha, g.sub(colour, background)))
    return g.op("Transpose", g.op("Floor", g.add(mixed, 0.5)), perm=[0, 2, 3, 1])


def _nv12(g: GraphBuilder, size: int, picture: str) -> str:
    """Return ``(B, 3 S / 2, S)`` uint8: the luma, and below it both chromas in turn."""
    picture = g.op("Transpose", picture, perm=[0, 3, 1, 2])
    luma = g.constant((_YUV[:1] / 255).reshape(1, 3, 1, 1))
    y = g.add(g.op("Conv", picture, luma), 16.0)
    small = g.op("AveragePool", picture, kernel_shape=[2, 2], strides=[2, 2])
    chroma = g.constant((_YUV[1:] / 255).reshape(2, 3, 1, 1))
    uv = g.op("Transpose", g.add(g.op("Conv", small, chroma), 128.0), perm=[0, 2, 3, 1])
    both = g.op("Concat", g.shape(y, size, size), g.shape(uv, size // 2, size), axis=1)
    return g.clip(g.op("Floor", g.add(both, 0.5)), 0.0, 255.0)
