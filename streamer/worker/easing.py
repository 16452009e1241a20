"""A refiner whose work can be cut while the machine is overloaded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.renderer.refiner import Box, Places, Refinement, Refiner, RefinerInput
from models.renderer.renderer import Renderer
from streamer.worker.overload import Effort


class EasedRefiner:
    """Runs a refiner with all its steps, with one, or not at all.

    Args:
        full: as the user wants it.
        quick: the same in one step.
    """

    def __init__(self, full: Refiner, quick: Refiner) -> None:
        self._full, self._quick = full, quick
        self.effort = Effort.FULL

    @property
    def _now(self) -> Refiner:
        return self._full if self.effort == Effort.FULL else self._quick

    def box(self, size: int, places: Places) -> Box | None:
        """Choose the crop; None, which leaves the warp alone, when refining costs too much."""
        return None if self.effort >= Effort.WARP_ONLY else self._now.box(size, places)

    def refine(self, frame: RefinerInput) -> Refinement:
        """Return residual and gate for one frame."""
        return self._now.refine(frame)

    def reset(self) -> None:
        """Forget the past."""
        self._full.reset()
        self._quick.reset()


class EasedDrawer:
    """A renderer with such a refiner."""

    def __init__(self, renderer: Renderer, refiner: EasedRefiner) -> None:
        self._renderer, self._refiner = renderer, refiner

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Draw one frame."""
        return self._renderer.render(coefficients)

    def ease(self, effort: Effort) -> None:
        """Do less, or more again."""
        self._refiner.effort = effort
