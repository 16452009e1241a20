"""The skin of a person: a portrait projected onto the head's charts, its light taken away."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.fit import EYE_CONTOUR
from visavis.models.appearance.layers.layers import push_pull
from visavis.models.appearance.layers.shapes import polygon_mask
from visavis.models.arrays import Floats, ease
from visavis.models.renderer.raster.warp import FAR, rasterise
from visavis.models.renderer.training.people.drawing.light import estimate_shading, shade, to_linear
from visavis.models.renderer.training.people.head.head import Head
from visavis.models.renderer.training.people.head.kit import SKIN, HeadKit, normals
from visavis.models.renderer.training.people.portrait.portrait import WORK, Portrait

Masks = NDArray[np.bool_]

CHART = 1024  # pixels of the atlas, which is the kit's chart of the face
_FACING = (0.02, 0.22)  # z of the normal over which the portrait is trusted
_FADE = (0.25, 1.7)  # cm from the skin's border over which it hands over to the sheet
_COLLAR = (-7.5, 2.0)  # model y below which the portrait's outline cuts, and how softly
_BENT = 3.5  # cm from it where normals begin to bend
_HIDDEN = 0.35  # cm behind the front surface
_INNER_LIPS = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)  # fmt: skip
OUTER_LIPS = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
)  # fmt: skip


@dataclass(frozen=True)
class Skin:
    """What the portrait lends the head.

    Attributes:
        atlas: ``(CHART, CHART, 4)`` uint8: albedo as sRGB, and opacity.
        own: ``(9,)`` the portrait's shading.
        level: ``(3,)`` median albedo of the skin, sRGB 0-255.
        lip: ``(3,)`` median of the lips, sRGB 0-255.
        source: ``(V, 2)`` portrait pixels of the head as seen.
    """

    atlas: NDArray[np.uint8]
    own: Floats
    level: Floats
    lip: Floats
    source: Floats


def hand_over(border: Floats) -> Floats:
    """Return how far the skin is opaque at a distance from its outer border, 0-1."""
    t = np.clip((border - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)
    return (ease(t)).astype(np.float32)


def bend(unit: Floats, border: Floats) -> Floats:
    """Turn the normals near the skin's border towards the viewer, as the sheet's are."""
    t = np.clip((_BENT - border) / _BENT, 0, 1)[..., None].astype(np.float32)
    bent = unit + 1.4 * t * np.array([0.0, 0.15, 1.0], np.float32)
    return bent / (np.linalg.norm(bent, axis=-1, keepdims=True) + 1e-6)


@dataclass(frozen=True)
class Charts:
    """Where the kit's skin lies in the atlas; the same for everyone.

    Attributes:
        tris: ``(T, 3)`` corners of skin and back of the head.
        points: ``(N, 3)`` atlas pixels of all corners.
        covered: ``(CHART, CHART)`` texels that belong to a triangle.
        lips: ``(CHART, CHART)`` uint8, 255 on the lips.
    """

    tris: NDArray[np.int32]
    points: Floats
    covered: Masks
    lips: NDArray[np.uint8]


def make_charts(kit: HeadKit, landmark_vertices: NDArray[np.integer]) -> Charts:
    """Lay out the atlas.

    Args:
        kit: the head.
        landmark_vertices: ``(468,)`` kit vertex of every landmark, -1 where it has none.
    """
    kind = kit.material[kit.tris[:, 0]]
    tris = np.ascontiguousarray(kit.tris[kind == SKIN])
    uv = kit.uv * np.array([CHART, -CHART]) + np.array([0, CHART])
    points = np.concatenate([uv - 0.5, np.zeros((len(uv), 1))], 1).astype(np.float32)
    depth = np.full((CHART, CHART), FAR, np.float32)
    rasterise(tris, points, np.zeros((len(uv), 1), np.float32),
              depth, np.zeros((CHART, CHART, 1), np.float32), 0, 0)  # fmt: skip
    of_vertex = np.full(len(kit.neutral), -1)
    skin = np.flatnonzero(kit.material == SKIN)
    of_vertex[kit.corner[skin]] = skin
    outline = points[of_vertex[landmark_vertices[list(OUTER_LIPS)]], :2]
    lips = np.zeros((CHART, CHART), np.uint8)
    cv2.fillPoly(lips, [np.rint(outline).astype(np.int32)], 255)
    inner = np.zeros((CHART, CHART, 1), np.float32)
    inside = tris[kit.inner_lip[kit.corner[tris]].any(1)]
    rasterise(np.ascontiguousarray(inside), points, np.ones((len(uv), 1), np.float32),
              np.full(lips.shape, FAR, np.float32), inner, 0, 0)  # fmt: skip
    lips[inner[..., 0] > 0] = 255
    return Charts(tris, points, depth > FAR, cv2.GaussianBlur(lips, (0, 0), 2.0))


def bake_skin(kit: HeadKit, charts: Charts, head: Head, portrait: Portrait, matte: Floats) -> Skin:
    """Project a portrait onto the atlas.

    Args:
        kit: the head's mesh.
        charts: of the kit.
        head: the portrait's geometry.
        portrait: picture and fit.
        matte: ``(WORK, WORK)`` opacity of the person, 0-1.
    """
    fit = portrait.fit
    source = fit.project(head.seen).astype(np.float32)
    view_normals = normals(head.seen, kit.solid) @ fit.rotation.T.astype(np.float32)
    depth_cm = (head.seen @ fit.rotation[2]).astype(np.float32)
    front = _front(kit, charts, source, depth_cm)
    linear = to_linear(portrait.picture)
    own = _own_light(kit, portrait, source, view_normals, linear, front, depth_cm, matte)
    values = np.concatenate([source, depth_cm[:, None], view_normals], 1)[kit.corner]
    collar = np.clip((_COLLAR[0] - kit.neutral[kit.corner, 1]) / _COLLAR[1], 0, 1)
    values = np.column_stack([values, kit.border, collar]).astype(np.float32)
    texels = np.zeros((CHART, CHART, 8), np.float32)
    depth = np.full(charts.covered.shape, FAR, np.float32)
    rasterise(
        charts.tris, charts.points, np.ascontiguousarray(values, np.float32), depth, texels, 0, 0
    )
    at_x, at_y = np.ascontiguousarray(texels[..., 0]), np.ascontiguousarray(texels[..., 1])
    colour = cv2.remap(linear, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    unit = bend(texels[..., 3:6], texels[..., 6])
    albedo = np.clip(colour, 0, 1) / shade(own, unit)[..., None]
    weight = _weight(charts, portrait, texels, front, matte, at_x, at_y)
    filled = push_pull(albedo, weight)
    atlas = np.zeros((CHART, CHART, 4), np.uint8)
    atlas[..., :3] = _encode(filled)
    atlas[..., 3] = _opacity(charts, texels, matte, at_x, at_y)
    sure = (weight > 0.9) & (charts.lips < 10)
    lips = (weight > 0.9) & (charts.lips > 200)
    level = np.median(atlas[sure][:, :3], 0)
    lip = np.median(atlas[lips][:, :3], 0) if lips.sum() > 50 else level * (0.95, 0.7, 0.7)
    return Skin(atlas, own, level.astype(np.float32), lip.astype(np.float32), source)


def _encode(linear: Floats) -> NDArray[np.uint8]:
    """Return sRGB bytes of linear values 0-1, through a table."""
    steps = np.arange(4097) / 4096
    table = np.where(steps <= 0.0031308, steps * 12.92, 1.055 * steps ** (1 / 2.4) - 0.055)
    index = np.clip(linear * 4096.0 + 0.5, 0, 4096).astype(np.int32)
    return np.rint(table * 255).astype(np.uint8)[index]


def _front(kit: HeadKit, charts: Charts, source: Floats, depth_cm: Floats) -> Floats:
    """Return the depth of the front surface in the portrait, ``(WORK, WORK)`` cm."""
    points = np.concatenate([source, depth_cm[:, None]], 1)[kit.corner]
    front = np.full((WORK, WORK), FAR, np.float32)
    rasterise(charts.tris, np.ascontiguousarray(points), np.zeros((len(points), 1), np.float32),
              front, np.zeros((WORK, WORK, 1), np.float32), 0, 0)  # fmt: skip
    return front


def _own_light(kit, portrait, source, unit, linear, front, depth_cm, matte) -> Floats:
    """Estimate the portrait's light from its visible face."""
    rows = np.arange(0, 9409, 2)
    at = np.clip(np.rint(source[rows]), 0, WORK - 1).astype(int)
    seen = depth_cm[rows] > front[at[:, 1], at[:, 0]] - _HIDDEN
    seen &= (unit[rows, 2] > 0.25) & (matte[at[:, 1], at[:, 0]] > 0.95)
    seen &= (kit.neutral[rows, 1] > -9) & (kit.neutral[rows, 1] < 8)
    rows, at = rows[seen], at[seen]
    if len(rows) < 300:
        return np.eye(9, dtype=np.float32)[0]
    smooth = cv2.GaussianBlur(linear, (0, 0), 2.0)
    return estimate_shading(smooth[at[:, 1], at[:, 0]], unit[rows])


