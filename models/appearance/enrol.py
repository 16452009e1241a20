"""Enrolment: one photo becomes an Identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.colours import (
    eye_patch_size,
    measure_colours,
    take_eye,
    take_teeth,
)
from visavis.models.appearance.face.basis import FaceBasis, load_basis
from visavis.models.appearance.face.fit import EYE_CONTOUR, OVAL, Fit, fit_face
from visavis.models.appearance.face.neutral import Geometry, neutralise
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers.covered import EYES_NEARLY_CLOSED, eye_opening
from visavis.models.appearance.layers.folds import soften_folds
from visavis.models.appearance.layers.glasses import find_frames, without_frames
from visavis.models.appearance.layers.layers import (
    FACE_WIDTHS,
    Framing,
    background_behind,
    foreground_colour,
    frame_face,
    refine_matte,
    without_bars,
)
from visavis.models.appearance.layers.shapes import polygon_mask
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.arrays import Floats, Image

Progress = Callable[[float, str], None]

SMALLEST_FACE = 96  # pixels across the face
LARGEST_TILT = np.radians(40.0)
LARGEST_TURN = np.radians(35.0)
MILD_TURN = np.radians(18.0)


class _EnrolTuning(NamedTuple):
    """Which photos enrolment refuses.

    Set by eye on good and bad photos, not fitted.
    """

    with_ears: float = 1.1  # of the mean of the oval's width and height
    second_face: float = 1 / 3  # of the largest one's width
    darkest: float = 32.0  # mean of the face, 0-255
    worst_fit: float = 0.035  # weighted rms over face width
    bar: float = 0.26  # brightness step over brightness
    shouting: float = 0.36  # opening of the lips over the mouth's width; laughter stays below
    tight: float = 2.2  # face widths in the crop


_TUNING = _EnrolTuning()


class Landmarks(Protocol):
    """One face."""

    @property
    def points(self) -> Floats:
        """478 landmarks in pixels of the photo."""
        ...


class Tracker(Protocol):
    """What enrolment needs of a face tracker."""

    def detect(self, photo: Image) -> Sequence[Landmarks]:
        """Return every face."""
        ...

    def segment(self, photo: Image) -> Floats:
        """Return the probability of a person per pixel, ``(H, W)``."""
        ...


def enrol(
    photo: Image, *, tracker: Tracker, size: int = 512, progress: Progress | None = None
) -> Identity:
    """Make an identity of a sanitised photo.

    Args:
        photo: ``(H, W, 3)`` RGB uint8.
        tracker: finds landmarks and the person.
        size: side of the avatar's square pictures in pixels.
        progress: told the fraction that is done and the stage.

    Raises:
        EnrolmentRefused: the photo cannot serve; the message is one sentence.
    """
    tell = progress or (lambda fraction, stage: None)
    tell(0.02, "Looking for the face")
    landmarks = _only_face(tracker.detect(photo))
    _check_light(photo, landmarks)
    left, top, right, bottom = without_bars(photo)
    photo = photo[top:bottom, left:right]
    landmarks = landmarks - np.array([left, top, 0], np.float32)
    framing = frame_face(photo, landmarks, size)
    picture = framing.cut(photo)
    points = framing.points(landmarks)
    tell(0.35, "Fitting the face in three dimensions")
    basis = load_basis()
    fit = fit_face(basis, points)
    _check_fit(fit, points)
    geometry = neutralise(basis, fit)
    tell(0.5, "Separating the person from the background")
    probability = _segment(tracker, picture, size)
    alpha = refine_matte(picture, probability, _face_mask(points, size))
    background = background_behind(picture, alpha)
    foreground = foreground_colour(picture, alpha, background)
    tell(0.8, "Preparing mouth and eyes")
    frames = find_frames(picture, points)
    bare = without_frames(picture, frames)
    foreground = without_frames(foreground, frames)
    teeth, foreground = take_teeth(foreground, points)
    foreground = soften_folds(foreground, points, geometry.smile)
    layers = Layers(picture, bare, foreground, teeth, np.rint(alpha * 255), background)
    identity = replace(
        assemble(layers, points, fit, geometry),
        notes=_notes(framing, fit, alpha, picture, points, frames),
        source=_pull_lips(basis, geometry.source, geometry.opening, size),
        frames=frames,
    )
    tell(1.0, "Ready")
    return identity


@dataclass(frozen=True)
class Layers:
    """A framed photo, taken apart; all ``(S, S, ...)``.

    Attributes:
        picture: the framed photo.
        bare: the same without glasses.
        foreground: the person's colour, with the mouth closed.
        teeth: what ``take_teeth`` found.
        alpha: ``(S, S)`` the person's opacity, 0-255.
        background: the picture without the person.
    """

    picture: Image
    bare: Image
    foreground: Image
    teeth: Image
    alpha: Floats
    background: Image


def assemble(layers: Layers, points: Floats, fit: Fit, geometry: Geometry) -> Identity:
    """Return the identity of a photo that is fitted and taken apart, without notes.

    Args:
        layers: the photo's parts.
        points: ``(478, 3)`` landmarks in their pixels.
        fit: of the face basis to these.
        geometry: from the fit.
    """
    side = eye_patch_size(points)
    eyes = [take_eye(layers.bare, points, eye, side) for eye in (0, 1)]
    centres = [points[list(c), :2].mean(0) for c in EYE_CONTOUR]
    return Identity(
        size=len(layers.picture),
        inter_ocular_px=float(np.linalg.norm(centres[0] - centres[1])),
        scale=fit.scale,
        smile=geometry.smile,
        opening=geometry.opening,
        colours=measure_colours(layers.bare, points, layers.teeth),
        eyes=(eyes[0].patch, eyes[1].patch),
        notes=(),
        photo=layers.picture,
        foreground=layers.foreground,
        alpha=layers.alpha.astype(np.uint8),
        background=layers.background,
        lids=np.stack([e.lids for e in eyes]),
        eyeballs=np.stack([e.eyeball for e in eyes]),
        teeth=layers.teeth,
        rotation=fit.rotation.astype(np.float32),
        offset=fit.offset.astype(np.float32),
        source=geometry.source,
        rest=geometry.rest,
        expression=geometry.lost,
        kept=geometry.kept,
    )


def _width(points: Floats) -> float:
    """Return the face's size across, with ears, from the oval's area, which changes least."""
    return float(_TUNING.with_ears * np.sqrt(np.ptp(points[list(OVAL), :2], axis=0).prod()))


def _only_face(faces: list[Landmarks]) -> Floats:
    """Return the landmarks of the one face, or refuse."""
    if not faces:
        raise EnrolmentRefused("No face was found in the photo.", "no-face")
    ordered = sorted((face.points for face in faces), key=_width, reverse=True)
    if len(ordered) > 1 and _width(ordered[1]) > _TUNING.second_face * _width(ordered[0]):
        raise EnrolmentRefused(
            "There are several faces in the photo; please use one of one person.", "several-faces"
        )
    if _width(ordered[0]) < SMALLEST_FACE:
        raise EnrolmentRefused(
            f"The face is too small: it is {round(_width(ordered[0]))} pixels across "
            f"and needs at least {SMALLEST_FACE}.",
            "face-too-small",
        )
    return ordered[0].astype(np.float32)


def mouth_opening(points: Floats) -> float:
    """Return how far the lips are apart over the mouth's width."""
    gap = float(np.linalg.norm(points[13, :2] - points[14, :2]))
    return gap / max(float(np.linalg.norm(points[61, :2] - points[291, :2])), 1e-6)


