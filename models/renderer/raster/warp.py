"""Compiled inner loops: rasterise meshes into flow, sample the photo, composite.

Pictures are ``(rows, columns, ...)``; vertices are in pixels, x right, y down, z to the viewer.
Source coordinates are pixels of the identity's picture at the renderer's size.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FAR = np.float32(-1e9)
FULL = 16  # samples per pixel of the coverage masks

_jit = njit(cache=True, fastmath=True, nogil=True, boundscheck=False)


@_jit
def span_of(weight, slope, low, high):
    """Shorten ``[low, high]`` to where ``weight + slope * s`` is not negative."""
    if slope > np.float32(1e-9):
        return max(low, -weight / slope), high
    if slope < np.float32(-1e-9):
        return low, min(high, -weight / slope)
    return (low, high) if weight >= np.float32(-1e-5) else (high + np.float32(2.0), high)


@_jit
def rasterise(tris, points, values, depth, out, left, top):
    """Draw triangles into ``out`` and ``depth``, whose corner is at ``(left, top)``; nearest wins.

    ``tris (T, 3)``, ``points (V, 3)`` in pixels, ``values (V, C)`` per vertex, ``out (R, C, C)``.
    """
    rows, columns = depth.shape
    channels = values.shape[1]
    for t in range(tris.shape[0]):
        a, b, c = tris[t, 0], tris[t, 1], tris[t, 2]
        ax, ay = points[a, 0] - left, points[a, 1] - top
        bx, by = points[b, 0] - left, points[b, 1] - top
        cx, cy = points[c, 0] - left, points[c, 1] - top
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-6:
            continue
        x0 = max(0, math.ceil(min(ax, bx, cx)))
        x1 = min(columns - 1, math.floor(max(ax, bx, cx)))
        y0 = max(0, math.ceil(min(ay, by, cy)))
        y1 = min(rows - 1, math.floor(max(ay, by, cy)))
        if x1 < x0 or y1 < y0:
            continue
        inverse = np.float32(1.0) / area
        wb_dx, wb_dy = (cy - ay) * inverse, -(cx - ax) * inverse
        wc_dx, wc_dy = -(by - ay) * inverse, (bx - ax) * inverse
        wa_dx = -wb_dx - wc_dx
        az = points[a, 2]
        bz, cz = points[b, 2] - az, points[c, 2] - az
        z_dx = wb_dx * bz + wc_dx * cz
        for y in range(y0, y1 + 1):
            px, py = np.float32(x0) - ax, np.float32(y) - ay
            wb = px * wb_dx + py * wb_dy
            wc = px * wc_dx + py * wc_dy
            wa = np.float32(1.0) - wb - wc
            low, high = span_of(wa, wa_dx, np.float32(0.0), np.float32(x1 - x0))
            low, high = span_of(wb, wb_dx, low, high)
            low, high = span_of(wc, wc_dx, low, high)
            first, last = math.ceil(low - np.float32(1e-3)), math.floor(high + np.float32(1e-3))
            z = az + wb * bz + wc * cz
            for i in range(max(0, first), min(last, x1 - x0) + 1):
                s = np.float32(i)
                here = z + s * z_dx
                x = x0 + i
                if here > depth[y, x]:
                    depth[y, x] = here
                    sb, sc = wb + s * wb_dx, wc + s * wc_dx
                    sa = np.float32(1.0) - sb - sc
                    for k in range(channels):
                        out[y, x, k] = sa * values[a, k] + sb * values[b, k] + sc * values[c, k]


@_jit
def cover(tris, points, masks, left, top):
    """Set a bit per 4x4 sub-sample that any triangle covers; ``masks`` is ``(h, w)`` uint16."""
    rows, columns = masks.shape
    for t in range(tris.shape[0]):
        a, b, c = tris[t, 0], tris[t, 1], tris[t, 2]
        # Sub-sample i lies at (i + .5) / 4 - .5 pixels; in this space it lies at i.
        ax, ay = (points[a, 0] - left) * 4 + 1.5, (points[a, 1] - top) * 4 + 1.5
        bx, by = (points[b, 0] - left) * 4 + 1.5, (points[b, 1] - top) * 4 + 1.5
        cx, cy = (points[c, 0] - left) * 4 + 1.5, (points[c, 1] - top) * 4 + 1.5
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-6:
            continue
        x0 = max(0, math.ceil(min(ax, bx, cx)))
        x1 = min(columns * 4 - 1, math.floor(max(ax, bx, cx)))
        y0 = max(0, math.ceil(min(ay, by, cy)))
        y1 = min(rows * 4 - 1, math.floor(max(ay, by, cy)))
        inverse = np.float32(1.0) / area
        wb_dx, wb_dy = (cy - ay) * inverse, -(cx - ax) * inverse
        wc_dx, wc_dy = -(by - ay) * inverse, (bx - ax) * inverse
        wa_dx = -wb_dx - wc_dx
        for y in range(y0, y1 + 1):
            px, py = np.float32(x0) - ax, np.float32(y) - ay
            wb = px * wb_dx + py * wb_dy
            wc = px * wc_dx + py * wc_dy
            low, high = span_of(
                np.float32(1.0) - wb - wc, wa_dx, np.float32(0.0), np.float32(x1 - x0)
            )
            low, high = span_of(wb, wb_dx, low, high)
            low, high = span_of(wc, wc_dx, low, high)
            first = max(x0 + math.ceil(low - np.float32(1e-3)), x0)
            last = min(x0 + math.floor(high + np.float32(1e-3)), x1)
            shift = (y & 3) * 4
            while first <= last:  # the bits of one pixel's row at a time
                end = min(last, first | 3)
                bits = ((1 << (end - first + 1)) - 1) << (first & 3)
                masks[y >> 2, first >> 2] |= np.uint16(bits << shift)
                first = end + 1


@_jit
def count_bits(masks, out):
    """Write the number of set bits, 0-16."""
    for y in range(masks.shape[0]):
        for x in range(masks.shape[1]):
            v = np.uint32(masks[y, x])
            v = v - ((v >> np.uint32(1)) & np.uint32(0x5555))
            v = (v & np.uint32(0x3333)) + ((v >> np.uint32(2)) & np.uint32(0x3333))
            v = (v + (v >> np.uint32(4))) & np.uint32(0x0F0F)
            out[y, x] = np.uint8((v + (v >> np.uint32(8))) & np.uint32(0x1F))


@_jit
def close_edges(depth, flow, coverage, left, top):
    """Give partly covered pixels without flow the mean flow of their neighbours.

    ``coverage`` is a box of the flow picture whose corner is at ``(left, top)`` of it.
    """
    rows, columns = coverage.shape
    for y in range(rows):
        fy = y + top
        if fy < 1 or fy >= depth.shape[0] - 1:
            continue
        for x in range(columns):
            fx = x + left
            if coverage[y, x] == 0 or fx < 1 or fx >= depth.shape[1] - 1:
                continue
            if depth[fy, fx] > FAR * np.float32(0.5):
                continue
            total, u, v, w = 0, np.float32(0), np.float32(0), np.float32(0)
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    if depth[fy + dy, fx + dx] > FAR * np.float32(0.1):
                        total += 1
                        u += flow[fy + dy, fx + dx, 0]
                        v += flow[fy + dy, fx + dx, 1]
                        w += flow[fy + dy, fx + dx, 2]
            if total > 0:
                depth[fy, fx] = FAR * np.float32(0.25)  # covered, but no seed for others
                flow[fy, fx, 0] = u / total
                flow[fy, fx, 1] = v / total
                flow[fy, fx, 2] = w / total


@_jit
def invert_grid(points, uv, step, depth, flow):
    """Rasterise a moved regular grid into its inverse flow at ``1/step`` resolution.

    Args:
        points: ``(n, n, 3)`` moved nodes in pixels.
        uv: ``(n, n, 2)`` their source pixels.
        step: pixels per cell of ``flow``.
        depth: ``(h, w)`` scratch.
        flow: ``(h, w, 2)``; cell ``(j, i)`` belongs to pixel ``(j*step, i*step)``.
    """
    rows, columns = depth.shape
    for j in range(rows):
        for i in range(columns):
            depth[j, i] = FAR
            flow[j, i, 0] = i * step
            flow[j, i, 1] = j * step
    inverse_step = np.float32(1.0) / step
    n = points.shape[0]
    for j in range(n - 1):
        for i in range(n - 1):
            for half in range(2):
                j1, i1 = j, i + 1
                j2, i2 = j + 1, i
                j0, i0 = (j, i) if half == 0 else (j + 1, i + 1)
                ax, ay = points[j0, i0, 0] * inverse_step, points[j0, i0, 1] * inverse_step
                bx, by = points[j1, i1, 0] * inverse_step, points[j1, i1, 1] * inverse_step
                cx, cy = points[j2, i2, 0] * inverse_step, points[j2, i2, 1] * inverse_step
                area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
                if abs(area) < 1e-9:
                    continue
                x0 = max(0, math.ceil(min(ax, bx, cx) - 1e-4))
                x1 = min(columns - 1, math.floor(max(ax, bx, cx) + 1e-4))
                y0 = max(0, math.ceil(min(ay, by, cy) - 1e-4))
                y1 = min(rows - 1, math.floor(max(ay, by, cy) + 1e-4))
                inverse = np.float32(1.0) / area
                for y in range(y0, y1 + 1):
                    for x in range(x0, x1 + 1):
                        wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
                        wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inverse
                        wa = np.float32(1.0) - wb - wc
                        if wa < -1e-4 or wb < -1e-4 or wc < -1e-4:
                            continue
                        z = wa * points[j0, i0, 2] + wb * points[j1, i1, 2] + wc * points[j2, i2, 2]
                        if z > depth[y, x]:
                            depth[y, x] = z
                            flow[y, x, 0] = (
                                wa * uv[j0, i0, 0] + wb * uv[j1, i1, 0] + wc * uv[j2, i2, 0]
                            )
                            flow[y, x, 1] = (
                                wa * uv[j0, i0, 1] + wb * uv[j1, i1, 1] + wc * uv[j2, i2, 1]
                            )


@_jit
def sample_twice(texture, u, v, out):
    """Sample a texture of doubled resolution at source pixel ``(u, v)``, bilinearly."""
    rows, columns, channels = texture.shape
    x = min(max(u * np.float32(2.0), np.float32(0.0)), np.float32(columns - 2))
    y = min(max(v * np.float32(2.0), np.float32(0.0)), np.float32(rows - 2))
    # 1/128 steps make an unmoved pixel exactly itself.
    xf = np.int64(x * np.float32(128.0) + np.float32(0.5))
    yf = np.int64(y * np.float32(128.0) + np.float32(0.5))
    xi, yi = xf >> 7, yf >> 7
    fx, fy = xf & 127, yf & 127
    w11 = fx * fy
    w10 = (fx << 7) - w11
    w01 = (fy << 7) - w11
    w00 = 16384 - (fx << 7) - w01
    for k in range(channels):
        out[k] = (
            w00 * texture[yi, xi, k]
            + w10 * texture[yi, xi + 1, k]
            + w01 * texture[yi + 1, xi, k]
            + w11 * texture[yi + 1, xi + 1, k]
            + 8192
        ) >> 14


@_jit
def place(shell, step, depth, flow, face_left, face_top, box, lift, source, lookup):
    """Say which source pixel every pixel inside ``box`` (x0, y0, x1, y1) shows.

    Args:
        shell: ``(h, w, 2)`` inverse flow of everything but the face, one cell per ``step`` pixels.
        step: pixels per shell cell.
        depth: ``(fh, fw)`` depth of the rasterised face, ``FAR`` where there is none.
        flow: ``(fh, fw, 3)`` source pixel and weight of the face.
        face_left: column of the face pictures in the output.
        face_top: row of the same.
        box: ``(4,)`` int64, a multiple of ``step``.
        lift: rows that the texture has above the picture, and columns beside it.
        source: ``(S, S, 2)`` written.
        lookup: ``(S, S, 2)`` written, the same in pixels of the doubled texture.
    """
    one, two = np.float32(1.0), np.float32(2.0)
    inverse_step = one / np.float32(step)
    rows, columns = depth.shape
    for j in range(box[1] // step, box[3] // step):
        for i in range(box[0] // step, box[2] // step):
            u00, v00 = shell[j, i, 0], shell[j, i, 1]
            u10, v10 = shell[j, i + 1, 0], shell[j, i + 1, 1]
            u01, v01 = shell[j + 1, i, 0], shell[j + 1, i, 1]
            u11, v11 = shell[j + 1, i + 1, 0], shell[j + 1, i + 1, 1]
            left, top = i * step - face_left, j * step - face_top
            face = left + step > 0 and top + step > 0 and left < columns and top < rows
            for dy in range(step):
                y = j * step + dy
                t = dy * inverse_step
                u, du = u00 + t * (u01 - u00), u10 + t * (u11 - u10)
                v, dv = v00 + t * (v01 - v00), v10 + t * (v11 - v10)
                du, dv = (du - u) * inverse_step, (dv - v) * inverse_step
                for dx in range(step):
                    x = i * step + dx
                    pu, pv = u + dx * du, v + dx * dv
                    if face:
                        fi, fj = left + dx, top + dy
                        if (
                            0 <= fi < columns
                            and 0 <= fj < rows
                            and (depth[fj, fi] > FAR * np.float32(0.5))
                        ):
                            w = flow[fj, fi, 2]
                            pu = w * flow[fj, fi, 0] + (one - w) * pu
                            pv = w * flow[fj, fi, 1] + (one - w) * pv
                    source[y, x, 0] = pu
                    source[y, x, 1] = pv
                    lookup[y, x, 0] = (pu + lift) * two
                    lookup[y, x, 1] = (pv + lift) * two


@_jit
def extents(shell, step, solid, lift, box, band, face, spans):
    """Find, per band of rows, the columns in which the person can show.

    Args:
        shell: ``(h, w, 2)`` inverse flow, one node per ``step`` pixels.
        step: pixels per node.
        solid: ``(h, w)`` uint8, whether the photo's person is near each node's cell.
        lift: rows that ``solid`` has above the picture and columns beside it, in pixels.
        box: ``(4,)`` int64 (x0, y0, x1, y1), a multiple of ``step``; spans stay inside.
        band: rows per band, a multiple of ``step``.
        face: ``(4,)`` int64 box of the face, which always shows.
        spans: ``(bands, 2)`` int64 written; first and one past the last column, 0 where none.
    """
    inverse = np.float32(1.0) / np.float32(step)
    rows, columns = solid.shape
    for k in range(spans.shape[0]):
        y0 = box[1] + k * band
        y1 = min(y0 + band, box[3])
        low, high = box[2], box[0]
        for j in range(y0 // step, min(y1 // step + 1, shell.shape[0])):
            for i in range(box[0] // step, min(box[2] // step + 1, shell.shape[1])):
                u = min(max(int((shell[j, i, 0] + lift) * inverse), 0), columns - 1)
                v = min(max(int((shell[j, i, 1] + lift) * inverse), 0), rows - 1)
                if solid[v, u]:
                    low = min(low, (i - 1) * step)
                    high = max(high, (i + 1) * step)
        if face[1] < y1 and face[3] > y0:
            low = min(low, face[0] // step * step)
            high = max(high, (face[2] // step + 1) * step)
        low, high = max(low, box[0]), min(high, box[2])
        spans[k, 0], spans[k, 1] = (low, high) if low < high else (0, 0)


@_jit
def lay_over(person, background, left, top, out):
    """Lay ``(h, w, 4)`` uint8 person over the background at ``(left, top)`` of ``out``."""
    for j in range(person.shape[0]):
        y = j + top
        for i in range(person.shape[1]):
            x = i + left
            a = np.int32(person[j, i, 3])
            if a == 255:
                out[y, x, 0] = person[j, i, 0]
                out[y, x, 1] = person[j, i, 1]
                out[y, x, 2] = person[j, i, 2]
            elif a == 0:
                out[y, x, 0] = background[y, x, 0]
                out[y, x, 1] = background[y, x, 1]
                out[y, x, 2] = background[y, x, 2]
            else:
                b = np.int32(255) - a
                for k in range(3):
                    mixed = a * np.int32(person[j, i, k]) + b * np.int32(background[y, x, k])
                    # Exact division by 255 for this range.
                    out[y, x, k] = (mixed + 128 + ((mixed + 128) >> 8)) >> 8


def double(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture at twice the resolution; even pixels are the originals.

    The half-way samples come from a windowed sinc of eight taps, so that reading the result
    bilinearly keeps nearly all of the sharpness that bilinear reading of the original loses.
    """
    offsets = np.arange(-3.5, 4.0)
    taps = np.sinc(offsets) * np.cos(np.pi * offsets / 9.0) ** 2
    taps /= taps.sum()
    work = picture.astype(np.float32)
    for axis in (0, 1):
        pad = [(0, 0)] * work.ndim
        pad[axis] = (3, 4)
        padded = np.pad(work, pad, mode="edge")
        length = work.shape[axis]
        middle = sum(
            float(t) * np.take(padded, np.arange(i, i + length), axis) for i, t in enumerate(taps)
        )
        shape = list(work.shape)
        shape[axis] *= 2
        wide = np.empty(shape, np.float32)
        even = [slice(None)] * work.ndim
        even[axis] = slice(0, None, 2)
        odd = list(even)
        odd[axis] = slice(1, None, 2)
        wide[tuple(even)] = work
        wide[tuple(odd)] = middle
        work = wide
    return np.clip(np.rint(work), 0, 255).astype(np.uint8)
