"""How much light reaches the inside of the mouth and the eyeballs, through their openings."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, fastmath=True, nogil=True)
def aperture_light(points, normals, ring, ahead, out):
    """Write the share of the sky that points see through an opening, cosine-weighted.

    Lambert's formula for a polygon: ``1/2pi sum of angle_i * (n . (r_i x r_i+1)/|...|)``. Light
    that flesh scatters back is added by the caller.

    Args:
        points: ``(N, 3)``.
        normals: ``(N, 3)`` unit.
        ring: ``(R, 3)`` corners of the opening, counter-clockwise seen from outside.
        ahead: ``(3,)`` unit normal of the opening, outwards.
        out: ``(N,)`` written; 1 for points that stand before the opening.
    """
    count = ring.shape[0]
    middle = np.zeros(3, np.float32)
    for k in range(count):
        for a in range(3):
            middle[a] += ring[k, a] / count
    for i in range(points.shape[0]):
        depth = np.float32(0.0)
        for a in range(3):
            depth += (points[i, a] - middle[a]) * ahead[a]
        total = np.float32(0.0)
        for k in range(count):
            j = k + 1 if k + 1 < count else 0
            ax, ay, az = (ring[k, 0] - points[i, 0], ring[k, 1] - points[i, 1],
                          ring[k, 2] - points[i, 2])  # fmt: skip
            bx, by, bz = (ring[j, 0] - points[i, 0], ring[j, 1] - points[i, 1],
                          ring[j, 2] - points[i, 2])  # fmt: skip
            la = math.sqrt(ax * ax + ay * ay + az * az) + 1e-6
            lb = math.sqrt(bx * bx + by * by + bz * bz) + 1e-6
            dot = (ax * bx + ay * by + az * bz) / (la * lb)
            angle = math.acos(min(1.0, max(-1.0, dot)))
            cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            length = math.sqrt(cx * cx + cy * cy + cz * cz) + 1e-9
            total += angle * (
                normals[i, 0] * cx + normals[i, 1] * cy + normals[i, 2] * cz
            ) / length  # fmt: skip
        share = max(np.float32(0.0), np.float32(total / (2.0 * math.pi)))
        # Before the opening the formula has no meaning: there the sky is free.
        t = min(np.float32(1.0), max(np.float32(0.0), (depth + np.float32(0.12)) / np.float32(0.3)))
        t = t * t * (np.float32(3.0) - np.float32(2.0) * t)
        out[i] = share + t * (np.float32(1.0) - share)


@njit(cache=True, fastmath=True, nogil=True)
def lamp_through(points, ring, direction, softness, out):
    """Write how much of a lamp points see through an opening, 0-1, with a soft edge.

    Args:
        points: ``(N, 3)``.
        ring: ``(R, 3)`` corners of the opening.
        direction: ``(3,)`` unit, towards the lamp.
        softness: radians, the lamp's angular radius.
        out: ``(N,)`` written.
    """
    # Two axes across the direction.
    if abs(direction[1]) < 0.9:
        ux, uy, uz = direction[2], np.float32(0.0), -direction[0]
    else:
        ux, uy, uz = np.float32(0.0), -direction[2], direction[1]
    length = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / length, uy / length, uz / length
    vx = direction[1] * uz - direction[2] * uy
    vy = direction[2] * ux - direction[0] * uz
    vz = direction[0] * uy - direction[1] * ux
    count = ring.shape[0]
    for i in range(points.shape[0]):
        inside = False
        near = np.float32(1e9)
        away = np.float32(0.0)
        for k in range(count):
            j = k + 1 if k + 1 < count else 0
            ax, ay, az = (ring[k, 0] - points[i, 0], ring[k, 1] - points[i, 1],
                          ring[k, 2] - points[i, 2])  # fmt: skip
            bx, by, bz = (ring[j, 0] - points[i, 0], ring[j, 1] - points[i, 1],
                          ring[j, 2] - points[i, 2])  # fmt: skip
            pu, pv = ax * ux + ay * uy + az * uz, ax * vx + ay * vy + az * vz
            qu, qv = bx * ux + by * uy + bz * uz, bx * vx + by * vy + bz * vz
            away += ax * direction[0] + ay * direction[1] + az * direction[2]
            if (pv > 0) != (qv > 0) and (qu - pu) * (-pv) / (qv - pv) + pu > 0:
                inside = not inside
            eu, ev = qu - pu, qv - pv
            t = -(pu * eu + pv * ev) / (eu * eu + ev * ev + 1e-9)
            t = min(1.0, max(0.0, t))
            du, dv = pu + t * eu, pv + t * ev
            near = min(near, np.float32(du * du + dv * dv))
        away /= count
        if away < -0.05:  # the point stands before the opening
            out[i] = 1.0
            continue
        reach = max(np.float32(0.05), np.float32(away * softness))
        edge = math.sqrt(near) / reach
        edge = edge if inside else -edge
        t = min(1.0, max(0.0, 0.5 + 0.5 * edge))
        out[i] = t * t * (3.0 - 2.0 * t)