def _check_light(photo: Image, landmarks: Floats) -> None:
    mask = polygon_mask(landmarks[list(OVAL), :2], photo.shape[:2])
    if not mask.any() or float(photo[mask].mean()) < _TUNING.darkest:
        raise EnrolmentRefused("The photo is too dark to see the face.", "too-dark")


def _check_fit(fit: Fit, points: Floats) -> None:
    pitch, yaw, roll = fit.angles
    if abs(roll) > LARGEST_TILT:
        raise EnrolmentRefused(
            "The face lies on its side; please turn the photo upright.", "face-sideways"
        )
    if max(abs(pitch), abs(yaw)) > LARGEST_TURN:
        raise EnrolmentRefused(
            "The face is turned too far away; please look towards the camera.", "face-turned"
        )
    if not np.isfinite(fit.rms) or fit.rms > _TUNING.worst_fit * _width(points):
        raise EnrolmentRefused("The face could not be measured; it may be covered.", "face-covered")


def _segment(tracker: Tracker, picture: Image, size: int) -> Floats:
    probability = np.asarray(tracker.segment(picture), np.float32)
    if probability.shape != (size, size):
        probability = cv2.resize(probability, (size, size), interpolation=cv2.INTER_LINEAR)
    return probability


def _face_mask(points: Floats, size: int) -> NDArray[np.bool_]:
    oval = points[list(OVAL), :2]
    centre = oval.mean(0)
    return polygon_mask(centre + (oval - centre) * 0.97, (size, size))


