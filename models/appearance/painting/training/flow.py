"""Teacher by rectified flow; student of one, two and four steps from its trajectories."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from visavis.models.appearance.painting.canvas import MAPS
from visavis.models.appearance.painting.painter import TEMPERATURE
from visavis.models.appearance.painting.training.crops import Batch, Set, augmented
from visavis.models.appearance.painting.training.network import PaintNetwork

_LOG = logging.getLogger(__name__)

Loss = Callable[[PaintNetwork, PaintNetwork], Tensor]
_FEWEST = 20.0  # pixels that a hole counts as at least
_GRADIENT = 0.25  # weight of the loss on differences of neighbouring pixels
_NOISY = 0.1  # mean of the logit of t: a little towards noise
_FINEST = 8  # steps of the teacher's trajectories
GUIDANCE = 0.7
_PARTS = (1, 2, 4)  # steps of the student
_OFTEN = (0.4, 0.3, 0.3)  # of its batches
_CONSISTENT = 0.25  # weight of self-consistency
_WARM = 150  # steps


@dataclass(frozen=True)
class Plan:
    """How a stage is trained.

    Attributes:
        steps: of the optimiser.
        batch: crops of a step.
        rate: of AdamW, reached after a warm-up, then by a cosine to 2 %.
        seed: of everything random.
        every: steps between checkpoints.
        decay: of the moving average.
    """

    steps: int
    batch: int = 24
    rate: float = 1e-3
    seed: int = 1
    every: int = 250
    decay: float = 0.999


def velocity(network: PaintNetwork, x: Tensor, t: Tensor, d: Tensor, batch: Batch) -> Tensor:
    """Return the network's velocity at ``x`` with the picture around the hole put in."""
    seen = x * batch.paint + batch.picture * (1 - batch.paint)
    return network(seen, batch.conditions, t[:, None], d[:, None], batch.about)


def hole_loss(error: Tensor, paint: Tensor) -> Tensor:
    """Return the mean square in the hole, of the values and of their differences."""
    error = error * paint
    pixels = paint.sum((1, 2, 3)).clamp(min=_FEWEST)
    values = (error**2).sum((1, 2, 3)) / (3 * pixels)
    across, down = error.diff(dim=3), error.diff(dim=2)
    edges = ((across**2).sum((1, 2, 3)) + (down**2).sum((1, 2, 3))) / (6 * pixels)
    return (values + _GRADIENT * edges).mean()


def flow_loss(network: PaintNetwork, batch: Batch, random: torch.Generator) -> Tensor:
    """Return the loss of a rectified flow (Liu et al. 2023), t by a logit-normal."""
    count = len(batch.picture)
    noise = torch.randn(batch.picture.shape, generator=random)
    t = torch.sigmoid(torch.randn(count, generator=random) + _NOISY)
    x = (1 - t[:, None, None, None]) * batch.picture + t[:, None, None, None] * noise
    with torch.autocast("cpu", torch.bfloat16):
        v = velocity(network, x, t, torch.zeros(count), batch)
    return hole_loss(v.float() - (noise - batch.picture), batch.paint)


@torch.no_grad()
def trajectory(teacher: PaintNetwork, batch: Batch, noise: Tensor, steps: int) -> list[Tensor]:
    """Return the states of the teacher's guided flow from noise to picture, ``steps + 1`` of them.

    Guidance (Ho and Salimans 2022) away from what would be painted without the maps: teeth keep
    their edges. Together with noise of less than full strength it takes out colours that few people
    have.
    """
    states, count, blind = [noise], len(noise), _blind(batch)
    for step in range(steps):
        t, zero = torch.full((count,), 1 - step / steps), torch.zeros(count)
        with torch.autocast("cpu", torch.bfloat16):
            v = velocity(teacher, states[-1], t, zero, batch).float()
            without = velocity(teacher, states[-1], t, zero, blind).float()
        states.append(states[-1] - (v + GUIDANCE * (v - without)) / steps)
    return states


def _blind(batch: Batch) -> Batch:
    """Return the batch without its maps."""
    conditions, about = batch.conditions.clone(), batch.about.clone()
    conditions[:, -MAPS:] = 0
    about[:, 2] = 0
    return replace(batch, conditions=conditions, about=about)


@dataclass(frozen=True)
class Trajectories:
    """Where the teacher went from noise, kept to be drawn from often.

    Attributes:
        batch: crops, ``(N, ...)``.
        states: ``(N, _PARTS[-1] + 1, 3, HEIGHT, WIDTH)`` from noise to picture.
    """

    batch: Batch
    states: Tensor

    def take(self, rows: Tensor) -> Trajectories:
        """Return some of them."""
        return Trajectories(_rows(self.batch, rows), self.states[rows])


