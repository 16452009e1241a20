"""Head and torso in the graph: what ``geometry.Rig.move`` and ``shell.Shell.update`` do."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.models.renderer.geometry.pose import CAMERA
from visavis.models.renderer.graph.build import GraphBuilder


@dataclass(frozen=True)
class Motion:
    """How head and torso are held in a frame; tensors by name.

    Attributes:
        matrix: ``(B, 3, 3)`` rotation and scale about the pivot.
        shift: ``(B, 3)`` pixels.
        torso: ``(B, 4)`` breath, shrug, scale of leaning, slope of swaying.
        pivot: ``(B, 3)`` pixels.
        neck: ``(B, 2)`` where the shoulders begin, pixels.
        unit: ``(B, 1)`` inter-ocular distance, pixels.
        foot: the row that stays.
    """

    matrix: str
    shift: str
    torso: str
    pivot: str
    neck: str
    unit: str
    foot: float


def move(g: GraphBuilder, motion: Motion, points: str, weight: str) -> str:
    """Return points ``(B, N, 3)`` in pixels, moved; ``weight`` ``(B, N)`` is the head's share."""
    unit = g.shape(motion.unit, 1, 1)
    pivot, shift = g.shape(motion.pivot, 1, 3), g.shape(motion.shift, 1, 3)
    turned = g.op("MatMul", g.sub(points, pivot), g.op("Transpose", motion.matrix, perm=[0, 2, 1]))
    centre = g.add(pivot, shift)
    hx, hy, hz = g.channels(g.add(turned, centre), 3)
    x, y, z = g.channels(points, 3)
    cx, cy, _ = g.channels(centre, 3)
    # What turns towards the lens grows, what turns away shrinks.
    lens = g.mul(unit, CAMERA)
    closer = g.div(lens, g.op("Max", g.sub(lens, g.sub(hz, z)), unit))
    hx, hy = g.add(cx, g.mul(closer, g.sub(hx, cx))), g.add(cy, g.mul(closer, g.sub(hy, cy)))
    w = g.shape(weight, -1, 1)
    mx, my, mz = (g.add(a, g.mul(w, g.sub(b, a))) for a, b in ((x, hx), (y, hy), (z, hz)))
    mx, my = _torso(g, motion, (x, y), (mx, my))
    return g.op("Concat", mx, my, mz, axis=-1)


def _torso(
    g: GraphBuilder, motion: Motion, at: tuple[str, str], moved: tuple[str, str]
) -> tuple[str, str]:
    """Add breath, shrug, lean and sway: all of it rises a little, the chest most and wider."""
    x, y = at
    mx, my = moved
    unit = g.shape(motion.unit, 1, 1)
    neck_x, neck_y = g.channels(g.shape(motion.neck, 1, 2), 2)
    breath, shrug, near, sway = g.channels(g.shape(motion.torso, 1, 4), 4)
    above = g.sub(motion.foot, y)
    height = g.smooth(g.clip(g.div(above, g.mul(unit, 1.6)), 0.0, 1.0))
    below = g.add(g.sub(y, neck_y), g.mul(unit, 0.6))
    below = g.clip(g.div(below, g.mul(unit, 1.2)), 0.0, 1.0)
    side = g.div(g.sub(x, neck_x), unit)
    away = g.clip(g.div(g.sub(g.op("Abs", side), 0.45), 0.9), 0.0, 1.0)
    away = g.mul(g.smooth(away), below)
    rise = g.mul(breath, g.add(g.mul(below, 0.030), 0.018))
    rise = g.add(rise, g.mul(shrug, g.add(g.mul(away, 0.14), 0.015)))
    my = g.sub(my, g.mul(height, unit, rise))
    mx = g.add(mx, g.mul(height, unit, breath, below, g.clip(side, -1.5, 1.5), 0.014))
    larger = g.sub(near, 1.0)
    mx = g.add(mx, g.mul(larger, g.sub(x, neck_x), height), g.mul(sway, above, height))
    return mx, g.sub(my, g.mul(larger, above, height))


@dataclass(frozen=True)
class Outline:
    """The face's outline and how it pulls the sheet; tensors by name, ``C`` points.

    Attributes:
        vertices: ``(B, C, 1)`` int64.
        outward: ``(B, C, 2)`` unit normals.
        rim: ``(B, C, 3)`` the outline on the face at rest, pixels.
        rim_weight: ``(B, C)``.
        sheet: ``(B, C, 3)`` the same on the sheet.
        sheet_weight: ``(B, C)``.
        pull: ``(B, N, C)`` by how much each moves the nodes.
    """

    vertices: str
    outward: str
    rim: str
    rim_weight: str
    sheet: str
    sheet_weight: str
    pull: str


def pulled(g: GraphBuilder, motion: Motion, outline: Outline, points: str) -> str:
    """Return by how much the outline of ``(B, V, 3)`` points pulls the nodes, ``(B, N, 2)``."""

    def flat(tensor: str) -> str:
        return g.part(tensor, -1, 0, 2)

    on_rim = flat(move(g, motion, outline.rim, outline.rim_weight))
    posed = flat(move(g, motion, outline.sheet, outline.sheet_weight))
    apart = g.sub(on_rim, posed)
    along = g.mul(apart, outline.outward)
    over = g.op("Max", g.add(g.part(along, -1, 0, 1), g.part(along, -1, 1, 2)), 0.0)
    offset = g.sub(flat(g.at(points, outline.vertices)), on_rim)
    offset = g.sub(g.add(offset, apart), g.mul(over, outline.outward))
    return g.op("MatMul", outline.pull, offset)
