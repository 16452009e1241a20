"""A plain canvas without OpenGL: exact ground truth, diffuse pictures, hard edges.

For machines without EGL, and to check the OpenGL canvas against: it reads the same corners, but
leaves out highlights, lashes and soft edges.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.arrays import Floats
from visavis.models.renderer.training.people.drawing.gl import COLUMNS, WIDTH, Drawn, Groups, Look
from visavis.models.renderer.training.people.drawing.light import to_linear, to_srgb

_FAR = np.float32(1e9)


@njit(cache=True, fastmath=True, nogil=True)
def _fill(tris, place, corners, opaque, surface, depth, attributes, what):
    """Draw triangles with perspective-correct corners; the nearest opaque sample wins.

    Args:
        tris: ``(T, 3)``.
        place: ``(N, 4)`` x, y in pixels, distance from the camera, 1 / distance.
        corners: ``(N, C)`` attributes.
        opaque: ``(H, W)`` texture of opacity 0-255, sampled at columns 7, 8; empty is opaque.
        surface: number to write.
        depth: ``(S, S)`` distance, changed in place.
        attributes: ``(S, S, C)`` changed in place.
        what: ``(S, S)`` surface, changed in place.
    """
    size = depth.shape[0]
    count = corners.shape[1]
    values = np.empty(count, np.float32)
    for t in range(tris.shape[0]):
        a, b, c = tris[t, 0], tris[t, 1], tris[t, 2]
        ax, ay, bx, by = place[a, 0], place[a, 1], place[b, 0], place[b, 1]
        cx, cy = place[c, 0], place[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9:
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx))))
        x1 = min(size - 1, int(np.floor(max(ax, bx, cx))))
        y0 = max(0, int(np.ceil(min(ay, by, cy))))
        y1 = min(size - 1, int(np.floor(max(ay, by, cy))))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                wa = 1.0 - wb - wc
                if wa < -1e-6 or wb < -1e-6 or wc < -1e-6:
                    continue
                ia, ib, ic = wa * place[a, 3], wb * place[b, 3], wc * place[c, 3]
                near = ia + ib + ic
                distance = np.float32(1.0 / near)
                if distance >= depth[y, x]:
                    continue
                for k in range(count):
                    values[k] = (
                        ia * corners[a, k] + ib * corners[b, k] + ic * corners[c, k]
                    ) / near  # fmt: skip
                alpha = np.float32(1.0)
                if opaque.shape[0] > 0:
                    h, w = opaque.shape
                    u = min(w - 1, max(0, int(values[7] * w)))
                    v = min(h - 1, max(0, int((1.0 - values[8]) * h)))
                    alpha = opaque[v, u] / np.float32(255.0)
                if alpha * values[14] < 0.5:
                    continue
                depth[y, x] = distance
                what[y, x] = surface
                for k in range(count):
                    attributes[y, x, k] = values[k]


class SoftCanvas:
    """A canvas of ``size`` pixels."""

    def __init__(self, size: int) -> None:
        """Prepare buffers."""
        self.size = size
        self._look: Look | None = None

    def dress(self, look: Look) -> None:
        """Take a person's textures and light."""
        self._look = look

    def draw(self, corners: Floats, groups: Groups) -> Drawn:
        """Draw ``(N, WIDTH)`` corners; surfaces and triangles in painting order.

        Raises:
            RuntimeError: nobody was dressed yet.
        """
        look = self._look
        if look is None:
            raise RuntimeError("dress comes before draw")
        size = self.size
        clip = corners[:, COLUMNS["place"]].astype(np.float64)
        w = clip[:, 3]
        x, y = clip[:, 0] / w, clip[:, 1] / w
        place = np.column_stack([(x + 1) / 2 * size - 0.5, (1 - y) / 2 * size - 0.5, w, 1 / w])
        depth = np.full((size, size), _FAR, np.float32)
        attributes = np.zeros((size, size, WIDTH), np.float32)
        what = np.zeros((size, size), np.uint8)
        nothing = np.zeros((0, 0), np.uint8)
        opacity = {"sheet": look.sheet[..., 3], "skin": look.atlas[..., 3]}
        for number, (surface, tris) in enumerate(groups, 1):
            if surface != "lash":
                _fill(
                    tris, place, corners, np.ascontiguousarray(opacity.get(surface, nothing)),
                    number, depth, attributes, what,
                )  # fmt: skip
        names = ["", *(s for s, _ in groups)]
        return self._finish(look, attributes, what, names)

    def _finish(
        self, look: Look, attributes: Floats, what: NDArray[np.uint8], names: list[str]
    ) -> Drawn:
        size = self.size
        behind = cv2.resize(look.background, (size, size), interpolation=cv2.INTER_AREA)
        picture = behind.astype(np.float32)
        semantics = np.zeros((size, size), np.uint8)
        uv = attributes[..., COLUMNS["uv"]]
        photo = attributes[..., COLUMNS["photo"]]
        for number, name in enumerate(names):
            mine = what == number
            if number == 0 or not mine.any():
                continue
            row = attributes[mine]
            texture = {"sheet": look.sheet, "skin": look.atlas}.get(name)
            unit = row[:, COLUMNS["normal"]]
            unit = unit / (np.linalg.norm(unit, axis=1, keepdims=True) + 1e-9)
            base = row[:, COLUMNS["tint"]]
            if texture is not None:
                base = to_linear(_sample(texture[..., :3], uv[mine]))
            light = look.light.irradiance(unit) * row[:, COLUMNS["gate"]][:, :1]
            picture[mine] = to_srgb(base * light)
            semantics[mine] = self._classes(look, name, row)
        empty = what == 0
        grid = (np.mgrid[0:size, 0:size][::-1].transpose(1, 2, 0) + 0.5) / size
        place = photo[..., :3].copy()
        place[empty, :2], place[empty, 2] = grid[empty], -1e3
        depth = np.where(empty, np.nan, photo[..., 3]).astype(np.float32)
        return Drawn(
            np.clip(np.rint(picture), 0, 255).astype(np.uint8), place, depth,
            np.where(empty[..., None], 0, uv).astype(np.float32), semantics,
        )  # fmt: skip

    @staticmethod
    def _classes(look: Look, name: str, row: Floats) -> NDArray[np.uint8]:
        local, kind = row[:, COLUMNS["local"]], row[:, COLUMNS["kind"].start]
        if name == "sheet":
            return np.where(local[:, 0] > 0.5, 8, 7).astype(np.uint8)
        if name == "skin":
            lips = _sample(look.lips[..., None], row[:, COLUMNS["uv"]])[:, 0] > 127
            return np.where(lips, 2, np.where(local[:, 1] > 9.6, 7, 1)).astype(np.uint8)
        if name == "inside":
            tooth = (kind > 2.5) & (kind < 3.5)
            return np.where(kind > 4.5, 5, np.where(tooth, 4, 3)).astype(np.uint8)
        return np.full(len(row), 6, np.uint8)


def _sample(texture: NDArray[np.uint8], uv: Floats) -> Floats:
    """Read a texture bilinearly at ``(N, 2)`` with v up; return ``(N, C)``."""
    h, w = texture.shape[:2]
    x = (uv[:, 0] * w - 0.5).astype(np.float32)[None]
    y = ((1 - uv[:, 1]) * h - 0.5).astype(np.float32)[None]
    read = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return read.reshape(len(uv), -1).astype(np.float32)
