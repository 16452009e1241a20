"""The network's place in the chain: after the warp, before the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from visavis.models.arrays import Floats, Image
from visavis.models.renderer.frame import Box, Opening
from visavis.models.renderer.raster.warp import FULL


@dataclass(frozen=True)
class RefinerInput:
    """What a refiner sees of one frame, cropped to its box.

    Attributes:
        warped: ``(h, w, 3)`` uint8, the frame without refiner.
        photo: ``(h, w, 3)`` uint8, the photo in the same box.
        interior: ``(h, w, 3)`` uint8, the rendered inside of the mouth, 0 outside of it.
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
class Places:
    """Where things are in one frame, in pixels.

    Attributes:
        mouth: (x0, y0, x1, y1) around the inner rim of the lips; None while they are closed.
        unit: inter-ocular distance.
    """

    mouth: Box | None
    unit: float


class Refiner(Protocol):
    """Repairs what geometry cannot know; keeps nothing between frames."""

    def box(self, size: int, places: Places) -> Box | None:
        """Choose (x0, y0, x1, y1) of the crop inside the picture; None leaves the frame alone."""
        ...

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return residual and gate for one frame."""
        ...


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
        mouth: the inner rim; None while the lips are closed.
        interior: ``(2h, 2w, 3)`` float32, what was painted inside, doubled; None likewise.
        unit: inter-ocular distance in pixels.
    """

    out: Image
    photo: Image
    source: Floats
    mouth: Opening | None
    interior: Floats | None
    unit: float


def refine_frame(refiner: Refiner, drawn: Drawn) -> None:
    """Let a refiner change one frame in place."""
    mouth = None if drawn.mouth is None else drawn.mouth.box
    box = refiner.box(drawn.out.shape[0], Places(mouth, drawn.unit))
    if box is not None:
        x0, y0, x1, y1 = box
        apply_refinement(drawn.out[y0:y1, x0:x1], refiner.refine(_look(drawn, box)))


def _look(drawn: Drawn, box: Box) -> RefinerInput:
    x0, y0, x1, y1 = box
    inside = np.zeros((y1 - y0, x1 - x0), np.bool_)
    interior = np.zeros((*inside.shape, 3), np.uint8)
    if drawn.mouth is not None and drawn.interior is not None:
        at, fine = drawn.mouth.box, drawn.interior
        hole = drawn.mouth.coverage < FULL
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
