"""Words for arrays that every part of the models uses, and the one curve that eases them in."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]  # whatever is measured: points, coefficients, flows
Image = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W) opacity
Ints = NDArray[np.int32]  # indices of vertices
Mask = NDArray[np.bool_]

Number = TypeVar("Number", float, NDArray[np.float32], NDArray[np.float64], NDArray[np.floating])


def ease(t: Number) -> Number:
    """Return the cubic from 0 at 0 to 1 at 1 that is level at both ends (Hermite's smoothstep).

    Args:
        t: a share, 0 to 1, which is not clipped; any shape, kept with its dtype.

    Compiled loops write it out: they work in float32, where the order of the steps counts.
    """
    return t * t * (3 - 2 * t)


def smoothstep(low: float, high: float, x: float) -> float:
    """Return 0 below ``low``, 1 above ``high``, eased between."""
    return ease(min(1.0, max(0.0, (x - low) / (high - low))))


def held_within(pixel: float, least: int, most: int) -> int:
    """Return a place as a whole pixel from ``least`` to ``most``, cut off towards zero.

    ``np.clip`` gives the same at many times the cost on a single number, and a frame asks twenty
    times.

    Raises:
        ValueError: the place is not a number.
    """
    return int(min(max(float(pixel), least), most))
