"""Faces and people in a photo: 478 landmarks a face, and how surely each pixel is a person.

MediaPipe's wheel carries its models and runs them without a network. It parses untrusted pictures
in C++, so it belongs in the enrolment child and nowhere near the live path; it is imported only
when a tracker is made.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.tracker.faces import (
    LANDMARKS,
    LONG,
    MAX_FACES,
    TILE_GRIDS,
    Box,
    FaceLandmarks,
    FaceTracker,
    bounds,
    distinct,
    enlarge,
    iou,
    shrink,
    tiles,
)

__all__ = ["LANDMARKS", "FaceLandmarks", "FaceTracker", "MediaPipeTracker"]

_CROP_SIZE = 512  # px; the landmark model itself looks at 192-256 px of it
_MIN_CROP_SIZE = 192
_SEGMENT_SIZE = 1024  # px; four times what the model sees, as fine as its guided edge gets
_ROOM = 127  # grey of the room around a close-up
_LIFTED = np.rint(255 * (np.arange(256) / 255) ** 0.5).astype(np.uint8)


class MediaPipeTracker:
    """MediaPipe's face detector, refined face mesh and selfie segmentation.

    Args:
        min_score: what the detector must be sure of.
        zooms: crop sides in face sizes; the landmarks are the median over them, since one crop's
            landmarks wander by up to a pixel with its framing.
    """

    def __init__(self, *, min_score: float = 0.5, zooms: Sequence[float] = (1.8, 2.1, 2.5)) -> None:
        self._min_score = min_score
        self._zooms = tuple(zooms)
        with _quiet():
            self._solutions = _import_solutions()
            self._mesh = self._solutions.FaceMesh(
                static_image_mode=True,
                max_num_faces=1,
                refine_landmarks=True,
                min_detection_confidence=min_score,
            )
            # Its threads write their last warnings while they open, up to the first picture.
            self._mesh.process(np.zeros((64, 64, 3), np.uint8))
        self._detector: Any = None
        self._segmenter: Any = None

    def detect(self, photo: NDArray[np.uint8]) -> list[FaceLandmarks]:
        """Return the faces of an ``(H, W, 3)`` RGB photo, largest first, at most four.

        The detector looks at the whole and, until it finds something, at ever smaller tiles; every
        face found is cut out and given to the landmark model at a good size.
        """
        faces: list[FaceLandmarks] = []
        with _quiet():
            for box, score in self._boxes(photo):
                found = self._landmarks(photo, box, score)
                if found is not None and all(iou(found.box, f.box) < 0.5 for f in faces):
                    faces.append(found)
        return sorted(faces, key=lambda f: -f.width * f.height)[:MAX_FACES]

    def track(self, frame: NDArray[np.uint8]) -> FaceLandmarks | None:
        """Return the face of a frame that is mostly one face; one pass, for measuring video."""
        with _quiet():
            return self._mesh_points(frame, (0.0, 0.0), 1.0, 1.0)

    def segment(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(H, W)`` float32: the probability that a pixel is a person.

        The model works at 256 px; its soft edge is then guided along the photo's own edges.
        """
        with _quiet():
            if self._segmenter is None:
                self._segmenter = self._solutions.SelfieSegmentation(model_selection=0)
            small = shrink(photo, _SEGMENT_SIZE)
            mask = np.asarray(self._segmenter.process(small).segmentation_mask, np.float32)
        return enlarge(_follow_edges(small, mask), photo.shape[1], photo.shape[0])

    def close(self) -> None:
        """Release the graphs."""
        for graph in (self._mesh, self._detector, self._segmenter):
            if graph is not None:
                graph.close()

    def _boxes(self, photo: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """Return detector boxes ``(x0, y0, x1, y1)`` and scores, most certain first."""
        if self._detector is None:
            self._detector = self._solutions.FaceDetection(
                model_selection=1, min_detection_confidence=self._min_score
            )
        height, width = photo.shape[:2]
        for share, per_side in TILE_GRIDS:
            found: list[tuple[Box, float]] = []
            for x0, y0, x1, y1 in tiles(height, width, share, per_side):
                found += self._faces_in(photo[y0:y1, x0:x1], (x0, y0))
            if found:
                return distinct(found)
            long = max(width, height) > LONG * min(width, height)
            if share == 1.0 and not long and (found := self._faces_close_up(photo)):
                return distinct(found)
        return []

    def _faces_in(
        self, part: NDArray[np.uint8], corner: tuple[float, float]
    ) -> list[tuple[Box, float]]:
        """Look at one part of the photo whose upper left pixel is ``corner``."""
        height, width = part.shape[:2]
        found = []
        for detection in self._detector.process(shrink(part, 640)).detections or ():
            b = detection.location_data.relative_bounding_box
            left, top = corner[0] + b.xmin * width, corner[1] + b.ymin * height
            box = (left, top, left + b.width * width, top + b.height * height)
            found.append((box, float(detection.score[0])))
        return found

    def _faces_close_up(self, photo: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """Look again with room around the photo, as it is and with its shadows lifted.

        The detector misses faces that fill the picture, and dark faces far more often: of 275
        portraits 40, frontal ones in light that is no trouble to the eye among them.
        """
        pad = max(photo.shape[:2]) // 3
        for picture in (photo, _LIFTED[photo]):
            roomy = np.full((*(n + 2 * pad for n in photo.shape[:2]), 3), _ROOM, np.uint8)
            roomy[pad:-pad, pad:-pad] = picture
            found = self._faces_in(roomy, (-pad, -pad))
            if found:
                return found
        return []

    def _landmarks(self, photo: NDArray[np.uint8], box: Box, score: float) -> FaceLandmarks | None:
        x0, y0, x1, y1 = box
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        face = max(x1 - x0, y1 - y0)
        results = []
        for zoom in self._zooms:
            side = face * zoom
            crop, corner, scale = _crop(photo, centre, side)
            found = self._mesh_points(crop, corner, scale, score)
            if found is not None:
                results.append(found.points)
        if not results:
            return None
        points = np.median(np.stack(results), axis=0).astype(np.float32)
        return FaceLandmarks(points, score, bounds(points))

    def _mesh_points(
        self,
        picture: NDArray[np.uint8],
        corner: tuple[float, float],
        scale: float,
        score: float,
    ) -> FaceLandmarks | None:
        answer = self._mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
        if not answer:
            return None
        height, width = picture.shape[:2]
        points = np.array([(p.x, p.y, p.z) for p in answer[0].landmark], np.float32)
        points *= np.array([width, height, width], np.float32) * np.float32(scale)
        points[:, :2] += np.array(corner, np.float32)
        return FaceLandmarks(points, score, bounds(points))


def _crop(
    photo: NDArray[np.uint8], centre: tuple[float, float], side: float
) -> tuple[NDArray[np.uint8], tuple[float, float], float]:
    """Cut a square, its outside filled by the photo's border; return it, its corner and px/px."""
    import cv2

    height, width = photo.shape[:2]
    length = max(8, round(side))
    x0, y0 = round(centre[0] - length / 2), round(centre[1] - length / 2)
    inside = photo[max(0, y0) : max(0, y0 + length), max(0, x0) : max(0, x0 + length)]
    before_y, before_x = max(0, -y0), max(0, -x0)
    after_y, after_x = max(0, y0 + length - height), max(0, x0 + length - width)
    square = cv2.copyMakeBorder(inside, before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)
    target = int(np.clip(length, _MIN_CROP_SIZE, _CROP_SIZE))
    if target != length:
        how = cv2.INTER_AREA if target < length else cv2.INTER_CUBIC
        square = cv2.resize(square, (target, target), interpolation=how)
    return np.asarray(square, np.uint8), (float(x0), float(y0)), length / target


def _follow_edges(photo: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Guided filter (He, Sun and Tang 2010) of the mask along the photo's edges."""
    import cv2

    radius = max(2, round(max(photo.shape[:2]) / 100))
    guide = np.ascontiguousarray(photo)
    filtered = cv2.ximgproc.guidedFilter(guide, mask, radius, 1e-3 * 255**2)
    return np.clip(np.asarray(filtered, np.float32), 0.0, 1.0)


def _import_solutions() -> types.SimpleNamespace:
    """Import three solutions without the rest of MediaPipe.

    The package's own ``__init__`` imports its task library, PortAudio and matplotlib's pyplot:
    1.7 s warm, and ten times that on a first start, for nothing that is used here. Empty packages
    in their place let the submodules load alone in .15 s.
    """
    if "mediapipe" not in sys.modules:
        spec = importlib.util.find_spec("mediapipe")
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError("MediaPipe, which finds faces in photos, is not installed.")
        root = spec.submodule_search_locations[0]
        _empty_package("mediapipe", root)
        importlib.import_module("mediapipe.python")
        _empty_package("mediapipe.python.solutions", os.path.join(root, "python", "solutions"))
    base = "mediapipe.python.solutions"
    return types.SimpleNamespace(
        FaceMesh=importlib.import_module(f"{base}.face_mesh").FaceMesh,
        FaceDetection=importlib.import_module(f"{base}.face_detection").FaceDetection,
        SelfieSegmentation=importlib.import_module(
            f"{base}.selfie_segmentation"
        ).SelfieSegmentation,
    )


def _empty_package(name: str, folder: str) -> None:
    package = types.ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send what the C++ side writes to file descriptor 2 nowhere; its log level has no setting."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all: nothing to silence
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
