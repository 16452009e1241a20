"""Compiled: the dark line where closed lips meet."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath=True, nogil=True)
def draw_seam_line(out, line, strength, half, left, top, right, bottom):
    """Darken along the line where closed lips meet; ``strength`` per point, 0-1."""
    for y in range(top, bottom):
        for x in range(left, right):
            best = np.float32(0.0)
            for s in range(line.shape[0] - 1):
                if x < line[s, 0] - 2 * half or x > line[s + 1, 0] + 2 * half:
                    continue
                ex, ey = line[s + 1, 0] - line[s, 0], line[s + 1, 1] - line[s, 1]
                px, py = x - line[s, 0], y - line[s, 1]
                t = (px * ex + py * ey) / (ex * ex + ey * ey + np.float32(1e-6))
                t = min(np.float32(1.0), max(np.float32(0.0), t))
                gx, gy = px - t * ex, py - t * ey
                d = (gx * gx + gy * gy) / (half * half)
                best = max(best, (strength[s] + t * (strength[s + 1] - strength[s])) * np.exp(-d))
            if best > 0.004:
                for k in range(3):
                    # Blue and green go first: the line is flesh in shadow, not ink.
                    fade = np.float32(0.85) if k == 0 else np.float32(1.0)
                    out[y, x, k] = int(out[y, x, k] * (np.float32(1.0) - fade * best) + 0.5)
