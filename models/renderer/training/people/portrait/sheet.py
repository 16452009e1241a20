"""Everything but the head: hair, neck and shoulders as a sheet with depth, and the background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.layers.layers import push_pull
from visavis.models.arrays import Floats, Image
from visavis.models.renderer.raster.warp import FAR, rasterise
from visavis.models.renderer.training.people.drawing.light import shade, to_linear
from visavis.models.renderer.training.people.head.head import Head, View
from visavis.models.renderer.training.people.head.kit import HeadKit, normals
from visavis.models.renderer.training.people.head.pose import head_weight
from visavis.models.renderer.training.people.portrait.portrait import WORK, Portrait
from visavis.models.renderer.training.people.portrait.skin import Charts, _encode

NODES = 97
_OUTSIDE = 0.14  # of the portrait, on every side
_UNDER = 1.3  # cm that the sheet stays behind the head's surface
_HOLE = 1.95  # cm inside of which there is no sheet: mouth and eyes have their own depths
_HANDOVER = 2.2  # cm from the border of the head's surface
_SHADE = (0.65, 1.5)  # what of a portrait's shading is taken away
_TORSO_NORMAL = (0.0, 0.22, 0.97)


@dataclass(frozen=True)
class Sheet:
    """A grid over the portrait.

    Attributes:
        picture: ``(WORK, WORK, 4)`` uint8: albedo as sRGB, and opacity.
        points: ``(NODES**2, 3)`` view space at rest.
        normals: ``(NODES**2, 3)`` smooth, view space.
        uv: ``(NODES**2, 2)`` place in the picture, 0-1, v down.
        weight: ``(NODES**2,)`` of the head's motion.
        cloth: ``(NODES**2,)`` 1 on the torso, 0 on hair and neck.
        tris: ``(T, 3)`` int32.
    """

    picture: NDArray[np.uint8]
    points: Floats
    normals: Floats
    uv: Floats
    weight: Floats
    cloth: Floats
    tris: NDArray[np.int32]


@dataclass(frozen=True)
class Cutout:
    """The person of a portrait without what is behind.

    Attributes:
        foreground: ``(WORK, WORK, 3)`` the person's own colours, also beyond soft edges.
        matte: ``(WORK, WORK)`` opacity 0-1.
    """

    foreground: Image
    matte: Floats


def make_sheet(
    kit: HeadKit, charts: Charts, head: Head, portrait: Portrait, view: View,
    cutout: Cutout, own: Floats, back: float,
) -> Sheet:  # fmt: skip
    """Lay a sheet behind the head.

    Args:
        kit: the head's mesh.
        charts: of the kit, for its triangles.
        head: geometry of the portrait and of the head at rest.
        portrait: picture and fit.
        view: camera.
        cutout: the person alone.
        own: ``(9,)`` the portrait's shading.
        back: cm behind the eyes' plane at which hair and shoulders lie.
    """
    axis = np.linspace(-_OUTSIDE, 1 + _OUTSIDE, NODES, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    grid = np.stack([u, v], -1).reshape(-1, 2)
    depth, unit, shift, inwards = _head_fields(kit, charts, head, portrait, view, back)
    rim = np.clip(grid * WORK, 0, WORK - 1).astype(np.float32)
    at = (np.ascontiguousarray(rim[:, 0]), np.ascontiguousarray(rim[:, 1]))

    def read(field: Floats) -> Floats:
        return cv2.remap(field, *at, cv2.INTER_LINEAR).reshape(len(grid), -1)

    fit = portrait.fit
    weak = (grid * WORK - fit.offset) / fit.scale * (1.0, -1.0)
    z = read(depth)[:, 0]
    flat = np.column_stack([weak, z + view.level]).astype(np.float32)
    points = view.spread(flat)
    points[:, :2] += read(shift)
    model = flat @ view.rotation
    nodes_n = read(unit)
    nodes_n /= np.linalg.norm(nodes_n, axis=1, keepdims=True)
    centre = np.mgrid[0:WORK, 0:WORK][::-1].astype(np.float32)
    step = (NODES - 1) / (1 + 2 * _OUTSIDE)
    place = (centre / WORK + _OUTSIDE) * step
    smooth = cv2.remap(nodes_n.reshape(NODES, NODES, 3), place[0], place[1], cv2.INTER_LINEAR)
    albedo = to_linear(cutout.foreground) / np.clip(shade(own, smooth), *_SHADE)[..., None]
    # The outermost pixels carry background; behind the face's outline they would be a bright line.
    solid = cv2.erode(cutout.matte, np.ones((3, 3), np.uint8))
    picture = np.dstack([_encode(albedo), np.rint(solid * 255).astype(np.uint8)])
    weight = head_weight(model)
    cloth = np.clip((-11.0 - model[:, 1]) / 2.0, 0, 1).astype(np.float32)
    return Sheet(
        picture,
        points,
        nodes_n.astype(np.float32),
        grid.astype(np.float32),
        weight,
        cloth,
        _tris(read(inwards)[:, 0] > _HOLE),
    )


def _tris(hole: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the grid's triangles without those that lie wholly in the hole."""
    j, i = np.mgrid[0 : NODES - 1, 0 : NODES - 1]
    a = (j * NODES + i).ravel()
    tris = np.concatenate(
        [np.stack([a, a + NODES, a + 1], 1), np.stack([a + 1, a + NODES, a + NODES + 1], 1)]
    )
    return tris[~hole[tris].all(1)].astype(np.int32)


