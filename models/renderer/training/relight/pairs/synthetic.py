"""Pairs of synthetic people: our enrolment and warp against the true picture, in register.

The fitted face lies a pixel or two beside the true one, which no refiner should learn to move.
So the truth is brought to the warp: both say which pixel of the photo they show, and where they
disagree the true picture is bent, smoothly, until they agree. Where the photo shows nothing (the
inside of the mouth) the bend of the lips around is continued.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.face.neutral import INCISORS_BELOW_LIPS, LOWER_EDGE
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers.layers import push_pull
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.arrays import Floats, Image
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.people.shards import Clip, read_shards, truth_tracker
from visavis.models.renderer.training.relight.pairs.pairs import Pair, Recorder, cut_target

log = logging.getLogger(__name__)
_ROUNDS = 4
_FURTHEST = 0.14  # inter-ocular distances that warp and truth may disagree
_SMOOTH = 0.035  # of the same, blur of the bend
_LEAST = 0.25  # of the mouth's crop in which the bend must be known


def bend_to(source: Floats, truth_xy: Floats, unit: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Find where the true picture shows what each pixel of the warp shows.

    Solves ``truth_xy(q) = source(p)`` for q by fixed-point steps, which converge because both
    maps are nearly shifts.

    Args:
        source: ``(S, S, 2)`` photo pixel of each pixel of the warp.
        truth_xy: ``(S, S, 2)`` photo pixel of each pixel of the truth, NaN where none.
        unit: inter-ocular distance in pixels.

    Returns:
        ``(S, S, 2)`` q and where it is known.
    """
    size = source.shape[0]
    home = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)
    q = home.copy()
    valid = np.isfinite(truth_xy).all(2)
    filled = np.where(valid[..., None], truth_xy, 0).astype(np.float32)
    for _ in range(_ROUNDS):
        shown = cv2.remap(filled, q, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        known = cv2.remap(valid.astype(np.float32), q, None, cv2.INTER_LINEAR) > 0.999
        step = np.where(known[..., None], source - shown, 0)
        q += np.clip(step, -0.05 * unit, 0.05 * unit).astype(np.float32)
    shown = cv2.remap(filled, q, None, cv2.INTER_LINEAR)
    agreed = np.linalg.norm(source - shown, axis=2) < 0.02 * unit
    known &= agreed & (np.linalg.norm(q - home, axis=2) < _FURTHEST * unit)
    return q, known


def bend_of(
    source: Floats, truth_xy: Floats, outside: NDArray[np.bool_], unit: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return where to look in a true picture, ``(S, S, 2)``, and where that is known for sure.

    Args:
        source: ``(S, S, 2)`` photo pixel of each pixel of the warp.
        truth_xy: the same of the truth, NaN where none.
        outside: ``(S, S)`` where the warp shows skin.
        unit: inter-ocular distance in pixels.
    """
    q, known = bend_to(source, truth_xy, unit)
    known &= outside
    size = source.shape[0]
    home = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)
    bend = push_pull(np.where(known[..., None], q - home, 0), known.astype(np.float32))
    return home + cv2.GaussianBlur(bend, (0, 0), _SMOOTH * unit), known


def registered(
    picture: Image, source: Floats, truth_xy: Floats, outside: NDArray[np.bool_], unit: float
) -> tuple[Image, NDArray[np.bool_]]:
    """Bend a true picture onto the warp; ``outside`` is where the warp shows skin."""
    at, known = bend_of(source, truth_xy, outside, unit)
    moved = cv2.remap(picture, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return moved, known


class _Watcher(Recorder):
    """A recorder that also keeps the frame's own maps."""

    def apply_to(self, renderer: Renderer) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the last frame's source map and where it is skin."""
        hole = np.zeros(renderer._source.shape[:2], bool)
        if self.seen is not None:
            x0, y0, x1, y1 = self.seen[1]
            inside = cv2.resize(self.seen[0].inside, (x1 - x0, y1 - y0))
            hole[y0:y1, x0:x1] = inside > 16
        return renderer._source, ~hole


def from_people(folder: Path, frames: int, seed: int) -> Iterator[Pair]:
    """Yield pairs of every clip; frames of a run follow each other. Held-out people are negative.

    Args:
        folder: shards of synthetic people.
        frames: at most this many frames of a clip.
        seed: of the tracker's noise and the boxes' jitter.
    """
    for clip in read_shards(folder):
        yield from pairs_of_clip(clip, frames, seed)


def pairs_of_clip(clip: Clip, frames: int, seed: int) -> Iterator[Pair]:
    """Yield the pairs of one person; none where the photo is refused."""
    identity = enrolled(clip, np.random.default_rng([seed, clip.person]))
    if identity is not None:
        identity = _with_true_teeth(identity, clip.labels.get("teeth_cm"))
        yield from _clip_pairs(clip, identity, frames)


def enrolled(clip: Clip, rng: np.random.Generator) -> Identity | None:
    """Enrol a clip's photo by a tracker that is as wrong as a good one; None if it is refused."""
    try:
        return enrol(clip.photo, tracker=truth_tracker(clip, rng), size=clip.photo.shape[0])
    except EnrolmentRefused as error:
        log.info("Person %d was left out: %s", clip.person, error)
        return None


def number_of(clip: Clip) -> int:
    """Return the number of a clip's person as pairs have it: negative if held out, never 0."""
    return -(clip.person + 1) if clip.held_out else clip.person + 1


def _with_true_teeth(identity: Identity, place: Sequence[float] | None) -> Identity:
    """Hang the rig's teeth where the person's are.

    Nobody can tell from a photo with closed lips how far the teeth show. A network that is asked
    to guess learns the average of teeth and dark; here the renderer's guess is right.
    """
    if place is None or identity.teeth.size:
        return identity
    basis, rest = load_basis(), np.array(identity.rest, np.float32)
    rest[np.concatenate([basis.part_vertices(n) for n in ("upper_teeth", "upper_gum")]), 1] -= (
        place[0] - INCISORS_BELOW_LIPS
    )
    rest[np.concatenate([basis.part_vertices(n) for n in ("lower_teeth", "lower_gum")]), 1] += (
        place[1] - LOWER_EDGE
    )
    return replace(identity, rest=rest)


def _clip_pairs(clip: Clip, identity: Identity, frames: int) -> Iterator[Pair]:
    watcher = _Watcher()
    renderer = Renderer(identity, size=identity.size, refiner=watcher)
    unit = renderer.rig.unit
    last = -2
    for k in range(min(frames, len(clip.coefficients))):
        renderer.render(clip.coefficients[k])
        if watcher.seen is None:
            continue
        crop, box = watcher.seen
        source, outside = watcher.apply_to(renderer)
        truth_xy = cv2.resize(clip.truth(k).photo_xy, outside.shape[::-1])
        target, known = registered(clip.targets[k], source, truth_xy, outside, unit)
        x0, y0, x1, y1 = box
        if known[y0:y1, x0:x1].mean() < _LEAST:
            continue
        follows = last == k - 1 and not bool(clip.starts[k])
        last = k
        yield Pair(crop, cut_target(target, box), number_of(clip), follows)
