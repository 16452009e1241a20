"""Compiled smoothing of the edges where one part of a warped picture hides another."""

from __future__ import annotations

import numpy as np
from numba import njit

_FOLLOWED = 5  # pixels along an edge in each direction
EDGE_REACH = _FOLLOWED + 3  # pixels beyond the face's box whose sources are compared

_jit = njit(cache=True, fastmath=True, nogil=True, boundscheck=False)


@_jit
def step_right(source, y, x):
    """Return by how many source pixels ``(y, x)`` and its right neighbour lie apart."""
    return abs(source[y, x + 1, 0] - source[y, x, 0]) + abs(source[y, x + 1, 1] - source[y, x, 1])


@_jit
def step_down(source, y, x):
    """Return by how many source pixels ``(y, x)`` and the pixel below it lie apart."""
    return abs(source[y + 1, x, 0] - source[y, x, 0]) + abs(source[y + 1, x, 1] - source[y, x, 1])


@_jit
def edge_offset(source, y, x, down, limit):
    """Return how far the edge behind ``(y, x)`` lies from where whole pixels put it, and its run.

    The edge is followed in both directions, one pixel aside per step at most; its mean place over
    as many steps in each direction is where it would be without pixels.

    Args:
        source: ``(S, S, 2)`` source pixels.
        y: row of the pixel before the edge.
        x: column of it.
        down: 1 where the edge lies below the pixel, 0 where it lies on its right.
        limit: source pixels that make an edge.

    Returns:
        Offset in pixels across the edge, -.5 to .5, and the steps it was followed each way.
    """
    size = source.shape[0] - 2
    total, run = 0, 0
    before, after = 0, 0  # places of the edge relative to (y, x)
    for k in range(1, _FOLLOWED + 1):
        found = 0
        for way in range(2):
            along = k if way == 0 else -k
            place = after if way == 0 else before
            for turn in range(3):
                aside = place + (0 if turn == 0 else (1 if turn == 1 else -1))
                j, i = (y + aside, x + along) if down else (y + along, x + aside)
                if j < 1 or i < 1 or j >= size or i >= size:
                    continue
                gap = step_down(source, j, i) if down else step_right(source, j, i)
                if gap > limit:
                    found += 1
                    if way == 0:
                        after = aside
                    else:
                        before = aside
                    break
        if found < 2:
            break
        total += before + after
        run = k
    offset = np.float32(total) / np.float32(2 * run + 1)
    return min(max(offset, np.float32(-0.5)), np.float32(0.5)), run


@_jit
def straighten(out, source, limit, found, count):
    """Draw edges at their place between pixels, where whole pixels make stairs of them.

    Args:
        out: ``(S, S, 3)`` uint8, changed in place.
        source: ``(S, S, 2)`` source pixels.
        limit: source pixels that make an edge.
        found: ``(N, 5)`` int16: row and column of ``count`` pixels at edges; room for colours.
        count: of them.
    """
    for i in range(count):
        y, x = found[i, 0], found[i, 1]
        best, run, ny, nx = np.float32(0.0), 0, y, x
        for side in range(4):  # the edges on the right, below, on the left, above
            j, k = (y, x - 1) if side == 2 else ((y - 1, x) if side == 3 else (y, x))
            down = side & 1
            gap = step_down(source, j, k) if down else step_right(source, j, k)
            if gap <= limit:
                continue
            offset, length = edge_offset(source, j, k, down, limit)
            # This pixel gives way on the right and below to a negative offset.
            share = -offset if side < 2 else offset
            if length >= run and share > best:
                best, run = share, length
                ny, nx = (y + (1 if side < 2 else -1), x) if down else (
                    y, x + (1 if side < 2 else -1)
                )  # fmt: skip
        for c in range(3):
            mixed = (np.float32(1.0) - best) * out[y, x, c] + best * out[ny, nx, c]
            found[i, 2 + c] = np.int16(mixed + np.float32(0.5))
    for i in range(count):
        for c in range(3):
            out[found[i, 0], found[i, 1], c] = found[i, 2 + c]


@_jit
def soften_steps(out, source, depth, left, top, limit, found):
    """Smooth the edges where one part of the face hides another, or what lies behind it.

    Args:
        out: ``(S, S, 3)`` uint8, changed in place.
        source: ``(S, S, 2)`` source pixels.
        depth: depth picture of the face; only its box is looked at.
        left: first column of that box.
        top: first row of it.
        limit: step in source pixels from which the edge is softened.
        found: ``(N, 5)`` int16 scratch: room for as many pixels as can be softened.
    """
    rows, columns = depth.shape
    size = out.shape[0]
    y0, y1 = max(1, top - 1), min(size - 1, top + rows + 1)
    x0, x1 = max(1, left - 1), min(size - 1, left + columns + 1)
    count = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            step = max(
                max(step_right(source, y, x), step_right(source, y, x - 1)),
                max(step_down(source, y, x), step_down(source, y - 1, x)),
            )
            if step > limit and count < found.shape[0]:
                found[count, 0], found[count, 1] = y, x
                count += 1
    straighten(out, source, limit, found, count)
    for i in range(count):
        y, x = found[i, 0], found[i, 1]
        for k in range(3):
            around = (
                np.int64(out[y, x + 1, k]) + out[y, x - 1, k] + out[y + 1, x, k] + out[y - 1, x, k]
            )
            found[i, 2 + k] = (4 * np.int64(out[y, x, k]) + around + 4) >> 3
    for i in range(count):
        for k in range(3):
            out[found[i, 0], found[i, 1], k] = found[i, 2 + k]
