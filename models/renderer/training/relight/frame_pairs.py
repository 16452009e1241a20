"""Pairs of whole frames: what the renderer draws, and what a camera would have seen.

*Synthetic people*: the frame of an enrolled person against the true picture, bent onto the warp
where both say which pixel of the photo they show. *Portraits*: real texture there and back. A
portrait is enrolled and drawn turned away; that drawing is enrolled like a photo and turned back to
where the portrait was. The maps of both drawings, one after the other, say which pixel of the
portrait every pixel shows, so the portrait is the truth without a landmark measured twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.enrol import Tracker, enrol
from visavis.models.appearance.errors import EnrolmentRefused
from visavis.models.appearance.fit import EYE_CONTOUR
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers import frame_face, push_pull, without_bars
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.refiner import Refiner
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.people.shards import Clip, read_shards
from visavis.models.renderer.training.relight.portraits import HELD_OUT, opening
from visavis.models.renderer.training.relight.synthetic import enrolled, number_of, registered

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
MakeRefiner = Callable[[], Refiner]

_SMOOTH = 0.035  # inter-ocular distances, blur of the bend
_FURTHEST = 0.10  # of the same, that a portrait may miss its own place
_OPEN = 0.03  # of the eyes' distance: a gap between lips that enrolment would close
_AROUND = 0.12  # inter-ocular distances around eyes and lips
_LIPS = (61, 291, 0, 17, 37, 267, 84, 314, 40, 270, 91, 321)
_EYE = 6  # class of the truth: eyeballs
_PICTURES = ("warped", "photo", "target", "shift", "inside", "counts")


@dataclass(frozen=True)
class FramePair:
    """One frame, its truth and whose it is; ``S`` pixels a side.

    Attributes:
        warped: ``(S, S, 3)`` uint8, what the renderer drew.
        photo: ``(S, S, 3)`` uint8.
        target: ``(S, S, 3)`` uint8, the truth.
        shift: ``(S, S, 2)`` float32, photo pixel minus own pixel in inter-ocular distances.
        inside: ``(S, S)`` uint8, 255 inside the mouth.
        counts: ``(S, S)`` uint8, 255 where the truth can be learnt from.
        person: number of the person or portrait; negative for held-out ones.
        real: the truth is a portrait.
    """

    warped: Image
    photo: Image
    target: Image
    shift: Floats
    inside: Image
    counts: Image
    person: int
    real: bool


def home_of(size: int) -> Floats:
    """Return every pixel's own place ``(size, size, 2)``."""
    return np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)


def shift_of(shown: Floats, unit: float) -> Floats:
    """Return how far ``(S, S, 2)`` places lie from their own pixels, in ``unit`` and within 1."""
    return np.clip((shown - home_of(len(shown))) / np.float32(unit), -1, 1)


