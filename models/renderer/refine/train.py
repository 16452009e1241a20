"""Train the mouth's networks: ``visavis train renderer --help``.

The *shade*, which ships, learns by what to multiply a mouth's light (``shade_network.py``). The
*regression* learns warp in, picture out; the *light*, which ships too, is the regression after it
learned to do the same by light alone (``network.light_factor``). Beside them, what they were
compared with: the *finish* is the regression with a critic's opinion; the *teacher* learns the
bridge at every t and walks it in twelve steps; the *student* starts as the teacher and learns to
jump, from the teacher's endpoints, from the truth, and from its own half steps (shortcut
consistency), so that one network serves one, two and four steps. The regression, with as many
samples as teacher and student together, is its control.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
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
from models.renderer.refine.network import NetworkConfig, RefinerNetwork, endpoint, tone
from models.renderer.refine.pairs import read_pairs
from models.renderer.refine.shade_network import ShadeNetwork, shaded

log = logging.getLogger(__name__)
Loss = Callable[[nn.Module, NDArray[np.int64]], Tensor]

STAGES = ("shade", "regression", "finish", "teacher", "student", "light")
_SHARE = {"finish": 0.15, "teacher": 0.6, "student": 0.4, "light": 0.06}  # of --samples
_AFTER = {
    "finish": "regression",
    "student": "teacher",
    "light": "regression",
}  # where the stage's weights start
_SLOWER = {"finish": 0.3, "student": 0.5, "light": 0.25}  # of the learning rate
_REAL_SHARES = {
    "shade": 0.7,
    "light": 0.6,
}  # of the batches are portraits; light is learned from photos
_LARGEST_BATCH = {"light": 16}  # many small steps, since it only has to get used to its bounds
_AVERAGE = 0.997  # decay of the averaged weights
_SAVE_EVERY = 15.0  # seconds
_CHECKED, _CHECK_BATCH = 256, 16  # held-out pairs that are looked at when weights are saved


@dataclass(frozen=True)
class Kind:
    """What a network is for.

    Attributes:
        network: its sizes.
        window: rows and columns of a training cut.
        even: every pair is worth the same; else every opening of the mouth.
    """

    network: NetworkConfig
    window: tuple[int, int]
    even: bool = True


KINDS = {
    "mouth": Kind(NetworkConfig(), (48, 72), even=False),
    "eyes": Kind(NetworkConfig(keep_tone=False), (64, 64)),
    "frame": Kind(
        NetworkConfig((64, 128, 192, 256), stem=4, interior=False, keep_tone=False), (256, 256)
    ),
}


@dataclass(frozen=True)
class TrainConfig:
    """One call of the trainer.

    Attributes:
        samples: of the regression; teacher and student share as many.
        minutes: after which this call stops; ``--resume`` goes on.
        batch: crops per step.
        rate: highest learning rate of AdamW.
        seed: of everything random.
        stage_minutes: a stage ends after so many minutes and not after its samples; for a machine
            that is lent by the minute.
        device: cpu or cuda; there bfloat16 products.
    """

    samples: int = 60_000
    minutes: float = 60.0
    batch: int = 8
    rate: float = 1.5e-3
    seed: int = 0
    stage_minutes: float | None = None
    device: str = "cpu"


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


def in_drawn_tone(batch: Batch) -> Batch:
    """Give the truth the tone that the renderer drew inside the mouth; see ``MouthNetwork``."""
    inside = batch.x[:, INSIDE]
    shift = inside * tone(batch.target - batch.x[:, WARPED], inside)
    return replace(batch, target=batch.target - shift)


class Trainer:
    """Trains one stage after the other; everything that a resumed call needs is on disk."""

    def __init__(
        self, pairs: PairSet, out: Path, config: TrainConfig, kind: Kind,
        held_out: PairSet | None = None,
    ) -> None:  # fmt: skip
        """Prepare; nothing is read or written yet."""
        self._pairs, self._out, self._config, self._kind = pairs, out, config, kind
        self._held_out = held_out if held_out is not None and len(held_out) else None
        self._deadline = time.monotonic() + 60 * config.minutes
        self._walked = False
        torch.manual_seed(config.seed)
        self._critic = PatchCritic().to(config.device)
        self._critic_optimiser = torch.optim.AdamW(
            self._critic.parameters(), lr=CRITIC_RATE, betas=(0.5, 0.99)
        )

    def network(self, stage: str) -> nn.Module:
        """Return a stage's fresh network."""
        if stage == "shade":
            return ShadeNetwork().to(self._config.device)
        return RefinerNetwork(self.config_of(stage)).to(
            self._config.device, memory_format=torch.channels_last
        )

    def config_of(self, stage: str) -> NetworkConfig:
        """Return the sizes of a stage's network."""
        config = self._kind.network
        return replace(config, keep_tone=False, light=True) if stage == "light" else config

    def run(self, stage: str) -> bool:
        """Train one stage until its samples are done or the time is; True when done."""
        c = self._config
        torch.manual_seed(c.seed)
        network, average = self.network(stage), self.network(stage)
        if stage in _AFTER:
            network.load_state_dict(load_file(self._out / f"{_AFTER[stage]}.safetensors"))
        average.load_state_dict(network.state_dict())
        optimiser = torch.optim.AdamW(network.parameters(), lr=c.rate, weight_decay=1e-4)
        done, spent = self._restore(stage, network, average, optimiser)
        goal = int(c.samples * _SHARE.get(stage, 1.0))
        size = min(c.batch, _LARGEST_BATCH.get(stage, c.batch))
        loss_of = {
            "shade": self._shade, "regression": self._regression, "finish": self._finish,
            "teacher": self._teacher, "student": self._student, "light": self._regression,
        }[stage]  # fmt: skip
        rng = np.random.default_rng([c.seed, STAGES.index(stage), done])
        self._rng, chances = rng, self._chances(stage)
        if stage == "student":
            self._walk_teacher()
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
            loss = loss_of(network, rows)
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
                self._save(stage, network, average, optimiser, (done, spent))
                rate = (done - first) / (time.monotonic() - began)
                mean = float(torch.stack(recent).mean())
                log.info(
                    "%s %d (%.0f %%) loss %.4f, %.0f/s, %s",
                    stage, done, 100 * progress(), mean, rate, self.check(stage, average),
                )  # fmt: skip
                saved, recent = time.monotonic(), []
        self._pairs.second(None)
        if done > first:
            self._save(stage, network, average, optimiser, (done, spent))
        return progress() >= 1

    @torch.no_grad()
    def check(self, stage: str, network: nn.Module) -> str:
        """Say how much nearer the truth held-out pairs are than the warp, dB where it counts."""
        if self._held_out is None:
            return "nothing is held out"
        gains: dict[bool, list[float]] = {}
        rows = np.linspace(0, len(self._held_out) - 1, min(_CHECKED, len(self._held_out)))
        rows = rows.astype(np.int64)
        for low in range(0, len(rows), _CHECK_BATCH):
            some = rows[low : low + _CHECK_BATCH]
            batch = self._held_out.whole(some)
            x = batch.x.contiguous(memory_format=torch.channels_last)
            with self._products():
                if stage == "shade":
                    picture = shaded(network, x)
                elif stage in ("teacher", "student"):
                    start = start_of(x, torch.zeros_like(batch.target))
                    picture = predictor(network, x, jumps=stage == "student")(start, 1.0, 1.0)
                else:
                    picture = endpoint(network, x)
            error = _error(picture.clamp(-1, 1), batch), _error(x[:, WARPED], batch)
            gain = 10 * torch.log10((error[1] + 1e-7) / (error[0] + 1e-7))
            for real, value in zip(self._held_out.real[some], gain.tolist(), strict=True):
                gains.setdefault(bool(real), []).append(value)
        return ", ".join(
            f"{'portraits' if real else 'people'} {np.mean(v):+.2f} dB" for real, v in gains.items()
        )

    def _chances(self, stage: str) -> NDArray[np.float64]:
        shares = (_REAL_SHARES[stage],) if stage in _REAL_SHARES else ()
        return self._pairs.even(*shares) if self._kind.even else self._pairs.weights(*shares)

    def _products(self) -> AbstractContextManager:
        return torch.autocast(
            "cuda", torch.bfloat16, enabled=self._config.device.startswith("cuda")
        )

    def _batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Batch]:
        batch = assemble(self._pairs, rows, self._rng, self._kind.window)
        if self._kind.network.keep_tone:
            batch = in_drawn_tone(batch)
        return batch.x.contiguous(memory_format=torch.channels_last), batch

    def _shade(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        batch = assemble(self._pairs, rows, self._rng, self._kind.window)
        with self._products():
            picture = shaded(network, batch.x)
        near = charbonnier(picture, batch.target, batch.weight)
        return near + 0.5 * coarse(picture, batch.target, batch.weight)

    def _regression(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        x, batch = self._batch(rows)
        with self._products():
            picture = endpoint(network, x)
        return picture_loss(picture, batch.target, batch.weight)

    def _finish(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """The regression's loss, and a critic's opinion; both networks learn in turn."""
        x, batch = self._batch(rows)
        with self._products():
            picture = endpoint(network, x)
        inside = x[:, INSIDE]
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
        t = t.to(x.device)
        state = state_at(t.view(-1, 1, 1, 1), target, start_of(x, torch.randn_like(target)))
        with self._products():
            picture = endpoint(network, conditioned(x, state, t, torch.zeros_like(t)))
        return picture_loss(picture, target, batch.weight)

    def _student(self, network: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """Half of the batch: endpoints and truth; a quarter: other steps; a quarter: shortcuts."""
        x, batch = self._batch(rows)
        target, weight, teacher = batch.target, batch.weight, batch.other
        half, quarter = len(rows) // 2, len(rows) // 4
        one = x.new_ones(half)
        start = start_of(x, torch.randn_like(target))
        with self._products():
            whole = endpoint(network, conditioned(x[:half], start[:half], one, one))
        loss = picture_loss(whole, target[:half], weight[:half])
        loss = loss + 0.5 * charbonnier(whole, teacher[:half], x[:half, GATE])
        some = slice(half, half + quarter)
        loss = loss + 0.5 * self._other_steps(
            network, x[some], target[some], start[some], weight[some]
        )
        rest = slice(half + quarter, None)
        with self._products():
            jump = shortcut_loss(network, x[rest], teacher[rest], start[rest], self._rng)
        return loss + 0.5 * jump

    def _other_steps(
        self, network: nn.Module, x: Tensor, target: Tensor, start: Tensor, weight: Tensor
    ) -> Tensor:
        k = self._rng.choice([2, 4], len(x))
        t = torch.from_numpy((self._rng.integers(1, k + 1) / k).astype(np.float32)).to(x.device)
        step = torch.from_numpy((1.0 / k).astype(np.float32)).to(x.device)
        state = state_at(t.view(-1, 1, 1, 1), target, start)
        with self._products():
            picture = endpoint(network, conditioned(x, state, t, step))
        return picture_loss(picture, target, weight)

    @torch.no_grad()
    def _walk_teacher(self) -> None:
        """Walk the teacher once over every pair; kept on disk beside its weights."""
        path = self._out / "endpoints.npy"
        pictures = np.load(path, allow_pickle=False) if path.exists() else np.zeros((0,), np.uint8)
        if len(pictures) != len(self._pairs):
            network = self.network("teacher").eval()
            network.load_state_dict(load_file(self._out / "teacher.safetensors"))
            found = []
            for low in range(0, len(self._pairs), 32):
                rows = np.arange(low, min(low + 32, len(self._pairs)))
                batch = self._pairs.whole(rows)
                x, target = batch.x, batch.target
                generator = torch.Generator().manual_seed(low)
                noise = torch.randn(target.shape, generator=generator).to(x.device)
                with self._products():
                    walk = sample(
                        start_of(x, noise), predictor(network, x, jumps=False), TEACHER_STEPS
                    )
                eight_bits = ((walk + 1) * 127.5).round().clamp(0, 255).byte()
                found.append(eight_bits.permute(0, 2, 3, 1).cpu().numpy())
            pictures = np.concatenate(found)
            np.save(path, pictures, allow_pickle=False)
        self._pairs.second(pictures)

    def _restore(
        self, stage: str, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[int, float]:
        path = self._out / f"{stage}.state.pt"
        if not path.exists():
            return 0, 0.0
        state = torch.load(path, weights_only=True, map_location=self._config.device)
        network.load_state_dict(state["network"])
        average.load_state_dict(load_file(self._out / f"{stage}.safetensors"))
        optimiser.load_state_dict(state["optimiser"])
        self._critic.load_state_dict(state["critic"])
        self._critic_optimiser.load_state_dict(state["critic_optimiser"])
        return int(state["done"]), float(state.get("spent", 0.0))

    def _save(
        self, stage: str, network: nn.Module, average: nn.Module,
        optimiser: torch.optim.Optimizer, done: tuple[int, float],
    ) -> None:  # fmt: skip
        weights = {k: v.contiguous().cpu() for k, v in average.state_dict().items()}
        partial = self._out / f"{stage}.safetensors.partial"
        save_file(weights, partial)
        partial.replace(self._out / f"{stage}.safetensors")
        state = {
            "network": network.state_dict(), "optimiser": optimiser.state_dict(),
            "done": done[0], "spent": done[1], "critic": self._critic.state_dict(),
            "critic_optimiser": self._critic_optimiser.state_dict(),
        }  # fmt: skip
        partial = self._out / f"{stage}.state.partial"
        torch.save(state, partial)
        partial.replace(self._out / f"{stage}.state.pt")
        about = {
            "samples": done[0], "seconds": round(done[1], 1), "pairs": len(self._pairs),
            "device": self._config.device, "side": self._pairs.side,
            "network": asdict(self.config_of(stage)),
        }  # fmt: skip
        (self._out / f"{stage}.json").write_text(json.dumps(about))


def _error(picture: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean squared error of each picture, (B,)."""
    squares = ((picture.float() - batch.target) ** 2 * batch.weight).mean((1, 2, 3))
    return squares / batch.weight.mean((1, 2, 3)).clamp_min(1e-6)


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
    parser.add_argument(
        "--stage-minutes", type=float, help="of a whole stage, in place of its samples"
    )
    parser.add_argument("--batch", type=int, default=TrainConfig.batch, help="crops per step")
    parser.add_argument("--rate", type=float, default=TrainConfig.rate, help="of learning")
    parser.add_argument("--kind", choices=KINDS, default="mouth", help="what the network is for")
    parser.add_argument("--widths", type=int, nargs="+", help="channels of every level")
    parser.add_argument(
        "--free-tone", action="store_true", help="light inside the mouth is the network's as well"
    )
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=["shade"],
        help="shade and light are what ships, the latter after regression; the others are the "
        "experiment they were compared with",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with what is in --out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.resume and any(args.out.glob("*.state.pt")):
        parser.error(f"{args.out} holds a training already; add --resume to go on with it.")
    folders = args.pairs or [args.out / "pairs"]
    if args.pairs is None and not any(folders[0].glob("*.npz")):
        _make_pairs(args, folders[0])
    read = read_pairs([path for f in folders for path in f.glob("*.npz")], args.threads)
    held = read["person"] < 0
    pairs, held_out = (
        PairSet({name: a[chosen] for name, a in read.items()}, args.kind, args.device)
        for chosen in (~held, held)
    )
    log.info("%d pairs, %d held out", len(pairs), len(held_out))
    config = TrainConfig(
        args.samples, args.minutes, args.batch, args.rate,
        stage_minutes=args.stage_minutes, device=args.device,
    )  # fmt: skip
    kind = KINDS[args.kind]
    network = replace(
        kind.network, widths=tuple(args.widths or kind.network.widths),
        keep_tone=kind.network.keep_tone and not args.free_tone,
    )  # fmt: skip
    trainer = Trainer(pairs, args.out, config, replace(kind, network=network), held_out)
    finished = all([trainer.run(stage) for stage in args.stages])
    for name, difference in export_stages(args.out, args.out / "graphs").items():
        log.info("%s.onnx: %.1g from torch", name, difference)
    log.info("finished" if finished else "the time is over; --resume goes on")
    return 0


def _make_pairs(args: argparse.Namespace, folder: Path) -> None:
    """Make the pairs of a kind from portraits and people."""
    sources = [("--faces", args.faces), ("--people", args.people)]
    words = [*(str(v) for s in sources if s[1] for v in s), "--out", str(folder)]
    if args.kind == "frame":
        from models.renderer.refine.make_frames import main as make
    elif args.kind == "eyes":
        from models.renderer.refine.eye_pairs import main as make
    else:
        from models.renderer.refine.make_pairs import main as make
    make(words)


if __name__ == "__main__":
    raise SystemExit(main())
