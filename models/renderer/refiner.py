"""The network's place in the chain: after the warp, before the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.renderer.warp import FULL

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]
CELL = 4  # pixels of a frame to one cell of what whole frames' refiners are told


@dataclass(frozen=True)
class RefinerInput:
    """What a refiner sees of one frame, cropped to its box.

    Attributes:
        warped: ``(h, w, 3)`` uint8, the frame without refiner.
        photo: ``(h, w, 3)`` uint8, the photo in the same box; of an eye, in a box of the same size
            around the photo's eye.
        interior: ``(h, w, 3)`` uint8, the rendered inside of the mouth, or the eyeball as the frame
            shows it; 0 outside of it.
        vertices: ``(h, w, 2)`` float32, the photo's pixel that each pixel shows.
        inside: ``(h, w)`` bool, the inside of the mouth.
    """

    warped: Image
    photo: Image
    interior: Image
    vertices: Floats
    inside: NDArray[np.bool_]


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
class EyePlace:
    """Where one eye is in one frame, and what the frame made of the photo's; in pixels.

    Attributes:
        still: ``(N, 2)`` float32 points of both rims, as open as in the photo, where the head's
            motion has brought them.
        now: the same points with the frame's own lids.
        moved: columns and rows from the photo's eye to ``still``, on the whole.
        turn: how far the iris has moved in its eye, in radii of the iris.
        corner: left and top of ``coverage``.
        coverage: ``(h, w)`` uint8 skin samples per pixel around the eye, 0-16.
    """

    still: Floats
    now: Floats
    moved: tuple[float, float]
    turn: float
    corner: tuple[int, int]
    coverage: Image


@dataclass(frozen=True)
class Places:
    """Where things are in one frame, in pixels.

    Attributes:
        mouth: (x0, y0, x1, y1) around the inner rim of the lips; None while they are closed.
        unit: inter-ocular distance.
        eyes: left and right, subject's sides; empty if nobody asked for them.
    """

    mouth: Box | None
    unit: float
    eyes: tuple[EyePlace, ...] = ()


class Refiner(Protocol):
    """Repairs what geometry cannot know; keeps nothing between frames."""

    def box(self, size: int, places: Places) -> Box | None:
        """Choose (x0, y0, x1, y1) of the crop inside the picture; None leaves the frame alone."""
        ...

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return residual and gate for one frame."""
        ...


class EyesRefiner(Protocol):
    """Repairs both eyes at once; keeps nothing between frames."""

    def eye_boxes(self, size: int, places: Places) -> tuple[Box | None, ...]:
        """Choose a crop per eye of ``places``; None leaves an eye alone."""
        ...

    def refine_eyes(self, frames: Sequence[RefinerInput | None]) -> list[Refinement | None]:
        """Return residual and gate per eye; at least one of them has a frame."""
        ...


class WholeRefiner(Protocol):
    """Repairs whole frames, after all others; keeps nothing between them."""

    def refine_whole(
        self, out: Image, photo: Image, moved: Floats, hole: Image, unit: float
    ) -> None:
        """Change a frame in place.

        Args:
            out: ``(S, S, 3)`` uint8, S a multiple of ``CELL``.
            photo: ``(S, S, 3)`` uint8, the same in every call.
            moved: ``(S / CELL, S / CELL, 2)`` float32, how many pixels from its own place is what a
                cell shows.
            hole: ``(S / CELL, S / CELL)`` uint8, 255 where a cell has some inside of the mouth.
            unit: inter-ocular distance in pixels.
        """
        ...


class Refiners:
    """Several refiners of one session, each at its own place of the frame."""

    def __init__(self, parts: Sequence[Refiner | EyesRefiner | WholeRefiner]) -> None:
        """Combine refiners.

        Those of a place look at the frame before any of them changes it; those of the whole frame
        see what became of it.
        """
        self.eyes = tuple(p for p in parts if hasattr(p, "refine_eyes"))
        self.whole = tuple(p for p in parts if hasattr(p, "refine_whole"))
        others = (*self.eyes, *self.whole)
        self.others = tuple(p for p in parts if not any(p is other for other in others))


def apply_refinement(out: Image, refinement: Refinement) -> None:
    """Add the gated residual to ``(h, w, 3)`` uint8 in place; alpha 0 changes no bit."""
    _add(out, refinement.residual, refinement.alpha)


@njit(cache=True, fastmath=True, nogil=True)
def _add(out, residual, alpha):
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            a = min(np.float32(1.0), alpha[y, x])
            if a > 0:
                for k in range(3):
                    value = out[y, x, k] + a * residual[y, x, k] + np.float32(0.5)
                    out[y, x, k] = int(min(np.float32(255.0), max(np.float32(0.0), value)))


