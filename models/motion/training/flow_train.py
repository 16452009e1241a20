"""Train the flow on simulated conversations over the corpus' own speech; needs torch."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.models.files import SHARED, atomic_path
from visavis.models.motion.flow import CHANNELS, KEEP, RATE, FlowConfig
from visavis.models.motion.training.flow_network import SMALLEST, FlowNet
from visavis.models.motion.training.simulate import SpeechBank, episode

logger = logging.getLogger(__name__)
_RETURN = float(np.exp(-1.0 / (RATE * 1.0)))  # a disturbed command is back within about a second


@dataclass(frozen=True)
class FlowTrainConfig:
    """How to train the flow.

    Attributes:
        steps: of the optimiser.
        batch: conversations per step.
        seconds: length of each.
        rate: peak learning rate, falling to zero on a cosine.
        shortcut: share of the batch that learns larger steps from two smaller ones.
        blur: noise on the last command, in spreads, which the next innovation has to take back.
        pushes: disturbances per second, from which commands return to where they would be.
        seed: of everything.
    """

    steps: int = 1500
    batch: int = 28
    seconds: float = 10.0
    rate: float = 2e-3
    shortcut: float = 0.25
    blur: float = 0.3
    pushes: float = 0.12
    seed: int = 0


def innovations(commands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what each command adds to the leaking one before, ``(batch, ticks, CHANNELS)``."""
    before = np.concatenate([np.zeros_like(commands[:, :1]), commands[:, :-1]], axis=1)
    return np.asarray(commands - np.float32(KEEP) * before, np.float32)


