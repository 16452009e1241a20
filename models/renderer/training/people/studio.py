"""Makes people and their clips: chooses a portrait, builds the person, draws its frames."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis, load_basis
from visavis.models.arrays import Floats
from visavis.models.renderer.training.people.clips import Motion, random_motion
from visavis.models.renderer.training.people.drawing.gl import Canvas, Drawn
from visavis.models.renderer.training.people.head.kit import EYEBALLS, HeadKit, load_kit
from visavis.models.renderer.training.people.labels import PortraitLabels, choose, read_labels
from visavis.models.renderer.training.people.person import Person
from visavis.models.renderer.training.people.portrait.portrait import (
    Portrait,
    UnfitPortraitError,
    load_portrait,
    read_landmarks,
)
from visavis.models.renderer.training.people.portrait.skin import Charts, make_charts

HELD_OUT = 15  # of 100 portraits
_TRIES = 40
_NO_VIEWER_DEPTH = 0.9  # MediaPipe's z is about this much of the true depth


class Segmenter(Protocol):
    """What making people needs of a tracker."""

    def segment(self, photo: NDArray[np.uint8]) -> Floats:
        """Return the probability of a person per pixel."""
        ...


def is_held_out(portrait: str) -> bool:
    """Say whether a portrait, and whoever is made of it, is kept for evaluation."""
    return zlib.crc32(portrait.encode()) % 100 < HELD_OUT


@dataclass(frozen=True)
class Take:
    """One person's photo and frames, drawn.

    Attributes:
        number: of the person.
        held_out: kept for evaluation.
        labels: see ``Clip.labels``.
        motion: the coefficients.
        landmarks: ``(478, 3)`` of the photo.
        photo: the photo.
        frames: its frames.
    """

    number: int
    held_out: bool
    labels: dict[str, object]
    motion: Motion
    landmarks: Floats
    photo: Drawn
    frames: list[Drawn]


class Studio:
    """Everything that is read once."""

    def __init__(
        self, facekit: Path, faces: Path, segmenter: Segmenter, canvas: Canvas, size: int
    ) -> None:
        """Read kit and portraits.

        Raises:
            OSError: a folder lacks its files.
        """
        self.basis: FaceBasis = load_basis()
        self.kit: HeadKit = load_kit(facekit, self.basis)
        with np.load(facekit / "mediapipe_to_ict.npz", allow_pickle=False) as data:
            self._marks = data["idx"].astype(np.int64)
        known = self.basis.landmarks >= 0
        self._marks[known] = self.kit.basis_to_kit[self.basis.landmarks[known]]
        self.charts: Charts = make_charts(self.kit, self._marks)
        self._faces = faces
        self._points = read_landmarks(faces)
        # Without labels everyone may serve, as one unknown group.
        unknown = dict.fromkeys(self._points, PortraitLabels("unknown", "young", 3))
        self._labels: dict[str, PortraitLabels] = {
            name: label
            for name, label in (read_labels() or unknown).items()
            if name in self._points
        }
        self._segmenter, self.canvas, self._size = segmenter, canvas, size

    def person(self, number: int, seed: int) -> tuple[Person, Portrait, np.random.Generator]:
        """Build person ``number`` of a seed: the same every time."""
        rng = np.random.default_rng([seed, number])
        for _ in range(_TRIES):
            name = choose(self._labels, rng)
            try:
                portrait = load_portrait(self._faces, name, self._points[name], self.basis)
            except UnfitPortraitError:
                continue
            probability = np.asarray(self._segmenter.segment(portrait.picture), np.float32)
            person = Person(self.kit, self.basis, self.charts, portrait, probability, rng)
            return person, portrait, rng
        raise UnfitPortraitError("None of forty portraits can lend its skin.")

    def take(self, number: int, seed: int, runs: int) -> Take:
        """Draw one person's clip."""
        person, portrait, rng = self.person(number, seed)
        motion = random_motion(rng, runs)
        self.canvas.dress(person.look)
        photo = self.canvas.draw(person.take_photo(motion.photo), person.groups)
        landmarks = self.landmarks(person, motion.photo)
        frames = [self.canvas.draw(person.corners(c), person.groups) for c in motion.frames]
        known = self._labels[portrait.name]
        labels: dict[str, object] = {
            "portrait": portrait.name,
            "tone": known.tone,
            "sex": known.sex,
            "age": known.age,
            "light": person.light.name,
            "distance_cm": round(person.makeup.distance),
            "portrait_side": portrait.side,
            # cm of upper incisors below and of lower ones above the closed lip line
            "teeth_cm": [round(v, 3) for v in person.makeup.teeth_place],
        }
        held_out = is_held_out(portrait.name)
        return Take(number, held_out, labels, motion, landmarks, photo, frames)

    def landmarks(self, person: Person, photo: Floats) -> Floats:
        """Return MediaPipe's 478 landmarks of a person's photo, exact, in pixels."""
        points, _, _, _ = person.puppet.pose(photo)
        at = person.view.project(points[self._marks])
        per_cm = person.view.per_cm * self._size
        out = np.zeros((478, 3), np.float32)
        out[:468, :2] = at[:, :2] * self._size - 0.5
        out[:468, 2] = -at[:, 2] * per_cm * _NO_VIEWER_DEPTH
        for side, first in ((1, 468), (0, 473)):  # the subject's right eye comes first
            centre, radius = self._iris(person, points, side)
            spots = centre + radius * np.array(
                [[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], np.float32
            )
            iris = person.view.project(spots.astype(np.float32))
            out[first : first + 5, :2] = iris[:, :2] * self._size - 0.5
            out[first : first + 5, 2] = -iris[:, 2] * per_cm
        out[:, 2] -= out[1, 2] * 0.5
        return out

    def _iris(self, person: Person, points: Floats, side: int) -> tuple[Floats, float]:
        """Return the iris' centre in view space and its radius in cm."""
        rows = np.arange(*EYEBALLS[side])
        front = rows[self.kit.neutral[rows, 2].argmax()]
        return points[front], 1.45 * float(np.tan(person.look.eye[0]))
