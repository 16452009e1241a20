"""Train the mouth's networks: ``visavis train renderer --help``.

The *shade*, which ships, learns by what to multiply a mouth's light (``shade_network.py``). Beside
it three networks of one shape. The *teacher* learns the bridge at every t and walks it in twelve
steps. The *student* starts as the teacher and learns to jump: from the teacher's endpoints, from
the truth, and from its own half steps (shortcut consistency), so that one network serves one, two
and four steps. The *regression* is the control: the same network, as many samples as teacher and
student together, warp in, picture out.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.renderer.refine.bridge import SIGMA, TEACHER_STEPS, sample, shortcut, state_at
from models.renderer.refine.critic import RATE as CRITIC_RATE
from models.renderer.refine.critic import WEIGHT as CRITIC
from models.renderer.refine.critic import PatchCritic, critic_loss, opinion
from models.renderer.refine.crop import GATE, INSIDE, STATE, STEP, TIME, WARPED
from models.renderer.refine.data import Batch, PairSet, assemble
from models.renderer.refine.export import export_stages
from models.renderer.refine.losses import charbonnier, coarse, picture_loss
from models.renderer.refine.network import MouthNetwork, NetworkConfig, endpoint, tone
from models.renderer.refine.shade_network import ShadeNetwork, shaded

log = logging.getLogger(__name__)
Loss = Callable[[nn.Module, NDArray[np.int64]], Tensor]

STAGES = ("shade", "regression", "finish", "teacher", "student")
_SHARE = {"finish": 0.15, "teacher": 0.6, "student": 0.4}  # of --samples
_AFTER = {"finish": "regression", "student": "teacher"}  # where the stage's weights start
_SLOWER = {"finish": 0.3, "student": 0.5}  # of the learning rate
_REAL_SHARES = {"shade": 0.7}  # of the batches are portraits; light is learned from photos
_AVERAGE = 0.997  # decay of the averaged weights
_SAVE_EVERY = 15.0  # seconds


@dataclass(frozen=True)
class TrainConfig:
    """One call of the trainer.

    Attributes:
        samples: of the regression; teacher and student share as many.
        minutes: after which this call stops; ``--resume`` goes on.
        batch: crops per step.
        rate: highest learning rate of AdamW.
        seed: of everything random.
        widths: of the network.
    """

    samples: int = 60_000
    minutes: float = 60.0
    batch: int = 8
    rate: float = 1.5e-3
    seed: int = 0
    widths: tuple[int, int, int] = (16, 32, 64)


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
        full = torch.full((len(x),), t), torch.full((len(x),), step if jumps else 0.0)
        return endpoint(network, conditioned(x, state, *full))

    return predict


def start_of(x: Tensor, noise: Tensor) -> Tensor:
    """Return the bridge's start: the warp with noise where the network may act."""
    return x[:, WARPED] + SIGMA * x[:, GATE] * noise


def in_drawn_tone(batch: Batch) -> Batch:
    """Give the truth the tone that the renderer drew inside the mouth; see ``MouthNetwork``."""
    inside = batch.x[:, INSIDE]
    shift = inside * tone(batch.target - batch.x[:, WARPED], inside)
    return replace(batch, target=batch.target - shift)


