"""Pairs for the eyes: a warped eye and the true one, from synthetic people, in register."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.coefficients import INDEX
from visavis.models.renderer.refiner import (
    Box,
    EyePlace,
    Places,
    Refinement,
    RefinerInput,
    Refiners,
)
from visavis.models.renderer.relight.crop import Crop, shrink, take
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.people.shards import Clip, read_shards
from visavis.models.renderer.training.relight.eyes import EYE_SIDE, eye_box, eye_gate
from visavis.models.renderer.training.relight.pairs import Pair, in_shards, write_pairs
from visavis.models.renderer.training.relight.synthetic import bend_of, enrolled, number_of
from visavis.models.renderer.warp import FULL

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

log = logging.getLogger(__name__)
_SHARD = 256  # pairs; 10 MB
_CHANGED = 0.02  # mean of the gate: an eye that differs from the photo's
_KNOWN = 0.5  # of the skin where the gate is open, in which the bend must be known
_MISSED = 0.012  # inter-ocular distances that warp and bent truth may still disagree there
# Bounds of a lid's closing, and how often a frame between them is kept: most frames are open.
CLOSING = (0.1, 0.4, 0.75)
_KEPT = (0.4, 1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class EyePair(Pair):
    """One eye of one frame, and its truth; ``S`` is ``EYE_SIDE``.

    Attributes:
        gate: ``(S, S)`` uint8, 255 where the network may act.
        counts: ``(S, S)`` uint8, 255 where the truth is in register.
        closed: how far the lid is closed, 0-1.
    """

    gate: Image
    counts: Image
    closed: float


class EyeRecorder:
    """A refiner of the eyes that changes nothing and keeps what it was shown."""

    def __init__(self) -> None:
        """Start without a frame."""
        self.unit = 1.0
        self.eyes: tuple[EyePlace, ...] = ()
        self.boxes: tuple[Box | None, ...] = ()
        self.frames: list[RefinerInput | None] = []

    def eye_boxes(self, size: int, places: Places) -> tuple[Box | None, ...]:
        """Choose both eyes' squares, whether they have changed or not."""
        self.unit, self.eyes = places.unit, places.eyes
        self.boxes = tuple(eye_box(size, eye, places.unit) for eye in places.eyes)
        self.frames = [None] * len(self.boxes)
        return self.boxes

    def refine_eyes(self, frames: Sequence[RefinerInput | None]) -> list[Refinement | None]:
        """Keep the frame."""
        self.frames = list(frames)
        return [None] * len(frames)


def kept(closed: float, chance: float) -> bool:
    """Say whether a frame comes into the training; ``chance`` is drawn from 0-1."""
    return chance < _KEPT[int(np.searchsorted(CLOSING, closed))]


def from_people(folder: Path, frames: int, seed: int) -> Iterator[EyePair]:
    """Yield pairs of every clip, first the left eye's, then the right one's.

    Args:
        folder: shards of synthetic people.
        frames: at most this many frames of a clip.
        seed: of the tracker's noise and of the choice of frames.
    """
    for clip in read_shards(folder):
        rng = np.random.default_rng([seed, clip.person])
        identity = enrolled(clip, rng)
        if identity is not None:
            recorder = EyeRecorder()
            renderer = Renderer(identity, size=identity.size, refiner=Refiners([recorder]))
            yield from _clip_pairs(clip, renderer, recorder, frames, rng)


def _clip_pairs(
    clip: Clip, renderer: Renderer, recorder: EyeRecorder, frames: int, rng: np.random.Generator
) -> Iterator[EyePair]:
    found: tuple[list[EyePair], list[EyePair]] = ([], [])
    last = [-2, -2]
    for k in range(min(frames, len(clip.coefficients))):
        chance = float(rng.random())
        closed = [
            float(clip.coefficients[k, INDEX["eyeBlink" + side]]) for side in ("Left", "Right")
        ]
        if not kept(max(closed), chance):
            continue
        renderer.render(clip.coefficients[k])
        for side, (crop, gate, target, counts) in _cut(clip, renderer, recorder, k):
            follows = last[side] == k - 1 and not bool(clip.starts[k])
            last[side] = k
            pair = EyePair(
                crop, target, number_of(clip), follows, gate=gate, counts=counts,
                closed=closed[side],
            )  # fmt: skip
            found[side].append(pair)
    yield from (*found[0], *found[1])


def _cut(
    clip: Clip, renderer: Renderer, recorder: EyeRecorder, k: int
) -> Iterator[tuple[int, tuple[Crop, Image, Image, Image]]]:
    """Yield the eyes of one frame that have changed and are in register."""
    size, unit = renderer.size, recorder.unit
    skin = np.ones((size, size), bool)
    for eye in recorder.eyes:
        (x, y), (h, w) = eye.corner, eye.coverage.shape
        skin[y : y + h, x : x + w] &= eye.coverage >= FULL
    source = renderer._source
    truth_xy = cv2.resize(clip.truth(k).photo_xy, (size, size))
    bend, known = bend_of(source, truth_xy, skin, unit)
    target = cv2.remap(
        clip.targets[k], bend, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    shown = cv2.remap(np.nan_to_num(truth_xy), bend, None, cv2.INTER_LINEAR)
    missed = np.linalg.norm(shown - source, axis=2) / unit
    for side, (frame, eye, box) in enumerate(
        zip(recorder.frames, recorder.eyes, recorder.boxes, strict=True)
    ):
        if frame is None or box is None:
            continue
        open_ = eye_gate(eye, box, unit)
        if open_.mean() < _CHANGED:
            continue
        x0, y0, x1, y1 = box
        here = np.s_[y0:y1, x0:x1]
        wide = cv2.resize(open_, (x1 - x0, y1 - y0))
        among = (wide > 0.25) & skin[here]
        sure = among & known[here]
        if sure.sum() < _KNOWN * among.sum() or not sure.any():
            continue
        if np.median(missed[here][sure]) > _MISSED:
            continue
        # The truth of the eyeball follows the lids' bend; skin that is elsewhere is not learnt.
        off = (missed[here] > 3 * _MISSED) & known[here]
        counts = np.where(off, 0, 255).astype(np.uint8)
        crop = take(frame, box, unit, EYE_SIDE)
        yield (
            side,
            (
                crop,
                np.rint(255 * open_).astype(np.uint8),
                shrink(target[here], EYE_SIDE),
                shrink(counts, EYE_SIDE),
            ),
        )


def main(argv: list[str] | None = None) -> int:
    """Write the pairs of a folder of people."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=Path, required=True, help="shards of synthetic people")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=24, help="frames per person")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    pairs = from_people(args.people, args.frames, args.seed)
    for index, group in enumerate(in_shards(pairs, _SHARD)):
        write_pairs(args.out / f"eyes-{args.seed:02d}-{index:04d}.npz", group)
        log.info("shard %d, %d pairs", index, len(group))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
