"""The network's place in the chain: after the warp, before the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.renderer.warp import FULL

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class RefinerInput:
    """What a refiner sees of one frame, cropped to its box.

    Attributes:
        warped: ``(h, w, 3)`` uint8, the frame without refiner.
        photo: ``(h, w, 3)`` uint8, the photo in the same box.
        interior: ``(h, w, 3)`` uint8, the rendered inside of the mouth; 0 outside of it.
        vertices: ``(h, w, 2)`` float32, the photo's pixel that each pixel shows.
        semantics: ``(h, w)`` uint8, 0 background or torso, 1 skin, 2 inside of the mouth, 3 eye.
        confidence: ``(h, w)`` float32, 1 where the warp is sure.
        previous: ``(h, w, 3)`` uint8, the previous refined frame in the same box.
    """

    warped: NDArray[np.uint8]
    photo: NDArray[np.uint8]
    interior: NDArray[np.uint8]
    vertices: Floats
    semantics: NDArray[np.uint8]
    confidence: Floats
    previous: NDArray[np.uint8]


@dataclass(frozen=True)
class Refinement:
    """What a refiner returns.

    Attributes:
        residual: ``(h, w, 3)`` float32, added to the warp, in 0-255.
        alpha: ``(h, w)`` float32 gate in 0-1; 0 leaves the pixel as it is.
    """

    residual: Floats
    alpha: Floats


@dataclass(frozen=True)
class Places:
    """Where things are in one frame, as (x0, y0, x1, y1) in pixels.

    Attributes:
        face: the rasterised face.
        mouth: around the inner rim of the lips; None while the lips are closed.
        eyes: around the lids, the subject's left first.
        unit: inter-ocular distance in pixels.
    """

    face: Box
    mouth: Box | None
    eyes: tuple[Box, ...]
    unit: float


class Refiner(Protocol):
    """Repairs what geometry cannot know."""

    def box(self, size: int, places: Places) -> Box | None:
        """Choose (x0, y0, x1, y1) of the crop inside the picture; None leaves the frame alone."""
        ...

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return residual and gate for one frame."""
        ...

    def reset(self) -> None:
        """Forget the past."""
        ...


def apply_refinement(out: NDArray[np.uint8], refinement: Refinement) -> None:
    """Add the gated residual to ``(h, w, 3)`` uint8 in place; alpha 0 changes no bit."""
    alpha = np.clip(refinement.alpha, 0.0, 1.0)
    rows, columns = np.nonzero(alpha > 0)
    if len(rows) == 0:
        return
    change = alpha[rows, columns, None] * refinement.residual[rows, columns]
    out[rows, columns] = np.clip(np.rint(out[rows, columns] + change), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Drawn:
    """What the renderer knows of the frame it just drew; pictures are of the whole frame.

    Attributes:
        out: ``(S, S, 3)`` uint8, refined in place.
        photo: ``(S, S, 3)`` uint8.
        source: ``(S, S, 2)`` float32, the photo's pixel that each pixel shows.
        face: box of the face, and which of its pixels are skin.
        mouth: box of the inner rim, skin samples per pixel (0-16) and the doubled interior
            ``(2h, 2w, 3)``; None while the lips are closed.
        eyes: box and skin samples of either eye.
        unit: inter-ocular distance in pixels.
    """

    out: Image
    photo: Image
    source: Floats
    face: tuple[Box, NDArray[np.bool_]]
    mouth: tuple[Box, Image, Floats] | None
    eyes: tuple[tuple[Box, Image], ...]
    unit: float


class RefinerStage:
    """Feeds a refiner from the renderer's buffers and keeps the previous frame."""

    def __init__(self, refiner: Refiner) -> None:
        """Wrap one refiner; one stage per session."""
        self._refiner = refiner
        self._previous: Image | None = None

    def reset(self) -> None:
        """Forget the past."""
        self._previous = None
        self._refiner.reset()

    def apply(self, drawn: Drawn) -> None:
        """Refine one frame in place."""
        mouth = None if drawn.mouth is None else drawn.mouth[0]
        places = Places(drawn.face[0], mouth, tuple(box for box, _ in drawn.eyes), drawn.unit)
        box = self._refiner.box(drawn.out.shape[0], places)
        if box is not None:
            x0, y0, x1, y1 = box
            refinement = self._refiner.refine(self._look(drawn, box))
            apply_refinement(drawn.out[y0:y1, x0:x1], refinement)
        self._previous = drawn.out.copy()

    def _look(self, drawn: Drawn, box: Box) -> RefinerInput:
        x0, y0, x1, y1 = box
        shape = (y1 - y0, x1 - x0)
        semantics = np.zeros(shape, np.uint8)
        confidence = np.ones(shape, np.float32)
        inside = np.zeros((*shape, 3), np.uint8)
        _paste(semantics, box, drawn.face[0], drawn.face[1], np.uint8(1))
        for eye, coverage in drawn.eyes:
            _paste(semantics, box, eye, coverage < FULL // 2, np.uint8(3))
            _paste(confidence, box, eye, np.ones(coverage.shape, bool), np.float32(0.7))
        if drawn.mouth is not None:
            at, coverage, fine = drawn.mouth
            hole = coverage < FULL
            _paste(semantics, box, at, hole, np.uint8(2))
            _paste(confidence, box, at, ~hole, np.float32(0.6))
            _paste(confidence, box, at, hole, np.float32(0.0))
            rows, columns = hole.shape
            small = fine.reshape(rows, 2, columns, 2, 3).mean((1, 3))
            _paste(inside, box, at, hole, np.clip(small, 0, 255).astype(np.uint8))
        crop = np.s_[y0:y1, x0:x1]
        previous = drawn.out if self._previous is None else self._previous
        return RefinerInput(
            drawn.out[crop].copy(), drawn.photo[crop], inside, drawn.source[crop],
            semantics, confidence, previous[crop].copy(),
        )  # fmt: skip


def _paste(
    target: NDArray[np.generic], box: Box, place: Box, mask: NDArray[np.bool_], value: object
) -> None:
    """Write ``value`` where ``mask``, which lies at ``place`` of the frame, overlaps ``box``."""
    x0, y0 = max(box[0], place[0]), max(box[1], place[1])
    x1, y1 = min(box[2], place[0] + mask.shape[1]), min(box[3], place[1] + mask.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    inner = np.s_[y0 - place[1] : y1 - place[1], x0 - place[0] : x1 - place[0]]
    chosen = mask[inner]
    part = target[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]]
    part[chosen] = value[inner][chosen] if isinstance(value, np.ndarray) else value
