"""Open mouths of portraits, with the kit's teeth registered to the teeth that are seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.basis import FaceBasis, load_basis
from visavis.models.appearance.fit import fit_face
from visavis.models.appearance.neutral import neutralise
from visavis.models.appearance.painting.canvas import (
    EYE_POINTS,
    LOWER,
    MAPS,
    MOUTH_POINTS,
    TONGUE,
    UPPER,
    draw_maps,
    labels,
    placement,
)
from visavis.models.appearance.painting.training.register import Register, register
from visavis.models.renderer.throat import TONGUE_RISE, tongue_shape

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

# Larger than the painter's canvas, so that a training crop can turn, move and shrink.
SHAPE = (64, 96)
UNIT = 112.0
INNER_LIPS = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)  # fmt: skip
_GAPS = ((13, 14), (82, 87), (312, 317))
_OPEN = 0.03  # of the outer eye distance
_SMALLEST = 60.0  # pixels between the outer corners of the eyes
_REACH = 12.0  # pixels of the map of distances to the lips' edge


@dataclass(frozen=True)
class Mouth:
    """One open mouth.

    Attributes:
        name: of the portrait's file.
        picture: ``SHAPE`` x 3 uint8 RGB.
        hole: ``SHAPE`` uint8, 255 between the lips.
        maps: ``SHAPE`` x (1 + MAPS) float16, distance to the lips' edge (1 at ``_REACH`` inside)
            and the canvas's maps.
        about: opening and eye distance (canvas: over the eye distance; pixels), share of the hole
            that is teeth, and how well the kit's teeth cover them (intersection over union).
    """

    name: str
    picture: Image
    hole: Image
    maps: NDArray[np.float16]
    about: Floats


def opening(points: Floats) -> float:
    """Return the mean gap between the inner lips over the distance of the outer eye corners."""
    gaps = [np.linalg.norm(points[a, :2] - points[b, :2]) for a, b in _GAPS]
    return float(np.mean(gaps) / np.linalg.norm(points[33, :2] - points[263, :2]))


def open_mouths(faces: Path) -> Iterator[Mouth]:
    """Yield the open mouths of ``faces/train`` in the order of ``train_landmarks.npz``."""
    with np.load(faces / "train_landmarks.npz", allow_pickle=False) as known:
        names, landmarks = known["names"], known["landmarks"].astype(np.float32)
    basis = load_basis()
    for name, points in zip(names, landmarks, strict=True):
        eyes = float(np.linalg.norm(points[33, :2] - points[263, :2]))
        if not np.isfinite(points).all() or eyes <= _SMALLEST or opening(points) <= _OPEN:
            continue
        picture = cv2.imread(str(faces / "train" / str(name)), cv2.IMREAD_COLOR)
        if picture is not None:
            yield take(basis, str(name), cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), points)


def take(basis: FaceBasis, name: str, picture: Image, points: Floats) -> Mouth:
    """Cut a portrait's mouth and lay the kit's teeth over its own.

    Args:
        basis: the face basis.
        name: of the portrait.
        picture: ``(H, W, 3)`` RGB.
        points: ``(478, 3)`` landmarks in its pixels.
    """
    middle = points[list(MOUTH_POINTS), :2].mean(0)
    place = placement(points[list(EYE_POINTS), :2], middle, unit=UNIT, shape=SHAPE)
    crop = _crop(picture, place)
    ring = points[list(INNER_LIPS), :2] @ place[:, :2].T + place[:, 2]
    hole = np.zeros(SHAPE, np.uint8)
    fixed = np.round(ring * 16).astype(np.int32)
    cv2.fillPoly(hole, [fixed], (255,), lineType=cv2.LINE_AA, shift=4)
    vertices = _vertices(basis, points, place)
    inside = cv2.erode((hole > 127).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    teeth = seen_teeth(crop, inside)
    found = register(basis, vertices, crop, inside, teeth)
    maps = draw_maps(labels(basis), _moved(basis, vertices, found), SHAPE)
    drawn = maps[..., UPPER] + maps[..., LOWER] > 0.5
    either = ((drawn & inside) | teeth).sum()
    agrees = (drawn & teeth).sum() / max(1, either)
    share = teeth.sum() / max(1, inside.sum())
    eyes = float(np.linalg.norm(points[33, :2] - points[263, :2]))
    about = np.array([opening(points), eyes, share, agrees if share > 0 else 0], np.float32)
    layers = np.concatenate([_distance(hole)[..., None], maps], 2).astype(np.float16)
    return Mouth(name, crop, hole, layers, about)


def _crop(picture: Image, place: Floats) -> Image:
    scale = float(np.linalg.norm(place[:, 0]))
    if scale < 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.405 / scale)
    way = cv2.INTER_AREA if 0.7 <= scale < 1 else cv2.INTER_CUBIC
    size = (SHAPE[1], SHAPE[0])
    return cv2.warpAffine(picture, place, size, flags=way, borderMode=cv2.BORDER_REPLICATE)


def _distance(hole: Image) -> Floats:
    inside = (hole > 127).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    distance -= cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return np.clip(distance / _REACH, -1, 1)


def seen_teeth(crop: Image, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pixels in the mouth are bright and pale."""
    hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV).astype(np.float32)
    none = np.zeros(inside.shape, bool)
    if inside.sum() <= 30:
        return none
    bright = np.percentile(hsv[..., 2][inside], 90)
    teeth = inside & (hsv[..., 2] > 0.62 * bright) & (hsv[..., 1] < 115)
    if bright < 60 or not teeth.any():
        return none
    return teeth & (hsv[..., 1] < np.percentile(hsv[..., 1][teeth], 25) + 45)


