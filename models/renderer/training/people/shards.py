"""Shards of synthetic people on disk: writing and reading, without torch.

One ``shard-NNNNN.npz`` holds the clips of a few people: pictures as JPEG (quality 95, 4:4:4),
ground truth as PNG, numbers as arrays and labels as JSON. Nothing is pickled.
"""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Floats, Image
from visavis.models.files import SHARED, atomic_path
from visavis.models.renderer.training.people.clips import Motion
from visavis.models.renderer.training.people.drawing.gl import Drawn

VERSION = 1
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 4]
_STEP = 64.0  # photo places are stored in 1/64 pixels
_HIDDEN = 65535
_DEPTH = (30.0, 1000.0)  # cm added, and steps per cm
_UV = 32768.0
_SAME = 0.4  # cm between a point and the photo's front surface that still count as seen
MOUTH = (3, 4, 5)
_OUTSIDE = np.array([False, True, True, False, False, False, False, True, True])  # skin to cloth


class ShardError(ValueError):
    """A shard is damaged or of another version."""


@dataclass(frozen=True)
class Truth:
    """Exact ground truth of one frame; ``h`` is half of the picture's side.

    The half-size arrays hold the values at pixels ``(2i, 2j)``.

    Attributes:
        semantics: ``(S, S)`` uint8, see ``kit.SEMANTICS``.
        mouth: ``(S, S)`` true inside the mouth.
        photo_xy: ``(h, h, 2)`` float32: the photo's pixel that this pixel shows; NaN where the
            photo does not show it.
        depth: ``(h, h)`` float32 cm towards the viewer from the eyes' plane; NaN on background.
        uv: ``(h, h, 2)`` float32 place in the kit's chart of the surface.
    """

    semantics: Image
    mouth: NDArray[np.bool_]
    photo_xy: Floats
    depth: Floats
    uv: Floats


class _Pictures(Sequence[Image]):
    """Pictures of a clip, decoded when they are looked at."""

    def __init__(self, blobs: list[NDArray[np.uint8]]) -> None:
        self._blobs = blobs

    def __len__(self) -> int:
        return len(self._blobs)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            return _Pictures(self._blobs[index])
        return _decode(self._blobs[index], cv2.IMREAD_COLOR)[..., ::-1].copy()


@dataclass(frozen=True)
class Clip:
    """One person: a photo and frames of the same person moving.

    Attributes:
        person: number of the person, unique within one seed.
        held_out: whether the person and the portrait behind it are kept for evaluation.
        labels: tone, sex, age, portrait, light, camera distance.
        photo: ``(S, S, 3)`` RGB.
        photo_coefficients: ``(64,)``, pose 0.
        landmarks: ``(478, 3)`` exact landmarks of the photo, pixels, z away from the viewer.
        person_mask: ``(S, S)`` uint8.
        coefficients: ``(K, 64)``.
        starts: ``(K,)`` true at the first frame of each run of consecutive frames.
        targets: K pictures ``(S, S, 3)`` RGB.
    """

    person: int
    held_out: bool
    labels: dict[str, object]
    photo: Image
    photo_coefficients: Floats
    landmarks: Floats
    person_mask: Image
    coefficients: Floats
    starts: NDArray[np.bool_]
    targets: Sequence[Image]
    _truth: list[tuple[NDArray[np.uint8], ...]]

    def truth(self, index: int) -> Truth:
        """Decode the ground truth of one frame."""
        classes, places, coordinates = self._truth[index]
        semantics = _decode(classes, cv2.IMREAD_UNCHANGED)
        place = _decode(places, cv2.IMREAD_UNCHANGED)
        raw = place[..., :2].astype(np.float32)
        xy = np.where((place[..., :2] == _HIDDEN).any(-1)[..., None], np.nan, raw / _STEP)
        depth = place[..., 2].astype(np.float32) / _DEPTH[1] - _DEPTH[0]
        depth[place[..., 2] == 0] = np.nan
        uv = _decode(coordinates, cv2.IMREAD_UNCHANGED)[..., :2].astype(np.float32) / _UV
        return Truth(semantics, np.isin(semantics, MOUTH), xy.astype(np.float32), depth, uv)