class Trainer:
    """Trains one stage after the other; everything that a resumed call needs is on disk."""

    def __init__(self, pairs: PairSet, out: Path, config: TrainConfig) -> None:
        """Prepare; nothing is read or written yet."""
        self._pairs, self._out, self._config = pairs, out, config
        self._deadline = time.monotonic() + 60 * config.minutes
        self._endpoints: NDArray[np.uint8] | None = None
        torch.manual_seed(config.seed)
        self._critic = PatchCritic()
        self._critic_optimiser = torch.optim.AdamW(
            self._critic.parameters(), lr=CRITIC_RATE, betas=(0.5, 0.99)
        )

    def network(self, stage: str) -> nn.Module:
        """Return a stage's fresh network."""
        if stage == "shade":
            return ShadeNetwork()
        return MouthNetwork(NetworkConfig(self._config.widths)).to(
            memory_format=torch.channels_last
        )

    def run(self, stage: str) -> bool:
        """Train one stage until its samples are done or the time is; True when done."""
        c = self._config
        torch.manual_seed(c.seed)
        network, average = self.network(stage), self.network(stage)
        if stage in _AFTER:
            network.load_state_dict(load_file(self._out / f"{_AFTER[stage]}.safetensors"))
        average.load_state_dict(network.state_dict())
        optimiser = torch.optim.AdamW(network.parameters(), lr=c.rate, weight_decay=1e-4)
        done = self._restore(stage, network, average, optimiser)
        goal = int(c.samples * _SHARE.get(stage, 1.0))
        loss_of = {
            "shade": self._shade, "regression": self._regression, "finish": self._finish,
            "teacher": self._teacher, "student": self._student,
        }[stage]  # fmt: skip
        rng = np.random.default_rng([c.seed, STAGES.index(stage), done])
        shares = (_REAL_SHARES[stage],) if stage in _REAL_SHARES else ()
        self._rng, chances = rng, self._pairs.weights(*shares)
        saved, recent, began, first = time.monotonic(), [], time.monotonic(), done
        while done < goal and time.monotonic() < self._deadline:
            for group in optimiser.param_groups:
                group["lr"] = c.rate * _schedule(done / goal) * _SLOWER.get(stage, 1.0)
            rows = rng.choice(len(self._pairs), c.batch, p=chances)
            loss = loss_of(network, rows)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            done += c.batch
            decay = min(_AVERAGE, done / c.batch / (done / c.batch + 20))
            with torch.no_grad():
                for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
                    slow.lerp_(fast, 1 - decay)
            recent.append(float(loss.detach()))
            if time.monotonic() - saved > _SAVE_EVERY or done >= goal:
                self._save(stage, network, average, optimiser, done)
                rate = (done - first) / (time.monotonic() - began)
                log.info("%s %d/%d loss %.4f, %.0f/s", stage, done, goal, np.mean(recent), rate)
                saved, recent = time.monotonic(), []
        if done > first:
            self._save(stage, network, average, optimiser, done)
        return done >= goal

    def _batch(
        self, rows: NDArray[np.int64], second: NDArray[np.uint8] | None = None
    ) -> tuple[Tensor, Batch]:
        batch = in_drawn_tone(assemble(self._pairs, rows, self._rng, second))
        return batch.x.contiguous(memory_format=torch.channels_last), batch

    def _shade(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        batch = assemble(self._pairs, rows, self._rng)
        picture = shaded(network, batch.x)
        near = charbonnier(picture, batch.target, batch.weight)
        return near + 0.5 * coarse(picture, batch.target, batch.weight)

    def _regression(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        x, batch = self._batch(rows)
        return picture_loss(endpoint(network, x), batch.target, batch.weight)

    def _finish(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """The regression's loss, and a critic's opinion; both networks learn in turn."""
        x, batch = self._batch(rows)
        picture, inside = endpoint(network, x), x[:, INSIDE]
        self._critic_optimiser.zero_grad()
        critic_loss(self._critic, batch.target, picture, inside).backward()
        self._critic_optimiser.step()
        own = picture_loss(picture, batch.target, batch.weight)
        return own + CRITIC * opinion(self._critic, picture, inside, x[:, GATE])

    def _teacher(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        x, batch = self._batch(rows)
        target = batch.target
        t = torch.from_numpy(self._rng.random(len(rows)).astype(np.float32))
        t[self._rng.random(len(rows)) < 0.25] = 1.0  # where every walk begins
        state = state_at(t.view(-1, 1, 1, 1), target, start_of(x, torch.randn_like(target)))
        picture = endpoint(network, conditioned(x, state, t, torch.zeros_like(t)))
        return picture_loss(picture, target, batch.weight)

    def _student(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """Half of the batch: endpoints and truth; a quarter: other steps; a quarter: shortcuts."""
        x, batch = self._batch(rows, self._teacher_endpoints())
        target, weight, teacher = batch.target, batch.weight, batch.other
        half, quarter = len(rows) // 2, len(rows) // 4
        one = torch.ones(half)
        start = start_of(x, torch.randn_like(target))
        whole = endpoint(network, conditioned(x[:half], start[:half], one, one))
        loss = picture_loss(whole, target[:half], weight[:half])
        loss = loss + 0.5 * charbonnier(whole, teacher[:half], x[:half, GATE])
        some = slice(half, half + quarter)
        loss = loss + 0.5 * self._other_steps(
            network, x[some], target[some], start[some], weight[some]
        )
        rest = slice(half + quarter, None)
        return loss + 0.5 * shortcut_loss(network, x[rest], teacher[rest], start[rest], self._rng)

    def _other_steps(
        self, network: nn.Module, x: Tensor, target: Tensor, start: Tensor, weight: Tensor
    ) -> Tensor:
        k = self._rng.choice([2, 4], len(x))
        t = torch.from_numpy((self._rng.integers(1, k + 1) / k).astype(np.float32))
        step = torch.from_numpy((1.0 / k).astype(np.float32))
        state = state_at(t.view(-1, 1, 1, 1), target, start)
        return picture_loss(endpoint(network, conditioned(x, state, t, step)), target, weight)

    @torch.no_grad()
    def _teacher_endpoints(self) -> NDArray[np.uint8]:
        """Walk the teacher once over every pair; kept on disk beside its weights."""
        path = self._out / "endpoints.npy"
        if self._endpoints is None and path.exists():
            self._endpoints = np.load(path, allow_pickle=False)
        if self._endpoints is None or len(self._endpoints) != len(self._pairs):
            network = self.network("teacher").eval()
            network.load_state_dict(load_file(self._out / "teacher.safetensors"))
            found = []
            for low in range(0, len(self._pairs), 32):
                rows = np.arange(low, min(low + 32, len(self._pairs)))
                batch = self._pairs.whole(rows)
                x, target = batch.x, batch.target
                generator = torch.Generator().manual_seed(low)
                noise = torch.randn(target.shape, generator=generator)
                walk = sample(start_of(x, noise), predictor(network, x, jumps=False), TEACHER_STEPS)
                eight_bits = ((walk + 1) * 127.5).round().clamp(0, 255).byte()
                found.append(eight_bits.permute(0, 2, 3, 1).numpy())
            self._endpoints = np.concatenate(found)
            np.save(path, self._endpoints, allow_pickle=False)
        return self._endpoints

    def _restore(
        self, stage: str, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
    ) -> int:
        path = self._out / f"{stage}.state.pt"
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(load_file(self._out / f"{stage}.safetensors"))
        optimiser.load_state_dict(state["optimiser"])
        self._critic.load_state_dict(state["critic"])
        self._critic_optimiser.load_state_dict(state["critic_optimiser"])
        return int(state["done"])

    def _save(
        self, stage: str, network: nn.Module, average: nn.Module,
        optimiser: torch.optim.Optimizer, done: int,
    ) -> None:  # fmt: skip
        weights = {k: v.contiguous() for k, v in average.state_dict().items()}
        save_file(weights, self._out / f"{stage}.safetensors")
        state = {
            "network": network.state_dict(), "optimiser": optimiser.state_dict(), "done": done,
            "critic": self._critic.state_dict(),
            "critic_optimiser": self._critic_optimiser.state_dict(),
        }  # fmt: skip
        partial = self._out / f"{stage}.state.partial"
        torch.save(state, partial)
        partial.replace(self._out / f"{stage}.state.pt")
        (self._out / f"{stage}.json").write_text(
            json.dumps({"samples": done, "widths": self._config.widths, "pairs": len(self._pairs)})
        )


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


def _schedule(progress: float) -> float:
    """Return the factor of the learning rate: a short rise, then a cosine to a twentieth."""
    rise = min(1.0, progress / 0.03 + 0.05)
    return rise * (0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress)))))


def main(argv: list[str] | None = None) -> int:
    """Make pairs where there are none, then train."""
    parser = argparse.ArgumentParser(prog="visavis train renderer", description=__doc__)
    parser.add_argument("--pairs", type=Path, nargs="+", help="folders of pairs made before")
    parser.add_argument("--people", type=Path, help="folder of synthetic people")
    parser.add_argument("--faces", type=Path, help="folder of portraits with landmarks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--samples", type=int, default=TrainConfig.samples)
    parser.add_argument("--batch", type=int, default=TrainConfig.batch, help="crops per step")
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=["shade"],
        help="shade is what ships; the others are the experiment it was compared with",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with what is in --out")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.resume and any(args.out.glob("*.state.pt")):
        parser.error(f"{args.out} holds a training already; add --resume to go on with it.")
    folders = args.pairs or [args.out / "pairs"]
    if args.pairs is None and not any(folders[0].glob("*.npz")):
        from models.renderer.refine.make_pairs import main as make

        sources = [("--faces", args.faces), ("--people", args.people)]
        make([*(str(v) for s in sources if s[1] for v in s), "--out", str(folders[0])])
    pairs = PairSet.read(folders, held_out=False)
    log.info("%d pairs", len(pairs))
    trainer = Trainer(pairs, args.out, TrainConfig(args.samples, args.minutes, args.batch))
    finished = all([trainer.run(stage) for stage in args.stages])
    for name, difference in export_stages(args.out, args.out / "graphs").items():
        log.info("%s.onnx: %.1g from torch", name, difference)
    log.info("finished" if finished else "the time is over; --resume goes on")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
