"""Portraits become upright crops with the teacher's landmarks and matte, in memory-mapped arrays.

The teacher is MediaPipe, three crops a face, as enrolment used it; the student learns from what it
says and is measured on portraits that are in no array here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.photo.tracker import FaceLandmarks, MediaPipeTracker
from visavis.models.appearance.tracker.pictures import cut as cut_out

CROP = 288  # px; side of a stored crop
ROOM = 2.2  # crop side over the face's mean side
MATTE = 256  # px; side of a stored matte picture
HELD_OUT = 11  # every eleventh portrait, by its place in the sorted folder, is never trained on


def is_held_out(place: int) -> bool:
    """Say whether the portrait at this place of the sorted folder is for measuring only."""
    return place % HELD_OUT == 5


def upright(points: NDArray[np.float32], room: float = ROOM, size: int = CROP) -> NDArray:
    """Return the ``(2, 3)`` similarity that puts a face upright into a crop of ``size`` px."""
    eyes = points[[33, 133], :2].mean(0), points[[263, 362], :2].mean(0)
    dx, dy = eyes[1] - eyes[0]
    c, s = np.array([dx, dy]) / max(float(np.hypot(dx, dy)), 1e-6)
    turn = np.array([[c, s], [-s, c]])
    turned = points[:468, :2] @ turn.T
    low, high = turned.min(0), turned.max(0)
    scale = size / (room * float((high - low).mean()))
    middle = (low + high) / 2
    return np.hstack([scale * turn, (size / 2 - scale * middle)[:, None]]).astype(np.float64)


def cut(photo: NDArray[np.uint8], face: FaceLandmarks) -> tuple[NDArray, NDArray[np.float32]]:
    """Return an upright crop and its landmarks, ``(478, 3)``, z in pixels of the crop.

    In arrays of this folder a pixel's middle has whole coordinates; the tracker's halves go.
    """
    points = face.points - np.array([0.5, 0.5, 0], np.float32)
    matrix = upright(points)
    scale = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    crop = cut_out(photo, matrix, CROP)
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    points[:, 2] *= scale
    return crop, points


def square(photo: NDArray[np.uint8], size: int = MATTE) -> NDArray[np.uint8]:
    """Return the whole picture, stretched to a square."""
    return np.asarray(cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def portraits(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield the place in the folder and the path of every portrait."""
    yield from enumerate(sorted(folder.glob("*.jpg")))


def label(faces: Path, out: Path) -> None:
    """Write ``crops.npy``, ``points.npy``, ``mattes.npy``, ``pictures.npy`` and ``names.json``."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = [p for i, p in portraits(faces) if not is_held_out(i)]
    count = len(chosen)
    shapes = {
        "crops": ((count, CROP, CROP, 3), np.uint8),
        "points": ((count, 478, 3), np.float32),
        "pictures": ((count, MATTE, MATTE, 3), np.uint8),
        "mattes": ((count, MATTE, MATTE), np.uint8),
    }
    arrays = {
        name: np.lib.format.open_memmap(out / f"{name}.npy", "w+", kind, shape)
        for name, (shape, kind) in shapes.items()
    }
    tracker, names = MediaPipeTracker(), []
    for path in chosen:
        photo = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        found = tracker.detect(photo)
        if not found:
            continue
        at = len(names)
        arrays["crops"][at], arrays["points"][at] = cut(photo, found[0])
        arrays["pictures"][at] = square(photo)
        arrays["mattes"][at] = square(np.rint(255 * tracker.segment(photo)).astype(np.uint8))
        names.append({"name": path.name, "points": found[0].points[:, :2].round(1).tolist()})
    (out / "names.json").write_text(json.dumps(names))
    print(f"{len(names)} of {count} portraits", flush=True)