def _decode(blob: NDArray[np.uint8], how: int) -> NDArray:
    picture = cv2.imdecode(blob, how)
    if picture is None:
        raise ShardError("A picture of the shard is damaged.")
    return picture


def _encode(kind: str, picture: NDArray) -> NDArray[np.uint8]:
    good, blob = cv2.imencode(kind, picture, _JPEG if kind == ".jpg" else _PNG)
    if not good:
        raise ShardError("A picture could not be written.")
    return blob.ravel()


def photo_places(frame: Drawn, photo: Drawn) -> Floats:
    """Return the photo's pixel behind every pixel of a frame, ``(S, S, 2)``; NaN where hidden."""
    size = len(frame.semantics)
    xy = frame.photo[..., :2] * size - 0.5
    at = np.clip(np.rint(xy), 0, size - 1).astype(np.int64)
    inside = ((xy > -0.5) & (xy < size - 0.5)).all(-1)
    depth = np.nan_to_num(photo.depth, nan=-1e3)[at[..., 1], at[..., 0]]
    seen = inside & (np.abs(depth - frame.photo[..., 2]) < _SAME)
    # A tooth close behind the lip is near the photo's surface, and still not what it shows.
    there = photo.semantics[at[..., 1], at[..., 0]]
    seen &= (there == frame.semantics) | (_OUTSIDE[there] & _OUTSIDE[frame.semantics])
    return np.where(seen[..., None], xy, np.nan).astype(np.float32)


class ShardWriter:
    """Collects clips and writes them as one file that appears only when it is complete."""

    def __init__(self) -> None:
        self._blobs: list[NDArray[np.uint8]] = []
        self._clips: list[dict[str, object]] = []
        self._coefficients: list[Floats] = []
        self._landmarks: list[Floats] = []

    def add(
        self, person: int, held_out: bool, labels: dict[str, object], motion: Motion,
        landmarks: Floats, photo: Drawn, frames: Sequence[Drawn],
    ) -> None:  # fmt: skip
        """Add one person."""
        mask = cv2.GaussianBlur((photo.semantics > 0).astype(np.uint8) * 255, (3, 3), 0)
        self._blobs += [_encode(".jpg", photo.picture[..., ::-1]), _encode(".png", mask)]
        for frame in frames:
            self._blobs.append(_encode(".jpg", frame.picture[..., ::-1]))
            self._blobs += self._encode_truth(frame, photo)
        self._clips.append(
            {
                "person": person,
                "held_out": held_out,
                "labels": labels,
                "frames": len(frames),
                "starts": np.flatnonzero(motion.starts).tolist(),
            }
        )
        self._coefficients += [motion.photo[None], motion.frames]
        self._landmarks.append(landmarks)

    @staticmethod
    def _encode_truth(frame: Drawn, photo: Drawn) -> list[NDArray[np.uint8]]:
        xy = photo_places(frame, photo)[::2, ::2]
        place = np.zeros((*xy.shape[:2], 3), np.uint16)
        hidden = np.isnan(xy[..., 0])
        fixed = np.clip(np.rint(np.nan_to_num(xy) * _STEP), 0, _HIDDEN - 1).astype(np.uint16)
        place[..., :2] = np.where(hidden[..., None], _HIDDEN, fixed)
        depth = frame.depth[::2, ::2]
        deep = np.clip(np.rint((np.nan_to_num(depth) + _DEPTH[0]) * _DEPTH[1]), 1, 65535)
        place[..., 2] = np.where(np.isnan(depth), 0, deep).astype(np.uint16)
        uv = np.zeros_like(place)
        uv[..., :2] = np.clip(np.rint(frame.uv[::2, ::2] * _UV), 0, 65535).astype(np.uint16)
        return [_encode(".png", frame.semantics), _encode(".png", place), _encode(".png", uv)]

    def write(self, path: Path, *, size: int, seed: int) -> int:
        """Write the shard; return its bytes."""
        meta = {"version": VERSION, "size": size, "seed": seed, "clips": self._clips}
        sizes = np.array([len(b) for b in self._blobs], np.int64)
        with atomic_path(path, mode=SHARED) as partial, partial.open("wb") as file:
            np.savez(
                file,
                meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
                sizes=sizes,
                blobs=np.concatenate(self._blobs),
                coefficients=np.concatenate(self._coefficients).astype(np.float32),
                landmarks=np.stack(self._landmarks).astype(np.float32),
            )
        return path.stat().st_size