@dataclass(frozen=True)
class Drawn:
    """What the renderer knows of the frame it just drew; pictures are of the whole frame.

    Attributes:
        out: ``(S, S, 3)`` uint8, refined in place.
        photo: ``(S, S, 3)`` uint8.
        source: ``(S, S, 2)`` float32, the photo's pixel that each pixel shows.
        mouth: box of the inner rim, skin samples per pixel (0-16) and the doubled interior
            ``(2h, 2w, 3)``; None while the lips are closed.
        unit: inter-ocular distance in pixels.
        eyes: left and right; see ``Places``.
        shown: returns which pixel of the photo one of every so many shows; only refiners of whole
            frames ask.
    """

    out: Image
    photo: Image
    source: Floats
    mouth: tuple[Box, Image, Floats] | None
    unit: float
    eyes: tuple[EyePlace, ...]
    shown: Callable[[int], Floats]


def refine_frame(refiner: Refiner | WholeRefiner | Refiners, drawn: Drawn) -> None:
    """Let a refiner, or several, change one frame in place."""
    parts = refiner if isinstance(refiner, Refiners) else Refiners((refiner,))
    mouth = None if drawn.mouth is None else drawn.mouth[0]
    size, places = drawn.out.shape[0], Places(mouth, drawn.unit, drawn.eyes)
    changes: list[tuple[Box, Refinement]] = []
    for one in parts.others:
        box = one.box(size, places)
        if box is not None:
            changes.append((box, one.refine(_look(drawn, box))))
    for pair in parts.eyes:
        boxes = pair.eye_boxes(size, places)
        looks = [
            None if box is None else _look_at_eye(drawn, box, eye)
            for box, eye in zip(boxes, places.eyes, strict=True)
        ]
        if any(look is not None for look in looks):
            answers = zip(boxes, pair.refine_eyes(looks), strict=True)
            changes += [(b, a) for b, a in answers if b is not None and a is not None]
    for (x0, y0, x1, y1), change in changes:
        apply_refinement(drawn.out[y0:y1, x0:x1], change)
    if parts.whole:
        at = np.arange(CELL // 2, size, CELL, dtype=np.float32)
        moved = drawn.shown(CELL) - np.stack(np.meshgrid(at, at), -1)
        hole = _hole_cells(drawn)
        for whole in parts.whole:
            whole.refine_whole(drawn.out, drawn.photo, moved, hole, drawn.unit)


def _hole_cells(drawn: Drawn) -> Image:
    cells = len(drawn.out) // CELL
    hole = np.zeros((cells, CELL, cells, CELL), np.bool_)
    if drawn.mouth is not None:
        (x0, y0, _, _), coverage, _ = drawn.mouth
        rows, columns = coverage.shape
        hole.reshape(cells * CELL, -1)[y0 : y0 + rows, x0 : x0 + columns] = coverage < FULL
    return np.where(hole.any((1, 3)), 255, 0).astype(np.uint8)


def _look(drawn: Drawn, box: Box) -> RefinerInput:
    x0, y0, x1, y1 = box
    inside = np.zeros((y1 - y0, x1 - x0), np.bool_)
    interior = np.zeros((*inside.shape, 3), np.uint8)
    if drawn.mouth is not None:
        at, coverage, fine = drawn.mouth
        hole = coverage < FULL
        rows, columns = hole.shape
        small = np.clip(fine.reshape(rows, 2, columns, 2, 3).mean((1, 3)), 0, 255)
        common = _common(box, at[0], at[1], hole.shape)
        if common is not None:
            here, there = common
            inside[there] = hole[here]
            interior[there] = np.where(hole[here][..., None], small[here], 0).astype(np.uint8)
    crop = np.s_[y0:y1, x0:x1]
    return RefinerInput(
        drawn.out[crop].copy(), drawn.photo[crop], interior, drawn.source[crop], inside
    )


def _look_at_eye(drawn: Drawn, box: Box, eye: EyePlace) -> RefinerInput:
    x0, y0, x1, y1 = box
    crop = np.s_[y0:y1, x0:x1]
    warped = drawn.out[crop].copy()
    ball = np.zeros_like(warped)
    common = _common(box, *eye.corner, eye.coverage.shape)
    if common is not None:
        here, there = common
        ball[there] = np.where((eye.coverage[here] < FULL)[..., None], warped[there], 0)
    inside = np.zeros(warped.shape[:2], np.bool_)
    height, width = drawn.photo.shape[:2]
    left = int(np.clip(round(x0 - eye.moved[0]), 0, width - (x1 - x0)))
    top = int(np.clip(round(y0 - eye.moved[1]), 0, height - (y1 - y0)))
    photo = drawn.photo[top : top + y1 - y0, left : left + x1 - x0]
    return RefinerInput(warped, photo, ball, drawn.source[crop], inside)


def _common(
    box: Box, left: int, top: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return where a patch at ``left``, ``top`` and a box overlap, in the patch and in the box."""
    x0, y0, x1, y1 = box
    low_x, low_y = max(x0, left), max(y0, top)
    high_x, high_y = min(x1, left + shape[1]), min(y1, top + shape[0])
    if high_x <= low_x or high_y <= low_y:
        return None
    here = np.s_[low_y - top : high_y - top, low_x - left : high_x - left]
    there = np.s_[low_y - y0 : high_y - y0, low_x - x0 : high_x - x0]
    return here, there
