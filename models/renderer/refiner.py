"""The network's place in the chain: after the warp, before the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


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


class Refiner(Protocol):
    """Repairs what geometry cannot know."""

    def box(self, size: int, face: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Choose (x0, y0, x1, y1) of the crop from the picture's size and the face's box."""
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
