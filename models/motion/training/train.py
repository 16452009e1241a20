"""Train lips and flow: ``visavis train motion --recipe --corpus DIR --out DIR``.

``--recipe`` runs the stages of ``recipe.py``, by which the shipped weights were made; without it
the options describe one training.

One thread, any machine; checkpoints every few minutes, and ``--resume`` goes on from the last.
With ``--make-corpus`` the corpus is generated first. Every step's batch is drawn from the seed
and the step's number, so the same command gives the same weights, also when resumed; only
``--minutes`` ties the schedule to the clock.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.models.files import SHARED, atomic_path
from visavis.models.motion.features import RAW, normalise
from visavis.models.motion.layout import NetConfig
from visavis.models.motion.training import recipe
from visavis.models.motion.training.batches import Corpus, disturb, front_vowels, mask
from visavis.models.motion.training.capture import Captured
from visavis.models.motion.training.corpus import corpus
from visavis.models.motion.training.corpus.spoken import CorpusConfig
from visavis.models.motion.training.flow_train import FlowTrainConfig, FlowTrainer
from visavis.models.motion.training.graph_weights import weights_of
from visavis.models.motion.training.network import MotionNet, grown
from visavis.models.motion.training.objective import capture_loss, loss_of, numpy_tensor
from visavis.models.motion.training.simulate import SpeechBank
from visavis.models.motion.training.weights import write_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: length of the whole schedule.
        minutes: if given, the schedule follows this wall-clock budget instead of the steps.
        batch: crops of the corpus per step.
        captured: crops of captured performance per step, where there is any.
        hops: length of a crop in 10 ms hops.
        rate: peak learning rate; it falls to zero on a cosine.
        seed: of crops and augmentation.
        clean: share of crops left without rooms, noise and masks.
        fronted: share of crops whose back rounded vowels are said further in front.
        capture_weight: of the captured crops' loss.
    """

    steps: int = 8000
    minutes: float | None = None
    batch: int = 15
    captured: int = 1
    hops: int = 300
    rate: float = 2e-3
    seed: int = 0
    clean: float = 0.35
    fronted: float = 0.3
    capture_weight: float = 0.15


