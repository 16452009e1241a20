"""What a face tracker finds, and where it looks: landmarks, boxes, tiles.

Two trackers say the same thing: ``photo.tracker`` by MediaPipe, where that installs, ``own`` by
networks of our own; ``provider`` chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LANDMARKS = 478  # 468 of the mesh and five for each iris
MAX_FACES = 4
# A detector sees the picture at 192 px: a face below about 1/12 of its side is found only in a
# tile. Width and height of a tile as a share of the picture's, and how many per side.
TILE_GRIDS = ((1.0, 1), (0.6, 2), (0.4, 4))
LONG = 2.5  # times its short side: a panorama, which is looked at square by square
_SAME_FACE_IOU = 0.3
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels


@dataclass(frozen=True)
class FaceLandmarks:
    """One face.

    Attributes:
        points: ``(478, 3)`` float32; x right, y down in pixels of the photo, z away from the
            viewer in the same unit (MediaPipe's, weak: about the right order of depth).
        score: the detector's confidence, 0-1.
        box: x0, y0, x1, y1 in pixels around the landmarks.
    """

    points: NDArray[np.float32]
    score: float
    box: Box

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return self.box[3] - self.box[1]

    @property
    def inter_ocular_px(self) -> float:
        """Distance between the eye centres (means of both corners) in pixels."""
        right = (self.points[33, :2] + self.points[133, :2]) / 2
        left = (self.points[263, :2] + self.points[362, :2]) / 2
        return float(np.hypot(*(left - right)))


class FaceTracker(Protocol):
    """Finds faces and people."""

    def detect(self, photo: NDArray[np.uint8]) -> list[FaceLandmarks]:
        """Return the faces of an ``(H, W, 3)`` RGB photo, largest first, at most four."""
        ...

    def segment(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(H, W)`` float32: the probability that a pixel is a person."""
        ...


class OpenTracker(FaceTracker, Protocol):
    """A tracker that follows video, too, and holds models."""

    def track(self, frame: NDArray[np.uint8]) -> FaceLandmarks | None:
        """Return the face of a frame that is mostly one face, fast, for measuring video."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


def bounds(points: NDArray[np.float32]) -> Box:
    """Return the box around the mesh."""
    low, high = points[:468, :2].min(axis=0), points[:468, :2].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def tiles(height: int, width: int, share: float, per_side: int) -> Iterator[tuple[int, ...]]:
    """Yield overlapping ``x0, y0, x1, y1``; none below the detector's own size."""
    side_w, side_h, corners = width, height, [(0, 0)]
    if max(width, height) > LONG * min(width, height):
        side_w = side_h = side = min(width, height)
        count = -(-2 * (max(width, height) - side) // side) + 1  # half of each is seen twice
        steps = np.linspace(0, max(width, height) - side, count).astype(int)
        corners = [(int(at), 0) if width > height else (0, int(at)) for at in steps]
    w, h = int(side_w * share), int(side_h * share)
    if share < 1.0 and max(w, h) < 192:
        return
    for left, top in corners:
        for y in np.linspace(0, side_h - h, per_side).astype(int):
            for x in np.linspace(0, side_w - w, per_side).astype(int):
                yield left + int(x), top + int(y), left + int(x) + w, top + int(y) + h


def levels(height: int, width: int) -> Iterator[list[tuple[int, ...]]]:
    """Yield the tiles of a picture, the whole first, then ever smaller ones."""
    for share, per_side in TILE_GRIDS:
        yield list(tiles(height, width, share, per_side))


def shrink(picture: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """Return the picture with its longer side at most so many pixels long."""
    import cv2

    scale = long_side / max(picture.shape[:2])
    if scale >= 1.0:
        return np.ascontiguousarray(picture)
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def iou(a: Box, b: Box) -> float:
    """Return the intersection of two boxes over their union."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(w * h / (area - w * h))


def distinct(
    found: list[tuple[Box, float]],
) -> list[tuple[Box, float]]:
    """Drop boxes that show a face already seen in another tile."""
    kept: list[tuple[Box, float]] = []
    for box, score in sorted(found, key=lambda f: -f[1]):
        if all(iou(box, other) < _SAME_FACE_IOU for other, _ in kept):
            kept.append((box, score))
    return kept[: 2 * MAX_FACES]


def enlarge(mask: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return the mask at another size."""
    import cv2

    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
