"""Eyes in the graph: what ``eyes.EyePainter`` does to pixels, and ``lashes.lash_at``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from visavis.models.renderer.eyes.eyes import _TUNING as EYES
from visavis.models.renderer.eyes.lashes import _LASH_COLUMNS, _LASH_ROWS
from visavis.models.renderer.eyes.lashes import _TUNING as LASHES
from visavis.models.renderer.graph.build import GraphBuilder
from visavis.models.renderer.graph.openings import Box, cut, laid, meant, places
from visavis.models.renderer.raster.warp import FULL

RIM = 16  # points of an upper rim
_ROUNDS = 3  # that invert the shift of an iris


class _Eye(NamedTuple):
    """One eye's tensors by name; numbers of a session are ``(B, 1, 1, n)``.

    Attributes:
        name: prefix of its inputs.
        patch: pixels that its pictures have room for.
        at: column and row in the photo's patch, were the head at rest, ``(B, h, w, 1)`` each.
        limit: pixels of the patch.
        rims: ``(B, patch + 1, 5)``.
        closing: how far the closed lid has taken over.
        covered: ``(B, h, w, 1)``.
    """

    name: str
    patch: int
    at: tuple[str, str]
    limit: str
    rims: str
    closing: str
    covered: str


def patch_room(size: int) -> int:
    """Return how many pixels an eye's pictures may have at a renderer's size."""
    return size // 4


def _numbers(g: GraphBuilder, name: str, count: int) -> list[str]:
    return g.channels(g.shape(g.input(name, (count,)), 1, 1, count), count)


def _step(g: GraphBuilder, low: str | float, high: str | float, x: str) -> str:
    return g.smooth(g.clip(g.div(g.sub(x, low), g.sub(_tensor(g, high), low)), 0.0, 1.0))


def _tensor(g: GraphBuilder, value: str | float) -> str:
    return value if isinstance(value, str) else g.constant(value)


def _limited(g: GraphBuilder, x: str, high: str) -> str:
    """Return ``x`` held between 0 and a tensor."""
    return g.op("Min", g.op("Max", x, 0.0), high)


def _sampled(g: GraphBuilder, eye: _Eye, texture: str, x: str, y: str) -> str:
    """Return whole colours ``(B, h, w, 3)`` of a doubled picture at pixels of the patch."""
    most = g.sub(g.mul(eye.limit, 2.0), 2.0)
    at = g.op("Concat", *(_limited(g, g.mul(v, 2.0), most) for v in (x, y)), axis=-1)
    side = 2 * eye.patch
    grid = g.sub(g.mul(at, 2.0 / (side - 1)), 1.0)
    name = g.input(f"{eye.name}_{texture}", (3, side, side))
    found = g.op("GridSample", name, grid, mode="linear", padding_mode="border", align_corners=1)
    return g.op("Floor", g.add(g.op("Transpose", found, perm=[0, 2, 3, 1]), 0.5))


def _lid(g: GraphBuilder, eye: _Eye, out: str, shown: str) -> str:
    """Return the box with the closed lid on skin that the upper lid has brought down."""
    x, y = eye.at
    first = g.clip(g.op("Floor", x), 0.0, float(eye.patch - 1))
    t = g.sub(x, first)
    left, right = (g.at(eye.rims, g.whole(v)) for v in (first, g.add(first, 1.0)))
    now, drop, rise, _, opened = g.channels(g.add(left, g.mul(t, g.sub(right, left))), 5)
    within = g.part(left, -1, 3, 4)
    fringe = _numbers(g, f"{eye.name}_fringe", 5)
    share = g.op("Min", g.div(g.sub(y, shown), g.op("Max", drop, 2.0)), 1.0)
    a = _step(g, EYES.lid_from, EYES.lid_full, share)
    high = g.sub(opened, shown)
    a = g.op("Max", a, g.sub(1.0, _step(g, fringe[0], fringe[1], high)))
    a = g.mul(a, g.sub(1.0, _step(g, fringe[3], fringe[4], high)))  # brows are no lid
    a = g.mul(a, eye.closing, within, g.op("Min", g.div(drop, fringe[2]), 1.0))
    a = g.mul(a, g.sub(1.0, _step(g, 0.5, 2.0, g.sub(y, now))))  # cheeks are no lid
    inner = g.sub(eye.limit, 1.0)
    inside = g.op("And", g.op("GreaterOrEqual", x, 0.0), g.op("GreaterOrEqual", y, 0.0))
    inside = g.op("And", inside, g.op("And", g.op("Less", x, inner), g.op("Less", y, inner)))
    inside = g.op("And", inside, g.op("GreaterOrEqual", drop, 0.4))
    inside = g.op("And", inside, g.op("Greater", eye.covered, 0.0))
    mix = g.op("Floor", g.mul(a, 256.0))
    mix = g.mul(g.op("Where", inside, mix, 0.0), 1 / 256)
    colour = _sampled(g, eye, "lid", x, _limited(g, g.add(y, g.mul(share, rise)), inner))
    return g.op("Floor", g.add(out, g.mul(mix, g.sub(colour, out)), 0.5))


def _ball(g: GraphBuilder, eye: _Eye, box: Box, out: str) -> str:
    """Return the box with the eyeball behind partly covered skin."""
    x, y = eye.at
    cx, cy = _numbers(g, f"{eye.name}_centre", 2)  # of the iris, in the patch
    (radius,) = _numbers(g, f"{eye.name}_radius", 1)
    sx, sy = _numbers(g, f"{eye.name}_shift", 2)
    inner, outer = g.mul(radius, 1.1), g.mul(radius, 2.4)
    u, v = x, y
    for _ in range(_ROUNDS):
        dx, dy = g.sub(u, cx), g.sub(v, cy)
        r = g.op("Sqrt", g.add(g.mul(dx, dx), g.mul(dy, dy)))
        t = g.smooth(g.clip(g.div(g.sub(outer, r), g.sub(outer, inner)), 0.0, 1.0))
        u, v = g.sub(x, g.mul(sx, t)), g.sub(y, g.mul(sy, t))
    colour = _sampled(g, eye, "ball", u, v)
    column = g.whole(_limited(g, g.op("Floor", x), g.sub(eye.limit, 1.0)))
    rim = g.part(g.at(eye.rims, column), -1, 0, 1)
    light, shadow, reach = _numbers(g, f"{eye.name}_shades", 3)
    under = g.div(g.op("Max", g.sub(y, rim), 0.0), reach)
    near = g.number(g.op("Less", under, 2.2))
    fall = g.mul(shadow, near, g.op("Exp", g.op("Neg", g.mul(under, under))))
    value = g.mul(colour, light, g.sub(1.0, fall))
    share = g.mul(eye.covered, 1 / FULL)
    mixed = g.op("Floor", g.add(value, g.mul(share, g.sub(out, value)), 0.5))
    x0, y0, x1, y1 = _numbers(g, f"{eye.name}_hole", 4)
    px, py = places(g, box)
    seen = g.op("And", g.op("GreaterOrEqual", px, x0), g.op("Less", px, x1))
    seen = g.op("And", seen, g.op("GreaterOrEqual", py, y0))
    seen = g.op("And", seen, g.op("Less", py, y1))
    seen = g.op("And", seen, g.op("Less", eye.covered, float(FULL)))
    return g.op("Where", seen, mixed, out)


class _Rim(NamedTuple):
    """Where a pixel lies by the upper rim, ``(B, h, w, 1)`` each; tensors by name.

    Attributes:
        nearest: squared distance from it.
        place: 0-1 along it.
        below: bool.
        ends: 0-1, how far from the rim's ends.
    """

    nearest: str
    place: str
    below: str
    ends: str


def _by_rim(g: GraphBuilder, line: str, px: str, py: str) -> _Rim:
    a, b = (g.shape(g.part(line, 1, k, k + RIM - 1), 1, 1, RIM - 1, 2) for k in (0, 1))
    (ax, ay), (bx, by) = (
        [g.shape(v, 1, 1, RIM - 1) for v in g.channels(ends, 2)] for ends in (a, b)
    )
    ex, ey, x, y = g.sub(bx, ax), g.sub(by, ay), g.sub(px, ax), g.sub(py, ay)
    length = g.add(g.mul(ex, ex), g.mul(ey, ey), 1e-6)
    t = g.clip(g.div(g.add(g.mul(x, ex), g.mul(y, ey)), length), 0.0, 1.0)
    gx, gy = g.sub(x, g.mul(t, ex)), g.sub(y, g.mul(t, ey))
    d = g.add(g.mul(gx, gx), g.mul(gy, gy))
    index = g.op("ArgMin", d, axis=3, keepdims=1)
    nearest = g.op("GatherElements", d, index, axis=3)
    along = g.constant(np.arange(RIM - 1)[None, None, None])
    place = g.op("GatherElements", g.mul(g.add(t, along), 1 / (RIM - 1)), index, axis=3)
    side = g.sub(g.mul(ex, y), g.mul(ey, x))
    below = g.op("Greater", g.op("GatherElements", side, index, axis=3), 0.0)
    low, high = (g.shape(g.part(g.part(line, 1, k, k + 1), 2, 0, 1), 1, 1, 1) for k in (0, RIM - 1))
    left, right = g.sub(px, low), g.sub(high, px)
    ends = g.div(g.op("Min", left, right), g.mul(g.add(left, right), LASHES.lash_ends))
    ends = g.clip(ends, 0.02, 1.0)
    return _Rim(nearest, place, below, g.mul(ends, g.sub(2.0, ends)))


def _lashes(g: GraphBuilder, eye: _Eye, rim: _Rim) -> str:
    """Return how dark the lashes of a closing lid make each pixel: see ``lashes.lash_at``."""
    (half,) = _numbers(g, f"{eye.name}_half", 1)
    length, fall = _numbers(g, f"{eye.name}_lash_size", 2)
    picture = g.input(f"{eye.name}_lashes", (_LASH_ROWS * _LASH_COLUMNS, 1))
    place, below = rim.place, g.number(rim.below)
    taper = g.op("Sqrt", g.op("Max", g.mul(place, g.sub(1.0, place), 4.0), 0.0))
    uneven = g.mul(place, g.add(g.mul(place, LASHES.uneven), 1.0), LASHES.tufts)
    waves = g.add(g.mul(g.op("Sin", uneven), 0.5), 0.5)
    tuft = g.op("Where", rim.below, waves, 1.0)
    soft = g.op("Where", rim.below, g.add(g.mul(waves, 14.0), 8.0), 2.0)
    column = g.op("Min", g.mul(place, float(_LASH_COLUMNS - 1)), _LASH_COLUMNS - 1.001)
    c = g.op("Floor", column)
    t = g.sub(column, c)

    def at(row: str | float, across: float) -> str:
        index = g.add(g.mul(_tensor(g, row), float(_LASH_COLUMNS)), g.add(c, across))
        return g.at(picture, g.whole(index))

    root = g.op("Max", at(0.0, 0.0), at(1.0, 0.0))
    # Half-way down they point at the viewer: a thick rim.
    thick = g.mul(half, g.add(g.mul(root, g.sub(1.0, fall), LASHES.ahead), 1.0))
    d = g.div(rim.nearest, g.mul(thick, thick))
    tail = g.mul(taper, taper, g.op("Exp", g.op("Neg", g.div(d, soft))), LASHES.faint)
    core = g.mul(g.op("Exp", g.op("Neg", d)), g.add(g.mul(taper, 0.85), 0.15))
    a = g.add(g.mul(g.add(g.mul(root, 0.35), LASHES.lash_strength), core), tail)
    hangs = g.mul(below, g.number(g.op("Greater", fall, 0.05)))
    reach = g.mul(length, g.op("Max", fall, 1e-3), rim.ends)
    row = g.mul(g.div(g.op("Sqrt", rim.nearest), reach), float(_LASH_ROWS))
    k = g.clip(g.op("Floor", row), 0.0, _LASH_ROWS - 2.0)
    hangs = g.mul(hangs, g.number(g.op("Less", row, _LASH_ROWS - 1.0)))
    u = g.sub(row, k)
    high, low = (
        g.add(at(r, 0.0), g.mul(t, g.sub(at(r, 1.0), at(r, 0.0)))) for r in (k, g.add(k, 1.0))
    )
    gaps = g.sub(1.0, g.mul(g.sub(1.0, tuft), row, LASHES.gaps / _LASH_ROWS))
    hung = g.mul(g.add(high, g.mul(u, g.sub(low, high))), rim.ends, gaps)
    hung = g.mul(hung, g.op("Min", g.mul(fall, 2.0), 1.0), hangs)
    return g.op("Min", g.op("Max", a, hung), 1.0)


def _lashed(g: GraphBuilder, eye: _Eye, box: Box, out: str) -> str:
    """Return the box with the lash line on top."""
    line = g.input(f"{eye.name}_line", (RIM, 2))
    px, py = places(g, box)
    a = g.mul(eye.closing, _lashes(g, eye, _by_rim(g, line, px, py)))
    left, top, right, bottom = _numbers(g, f"{eye.name}_lash_box", 4)
    seen = g.op("And", g.op("Greater", px, left), g.op("Less", px, right))
    seen = g.op("And", seen, g.op("Greater", py, top))
    seen = g.op("And", seen, g.op("Less", py, bottom))
    seen = g.op("And", seen, g.op("Greater", a, 0.004))
    lash = g.shape(g.input(f"{eye.name}_lash", (3,)), 1, 1, 3)
    dark = g.op("Floor", g.add(out, g.mul(a, g.sub(lash, out)), 0.5))
    return g.op("Where", seen, dark, out)


def painted_eye(
    g: GraphBuilder, box: Box, name: str, covered: str, source: str, picture: str
) -> str:
    """Return the picture ``(B, S, S, 3)`` with one eye: lid, eyeball, lashes.

    Args:
        g: the graph.
        box: around the eye.
        name: prefix of its inputs.
        covered: ``(B, h, w, 1)`` its skin, 0-16.
        source: ``(B, S, S, 2)`` the photo's pixel that each pixel shows.
        picture: whole numbers.
    """
    px, py = places(g, box)
    # From the frame's pixels to the photo's patch.
    m = _numbers(g, f"{name}_inverse", 6)
    x, y = (g.add(g.mul(m[k], px), g.mul(m[k + 1], py), m[k + 2]) for k in (0, 3))
    room = patch_room(box.size)
    (limit,) = _numbers(g, f"{name}_limit", 1)
    (closing,) = _numbers(g, f"{name}_closing", 1)
    rims = g.op("Transpose", g.input(f"{name}_rims", (5, room + 1)), perm=[0, 2, 1])
    eye = _Eye(name, room, (x, y), limit, rims, closing, covered)
    first_row = _numbers(g, f"{name}_row", 1)[0]
    shown = g.sub(g.part(cut(g, box, source, 2), -1, 1, 2), first_row)
    before = cut(g, box, picture, 3)
    out = _ball(g, eye, box, _lid(g, eye, before, shown))
    out = g.op("Where", meant(g, box), _lashed(g, eye, box, out), before)
    return laid(g, box, out, picture, 3)