def read_shard(path: Path) -> list[Clip]:
    """Read one shard.

    Raises:
        ShardError: it is damaged or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            meta = json.loads(data["meta"].tobytes())
            sizes, blobs = data["sizes"], data["blobs"]
            coefficients, landmarks = data["coefficients"], data["landmarks"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ShardError(f"The shard {path.name} cannot be read.") from error
    if meta.get("version") != VERSION:
        raise ShardError(f"The shard {path.name} is of another version.")
    ends = np.concatenate([[0], np.cumsum(sizes)])
    pieces = [blobs[a:b] for a, b in itertools.pairwise(ends)]
    clips, at, row = [], 0, 0
    for k, entry in enumerate(meta["clips"]):
        count = entry["frames"]
        starts = np.zeros(count, bool)
        starts[entry["starts"]] = True
        mine = pieces[at + 2 : at + 2 + 4 * count]
        clips.append(
            Clip(
                entry["person"],
                entry["held_out"],
                entry["labels"],
                _decode(pieces[at], cv2.IMREAD_COLOR)[..., ::-1].copy(),
                coefficients[row],
                landmarks[k],
                _decode(pieces[at + 1], cv2.IMREAD_UNCHANGED),
                coefficients[row + 1 : row + 1 + count],
                starts,
                _Pictures(mine[::4]),
                [tuple(mine[4 * i + 1 : 4 * i + 4]) for i in range(count)],
            )
        )
        at, row = at + 2 + 4 * count, row + 1 + count
    return clips


def read_shards(folder: Path, split: str | None = None) -> Iterator[Clip]:
    """Yield the clips of a folder in order, one shard in memory at a time.

    Args:
        folder: holds ``shard-*.npz``.
        split: "train", "held_out", or None for everyone.

    Raises:
        ShardError: a shard is damaged.
        ValueError: an unknown split.
    """
    if split not in (None, "train", "held_out"):
        raise ValueError(f"There is no split named {split}.")
    for path in sorted(Path(folder).glob("shard-*.npz")):
        for clip in read_shard(path):
            if split is None or clip.held_out == (split == "held_out"):
                yield clip


@dataclass(frozen=True)
class _Face:
    points: Floats


@dataclass(frozen=True)
class TruthTracker:
    """A tracker that knows one photo's landmarks and matte; see ``enrol.Tracker``."""

    points: Floats
    mask: Floats

    def detect(self, photo: Image) -> list[_Face]:
        """Return the one face."""
        return [_Face(self.points)]

    def segment(self, photo: Image) -> Floats:
        """Return the exact matte, 0-1."""
        return cv2.resize(self.mask, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def truth_tracker(clip: Clip, rng: np.random.Generator, noise: float = 0.6) -> TruthTracker:
    """Return a tracker for ``enrol`` that is as wrong as a good one.

    Args:
        clip: whose photo will be enrolled.
        rng: randomness.
        noise: rms of the landmarks' error in pixels; neighbours err alike.
    """
    points = clip.landmarks.copy()
    # A smooth error field: three waves over the face, and a little of each landmark's own.
    unit = np.ptp(points[:468, :2], axis=0).max()
    error = rng.normal(0, 0.35, points[:, :2].shape)
    for _ in range(3):
        wave = rng.normal(0, 2 * np.pi / unit, 2)
        phase = points[:, :2] @ wave + rng.uniform(0, 2 * np.pi)
        error += np.sin(phase)[:, None] * rng.normal(0, 0.75, 2)
    error *= noise / np.sqrt((error**2).sum(1).mean() / 2)
    points[:, :2] += error
    return TruthTracker(points.astype(np.float32), clip.person_mask.astype(np.float32) / 255)
