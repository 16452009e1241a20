"""Pairs for the training: a warped mouth and the mouth that it should have been."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Image
from visavis.models.files import SHARED, atomic_path
from visavis.models.renderer.refiner import Box, Places, Refinement, RefinerInput
from visavis.models.renderer.relight.crop import Crop, mouth_box, shrink, take

T = TypeVar("T")
# Inside the mouth, where picture and truth differ in brightness by more than these parts of the
# skin's, they show different things: teeth where the other has none. An average of both would be
# a grey veil, so nothing is learned there.
_SAME, _OTHER = 0.28, 0.50
_SPECK = 2.0  # pixels of blur before they are compared


@dataclass(frozen=True)
class Pair:
    """One crop, its truth, and whose it is.

    Attributes:
        crop: what the network sees.
        target: ``(SIDE, SIDE, 3)`` uint8.
        person: number of the person or portrait; negative for held-out ones.
        follows: the pair before this one is the frame before.
        real: the truth is a portrait, not a drawing of ours.
    """

    crop: Crop
    target: Image
    person: int
    follows: bool
    real: bool = False


class Recorder:
    """A refiner that changes nothing and keeps what it was shown."""

    def __init__(self, rng: np.random.Generator | None = None) -> None:
        """Jitter the box by a few percent where a generator is given."""
        self._rng = rng
        self._unit = 1.0
        self._box: Box = (0, 0, 0, 0)
        self.seen: tuple[Crop, Box] | None = None

    def box(self, size: int, places: Places) -> Box | None:
        """Choose the mouth's box."""
        self.seen = None
        box = mouth_box(size, places)
        if box is None:
            return None
        if self._rng is not None:
            side = box[2] - box[0]
            dx, dy = (int(v) for v in np.rint(self._rng.normal(0, 0.03 * side, 2)))
            x0, y0 = (
                int(np.clip(box[0] + dx, 0, size - side)),
                int(np.clip(box[1] + dy, 0, size - side)),
            )
            box = (x0, y0, x0 + side, y0 + side)
        self._unit, self._box = places.unit, box
        return box

    def refine(self, frame: RefinerInput) -> Refinement:
        """Keep the frame."""
        self.seen = (take(frame, self._box, self._unit), self._box)
        shape = frame.inside.shape
        return Refinement(np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32))


def cut_target(picture: Image, box: Box) -> Image:
    """Return the true picture in the same box at the network's size."""
    x0, y0, x1, y1 = box
    return shrink(picture[y0:y1, x0:x1])


def agreement(
    warped: NDArray[np.uint8], target: NDArray[np.uint8], inside: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return where warp and truth ``(SIDE, SIDE, 3)`` show the same thing, ``(SIDE, SIDE)`` 0-1.

    Only the inside of the mouth is ever doubted; ``inside`` is 255 there.
    """
    ours, theirs = (
        cv2.GaussianBlur(p.astype(np.float32).mean(2), (0, 0), _SPECK) for p in (warped, target)
    )
    around = inside < 16
    level = max(float(theirs[around].mean()) if around.any() else 128.0, 24.0)
    t = np.clip((np.abs(ours - theirs) / level - _SAME) / (_OTHER - _SAME), 0, 1)
    return (1.0 - inside / np.float32(255.0) * t * t * (3 - 2 * t)).astype(np.float32)


def arrays_of(pairs: Sequence[Pair]) -> dict[str, NDArray]:
    """Return pairs as arrays by name: a crop's, and a pair's own."""
    crops = [p.crop for p in pairs]
    arrays = {f.name: np.stack([getattr(c, f.name) for c in crops]) for f in fields(Crop)}
    own = [f.name for f in fields(pairs[0]) if f.name != "crop"]
    arrays |= {name: np.stack([np.asarray(getattr(p, name)) for p in pairs]) for name in own}
    arrays["shift"] = arrays["shift"].astype(np.float16)
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write a shard that appears only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, mode=SHARED) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write one shard; it appears only when it is complete."""
    write_arrays(path, arrays_of(pairs))


def read_pairs(paths: Iterable[Path]) -> dict[str, NDArray]:
    """Read shards into arrays by name, concatenated; see ``Pair``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the pairs are of several sizes.
    """
    plain: dict[str, list[NDArray]] = {}
    for path in sorted(paths):
        with np.load(path, allow_pickle=False) as shard:
            for name in shard.files:
                plain.setdefault(name, []).append(shard[name])
    if not plain:
        raise FileNotFoundError("There are no training pairs.")
    sizes = {a.shape[1] for a in plain["target"]}
    if len(sizes) > 1:
        raise ValueError(f"The pairs are of several sizes: {sorted(sizes)} pixels a side.")
    return {name: np.concatenate(found) for name, found in plain.items()}


def in_shards(pairs: Iterable[T], size: int) -> Iterator[list[T]]:
    """Group pairs into lists of ``size``, the last one shorter.

    A pair that follows another, as its ``follows`` says if it has one, is in the same list.
    """
    group: list[T] = []
    for pair in pairs:
        if len(group) >= size and not getattr(pair, "follows", False):
            yield group
            group = []
        group.append(pair)
    if group:
        yield group
