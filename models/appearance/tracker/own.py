"""Faces and people in a photo by networks of our own: a finder, landmarks, closer looks, a matte.

The finder sees the whole at 192 px, then ever smaller tiles, and says where faces may be. The face
network looks twice, the second time level and centred, and says whether it is a face at all. Eyes
and lips are looked at once more, closely. Every step runs on one core.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

import visavis.models  # noqa: F401  switches telemetry off before onnxruntime is loaded
from visavis.models.appearance.tracker import parts
from visavis.models.appearance.tracker.faces import (
    MAX_FACES,
    Box,
    FaceLandmarks,
    bounds,
    distinct,
    enlarge,
    levels,
    shrink,
)
from visavis.models.appearance.tracker.pictures import cut, follow_edges
from visavis.models.appearance.tracker.weights import Weights, shipped

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]


class _Tuning(NamedTuple):
    """What is taken for a face.

    Fitted to portraits and to pictures without faces that no network was trained on; the card of
    the networks says how well they tell them apart.
    """

    maybe: float = 0.4  # of the finder; the face network has the last word
    sure: float = 0.99  # of the face network, when a whole photo is looked at
    sure_in_tile: float = 0.99  # of the face network, in one of many tiles
    follow: float = 0.5  # of the face network, from frame to frame
    # IOD between the first look's landmarks and the second's: a face stays where it is.
    wandering: float = 0.3
    spread: float = 0.05  # IOD between what several looks say; of faces .01 at the median
    grey: float = 127.0  # of the room around a close-up
    room: float = 0.4  # of the photo's longer side, on each side of a close-up
    smallest: float = 0.07  # of a tile's side: what the finder surely sees
    second: float = 0.4  # of the largest face: a second one that matters
    settles: float = 0.08  # IOD between two looks below which the crop is right
    certain: float = 1.8  # times the matte's logit: it is vaguer than its teacher
    segment_px: int = 1024  # the guided edge is made at this size


_TUNING = _Tuning()
# How a photo is looked at for enrolment: (growth, turn in degrees, mirrored); the mean over them.
_LOOKS: Final = ((1.0, 0.0, False), (1.0, 0.0, True), (0.93, -3.0, False), (1.08, 3.0, True))
_QUICK: Final = ((1.0, 0.0, False),)
_STRIDE: Final = 8.0


class OwnTracker:
    """Our own networks in ONNX Runtime; see ``faces.FaceTracker``.

    Args:
        weights: what it runs on; by default what is shipped.
        threads: of each graph.

    Attributes:
        mirror: ``(478,)`` which landmark each becomes in a mirror.

    Raises:
        WeightsError: the shipped weights are not there or damaged.
    """

    def __init__(self, weights: Weights | None = None, *, threads: int = 1) -> None:
        weights = weights or shipped()
        self._files, self.mirror = weights.graphs, weights.mirror
        self._threads = threads
        self._graphs: dict[str, Any] = {}
        self._last: tuple[Points, float] | None = None  # middle, side of the face just followed

    def detect(self, photo: Picture) -> list[FaceLandmarks]:
        """Return the faces of an ``(H, W, 3)`` RGB photo, largest first, at most four."""
        height, width = photo.shape[:2]
        faces: list[FaceLandmarks] = []
        found = self._find_close_up(photo)
        for number, level in enumerate(levels(height, width)):
            for x0, y0, x1, y1 in level:
                found += self._find(photo[y0:y1, x0:x1], (x0, y0))
            limit = _TUNING.sure if number == 0 else _TUNING.sure_in_tile
            faces = self._faces(photo, distinct(found), limit)
            # What is left to be found is far smaller than what is: nobody's second face.
            side = max((x1 - x0 for x0, _, x1, _ in level), default=0)
            if faces and _TUNING.smallest * side < _TUNING.second * faces[0].width:
                break
        return faces

    def track(self, frame: Picture) -> FaceLandmarks | None:
        """Return the face of a frame that is mostly one face, or nothing.

        A face is looked for where it was in the frame before, and by the finder where it is not.
        """
        if self._last is not None:
            middle, side = self._last
            face = self._landmarks(frame, middle, side, _QUICK, _TUNING.follow)
            if face is not None:
                return face
        self._last = None
        found = distinct(self._find(frame, (0, 0)) or self._find_close_up(frame))
        for box, _ in found:
            middle, side = _square(box)
            face = self._landmarks(frame, middle, side, _QUICK, _TUNING.sure)
            if face is not None:
                return face
        return None

    def segment(self, photo: Picture) -> NDArray[np.float32]:
        """Return ``(H, W)`` float32: the probability that a pixel is a person."""
        size = self._size("matte")
        small = shrink(photo, _TUNING.segment_px)
        look = np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
        both = self._run("matte", np.stack([look, look[:, ::-1]]))[:, 0]
        logit = _TUNING.certain * (both[0] + both[1][:, ::-1]) / 2
        mask = (1 / (1 + np.exp(-np.clip(logit, -30, 30)))).astype(np.float32)
        mask = enlarge(mask, small.shape[1], small.shape[0])
        return enlarge(follow_edges(small, mask), photo.shape[1], photo.shape[0])

    def close(self) -> None:
        """Release the graphs."""
        self._graphs.clear()

    def _session(self, name: str) -> Any:
        if name not in self._graphs:
            ort.disable_telemetry_events()
            options = ort.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
            options.log_severity_level = 3
            self._graphs[name] = ort.InferenceSession(
                str(self._files[name]), options, providers=["CPUExecutionProvider"]
            )
        return self._graphs[name]

    def _size(self, name: str) -> int:
        return int(self._session(name).get_inputs()[0].shape[2])

    def _run(self, name: str, pictures: Picture) -> NDArray[np.float32]:
        """Run a graph on ``(N, S, S, 3)`` pictures."""
        planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)
        return np.asarray(self._session(name).run(None, {"picture": planes})[0], np.float32)

    def _find(self, part: Picture, corner: tuple[float, float]) -> list[tuple[Box, float]]:
        """Return boxes and scores of what may be faces, in pixels of the photo."""
        height, width = part.shape[:2]
        size = self._size("find")
        side = float(max(height, width))
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        look = cut(part, parts.look(middle, side, 0.0, size), size)
        self._fill(look, width / side, height / side)
        logit, dx, dy, log_side = self._run("find", look[None])[0]
        least = np.log(_TUNING.maybe / (1 - _TUNING.maybe))
        peak = (cv2.dilate(logit, np.ones((3, 3), np.uint8)) <= logit) & (logit > least)
        found = []
        for y, x in zip(*np.nonzero(peak), strict=True):
            at = np.array([x + dx[y, x] + 0.5, y + dy[y, x] + 0.5]) * _STRIDE
            half = float(np.exp(np.clip(log_side[y, x], -1, 4)) * _STRIDE) / 2
            centre = middle + (at - size / 2) * side / size + corner
            half *= side / size
            box = (*(centre - half), *(centre + half))
            found.append((tuple(map(float, box)), float(1 / (1 + np.exp(-logit[y, x])))))
        return found  # type: ignore[return-value]

    @staticmethod
    def _fill(look: Picture, across: float, down: float) -> None:
        """Make grey what of a square look is not photo."""
        size = len(look)
        x, y = round(size * (1 - across) / 2), round(size * (1 - down) / 2)
        look[:y], look[size - y :] = _TUNING.grey, _TUNING.grey
        look[:, :x], look[:, size - x :] = _TUNING.grey, _TUNING.grey

    def _find_close_up(self, photo: Picture) -> list[tuple[Box, float]]:
        """Look again with room around the photo, for faces that fill it."""
        height, width = photo.shape[:2]
        pad = round(_TUNING.room * max(height, width))
        small = shrink(photo, 512)
        scale = small.shape[1] / width
        room = round(pad * scale)
        shape = (small.shape[0] + 2 * room, small.shape[1] + 2 * room, 3)
        roomy = np.full(shape, _TUNING.grey, np.uint8)
        roomy[room : room + small.shape[0], room : room + small.shape[1]] = small
        return [
            ((*((v - room) / scale for v in box),), score)
            for box, score in self._find(roomy, (0, 0))
        ]  # type: ignore[misc]

    def _faces(
        self, photo: Picture, found: list[tuple[Box, float]], sure: float
    ) -> list[FaceLandmarks]:
        faces: list[FaceLandmarks] = []
        for box, _ in found:
            middle, side = _square(box)
            face = self._landmarks(photo, middle, side, _LOOKS, sure)
            if face is not None and not any(_one_person(face, other) for other in faces):
                faces.append(face)
        self._last = None
        return sorted(faces, key=lambda f: -f.width * f.height)[:MAX_FACES]

    def _landmarks(
        self,
        photo: Picture,
        middle: Points,
        side: float,
        looks: tuple[tuple[float, float, bool], ...],
        sure: float,
    ) -> FaceLandmarks | None:
        """Return the face whose mesh is about ``side`` px large around ``middle``, if it is one."""
        first, angle = np.zeros((478, 3)), 0.0
        for _ in range(3):  # until the crop is where the face is
            points, _, _ = self._face(photo, middle, side, angle, _QUICK)
            apart, angle = parts.eyes_apart(points)
            middle, side = parts.mesh_box(points, angle)
            if not np.isfinite(side) or side < 4 or side > 4 * max(photo.shape[:2]):
                return None
            moved = float(np.linalg.norm((points - first)[:, :2], axis=1).mean()) / apart
            first = points
            if moved < _TUNING.settles:
                break
        points, score, spread = self._face(photo, middle, side, angle, looks)
        apart, _ = parts.eyes_apart(points)
        moved = float(np.linalg.norm((points - first)[:, :2], axis=1).mean()) / apart
        if score < sure or moved > _TUNING.wandering or spread > _TUNING.spread:
            return None
        points[list(parts.LIPS), :2] = self._lips(photo, points, looks)
        for mirrored in (False, True):
            marks = self.mirror[list(parts.EYE)] if mirrored else np.array(parts.EYE)
            points[marks, :2] = self._eye(photo, points, looks, mirrored)
        _, angle = parts.eyes_apart(points)
        self._last = parts.mesh_box(points, angle)
        # Here a pixel's middle has whole coordinates; a landmark's are those of its corner.
        exact = (points + np.array([0.5, 0.5, 0.0])).astype(np.float32)
        return FaceLandmarks(exact, score, bounds(exact))

    def _face(
        self,
        photo: Picture,
        middle: Points,
        side: float,
        angle: float,
        looks: tuple[tuple[float, float, bool], ...],
    ) -> tuple[Points, float, float]:
        """Return ``(478, 3)`` landmarks in pixels, how sure it is a face, and the looks' spread."""
        size = self._size("face")
        matrices = [
            parts.look(
                middle, parts.FACE_ROOM * side * grow, angle + np.radians(turn), size, mirrored=flip
            )
            for grow, turn, flip in looks
        ]
        out = self._run("face", np.stack([cut(photo, m, size) for m in matrices]))
        shapes = out[:, :-1].reshape(-1, 478, 3).astype(np.float64) * size
        kept = []
        for shape, matrix, (_, _, flip) in zip(shapes, matrices, looks, strict=True):
            shape[:, :2] = _back(shape[:, :2], matrix, size)
            shape[:, 2] /= np.sqrt(abs(np.linalg.det(matrix[:, :2])))
            kept.append(shape[self.mirror] if flip else shape)
        score = float(np.median(1 / (1 + np.exp(-np.clip(out[:, -1], -30, 30)))))
        mean = np.mean(kept, axis=0)
        apart, _ = parts.eyes_apart(mean)
        spread = np.linalg.norm((np.stack(kept) - mean)[..., :2], axis=2).mean() / apart
        return mean, score, float(spread)

    def _lips(
        self, photo: Picture, points: Points, looks: tuple[tuple[float, float, bool], ...]
    ) -> Points:
        apart, angle = parts.eyes_apart(points)
        middle = parts.centre(points, parts.MOUTH)
        swap = self._places(parts.LIPS, self.mirror[list(parts.LIPS)])
        size, kept = self._size("lips"), []
        matrices = [
            parts.look(
                middle, parts.LIPS_SIDE * apart * grow, angle + np.radians(turn), size,
                mirrored=flip,
            )
            for grow, turn, flip in looks
        ]  # fmt: skip
        out = self._run("lips", np.stack([cut(photo, m, size) for m in matrices]))
        for row, matrix, (_, _, flip) in zip(out, matrices, looks, strict=True):
            shape = _back(row.reshape(-1, 2).astype(np.float64) * size, matrix, size)
            kept.append(shape[swap] if flip else shape)
        return np.asarray(np.mean(kept, axis=0))

    def _eye(
        self,
        photo: Picture,
        points: Points,
        looks: tuple[tuple[float, float, bool], ...],
        mirrored: bool,
    ) -> Points:
        """Return the landmarks of the right eye, or of the left, which is looked at mirrored."""
        apart, angle = parts.eyes_apart(points)
        middle = parts.centre(points, parts.LEFT_EYE if mirrored else parts.RIGHT_EYE)
        size = self._size("eye")
        matrices = [
            parts.look(
                middle, parts.EYE_SIDE * apart * grow, angle + np.radians(turn), size,
                mirrored=mirrored,
            )
            for grow, turn, _ in looks[::2] or looks
        ]  # fmt: skip
        out = self._run("eye", np.stack([cut(photo, m, size) for m in matrices]))
        shapes = [
            _back(row.reshape(-1, 2).astype(np.float64) * size, matrix, size)
            for row, matrix in zip(out, matrices, strict=True)
        ]
        return np.asarray(np.mean(shapes, axis=0))

    @staticmethod
    def _places(marks: tuple[int, ...], mirrored: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where each mark's mirror image stands in the list."""
        where = {mark: at for at, mark in enumerate(marks)}
        return np.array([where[int(mark)] for mark in mirrored])


def _back(points: Points, matrix: Points, size: int) -> Points:
    """Return points of a look, in pixels from its middle, in pixels of the photo."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.asarray((points + (size - 1) / 2 - matrix[:, 2]) @ inverse.T)


def _one_person(face: FaceLandmarks, other: FaceLandmarks) -> bool:
    """Say whether the middle of one face lies in the other: no two people's do."""
    for a, b in ((face.box, other.box), (other.box, face.box)):
        x, y = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2
        if b[0] < x < b[2] and b[1] < y < b[3]:
            return True
    return False


def _square(box: Box) -> tuple[Points, float]:
    x0, y0, x1, y1 = box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2]), ((x1 - x0) + (y1 - y0)) / 2