def cuts(pair: FramePair, side: int) -> Iterator[FramePair]:
    """Yield four squares of a pair that is larger than ``side``, the pair itself otherwise.

    Portraits are larger than the pictures of synthetic people; made smaller they would lose what
    is to be learned from them.
    """
    room = len(pair.warped) - side
    if room <= 0:
        yield pair
        return
    for y, x in ((0, room // 2), (room, 0), (room, room), (room // 2, room // 2)):
        here = np.s_[y : y + side, x : x + side]
        yield replace(pair, **{n: np.ascontiguousarray(getattr(pair, n)[here]) for n in _PICTURES})


def from_people(
    folder: Path, frames: int, make_refiner: MakeRefiner, seed: int
) -> Iterator[FramePair]:
    """Yield some frames of every clip.

    Args:
        folder: shards of synthetic people.
        frames: of each person, the ones that differ most from the photo and from each other.
        make_refiner: returns what ships for the mouth.
        seed: of the tracker's noise.
    """
    for clip in read_shards(folder):
        identity = enrolled(clip, np.random.default_rng([seed, clip.person]))
        if identity is not None:
            renderer = Renderer(identity, size=identity.size, refiner=make_refiner())
            for k in _different(clip.coefficients, frames):
                yield _person_pair(clip, renderer, k)


def _different(coefficients: Floats, count: int) -> list[int]:
    """Return frames that lie far from rest and from each other (farthest point sampling)."""
    scaled = coefficients.copy()
    scaled[:, [INDEX[n] for n in ("headYaw", "headPitch", "headRoll")]] *= 5.0
    nearest = np.linalg.norm(scaled, axis=1)
    chosen: list[int] = []
    for _ in range(min(count, len(scaled))):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(scaled - scaled[chosen[-1]], axis=1))
    return chosen


def _person_pair(clip: Clip, renderer: Renderer, k: int) -> FramePair:
    size, unit = renderer.size, renderer._rig.unit
    warped = renderer.render(clip.coefficients[k]).copy()
    truth, shown = clip.truth(k), renderer.shown()
    skin = ~truth.mouth & (truth.semantics != _EYE)
    places = cv2.resize(truth.photo_xy, (size, size))
    target, _ = registered(clip.targets[k], shown, places, skin, unit)
    inside = np.where(truth.mouth, 255, 0).astype(np.uint8)
    return FramePair(
        warped, renderer._pictures.photo, target, shift_of(shown, unit), inside,
        counts=np.full((size, size), 255, np.uint8), person=number_of(clip), real=False,
    )  # fmt: skip


def turned_away(rng: np.random.Generator) -> Floats:
    """Return how a portrait is turned before it serves as a photo."""
    values = neutral()
    for name, sigma, limit in (
        ("headYaw", 0.16, 0.30), ("headPitch", 0.09, 0.18), ("headRoll", 0.07, 0.15),
    ):  # fmt: skip
        values[INDEX[name]] = np.clip(rng.normal(0, sigma), -limit, limit)
    smile = max(0.0, rng.normal(-0.05, 0.12))
    values[INDEX["mouthSmileLeft"]] = values[INDEX["mouthSmileRight"]] = smile
    return values


class _Known:
    """A tracker that has looked already."""

    def __init__(self, tracker: Tracker, photo: Image) -> None:
        self.faces = tracker.detect(photo)
        self._tracker = tracker

    def detect(self, photo: Image):
        return self.faces

    def segment(self, photo: Image) -> Floats:
        return self._tracker.segment(photo)


def there_and_back(
    portrait: Image,
    tracker: Tracker,
    number: int,
    make_refiner: MakeRefiner,
    rng: np.random.Generator,
) -> FramePair | None:
    """Return the pair of one portrait; None where it or its drawing cannot serve.

    Args:
        portrait: ``(H, W, 3)`` uint8.
        tracker: finds landmarks and the person.
        number: of the portrait, negative if held out.
        make_refiner: returns what ships for the mouth.
        rng: how it is turned.
    """
    seen = _Known(tracker, portrait)
    if len(seen.faces) != 1 or opening(seen.faces[0].points) > _OPEN:
        return None
    first = _enrolled_or_none(portrait, seen)
    if first is None:
        return None
    away = turned_away(rng)
    renderer = Renderer(first, size=first.size)
    drawn = renderer.render(away).copy()
    to_portrait = renderer.shown()
    known = _Known(tracker, drawn)
    second = _enrolled_or_none(drawn, known)
    if second is None or without_bars(drawn) != (0, 0, *drawn.shape[1::-1]):
        return None
    framing = frame_face(drawn, known.faces[0].points, second.size)
    back = Renderer(second, size=second.size, refiner=make_refiner())
    values = neutral()
    for name in ("headYaw", "headPitch", "headRoll"):
        values[INDEX[name]] = -away[INDEX[name]]
    warped = back.render(values).copy()
    shown, unit, size = back.shown(), back._rig.unit, back.size
    scale = framing.side / size
    corner = np.array([framing.left, framing.top], np.float32)

    def unframed(places: Floats) -> Floats:
        return (places + 0.5) * np.float32(scale) - 0.5 + corner

    traced = cv2.remap(
        to_portrait, unframed(shown), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    home = unframed(home_of(size))
    bend, limit = traced - home, _FURTHEST * unit * scale
    known_places = (np.linalg.norm(bend, axis=2) < limit).astype(np.float32)
    if known_places.mean() < 0.9:
        return None
    bend = push_pull(np.where(known_places[..., None] > 0, bend, 0), known_places)
    bend = cv2.GaussianBlur(bend, (0, 0), _SMOOTH * unit)
    target = cv2.remap(
        first.photo, home + bend, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    counts = _but_features(framing.points(known.faces[0].points), size, unit)
    return FramePair(
        warped, back._pictures.photo, target, shift_of(shown, unit),
        inside=np.zeros((size, size), np.uint8), counts=counts, person=number, real=True,
    )  # fmt: skip


def _but_features(points: Floats, size: int, unit: float) -> Image:
    """Leave out eyes and mouth: a portrait wears an expression, its frame does not."""
    counts = np.full((size, size), 255, np.uint8)
    for contour in (*EYE_CONTOUR, _LIPS):
        hull = cv2.convexHull(np.rint(points[list(contour), :2]).astype(np.int32))
        cv2.fillConvexPoly(counts, hull, 0)
    width = 2 * round(_AROUND * unit) + 1
    return cv2.erode(counts, np.ones((width, width), np.uint8))


def _enrolled_or_none(picture: Image, tracker: Tracker) -> Identity | None:
    try:
        return enrol(picture, tracker=tracker)
    except EnrolmentRefused:
        return None


def from_portraits(
    faces: Path, tracker: Tracker, make_refiner: MakeRefiner, seed: int, most: int
) -> Iterator[FramePair]:
    """Yield pairs of portraits in a mixed order; every tenth portrait is held out."""
    paths = sorted((faces / "train").glob("*.jpg"))
    for number in np.random.default_rng(seed).permutation(len(paths))[:most]:
        picture = cv2.imread(str(paths[number]), cv2.IMREAD_COLOR)
        held_out = number > 0 and number % HELD_OUT == 0
        rng = np.random.default_rng([seed, number])
        if picture is None:
            continue
        pair = there_and_back(
            cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), tracker,
            -int(number) if held_out else int(number), make_refiner, rng,
        )  # fmt: skip
        if pair is not None:
            yield pair
