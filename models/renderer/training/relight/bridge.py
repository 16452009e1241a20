"""The bridge between warp and picture (after ResShift and I2SB): algebra, without torch.

``x_t = (1 - t) * picture + t * (warp + sigma * gate * noise)``: t = 1 is what the renderer drew,
with a little noise where the network may change it; t = 0 is the picture. The functions take
arrays of any library with arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Array = TypeVar("Array")

SIGMA = 0.10  # of the colour range -1 to 1
TEACHER_STEPS = 12
STUDENT_STEPS = (1, 2, 4)


def state_at(t: Array, picture: Array, start: Array) -> Array:
    """Return ``x_t`` between a picture and its start ``warp + sigma * gate * noise``."""
    return (1.0 - t) * picture + t * start  # type: ignore[operator,return-value]


def advance(state: Array, endpoint: Array, t: float, step: float) -> Array:
    """Move from t to ``t - step`` on the straight line through a predicted endpoint.

    Solving ``x_t`` for the start and inserting it at ``t - step`` gives
    ``endpoint + (t - step) / t * (x_t - endpoint)``.
    """
    rest = max(0.0, t - step) / t
    return endpoint + rest * (state - endpoint)  # type: ignore[operator,return-value]


def shortcut(
    state: Array, predict: Callable[[Array, float, float], Array], t: float, step: float
) -> Array:
    """Return the endpoint with which one step would reach what two half steps reach.

    Frans et al., *One Step Diffusion via Shortcut Models* (2024), for endpoints instead of
    velocities: ``advance`` is solved for the endpoint.
    """
    half = step / 2
    middle = advance(state, predict(state, t, half), t, half)
    reached = advance(middle, predict(middle, t - half, half), t - half, half)
    rest = max(0.0, t - step) / t
    return (reached - rest * state) / (1.0 - rest)  # type: ignore[operator,return-value]


def sample(start: Array, predict: Callable[[Array, float, float], Array], steps: int) -> Array:
    """Walk from t = 1 to 0 in equal steps; ``predict(state, t, step)`` returns an endpoint."""
    state, step = start, 1.0 / steps
    for index in range(steps):
        t = 1.0 - index * step
        state = advance(state, predict(state, t, step), t, step)
    return state