def _pull_lips(basis: FaceBasis, source: Floats, opening: float, size: int) -> Floats:
    """Pull the texture of the inner-lip ring into the lip, away from teeth and shadow."""
    pulled = source.copy()
    pixels = (1.5 if opening > 0.08 else 0.4) * size / 512
    inner = np.flatnonzero(basis.inner_lip)
    middle = (source[basis.ring_upper[20]] + source[basis.ring_lower[18]]) / 2
    pulled[basis.ring_upper[2:-2], 1] -= pixels
    pulled[basis.ring_lower[2:-2], 1] += pixels
    for v in inner:  # what turns inwards shows the lip's own edge
        ring = (
            basis.ring_upper
            if basis.neutral[v, 1] > basis.neutral[basis.ring_lower[18], 1]
            else basis.ring_lower
        )
        near = ring[np.abs(source[ring, 0] - source[v, 0]).argmin()]
        away = -1.0 if ring is basis.ring_upper else 1.0
        pulled[v] = pulled[near] + (0.0, away * min(2.0 * pixels, abs(middle[1] - source[v, 1])))
    return pulled


def _bar_across_nose(picture: Image, points: Floats) -> float:
    """Return how hard the edges are that cross the bridge of the nose, over its brightness.

    On 300 portraits the ten above .26 were seven with glasses and three with hard shadows; thin
    frames stay below and are not noticed.
    """
    right, left = points[133, :2], points[362, :2]
    across = left - right
    unit = float(np.linalg.norm(across)) + 1e-6
    across = across / unit
    down = np.array([-across[1], across[0]])
    u = np.linspace(-0.22, 0.22, 24)[None, :, None] * unit
    v = np.linspace(-0.55, 0.75, 48)[:, None, None] * unit
    grid = ((right + left) / 2 + u * across + v * down).astype(np.float32)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    strip = cv2.remap(grey, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR).astype(np.float32)
    rows = cv2.GaussianBlur(np.median(strip, 1)[:, None], (1, 3), 0)[:, 0]
    steps = np.sort(np.abs(np.diff(rows)))[-3:].mean()
    return float(steps / max(float(np.median(strip)), 20.0))


def _notes(
    framing: Framing, fit: Fit, alpha: Floats, picture: Image, points: Floats, frames: Image
) -> tuple[str, ...]:
    notes = []
    pitch, yaw, _ = fit.angles
    if framing.tight < min(_TUNING.tight, FACE_WIDTHS):
        notes.append("The photo is cropped tightly; one with some shoulder looks better.")
    if framing.side < 0.6 * framing.size:
        notes.append("The photo is small, so the picture will be soft.")
    if max(abs(yaw), abs(pitch)) > MILD_TURN:
        notes.append("The face is turned a little; a frontal photo moves more naturally.")
    if eye_opening(points) < EYES_NEARLY_CLOSED:
        notes.append("The eyes are nearly closed; a photo with open eyes looks better.")
    if mouth_opening(points) > _TUNING.shouting:
        notes.append("The mouth is wide open; a photo with closed lips or a smile looks better.")
    if float(alpha[: max(1, len(alpha) // 100)].mean()) > 0.10:
        notes.append("The hair touches the upper edge of the photo; leave some room above it.")
    if frames.size == 0 and _bar_across_nose(picture, points) > _TUNING.bar:
        notes.append(
            "There seem to be glasses or a hard shadow across the eyes; "
            "they bend with the face when it moves."
        )
    return tuple(notes)