class Trainer:
    """Network, optimiser, running average of the weights, and where they are kept."""

    def __init__(self, folder: Path, config: TrainConfig, net: NetConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.folder = folder
        self.net = MotionNet(net)
        self.average = MotionNet(net)
        self.average.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=config.rate, weight_decay=0.01)
        self.steps = 0
        self.spent = 0.0  # seconds of training, over all resumptions
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept (NumPy arrays, no pickle)."""
        return self.folder / "checkpoint.npz"

    def save(self) -> None:
        """Write everything needed to go on, atomically."""
        arrays: dict[str, NDArray[np.generic]] = {
            "steps": np.array(self.steps),
            "spent": np.array(self.spent),
        }
        for name, value in self.net.state_dict().items():
            arrays[f"net/{name}"] = value.numpy()
        for name, value in self.average.state_dict().items():
            arrays[f"average/{name}"] = value.numpy()
        for i, parameter in enumerate(self.net.parameters()):
            for key, value in self.optimiser.state[parameter].items():
                arrays[f"adam/{i}/{key}"] = torch.as_tensor(value).numpy()
        with atomic_path(self.checkpoint, mode=SHARED) as partial:
            np.savez(partial, **arrays)

    def restore(self) -> None:
        """Go on from the checkpoint."""
        arrays = self._load(self.checkpoint)
        self.steps, self.spent = int(arrays["steps"]), float(arrays["spent"])

    def warm_start(self, checkpoint: Path) -> None:
        """Begin a new schedule with the averaged weights of another run, or with a graph's."""
        if checkpoint.suffix == ".onnx":
            known = {k: torch.from_numpy(v) for k, v in weights_of(checkpoint).items()}
        else:
            with np.load(checkpoint, allow_pickle=False) as data:
                known = {
                    k.removeprefix("average/"): torch.from_numpy(np.array(data[k]))
                    for k in data.files
                    if k.startswith("average/")
                }
        self.net.load_state_dict(grown(known, self.net))
        self.average.load_state_dict(self.net.state_dict())

    def blend(self, checkpoint: Path, share: float) -> None:
        """Mix the averaged weights with another run's (a "soup": Wortsman et al., 2022).

        Works where one run began with the other's weights, so that both lie in one valley.

        Args:
            checkpoint: of the other run.
            share: of the other run, 0-1.
        """
        with np.load(checkpoint, allow_pickle=False) as data:
            for name, value in self.average.state_dict().items():
                value.lerp_(torch.from_numpy(np.array(data[f"average/{name}"])), share)

    def _load(self, checkpoint: Path) -> dict[str, torch.Tensor]:
        with np.load(checkpoint, allow_pickle=False) as data:
            arrays = {k: torch.from_numpy(np.array(data[k])) for k in data.files}
        for net, prefix in ((self.net, "net/"), (self.average, "average/")):
            net.load_state_dict(
                {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
            )
        for i, parameter in enumerate(self.net.parameters()):
            keys = [k for k in arrays if k.startswith(f"adam/{i}/")]
            self.optimiser.state[parameter] = {k.split("/")[-1]: arrays[k] for k in keys}
        return arrays

    @property
    def share(self) -> float:
        """How much of the schedule is behind, 0-1."""
        if self.config.minutes is not None:
            return min(self.spent / (self.config.minutes * 60), 1.0)
        return min(self.steps / self.config.steps, 1.0)

    def step(self, data: Corpus, captured: Captured | None = None) -> float:
        """Train on one batch, drawn from the seed and the step's number; return its loss."""
        config = self.config
        rng = np.random.default_rng([config.seed, self.steps])
        crop = data.batch(rng, config.batch, config.hops)
        crop["raw"] = crop["raw"].astype(np.float32)
        front_vowels(crop["raw"], crop["phone"], rng, config.fronted)
        extra = captured.batch(rng, config.captured, config.hops) if captured else None
        sound = crop["raw"] if extra is None else np.concatenate([crop["raw"], extra["raw"]])
        raw = disturb(sound.astype(np.float32), rng, config.clean)
        assert raw.shape[-1] == RAW
        features = mask(normalise(raw)[0], rng, config.clean)
        out, *_ = self.net(torch.from_numpy(features), *self.net.start(len(features)))
        spoken = out[: config.batch]
        loss = loss_of(
            spoken,
            numpy_tensor(crop["channels"]),
            numpy_tensor(crop["closure"]),
            numpy_tensor(crop["phone"], np.int64),
        )
        total = loss
        if captured is not None and extra is not None:
            seen = capture_loss(
                out[config.batch :],
                numpy_tensor(extra["channels"]),
                torch.from_numpy(captured.known),
            )
            total = loss + config.capture_weight * seen
        warm = min(1.0, (self.steps + 1) / 100)
        for group in self.optimiser.param_groups:
            group["lr"] = config.rate * warm * 0.5 * (1 + np.cos(np.pi * self.share))
        self.optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        keep = min(0.997, self.steps / (self.steps + 20))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.net.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        return float(loss.detach())

    def run(self, data: Corpus, captured: Captured | None = None, report_every: int = 25) -> None:
        """Train to the end of the schedule, saving on the way."""
        recent: list[float] = []
        saved = last = time.monotonic()
        while self.share < 1.0:
            recent.append(self.step(data, captured))
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            if self.steps % report_every == 0:
                data.refresh()
                logger.info(
                    "step %d  loss %.4f  %.1f min  corpus %.1f h",
                    self.steps, float(np.mean(recent)), self.spent / 60, data.hours,
                )  # fmt: skip
                recent.clear()
            if now - saved > 180:
                self.save()
                saved = time.monotonic()
        self.save()


def train_lips(args: argparse.Namespace) -> Trainer:
    """Train, resume or only load the phonetic network."""
    config = TrainConfig(
        steps=args.steps,
        minutes=args.minutes,
        batch=args.batch,
        rate=args.rate,
        seed=args.seed,
        fronted=args.fronted,
    )
    trainer = Trainer(args.out, config, NetConfig())
    if (args.resume or args.export_only) and trainer.checkpoint.is_file():
        trainer.restore()
    elif args.warm_start is not None:
        trainer.warm_start(args.warm_start)
    if not args.export_only:
        captured = Captured(args.facegood) if args.facegood else None
        trainer.run(Corpus(args.corpus), captured)
    if args.blend is not None:
        trainer.blend(args.blend, args.blend_share)
    return trainer


def train_flow(args: argparse.Namespace) -> FlowTrainer:
    """Train, resume or only load the flow."""
    config = FlowTrainConfig(steps=args.flow_steps, seed=args.seed)
    trainer = FlowTrainer(args.out, SpeechBank(args.corpus), config)
    if (args.resume or args.export_only) and trainer.checkpoint.is_file():
        trainer.restore()
    if not args.export_only:
        trainer.run()
    return trainer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train motion", description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of shards")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints and weights")
    parser.add_argument("--make-corpus", action="store_true", help="generate the corpus first")
    parser.add_argument("--shards", type=int, default=22, help="shards to generate")
    parser.add_argument("--workers", type=int, default=1, help="processes that generate")
    parser.add_argument("--second-shards", type=int, default=0, help="of voices that came later")
    parser.add_argument("--third-shards", type=int, default=0, help="of invented words")
    parser.add_argument("--fourth-shards", type=int, default=0, help="about rounding")
    parser.add_argument("--timer", type=Path, help="motion.onnx that times their phones")
    parser.add_argument("--recipe", action="store_true", help="every stage of the shipped weights")
    parser.add_argument("--part", choices=("all", "lips", "flow"), default="all")
    parser.add_argument("--steps", type=int, default=TrainConfig.steps, help="of the lips")
    parser.add_argument("--minutes", type=float, help="lips by the clock, not by steps")
    parser.add_argument("--batch", type=int, default=TrainConfig.batch, help="crops per step")
    parser.add_argument("--rate", type=float, default=TrainConfig.rate)
    parser.add_argument("--fronted", type=float, default=TrainConfig.fronted, help="share of crops")
    parser.add_argument("--flow-steps", type=int, default=FlowTrainConfig.steps)
    parser.add_argument("--facegood", type=Path, help="folder of captured takes to train on too")
    parser.add_argument("--warm-start", type=Path, help="checkpoint or graph to begin with")
    parser.add_argument("--blend", type=Path, help="checkpoint to mix into the finished weights")
    parser.add_argument("--blend-share", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--export-only", action="store_true", help="write the weights as they are")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Train from the command line."""
    parser = _parser()
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    if args.recipe:
        return recipe.run(main, args.corpus, args.out, args.facegood, args.workers)
    later = args.second_shards or args.third_shards or args.fourth_shards
    if later and (args.timer is None or not args.timer.is_file()):
        parser.error("Later shards need --timer, the graph that times their phones.")
    if args.make_corpus:
        corpus.make(args.corpus, args.shards, 1, args.workers, CorpusConfig())
    if later:
        corpus.make_later(
            args.corpus, args.timer, args.workers,
            args.second_shards, args.third_shards, args.fourth_shards,
        )  # fmt: skip
    shards = len(list(args.corpus.glob("shard-????.npz")))
    if shards == 0:
        parser.error(f"No shards in {args.corpus}; give --make-corpus to generate them.")
    lips = train_lips(args) if args.part != "flow" else None
    flow = train_flow(args) if args.part != "lips" else None
    about: dict[str, object] = {
        "command": "visavis train motion --recipe --corpus DIR --out DIR --facegood DIR",
        "stages": recipe.described(),
        "shards": shards,
    }
    if lips is not None:
        about |= {"steps": lips.steps, "training_minutes": round(lips.spent / 60, 1)}
        about["training"] = asdict(lips.config)
    if flow is not None:
        about |= {"flow_steps": flow.steps, "flow_training": asdict(flow.config)}
    written = write_weights(
        args.out, lips.average if lips else None, flow.average if flow else None, about
    )
    logger.info("%s", written)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