def _head_fields(
    kit: HeadKit, charts: Charts, head: Head, portrait: Portrait, view: View, back: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return depth, smooth normals, the move from seen to rest, and depth inside the face.

    All ``(WORK, WORK, .)`` in cm; inside is positive.
    """
    fit = portrait.fit
    source = fit.project(head.seen)
    seen = view.place(head.seen)
    unit = normals(head.seen, kit.solid) @ view.rotation.T
    offset = view.place(head.rest)[:, :2] - seen[:, :2]
    values = np.concatenate([seen[:, 2:], unit, offset], 1)[kit.corner]
    values = np.column_stack([values, kit.border])
    points = np.column_stack([source, seen[:, 2]])[kit.corner]
    depth = np.full((WORK, WORK), FAR, np.float32)
    out = np.zeros((WORK, WORK, 7), np.float32)
    rasterise(
        charts.tris, np.ascontiguousarray(points, np.float32),
        np.ascontiguousarray(values, np.float32), depth, out, 0, 0,
    )  # fmt: skip
    covered = (depth > FAR).astype(np.uint8)
    inner = cv2.erode(covered, np.ones((9, 9), np.uint8)) > 0
    outlines, _ = cv2.findContours(covered, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    covered = cv2.drawContours(covered, outlines, -1, 1, cv2.FILLED)  # mouth and eyes are holes
    far = cv2.dilate(covered, np.ones((41, 41), np.uint8)) == 0
    known = inner | far
    # At its border the head's surface hands over to the sheet: there they lie together.
    inwards = push_pull(np.where(depth > FAR, out[..., 6], 0)[..., None], depth > FAR)[..., 0]
    inwards[covered == 0] = 0
    under = np.clip(_UNDER * inwards / _HANDOVER, 0.15, _UNDER)
    z = np.where(inner, out[..., 0] - under, back)
    z = push_pull(np.where(known, z, 0)[..., None], known)[..., 0]
    z = cv2.GaussianBlur(z, (0, 0), 7)
    z = np.where(inner, np.minimum(z, out[..., 0] - 0.7 * under), z).astype(np.float32)
    z = cv2.GaussianBlur(z, (0, 0), 2)
    n = np.where(inner[..., None], out[..., 1:4], np.array(_TORSO_NORMAL, np.float32))
    n = push_pull(np.where(known[..., None], n, 0), known)
    n = cv2.GaussianBlur(n, (0, 0), 5)
    shift = push_pull(np.where(inner[..., None], out[..., 4:6], 0), inner)
    distance = cv2.distanceTransform(1 - covered, cv2.DIST_L2, 3) / fit.scale
    shift *= np.clip(1.0 - distance / 9.0, 0, 1)[..., None]
    return z, n.astype(np.float32), cv2.GaussianBlur(shift, (0, 0), 4).astype(np.float32), inwards


def random_background(rng: np.random.Generator, own: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``(WORK, WORK, 3)``: the portrait's own, or a made one out of focus."""
    if rng.random() < 0.6:
        blur = rng.choice([0.0, 2.0, 6.0])
        return cv2.GaussianBlur(own, (0, 0), blur) if blur else own
    base = rng.uniform(25, 225) * np.clip(rng.normal(1, 0.08, 3), 0.8, 1.2)
    y, x = np.mgrid[0:WORK, 0:WORK].astype(np.float32) / WORK
    fall = 1 + rng.uniform(-0.35, 0.35) * (x - 0.5) + rng.uniform(-0.4, 0.2) * (y - 0.5)
    picture = np.clip(base, 8, 245)[None, None] * fall[..., None]
    kind = rng.choice(["plain", "room", "bokeh"])
    if kind == "room":
        layers = np.zeros((WORK, WORK, 3), np.float32)
        for _ in range(int(rng.integers(4, 14))):
            x0, y0 = rng.integers(-60, WORK, 2)
            w, h = rng.integers(20, 260, 2)
            colour = base * (rng.normal(0, 0.22) + rng.normal(0, 0.07, 3)) + rng.normal(0, 12)
            layers[max(0, y0) : y0 + h, max(0, x0) : x0 + w] += colour
        picture = picture + cv2.GaussianBlur(layers, (0, 0), float(rng.uniform(4, 16)))
    elif kind == "bokeh":
        discs = np.zeros((WORK, WORK, 3), np.float32)
        for _ in range(int(rng.integers(10, 40))):
            centre = tuple(int(c) for c in rng.integers(0, WORK, 2))
            colour = tuple(float(c) for c in rng.uniform(10, 70) * rng.uniform(0.6, 1.3, 3))
            disc = np.zeros_like(discs)
            cv2.circle(disc, centre, int(rng.integers(8, 34)), colour, -1, cv2.LINE_AA)
            discs += disc
        picture = 0.7 * picture + cv2.GaussianBlur(discs, (0, 0), 1.5)
    picture += rng.normal(0, 1.2, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