def _weight(charts, portrait, texels, front, matte, at_x, at_y) -> Floats:
    """Return how far each texel may take the portrait's pixel, 0-1."""
    t = np.clip((texels[..., 5] - _FACING[0]) / (_FACING[1] - _FACING[0]), 0, 1)
    weight = ease(t)
    nearest = cv2.remap(front, at_x, at_y, cv2.INTER_NEAREST, borderValue=float(FAR))
    weight[texels[..., 2] < nearest - _HIDDEN] = 0
    solid = cv2.erode(matte, np.ones((5, 5), np.uint8))
    weight *= cv2.remap(solid, at_x, at_y, cv2.INTER_LINEAR, borderValue=0.0)
    holes = np.zeros((WORK, WORK), np.uint8)
    for contour in (*EYE_CONTOUR, _INNER_LIPS):
        mask = polygon_mask(portrait.points[list(contour), :2], (WORK, WORK)).astype(np.uint8)
        width = 3 if contour is _INNER_LIPS else 9
        holes |= cv2.dilate(mask, np.ones((width, width), np.uint8))
    soft = cv2.GaussianBlur(holes.astype(np.float32), (0, 0), 1.5)
    weight *= np.clip(1.2 - 1.6 * cv2.remap(soft, at_x, at_y, cv2.INTER_LINEAR), 0, 1)
    weight[~charts.covered] = 0
    return weight.astype(np.float32)


def _opacity(charts: Charts, texels: Floats, matte: Floats, at_x, at_y) -> NDArray[np.uint8]:
    """Cut the mesh where the portrait shows that the person ends."""
    seen = cv2.remap(matte, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    collar = texels[..., 7]
    # Above the collar the mesh is the person, whatever outline the portrait has.
    alpha = 1 - collar * (1 - np.clip(seen * 1.6 - 0.3, 0, 1))
    alpha[~charts.covered] = 1.0
    return np.rint(255 * np.clip(alpha, 0, 1)).astype(np.uint8)
