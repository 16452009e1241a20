"""What each stage of the training asks of its network."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.models.renderer.relight.crop import INSIDE, WARPED
from visavis.models.renderer.training.relight.data import WINDOW, Batch, PairSet, assemble
from visavis.models.renderer.training.relight.graphs.network import endpoint, tone
from visavis.models.renderer.training.relight.graphs.shade_network import shaded
from visavis.models.renderer.training.relight.losses import charbonnier, coarse, picture_loss

_CHECKED, _CHECK_BATCH = 256, 16  # held-out pairs that are looked at


def in_drawn_tone(batch: Batch) -> Batch:
    """Give the truth the tone that the renderer drew inside the mouth; see ``RefinerNetwork``."""
    inside = batch.x[:, INSIDE]
    shift = inside * tone(batch.target - batch.x[:, WARPED], inside)
    return replace(batch, target=batch.target - shift)


class Objectives:
    """Losses by stage over one set of pairs."""

    def __init__(
        self, pairs: PairSet, device: str, rng: np.random.Generator
    ) -> None:  # fmt: skip
        """Start a stage.

        Args:
            pairs: what is learned from.
            device: cpu or cuda.
            rng: cuts, recolours, and draws times.
        """
        self._pairs, self._device, self._rng = pairs, device, rng

    def loss(self, stage: str, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """Return a stage's loss on some pairs."""
        of = {
            "shade": self._shade, "regression": self._regression, "light": self._regression,
        }[stage]  # fmt: skip
        return of(network, rows)

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
                picture = shaded(network, x) if stage == "shade" else endpoint(network, x)
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
        batch = assemble(self._pairs, rows, self._rng, WINDOW)
        if network.config.keep_tone:
            batch = in_drawn_tone(batch)
        return batch.x.contiguous(memory_format=torch.channels_last), batch

    def _shade(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        batch = assemble(self._pairs, rows, self._rng, WINDOW)
        with self.products():
            picture = shaded(network, batch.x)
        near = charbonnier(picture, batch.target, batch.weight)
        return near + 0.5 * coarse(picture, batch.target, batch.weight)

    def _regression(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        x, batch = self._batch(network, rows)
        with self.products():
            picture = endpoint(network, x)
        return picture_loss(picture, batch.target, batch.weight)


def _error(picture: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean squared error of each picture, (B,)."""
    squares = ((picture.float() - batch.target) ** 2 * batch.weight).mean((1, 2, 3))
    return squares / batch.weight.mean((1, 2, 3)).clamp_min(1e-6)