def _vertices(basis: FaceBasis, landmarks: Floats, place: Floats) -> Floats:
    """Return the inside's vertices and the tongue's on the crop, ``(V + T, 3)``."""
    fit = fit_face(basis, landmarks)
    model = neutralise(basis, fit).rest.astype(np.float64)
    moved = np.tensordot(fit.expression, basis.expression, 1)
    lower = basis.part_vertices("lower_teeth")
    jaw = np.concatenate([lower, basis.part_vertices("lower_gum")])
    model[jaw] += moved[jaw]
    front = lower[np.abs(basis.neutral[lower, 0]) < 0.5]
    tip = model[front].mean(0)
    tip[1] = model[front, 1].max() - 0.12
    tongue = tongue_shape() + tip
    tongue[:, 1] += TONGUE_RISE * fit.expression[basis.expression_names.index("jawOpen")]
    model = np.concatenate([model, tongue])
    pixels = fit.project(model) @ place[:, :2].T + place[:, 2]
    scale = fit.scale * float(np.linalg.norm(place[:, 0]))
    depth = (model @ fit.rotation.T)[:, 2] * scale
    return np.concatenate([pixels, depth[:, None]], 1)


def _moved(basis: FaceBasis, vertices: Floats, found: Register) -> Floats:
    """Return the vertices where the registration puts them."""
    parts = labels(basis).parts
    upper_gum = basis.part_vertices("upper_gum")
    upper = np.concatenate([np.flatnonzero(parts == UPPER), upper_gum])
    lower = np.concatenate([
        np.flatnonzero(parts == LOWER), basis.part_vertices("lower_gum"),
        np.flatnonzero(parts == TONGUE),
    ])  # fmt: skip
    moved = vertices.copy()
    for rows, down in ((upper, found.upper), (lower, found.lower)):
        moved[rows, 1] += down
        moved[rows, 0] = found.middle + (moved[rows, 0] - found.middle) * found.stretch
        moved[rows, 0] += found.across
    return moved


def save(mouths: list[Mouth], path: Path) -> None:
    """Write mouths as one ``.npz``."""
    assert mouths[0].maps.shape[2] == 1 + MAPS
    np.savez(
        path,
        names=np.array([m.name for m in mouths]),
        **{
            k: np.stack([getattr(m, k) for m in mouths])
            for k in ("picture", "hole", "maps", "about")
        },
    )
