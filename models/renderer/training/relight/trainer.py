"""Trains one stage after the other; everything that a resumed call needs is on disk."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from visavis.models.files import SHARED, atomic_path
from visavis.models.renderer.training.relight.config import STAGES, TrainConfig
from visavis.models.renderer.training.relight.data import PairSet
from visavis.models.renderer.training.relight.graphs.network import NetworkConfig, RefinerNetwork
from visavis.models.renderer.training.relight.graphs.shade_network import ShadeNetwork
from visavis.models.renderer.training.relight.objectives import Objectives

log = logging.getLogger(__name__)

_SHARE = {"light": 0.06}  # of --samples
# Where a stage's weights start:
_AFTER = {"light": "regression"}
_SLOWER = {"light": 0.25}  # of the learning rate
_REAL_SHARE = 0.4  # of the batches are portraits, where there are any
_REAL_SHARES = {"shade": 0.7, "light": 0.6}  # light is learned from photos
_LARGEST_BATCH = {"light": 16}  # many small steps, since it only has to get used to its bounds
_AVERAGE = 0.997  # decay of the averaged weights
_SAVE_EVERY = 15.0  # seconds


class Trainer:
    """Trains the networks that light a mouth in one folder."""

    def __init__(
        self, pairs: PairSet, held_out: PairSet, out: Path, config: TrainConfig,
        network: NetworkConfig,
    ) -> None:  # fmt: skip
        """Prepare; nothing is read or written yet."""
        self._pairs, self._held_out, self._out = pairs, held_out, out
        self._config, self._network = config, network
        self._deadline = time.monotonic() + 60 * config.minutes

    def network(self, stage: str) -> nn.Module:
        """Return a stage's fresh network."""
        if stage == "shade":
            return ShadeNetwork().to(self._config.device)
        return RefinerNetwork(self.config_of(stage)).to(
            self._config.device, memory_format=torch.channels_last
        )

    def config_of(self, stage: str) -> NetworkConfig:
        """Return the sizes of a stage's network."""
        if stage == "light":
            return replace(self._network, keep_tone=False, light=True)
        return self._network

    def run(self, stage: str) -> bool:
        """Train one stage until its samples are done or the time is; True when done."""
        c = self._config
        torch.manual_seed(c.seed)
        network, average = self.network(stage), self.network(stage)
        if stage in _AFTER:
            network.load_state_dict(load_file(self._out / f"{_AFTER[stage]}.safetensors"))
        average.load_state_dict(network.state_dict())
        optimiser = torch.optim.AdamW(network.parameters(), lr=c.rate, weight_decay=1e-4)
        state = _State(stage, network, average, optimiser)
        done, spent = self._restore(state)
        rng = np.random.default_rng([c.seed, STAGES.index(stage), done])
        objectives = Objectives(self._pairs, c.device, rng)
        goal = int(c.samples * _SHARE.get(stage, 1.0))
        size = min(c.batch, _LARGEST_BATCH.get(stage, c.batch))
        share = _REAL_SHARES.get(stage, _REAL_SHARE)
        chances = self._pairs.weights(share)
        slow, fast = list(average.parameters()), list(network.parameters())
        began, first, before = time.monotonic(), done, spent
        saved, recent = began, []
        limit = None if c.stage_minutes is None else 60 * c.stage_minutes * _SHARE.get(stage, 1.0)

        def progress() -> float:
            return done / goal if limit is None else spent / limit

        while progress() < 1 and time.monotonic() < self._deadline:
            for group in optimiser.param_groups:
                group["lr"] = c.rate * _schedule(progress()) * _SLOWER.get(stage, 1.0)
            rows = rng.choice(len(self._pairs), size, p=chances)
            loss = objectives.loss(stage, network, rows)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(fast, 1.0)
            optimiser.step()
            done += size
            decay = min(_AVERAGE, done / size / (done / size + 20))
            with torch.no_grad():
                torch._foreach_lerp_(slow, fast, 1 - decay)
            recent.append(loss.detach())
            spent = before + time.monotonic() - began
            if time.monotonic() - saved > _SAVE_EVERY or progress() >= 1:
                self._save(state, done, spent)
                rate = (done - first) / (time.monotonic() - began)
                mean = float(torch.stack(recent).mean())
                held_out = objectives.check(stage, average, self._held_out)
                log.info(
                    "%s %d (%.0f %%) loss %.4f, %.0f/s, %s",
                    stage, done, 100 * progress(), mean, rate, held_out,
                )  # fmt: skip
                saved, recent = time.monotonic(), []
        if done > first:
            self._save(state, done, spent)
        return progress() >= 1

    def _restore(self, state: _State) -> tuple[int, float]:
        """Bring back what a former call left; return its samples and seconds."""
        path = self._out / f"{state.stage}.state.pt"
        if not path.exists():
            return 0, 0.0
        kept = torch.load(path, weights_only=True, map_location=self._config.device)
        state.average.load_state_dict(load_file(self._out / f"{state.stage}.safetensors"))
        for name, part in state.parts().items():
            part.load_state_dict(kept[name])
        return int(kept["done"]), float(kept["spent"])

    def _save(self, state: _State, done: int, spent: float) -> None:
        weights = {k: v.contiguous().cpu() for k, v in state.average.state_dict().items()}
        with atomic_path(self._out / f"{state.stage}.safetensors", mode=SHARED) as partial:
            save_file(weights, partial)
        kept = {name: part.state_dict() for name, part in state.parts().items()}
        with atomic_path(self._out / f"{state.stage}.state.pt", mode=SHARED) as partial:
            torch.save({**kept, "done": done, "spent": spent}, partial)
        about = {
            "samples": done, "seconds": round(spent, 1), "pairs": len(self._pairs),
            "device": self._config.device, "side": self._pairs.side,
            "network": asdict(self.config_of(state.stage)),
        }  # fmt: skip
        (self._out / f"{state.stage}.json").write_text(json.dumps(about))


@dataclass(frozen=True)
class _State:
    """What a stage consists of."""

    stage: str
    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "network": self.network,
            "optimiser": self.optimiser,
        }


def _schedule(progress: float) -> float:
    """Return the factor of the learning rate: a short rise, then a cosine to a twentieth."""
    rise = min(1.0, progress / 0.03 + 0.05)
    return rise * (0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress)))))
