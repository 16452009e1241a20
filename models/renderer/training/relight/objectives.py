"""What each stage of the training asks of its network."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.models.renderer.relight.crop import GATE, INSIDE, WARPED
from visavis.models.renderer.training.relight.bridge import TEACHER_STEPS, sample, state_at
from visavis.models.renderer.training.relight.bridging import (
    conditioned,
    predictor,
    shortcut_loss,
    start_of,
)
from visavis.models.renderer.training.relight.critic import WEIGHT as CRITIC
from visavis.models.renderer.training.relight.critic import Critic, critic_loss, opinion
from visavis.models.renderer.training.relight.data import Batch, PairSet, assemble
from visavis.models.renderer.training.relight.losses import charbonnier, coarse, picture_loss
from visavis.models.renderer.training.relight.network import endpoint, tone
from visavis.models.renderer.training.relight.shade_network import shaded

_WALKED = 32  # pairs that a teacher walks at once
_CHECKED, _CHECK_BATCH = 256, 16  # held-out pairs that are looked at


def in_drawn_tone(batch: Batch) -> Batch:
    """Give the truth the tone that the renderer drew inside the mouth; see ``RefinerNetwork``."""
    inside = batch.x[:, INSIDE]
    shift = inside * tone(batch.target - batch.x[:, WARPED], inside)
    return replace(batch, target=batch.target - shift)


class Objectives:
    """Losses by stage over one set of pairs."""

    def __init__(
        self, pairs: PairSet, window: tuple[int, int], device: str, rng: np.random.Generator,
        critic: Critic,
    ) -> None:  # fmt: skip
        """Start a stage.

        Args:
            pairs: what is learned from.
            window: rows and columns of a cut.
            device: cpu or cuda.
            rng: cuts, recolours, and draws times.
            critic: of the finish.
        """
        self._pairs, self._window, self._device, self._rng = pairs, window, device, rng
        self._critic = critic

    def loss(self, stage: str, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """Return a stage's loss on some pairs."""
        of = {
            "shade": self._shade, "regression": self._regression, "finish": self._finish,
            "teacher": self._teacher, "student": self._student, "light": self._regression,
        }[stage]  # fmt: skip
        return of(network, rows)

    @torch.no_grad()
    def walk_teacher(self, network: nn.Module) -> NDArray[np.uint8]:
        """Walk a teacher once over every pair; return its endpoints ``(N, side, side, 3)``."""
        found = []
        for low in range(0, len(self._pairs), _WALKED):
            rows = np.arange(low, min(low + _WALKED, len(self._pairs)))
            x = self._pairs.whole(rows).x
            generator = torch.Generator().manual_seed(low)
            noise = torch.randn(x[:, WARPED].shape, generator=generator).to(x.device)
            with self.products():
                predict = predictor(network, x, jumps=False)
                walk = sample(start_of(x, noise), predict, TEACHER_STEPS)
            eight_bits = ((walk + 1) * 127.5).round().clamp(0, 255).byte()
            found.append(eight_bits.permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def check(self, stage: str, network: nn.Module, held_out: PairSet) -> str:
        """Say how much nearer the truth held-out pairs are than the warp, dB where it counts."""
        if not len(held_out):
            return "nothing is held out"
        gains: dict[bool, list[float]] = {}
        rows = np.linspace(0, len(held_out) - 1, min(_CHECKED, len(held_out)))
        rows = rows.astype(np.int64)
        for low in range(0, len(rows), _CHECK_BATCH):
            some = rows[low : low + _CHECK_BATCH]
            batch = held_out.whole(some)
            x = batch.x.contiguous(memory_format=torch.channels_last)
            with self.products():
                if stage == "shade":
                    picture = shaded(network, x)
                elif stage in ("teacher", "student"):
                    start = start_of(x, torch.zeros_like(batch.target))
                    picture = predictor(network, x, jumps=stage == "student")(start, 1.0, 1.0)
                else:
                    picture = endpoint(network, x)
            error = _error(picture.clamp(-1, 1), batch), _error(x[:, WARPED], batch)
            gain = 10 * torch.log10((error[1] + 1e-7) / (error[0] + 1e-7))
            for real, value in zip(held_out.real[some], gain.tolist(), strict=True):
                gains.setdefault(bool(real), []).append(value)
        return ", ".join(
            f"{'portraits' if real else 'people'} {np.mean(v):+.2f} dB" for real, v in gains.items()
        )

    def products(self) -> AbstractContextManager:
        """Return where products are bfloat16: on a GPU."""
        cuda = self._device.startswith("cuda")
        return torch.autocast("cuda", torch.bfloat16, enabled=cuda)

    def _batch(self, network: nn.Module, rows: NDArray[np.int64]) -> tuple[Tensor, Batch]:
        batch = assemble(self._pairs, rows, self._rng, self._window)
        if network.config.keep_tone:
            batch = in_drawn_tone(batch)
        return batch.x.contiguous(memory_format=torch.channels_last), batch

    def _shade(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        batch = assemble(self._pairs, rows, self._rng, self._window)
        with self.products():
            picture = shaded(network, batch.x)
        near = charbonnier(picture, batch.target, batch.weight)
        return near + 0.5 * coarse(picture, batch.target, batch.weight)

    def _regression(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        x, batch = self._batch(network, rows)
        with self.products():
            picture = endpoint(network, x)
        return picture_loss(picture, batch.target, batch.weight)

    def _finish(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """The regression's loss, and a critic's opinion; both networks learn in turn."""
        x, batch = self._batch(network, rows)
        with self.products():
            picture = endpoint(network, x)
        inside = x[:, INSIDE]
        self._critic.optimiser.zero_grad()
        critic_loss(self._critic.network, batch.target, picture, inside).backward()
        self._critic.optimiser.step()
        own = picture_loss(picture, batch.target, batch.weight)
        return own + CRITIC * opinion(self._critic.network, picture, inside, x[:, GATE])

    def _teacher(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        x, batch = self._batch(network, rows)
        target = batch.target
        t = torch.from_numpy(self._rng.random(len(rows)).astype(np.float32))
        t[self._rng.random(len(rows)) < 0.25] = 1.0  # where every walk begins
        t = t.to(x.device)
        state = state_at(t.view(-1, 1, 1, 1), target, start_of(x, torch.randn_like(target)))
        with self.products():
            picture = endpoint(network, conditioned(x, state, t, torch.zeros_like(t)))
        return picture_loss(picture, target, batch.weight)

    def _student(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """Half of the batch: endpoints and truth; a quarter: other steps; a quarter: shortcuts."""
        x, batch = self._batch(network, rows)
        target, weight, teacher = batch.target, batch.weight, batch.other
        half, quarter = len(rows) // 2, len(rows) // 4
        one = x.new_ones(half)
        start = start_of(x, torch.randn_like(target))
        with self.products():
            whole = endpoint(network, conditioned(x[:half], start[:half], one, one))
        loss = picture_loss(whole, target[:half], weight[:half])
        loss = loss + 0.5 * charbonnier(whole, teacher[:half], x[:half, GATE])
        some = slice(half, half + quarter)
        loss = loss + 0.5 * self._other_steps(
            network, x[some], target[some], start[some], weight[some]
        )
        rest = slice(half + quarter, None)
        with self.products():
            jump = shortcut_loss(network, x[rest], teacher[rest], start[rest], self._rng)
        return loss + 0.5 * jump

    def _other_steps(
        self, network: nn.Module, x: Tensor, target: Tensor, start: Tensor, weight: Tensor
    ) -> Tensor:
        k = self._rng.choice([2, 4], len(x))
        t = torch.from_numpy((self._rng.integers(1, k + 1) / k).astype(np.float32)).to(x.device)
        step = torch.from_numpy((1.0 / k).astype(np.float32)).to(x.device)
        state = state_at(t.view(-1, 1, 1, 1), target, start)
        with self.products():
            picture = endpoint(network, conditioned(x, state, t, step))
        return picture_loss(picture, target, weight)


def _error(picture: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean squared error of each picture, (B,)."""
    squares = ((picture.float() - batch.target) ** 2 * batch.weight).mean((1, 2, 3))
    return squares / batch.weight.mean((1, 2, 3)).clamp_min(1e-6)