def _rows(batch: Batch, rows: Tensor) -> Batch:
    return Batch(*(getattr(batch, f.name)[rows] for f in fields(Batch)))


def trajectories(teacher: PaintNetwork, draw: Draw, count: int) -> Trajectories:
    """Let the teacher paint ``count`` crops in ``_FINEST`` steps."""
    batches, states, found = [], [], 0
    while found < count:
        batch = draw()
        noise = TEMPERATURE * torch.randn(batch.picture.shape, generator=draw.random)
        every = _FINEST // _PARTS[-1]
        states.append(torch.stack(trajectory(teacher, batch, noise, _FINEST)[::every], 1))
        batches.append(batch)
        found += len(batch.picture)
    parts = (torch.cat([getattr(b, f.name) for b in batches]) for f in fields(Batch))
    return Trajectories(Batch(*parts), torch.cat(states))


def chord_loss(
    student: PaintNetwork, average: PaintNetwork, known: Trajectories, random: torch.Generator
) -> Tensor:
    """Return the loss of a student of few steps.

    Regression onto chords of the teacher's trajectories, a whole one, halves and quarters; and for
    the longer ones self-consistency (Frans et al. 2024): one step goes where two of half its
    length go.
    """
    count, finest = len(known.states), _PARTS[-1]
    kind = torch.multinomial(torch.tensor(_OFTEN), count, replacement=True, generator=random)
    parts = torch.tensor(_PARTS)[kind]
    first = (torch.rand(count, generator=random) * parts).long() * (finest // parts)
    rows, d = torch.arange(count), 1.0 / parts
    t = 1.0 - first / finest
    begin, end = known.states[rows, first], known.states[rows, first + finest // parts]
    with torch.autocast("cpu", torch.bfloat16):
        v = velocity(student, begin, t, d, known.batch).float()
    chord = (begin - end) * parts[:, None, None, None]
    total = hole_loss(v - chord, known.batch.paint)
    long = torch.nonzero(parts < finest)[:, 0]
    if len(long):
        batch, half = _rows(known.batch, long), d[long] / 2
        length = half[:, None, None, None]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            a = velocity(average, begin[long], t[long], half, batch)
            b = velocity(average, begin[long] - a * length, t[long] - half, half, batch)
        twice = 0.5 * (a + b).float()
        total = total + _CONSISTENT * hole_loss(v[long] - twice, batch.paint)
    return total


class Draw:
    """Draws augmented batches of the mouths that are not held out."""

    def __init__(self, data: Set, batch: int, seed: int) -> None:
        """Start the generators."""
        self.random = torch.Generator().manual_seed(seed)
        self._rng = np.random.default_rng(seed)
        self._data, self._batch = data, batch
        self._rows = np.flatnonzero(~data.held_out)
        self._share = data.weight[self._rows] / data.weight[self._rows].sum()

    def __call__(self) -> Batch:
        """Return the next batch."""
        rows = self._rng.choice(self._rows, self._batch, p=self._share)
        return augmented(self._data, rows, self.random)


def train(network: PaintNetwork, plan: Plan, out: Path, loss: Loss) -> PaintNetwork:
    """Train a stage, or go on where its checkpoint stopped; return the averaged network.

    Args:
        network: where it begins; trained in place.
        plan: how.
        out: ``.pt`` file of the checkpoint.
        loss: of network and average; draws its own batch.
    """
    network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(
        network.parameters(), plan.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    done = 0
    if out.exists():
        state = torch.load(out, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        done = int(state["done"])
    began, losses = time.monotonic(), []
    while done < plan.steps:
        found = loss(network, average)
        cosine = 0.5 * (1 + math.cos(math.pi * done / plan.steps))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * min(1.0, done / _WARM) * (0.02 + 0.98 * cosine)
        optimiser.zero_grad()
        found.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        done += 1
        losses.append(found.item())
        keep = min(plan.decay, done / (done + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)
        if done % plan.every == 0 or done == plan.steps:
            _save(network, average, optimiser, done, out)
            seconds, mean = time.monotonic() - began, np.mean(losses)
            _LOG.info("%s: %d steps, %.0f s, loss %.4f", out.stem, done, seconds, mean)
            losses.clear()
    return average.eval()


def _save(
    network: PaintNetwork, average: PaintNetwork, optimiser: torch.optim.Optimizer, done: int,
    out: Path,
) -> None:  # fmt: skip
    state = {
        "network": network.state_dict(), "average": average.state_dict(),
        "optimiser": optimiser.state_dict(), "done": done,
    }  # fmt: skip
    partial = out.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(out)