def disturbed(
    commands: NDArray[np.float32], rng: np.random.Generator, pushes: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Let sequences start from rest and push them now and then; return where they must go.

    Without it the network would never see itself off the mark, and so never come back.

    Returns:
        Commands ``(batch, ticks, CHANNELS)`` with decaying offsets, and ``(batch, ticks, 1)`` that
        is 0 on the tick of a push.
    """
    batch, count, _ = commands.shape
    offset = -commands[:, 0].copy()
    out = np.empty_like(commands)
    scored = np.ones((batch, count, 1), np.float32)
    for t in range(count):
        offset *= np.float32(_RETURN)
        pushed = rng.random(batch) < pushes / RATE
        offset[pushed] += rng.normal(0.0, 0.7, (int(pushed.sum()), CHANNELS)).astype(np.float32)
        scored[pushed, t] = 0.0
        out[:, t] = commands[:, t] + offset
    return out, scored


def measure_spread(bank: SpeechBank, seed: int) -> NDArray[np.float32]:
    """Return the standard deviation of innovations per channel."""
    _, commands = episode(bank, np.random.default_rng([seed, 77]), 96, 30.0)
    spread = innovations(commands)[:, 1:].reshape(-1, CHANNELS).std(axis=0)
    return np.asarray(np.maximum(spread, 0.03), np.float32)


class FlowTrainer:
    """Network, its running average, optimiser and where they are kept."""

    def __init__(self, folder: Path, bank: SpeechBank, config: FlowTrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.bank, self.folder = config, bank, folder
        spread = measure_spread(bank, config.seed)
        self.net, self.average = FlowNet(FlowConfig(), spread), FlowNet(FlowConfig(), spread)
        self.average.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=config.rate, weight_decay=1e-3)
        self.steps = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept (NumPy arrays, no pickle)."""
        return self.folder / "flow-checkpoint.npz"

    def save(self) -> None:
        """Write everything needed to go on, atomically."""
        arrays = {"steps": np.array(self.steps)}
        for prefix, net in (("net", self.net), ("average", self.average)):
            arrays |= {f"{prefix}/{k}": v.numpy() for k, v in net.state_dict().items()}
        for i, parameter in enumerate(self.net.parameters()):
            for key, value in self.optimiser.state[parameter].items():
                arrays[f"adam/{i}/{key}"] = torch.as_tensor(value).numpy()
        with atomic_path(self.checkpoint, mode=SHARED) as partial:
            np.savez(partial, **arrays)

    def restore(self) -> None:
        """Go on from the checkpoint."""
        with np.load(self.checkpoint, allow_pickle=False) as data:
            arrays = {k: torch.from_numpy(np.array(data[k])) for k in data.files}
        self.steps = int(arrays["steps"])
        for prefix, net in (("net/", self.net), ("average/", self.average)):
            net.load_state_dict(
                {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
            )
        for i, parameter in enumerate(self.net.parameters()):
            keys = [k for k in arrays if k.startswith(f"adam/{i}/")]
            self.optimiser.state[parameter] = {k.split("/")[-1]: arrays[k] for k in keys}

    def step(self) -> float:
        """Train on one batch, drawn from the seed and the step's number; return its loss."""
        config = self.config
        rng = np.random.default_rng([config.seed, self.steps])
        torch.manual_seed(config.seed * 1000003 + self.steps)
        given, commands = episode(self.bank, rng, config.batch, config.seconds)
        conditions = torch.from_numpy(given)
        wanted, scored = disturbed(commands, rng, config.pushes)
        after = torch.from_numpy(wanted)
        before = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)
        before = before + config.blur * self.net.spread * torch.randn_like(before)
        target = ((after - KEEP * before) / self.net.spread).clamp(-12, 12)
        memory = self.net.memories(before, conditions)
        context = torch.cat([memory, before, conditions], dim=-1)
        loss = self.loss(context, target, torch.from_numpy(scored))
        warm = min(1.0, (self.steps + 1) / 100)
        share = min(self.steps / config.steps, 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = config.rate * warm * 0.5 * (1 + np.cos(np.pi * share))
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        keep = min(0.995, self.steps / (self.steps + 10))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.net.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        return float(loss.detach())

    def loss(self, context: Tensor, target: Tensor, scored: Tensor) -> Tensor:
        """Flow matching for most of the batch, self-consistency for the rest.

        ``scored`` ``(B, T, 1)`` is 0 where the target is a disturbance.
        """
        noise = torch.randn_like(target)
        cut = round(len(target) * self.config.shortcut)
        # The instantaneous velocity, which is also that of the smallest step.
        time = torch.rand_like(target[cut:, :, :1])
        x = (1 - time) * noise[cut:] + time * target[cut:]
        said = self.net.velocity(x, time, torch.zeros_like(time), context[cut:])
        plain = ((said - (target[cut:] - noise[cut:])).square() * scored[cut:]).mean()
        # Twice as far in one step as in two.
        levels = torch.randint(0, 3, target[:cut, :, :1].shape)
        half = (2.0**levels) / SMALLEST
        slots = (1.0 / (2 * half)).floor()
        time = (torch.rand_like(half) * slots).floor() * 2 * half
        x = (1 - time) * noise[:cut] + time * target[:cut]
        with torch.no_grad():
            told = torch.where(half <= 1.0 / SMALLEST, torch.zeros_like(half), half)
            first = self.average.velocity(x, time, told, context[:cut])
            second = self.average.velocity(x + half * first, time + half, told, context[:cut])
            wanted = (first + second) / 2
        said = self.net.velocity(x, time, 2 * half, context[:cut])
        return plain + (said - wanted).square().mean()

    def run(self, report_every: int = 50) -> None:
        """Train to the end of the schedule, saving on the way."""
        recent: list[float] = []
        saved = began = time.monotonic()
        while self.steps < self.config.steps:
            recent.append(self.step())
            now = time.monotonic()
            if self.steps % report_every == 0:
                logger.info(
                    "flow step %d  loss %.4f  %.1f min",
                    self.steps, float(np.mean(recent)), (now - began) / 60,
                )  # fmt: skip
                recent.clear()
            if now - saved > 120:
                self.save()
                saved = now
        self.save()
