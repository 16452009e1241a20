"""Batches for the landmark networks: crops at random scale, turn, light and wear."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from visavis.models.appearance.tracker import parts
from visavis.models.appearance.tracker.training.augment import occlude, relight, texture, wear
from visavis.models.appearance.tracker.training.nets import SIZES
from visavis.models.appearance.tracker.training.scenes import Portraits

Floats = NDArray[np.float32]
_NO_FACE = 0.2  # of the face network's samples
_MOVED = 0.4  # of the samples, from animated portraits


@dataclass(frozen=True)
class Faces:
    """Upright crops with their landmarks.

    Attributes:
        real: ``(N, S, S, 3)`` uint8 of portraits, ``moved`` of animated ones (may be none).
        real_points: ``(N, 478, 3)`` in their pixels; ``moved_points`` likewise.
        pictures: ``(N, 256, 256, 3)`` uint8, whole portraits.
        boxes: ``(N, 3)`` middle and side of the face in them.
        mirror: ``(478,)`` which landmark each becomes in a mirror.
    """

    real: NDArray[np.uint8]
    real_points: Floats
    moved: NDArray[np.uint8]
    moved_points: Floats
    pictures: NDArray[np.uint8]
    boxes: Floats
    mirror: NDArray[np.int64]

    @staticmethod
    def load(folder: Path, faces: Path) -> Faces:
        """Open what ``label`` and ``animate`` wrote of the portraits in ``faces``."""
        portraits = Portraits.load(folder, faces)
        count = len(portraits.pictures)
        real = np.load(folder / "crops.npy", mmap_mode="r")[:count]
        points = np.load(folder / "points.npy")[:count]
        moved, moved_points = real[:0], points[:0]
        if (folder / "moved_points.npy").exists():
            moved_points = np.load(folder / "moved_points.npy")
            moved = np.load(folder / "moved_all.npy", mmap_mode="r")[: len(moved_points)]
        return Faces(
            real, points, moved, moved_points, portraits.pictures, portraits.boxes,
            mirror_map(points),
        )  # fmt: skip

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Floats]:
        """Return one crop and its landmarks."""
        if len(self.moved) and rng.random() < _MOVED:
            at = int(rng.integers(len(self.moved)))
            return self.moved[at], self.moved_points[at]
        at = int(rng.integers(len(self.real)))
        return self.real[at], self.real_points[at]


def mirror_map(points: Floats) -> NDArray[np.int64]:
    """Return which landmark each becomes in a mirror, from many upright faces ``(N, 478, 3)``."""
    mean = points.mean(0)[:, :2].astype(np.float64)
    flipped = mean * (-1, 1)
    flipped[:, 0] += 2 * mean[:468, 0].mean()
    cost = np.linalg.norm(flipped[:, None] - mean[None], axis=2)
    cost[:468, 468:] = cost[468:, :468] = 1e6  # an iris is no part of the mesh
    return np.asarray(linear_sum_assignment(cost)[1], np.int64)


class Looks:
    """Random looks at faces for one of the networks ``face``, ``eye`` and ``lips``."""

    def __init__(self, faces: Faces, part: str) -> None:
        self.faces, self.part, self.size = faces, part, SIZES[part]
        every = tuple(range(478))
        self.landmarks = {"face": every, "eye": parts.EYE, "lips": parts.LIPS}[part]

    def sample(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Floats, float]:
        """Return a look, its target ``(K * dims,)`` in sides from the middle, and 1 for a face."""
        if self.part == "face" and rng.random() < _NO_FACE:
            picture = self._without_face(rng)
            return self._worn(picture, rng), np.zeros(478 * 3, np.float32), 0.0
        crop, points = self.faces.draw(rng)
        mirrored = bool(rng.random() < 0.5)
        if mirrored:  # the crop's own mirror: the person's other half, not another look
            points = points[self.faces.mirror] * np.array([-1, 1, 1], np.float32)
            points[:, 0] += crop.shape[1] - 1
        matrix = self.matrix(points, rng)
        matrix = _stretched(matrix, self.size, rng)
        onto = matrix
        if mirrored:
            flip = np.array([[-1, 0, crop.shape[1] - 1], [0, 1, 0], [0, 0, 1.0]])
            onto = matrix @ flip
        how = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_CONSTANT
        fill = tuple(int(v) for v in rng.integers(0, 256, 3))
        shown = cv2.warpAffine(
            crop, onto, (self.size, self.size), flags=cv2.INTER_AREA | cv2.INTER_LINEAR,
            borderMode=how, borderValue=fill,
        )  # fmt: skip
        target = points[list(self.landmarks)].astype(np.float32)
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        target[:, :2] = target[:, :2] @ matrix[:, :2].T + matrix[:, 2] - (self.size - 1) / 2
        target[:, 2] *= scale
        if self.part != "face":
            target = target[:, :2]
        return self._worn(shown, rng), (target / self.size).ravel().astype(np.float32), 1.0

    def matrix(self, points: Floats, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the ``(2, 3)`` matrix of a look about as far off as the step before leaves it."""
        apart, angle = parts.eyes_apart(points)
        rough = self.part == "face" and rng.random() < 0.5
        spread = 2.2 if rough else 1.0
        turn = angle + np.radians(rng.normal(0, 16 if rough else 4))
        grow = float(np.exp(rng.normal(0, 0.08 * spread)))
        if self.part == "face":
            middle, side = parts.mesh_box(points, angle)
            shift = rng.normal(0, 0.03 * spread, 2) * side
            return parts.look(middle + shift, parts.FACE_ROOM * side * grow, turn, self.size)
        ends, room = (
            (parts.RIGHT_EYE, parts.EYE_SIDE) if self.part == "eye"
            else (parts.MOUTH, parts.LIPS_SIDE)
        )  # fmt: skip
        shift = rng.normal(0, 0.05, 2) * apart
        return parts.look(parts.centre(points, ends) + shift, room * apart * grow, turn, self.size)

    def _worn(self, picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        if rng.random() < 0.15:
            other = self.faces.pictures[int(rng.integers(len(self.faces.pictures)))]
            picture = occlude(picture, other, rng)
        if rng.random() < 0.85:
            picture = relight(picture, rng)
        return wear(picture, rng)

    def _without_face(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return noise, or a piece of a portrait without the face or with a part of it."""
        if rng.random() < 0.15:
            return texture(rng, self.size)
        if rng.random() < 0.5:
            return self._elsewhere(rng)
        crop, points = self.faces.draw(rng)
        angle = rng.uniform(-np.pi, np.pi)
        middle, side = parts.mesh_box(points, 0.0)
        kind = rng.random()
        if kind < 0.45:  # lying on its side or upside down: to be turned before it is a face
            angle = parts.eyes_apart(points)[1] + np.radians(rng.uniform(75, 285))
            middle, side = middle + rng.normal(0, 0.06, 2) * side, side * rng.uniform(1.1, 1.8)
        elif kind < 0.7:  # beside the face
            way = rng.uniform(0, 2 * np.pi)
            middle = middle + np.array([np.cos(way), np.sin(way)]) * side * rng.uniform(0.85, 1.2)
            side = side * rng.uniform(0.5, 1.3)
        else:  # a part of it, as large as a face should be
            middle = middle + rng.normal(0, 0.2, 2) * side
            side = side * rng.uniform(0.15, 0.4)
        matrix = parts.look(middle, side, angle, self.size)
        return cv2.warpAffine(
            crop, matrix, (self.size, self.size), borderMode=cv2.BORDER_REFLECT_101
        )

    def _elsewhere(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a piece of a portrait that has little of the face in it."""
        at = int(rng.integers(len(self.faces.pictures)))
        picture, (x, y, face) = self.faces.pictures[at], self.faces.boxes[at]
        middle, side = rng.uniform(0, 256, 2), float(np.exp(rng.uniform(np.log(24), np.log(200))))
        for _ in range(8):
            clear = 0.5 * (0.7 * side + 0.8 * face)
            if max(abs(middle[0] - x), abs(middle[1] - y)) > clear:
                break
            middle, side = rng.uniform(0, 256, 2), max(20.0, 0.8 * side)
        else:
            return texture(rng, self.size)
        matrix = parts.look(middle, side, rng.normal(0, 0.4), self.size)
        return cv2.warpAffine(
            picture, matrix, (self.size, self.size), borderMode=cv2.BORDER_REFLECT_101
        )


def _stretched(
    matrix: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the look, wider or narrower and sheared a little: faces that are not in the data."""
    middle = np.full(2, (size - 1) / 2)
    shape = np.diag(np.exp(rng.normal(0, 0.035, 2)))
    shape[0, 1] = rng.normal(0, 0.03)
    out = shape @ matrix
    out[:, 2] += middle - shape @ middle
    return out
