"""The bridge's arithmetic on a network's inputs; see ``bridge`` for the algebra."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from visavis.models.renderer.relight.crop import GATE, STATE, STEP, TIME, WARPED
from visavis.models.renderer.training.relight.bridge import SIGMA, shortcut, state_at
from visavis.models.renderer.training.relight.losses import charbonnier
from visavis.models.renderer.training.relight.network import endpoint


def conditioned(x: Tensor, state: Tensor, t: Tensor, step: Tensor) -> Tensor:
    """Return the input with another state, time and step; ``t`` and ``step`` are (B,)."""
    y = x.clone()
    y[:, STATE] = state
    y[:, TIME] = t.view(-1, 1, 1, 1)
    y[:, STEP] = step.view(-1, 1, 1, 1)
    return y


def predictor(
    network: nn.Module, x: Tensor, *, jumps: bool
) -> Callable[[Tensor, float, float], Tensor]:
    """Return ``predict(state, t, step)`` of a network; the teacher is never told a step."""

    def predict(state: Tensor, t: float, step: float) -> Tensor:
        full = (x.new_full((len(x),), v) for v in (t, step if jumps else 0.0))
        return endpoint(network, conditioned(x, state, *full))

    return predict


def start_of(x: Tensor, noise: Tensor) -> Tensor:
    """Return the bridge's start: the warp with noise where the network may act."""
    return x[:, WARPED] + SIGMA * x[:, GATE] * noise


def shortcut_loss(
    network: nn.Module, x: Tensor, picture: Tensor, start: Tensor, rng: np.random.Generator
) -> Tensor:
    """Ask one step to reach what two half steps reach (Frans et al., shortcut models, 2024).

    Args:
        network: the student.
        x: (B, CHANNELS, H, W) inputs.
        picture: (B, 3, H, W) far ends of the bridges.
        start: (B, 3, H, W) their starts.
        rng: chooses the step (1 or 1/2) and the time.
    """
    d = 1.0 if rng.random() < 0.5 else 0.5
    t = 1.0 if d == 1.0 or rng.random() < 0.5 else 0.5
    state = state_at(t, picture, start)
    predict = predictor(network, x, jumps=True)
    with torch.no_grad():
        wanted = shortcut(state, predict, t, d)
    return charbonnier(predict(state, t, d), wanted, x[:, GATE])
