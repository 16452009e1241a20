"""Everything but the face: hair, ears, neck, torso, as one sheet over the picture."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.layers.layers import push_pull
from visavis.models.arrays import Floats, ease
from visavis.models.renderer.crown import OUTSIDE
from visavis.models.renderer.geometry.geometry import Rig
from visavis.models.renderer.geometry.pose import HeadPose
from visavis.models.renderer.raster.warp import FAR, invert_grid, rasterise

NODES = 63
STEP = 4  # pixels per cell of the inverse flow
THROAT = (2.4, 4.2)  # cm from the middle, how wide the throat is under the chin


class _ShellTuning(NamedTuple):
    """How the head's outline carries hair and neck along.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    depth_sigma: float = 17 / 512  # of the picture
    hair_behind: float = 1.0  # cm behind the rim of the head
    contour: int = 120  # points of the face's outline
    tangent: int = 3  # of those on either side over which its direction is taken
    reach: float = 0.42  # inter-ocular distances over which the outline's movement fades
    # z of the normal over which a rim hands over to the shell
    turned: tuple[float, float] = (0.08, 0.42)
    # cm behind the jaw over which the neck's sides hand over
    hidden: tuple[float, float] = (0.15, 0.6)
    # of the photo, over which the throat's place is no longer known
    aside: Floats = np.radians((4.0, 10.0))
    # cm from the face mesh's border over which it hands over to the shell
    fade: tuple[float, float] = (0.4, 2.4)


_TUNING = _ShellTuning()


def hidden_in_photo(tris: NDArray[np.int32], points: Floats, size: int, scale: float) -> Floats:
    """Return how far each vertex lies behind something else in the photo, 0-1.

    Args:
        tris: ``(F, 3)`` the face's triangles.
        points: ``(V, 3)`` pixels and depth towards the viewer, in the photo's pose.
        size: side of the photo in pixels.
        scale: pixels per cm.
    """
    depth = np.full((size, size), FAR, np.float32)
    none = np.zeros((size, size, 1), np.float32)
    flat = np.zeros((len(points), 1), np.float32)
    rasterise(np.ascontiguousarray(tris, np.int32), points, flat, depth, none, 0, 0)
    x, y = np.clip(np.rint(points[:, :2]), 0, size - 1).astype(int).T
    behind = (depth[y, x] - points[:, 2]) / scale
    return np.clip(
        (behind - _TUNING.hidden[0]) / (_TUNING.hidden[1] - _TUNING.hidden[0]), 0, 1
    ).astype(np.float32)


def face_blend(
    basis: FaceBasis, face: NDArray[np.int32], facing: Floats, hidden: Floats, yaw: float
) -> Floats:
    """Return how far each vertex's pixels follow the face mesh rather than the shell.

    Fades towards the mesh's border, and where cheeks and jaw turn away in the photo: beyond that
    rim the photo shows something else, and one sheet has to carry both sides without a step.

    Args:
        basis: the face basis.
        face: ``(F, 3)`` face triangles.
        facing: ``(V,)`` z of the photo's unit normals.
        hidden: ``(V,)`` how far the photo hides each vertex, 0-1; beside the throat that has the
            jaw's pixels for texture, which must not come out from behind it.
        yaw: how far the photo's face looks aside, radians; then its throat lies beside the chin.
    """
    edges = {(int(t[i]), int(t[(i + 1) % 3])) for t in face for i in range(3)}
    rim = np.unique([a for a, b in edges if (b, a) not in edges])
    holes = np.concatenate([basis.mouth_loop, *basis.eye_loops])
    rim = np.setdiff1d(rim, holes)
    gaps = basis.neutral[:, None, :] - basis.neutral[rim][None]
    distance = np.sqrt((gaps**2).sum(2)).min(1)
    t = np.clip((distance - _TUNING.fade[0]) / (_TUNING.fade[1] - _TUNING.fade[0]), 0, 1)
    border = ease(t)
    x, y = np.abs(basis.neutral[:, 0]), basis.neutral[:, 1]
    # The neck is a narrower cylinder: it hands over earlier, or its sides tear off.
    behind_jaw = np.clip((4.5 - basis.neutral[:, 2]) / 2.0, 0, 1) * np.clip((-5.0 - y) / 1.5, 0, 1)
    neck = np.maximum(np.clip((-8.5 - y) / 2.0, 0, 1), behind_jaw)
    low, high = _TUNING.turned[0] + 0.27 * neck, _TUNING.turned[1] + 0.45 * neck
    t = np.clip((facing - low) / (high - low), 0, 1)
    rim_fade = ease(t)
    # Under the middle of the chin lies the mesh's own throat, so that nothing has to hand over.
    side = np.clip((x - THROAT[0]) / (THROAT[1] - THROAT[0]), 0, 1)
    outer = np.maximum(np.clip((x - 4.2) / 1.2, 0, 1), side * np.clip((-6.5 - y) / 1.0, 0, 1))
    blend = border * (1 - outer * (1 - rim_fade)) * (1 - 0.85 * behind_jaw)
    aside = np.clip((abs(yaw) - _TUNING.aside[0]) / (_TUNING.aside[1] - _TUNING.aside[0]), 0, 1)
    side = np.maximum(side, aside * np.clip((-6.5 - y) / 1.0, 0, 1))
    return (blend * (1 - side * (y < -4.0) * hidden)).astype(np.float32)


def _held(cells: int, size: int, part: float) -> tuple[Floats, Floats]:
    """Return the flow of rest and the share of it per column, ``(h, w, 2)`` and ``(1, w, 1)``."""
    axis = np.arange(cells, dtype=np.float32) * STEP
    still = np.stack(np.meshgrid(axis, axis), -1)
    t = np.clip(np.minimum(axis, size - 1 - axis) / (part * size), 0, 1)
    return still, (1 - ease(t))[None, :, None].astype(np.float32)


def _outward(line: Floats) -> Floats:
    """Return the unit normals out of a closed line ``(N, 2)``."""
    around = np.roll(line, -_TUNING.tangent, 0) - np.roll(line, _TUNING.tangent, 0)
    normal = np.stack([around[:, 1], -around[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    x, y = line.T
    turning = float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    return (normal * np.sign(turning)).astype(np.float32)


class Shell:
    """The sheet: nodes with depth, a head weight, and the pull of the face's outline.

    Attributes:
        flow: ``(h, w, 2)`` inverse flow of the last ``update``, every ``STEP`` pixels.
    """

    def __init__(
        self,
        rig: Rig,
        basis: FaceBasis,
        face: NDArray[np.int32],
        blend: Floats,
        held_sides: float = 0.0,
    ) -> None:
        """Lay the sheet over the identity's picture.

        Args:
            rig: the head.
            basis: of the face.
            face: triangles of the skin.
            blend: ``(V,)`` how far the mesh, and not the sheet, shows.
            held_sides: part of the side over which motion fades to none at the left and right.
        """
        size = rig.size
        self._rig = rig
        axis = np.linspace(-OUTSIDE * size, (1 + OUTSIDE) * size, NODES, dtype=np.float32)
        xx, yy = np.meshgrid(axis, axis)
        depth = self._depth(rig, basis, axis)
        self._nodes = np.stack([xx, yy, depth], -1).reshape(-1, 3).astype(np.float32)
        self.uv = np.ascontiguousarray(np.stack([xx, yy], -1), np.float32)
        self._weight = rig.picture_weight(self._nodes)
        self._moved = np.zeros_like(self._nodes)
        cells = size // STEP + 2
        self._scratch = np.zeros((cells, cells), np.float32)
        self.flow = np.zeros((cells, cells, 2), np.float32)
        self._held = _held(cells, size, held_sides) if held_sides else None
        self._contour, self._outward, pull = self._outline(rig, face, blend)
        self._near = np.flatnonzero(pull.sum(1) > 1e-3)
        self._pull = np.ascontiguousarray(pull[self._near])
        self._sheet_home = self._on_sheet(rig.source[self._contour])
        self._sheet_weight = rig.picture_weight(self._sheet_home)
        rim = [rig.source[self._contour], rig.points[self._contour, 2:]]
        self._rim_home = np.concatenate(rim, 1).astype(np.float32)
        self._posed = np.zeros_like(self._rim_home)
        self._on_rim = np.zeros_like(self._rim_home)

    def _depth(self, rig: Rig, basis: FaceBasis, axis: Floats) -> Floats:
        """Depth of the nodes: the head's surface, continued outwards."""
        face = rig.project(rig.express(rig.map(np.zeros(64, np.float32))))[: rig.face_count].copy()
        skull = rig.project(basis.skull)
        points = np.concatenate([face, skull])
        step = float(axis[1] - axis[0])
        cell = np.rint((points[:, :2] - axis[0]) / step).astype(np.int64)
        inside = ((cell >= 0) & (cell < NODES)).all(1)
        depth = np.full((NODES, NODES), -np.inf)
        np.maximum.at(depth, (cell[inside, 1], cell[inside, 0]), points[inside, 2])
        found = np.isfinite(depth)
        head = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        inner = found & (cv2.erode(head, np.ones((3, 3), np.uint8)) > 0)
        outer = cv2.dilate(head, np.ones((5, 5), np.uint8)) == 0
        # Around the head, hair and collar lie about where its widest part is.
        known = inner | outer
        values = np.where(inner, depth, -_TUNING.hair_behind * rig.scale)
        filled = push_pull(np.where(known, values, 0)[..., None], known)[..., 0]
        return cv2.GaussianBlur(filled, (0, 0), _TUNING.depth_sigma * rig.size / step)

    def _outline(
        self, rig: Rig, face: NDArray[np.int32], blend: Floats
    ) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Choose vertices on the visible outline, which way is out, and how they pull the nodes."""
        size = rig.size
        depth = np.full((size, size), FAR, np.float32)
        seen = np.zeros((size, size, 1), np.float32)
        points = np.concatenate([rig.source, rig.points[:, 2:]], 1).astype(np.float32)
        rasterise(face, points, blend[:, None].copy(), depth, seen, 0, 0)
        mask = ((depth > FAR) & (seen[..., 0] > 0.5)).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8), iterations=3)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not outlines:
            none = np.zeros((0, 2), np.float32)
            return np.zeros(0, np.int64), none, np.zeros((len(self._nodes), 0), np.float32)
        line = max(outlines, key=len)[:, 0].astype(np.float32)
        line = line[np.linspace(0, len(line) - 1, min(_TUNING.contour, len(line))).astype(np.int64)]
        vertices = np.unique(face)
        solid = vertices[blend[vertices] > 0.6]
        nearest = np.linalg.norm(line[:, None] - rig.source[solid][None], axis=2).argmin(1)
        contour = solid[nearest].astype(np.int64)
        gap = np.linalg.norm(self._nodes[:, None, :2] - line[None], axis=2)
        weight = np.exp(-((gap / (0.22 * rig.unit)) ** 2)) + 1e-12
        fade = np.exp(-((gap.min(1) / (_TUNING.reach * rig.unit)) ** 2))
        fade = np.maximum(0.0, (fade - 0.06) / 0.94)  # hair further out stays where it is
        pull = weight / weight.sum(1, keepdims=True) * fade[:, None]
        return contour, _outward(line), pull.astype(np.float32)

    def _on_sheet(self, pixels: Floats) -> Floats:
        """Return ``(N, 2)`` pixels with the sheet's depth there, ``(N, 3)``."""
        axis = self.uv[0, :, 0]
        place = (pixels - axis[0]) / (axis[1] - axis[0])
        depth = self._nodes[:, 2].reshape(NODES, NODES)
        found = cv2.remap(depth, *np.float32(place.T), cv2.INTER_LINEAR)
        return np.concatenate([pixels, found.reshape(-1, 1)], 1).astype(np.float32)

    def update(self, points: Floats, pose: HeadPose) -> None:
        """Move the sheet for one frame.

        Args:
            points: ``(V, 3)`` the frame's vertices in pixels.
            pose: head and torso motion.
        """
        self._rig.move(self._nodes, self._weight, pose, self._moved)
        if len(self._contour):
            rig = self._rig
            rig.move(self._rim_home, rig.weight[self._contour], pose, self._on_rim)
            rig.move(self._sheet_home, self._sheet_weight, pose, self._posed)
            # The sheet lies deeper than the face's rim. Where a turn draws the rim away from it, it
            # must follow, or the rim smears; where the rim moves over it, it stays behind.
            apart = self._on_rim[:, :2] - self._posed[:, :2]
            over = np.maximum((apart * self._outward).sum(1, keepdims=True), 0.0)
            offset = points[self._contour, :2] - self._on_rim[:, :2]
            offset += apart - over * self._outward
            self._moved[self._near, :2] += self._pull @ offset
        grid = self._moved.reshape(NODES, NODES, 3)
        invert_grid(grid, self.uv, np.float32(STEP), self._scratch, self.flow)
        if self._held is not None:
            still, share = self._held
            self.flow += share * (still - self.flow)
