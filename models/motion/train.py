"""Train the motion predictor: ``python -m models.motion.train --corpus DIR --out DIR``.

One thread, any machine; checkpoints every few minutes, and ``--resume`` goes on from the last.
With ``--make-corpus`` the corpus is generated first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor
from torch.nn import functional

from models.motion import corpus
from models.motion.curves import CHANNELS, GAP_WEIGHTS
from models.motion.features import MELS, RAW, normalise
from models.motion.layout import CLOSURE, LOOK_AHEADS_MS, PHONES, NetConfig
from models.motion.network import MotionNet, export_onnx

logger = logging.getLogger(__name__)
_HEAD_WEIGHTS = (0.7, 0.9, 1.2, 1.0)  # of the look-aheads; 80 ms is what ships as default
_WARM_UP = 3  # hops at the start of a crop that are not scored


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        minutes: wall-clock budget of the whole schedule.
        batch: crops per step.
        hops: length of a crop in 10 ms hops.
        rate: peak learning rate.
        seed: of crops and augmentation.
        clean: share of crops left without feature augmentation.
    """

    minutes: float = 60.0
    batch: int = 16
    hops: int = 300
    rate: float = 2e-3
    seed: int = 0
    clean: float = 0.3


class Corpus:
    """All shards of a folder in memory, sampled as crops that may span utterances."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[Path] = set()
        self._parts: list[dict[str, NDArray[np.generic]]] = []
        self.refresh()

    def refresh(self) -> None:
        """Take in shards that were written since the last look."""
        for path in sorted(self._folder.glob("shard-????.npz")):
            if path in self._seen:
                continue
            with np.load(path, allow_pickle=False) as data:
                keys = ("raw", "channels", "closure", "phone")
                self._parts.append({k: data[k] for k in keys})
            self._seen.add(path)

    @property
    def hours(self) -> float:
        """Hours of sound in memory, augmented versions counted."""
        return sum(len(p["phone"]) for p in self._parts) / 360000

    def batch(
        self, rng: np.random.Generator, count: int, hops: int
    ) -> dict[str, NDArray[np.generic]]:
        """Return ``count`` random crops of ``hops``, stacked by name."""
        sizes = np.array([len(p["phone"]) - hops for p in self._parts], float)
        chosen = rng.choice(len(sizes), count, p=sizes / sizes.sum())
        crops = []
        for i in chosen:
            at = int(rng.integers(0, len(self._parts[i]["phone"]) - hops))
            crops.append({k: v[at : at + hops] for k, v in self._parts[i].items()})
        return {k: np.stack([c[k] for c in crops]) for k in crops[0]}


def disturb(
    raw: NDArray[np.float32], rng: np.random.Generator, clean: float
) -> NDArray[np.float32]:
    """Equalise, add stationary noise and change the gain in the log-mel domain, per crop."""
    batch = len(raw)
    out = raw.copy()
    dirty = rng.random(batch) > clean
    knots = rng.normal(0, 0.9, (batch, 6)) * (rng.random((batch, 1)) < 0.6)
    grid = np.linspace(0, 5, MELS)
    curve = np.stack([np.interp(grid, np.arange(6), k) for k in knots]) * dirty[:, None]
    gain = rng.uniform(-1.5, 1.0, batch) * dirty
    out[..., :MELS] += (curve + gain[:, None])[:, None]
    out[..., MELS] += gain[:, None]
    _reverberate(out, dirty & (rng.random(batch) < 0.3), rng)
    noisy = dirty & (rng.random(batch) < 0.55)
    loud = np.percentile(out[..., MELS], 90, axis=1)
    snr = rng.uniform(0.5, 8.0, batch)  # natural log of power: 2 to 35 dB
    floor = np.where(noisy, loud - snr, -30.0)
    slope = np.linspace(0.5, -0.5, MELS)[None] * rng.uniform(-1.0, 4.0, (batch, 1))
    grain = rng.normal(0, 0.35, out[..., :MELS].shape)
    # Broadband noise spreads its power over the bins; a mel band averages its own.
    band = floor[:, None, None] - 4.2 + slope[:, None] + grain
    clean_energy = out[..., MELS].copy()
    out[..., :MELS] = np.logaddexp(out[..., :MELS], band)
    out[..., MELS] = np.logaddexp(clean_energy, floor[:, None])
    out[..., MELS + 1] *= np.exp(clean_energy - out[..., MELS])
    return np.asarray(out, np.float32)


def _reverberate(
    raw: NDArray[np.float32], wet: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Add an exponentially decaying tail of power in every band, in place.

    The statistical model of late reverberation (Polack, 1988): the tail has a decay time and a
    level against the direct sound, and begins some 20 ms after it.
    """
    for i in np.flatnonzero(wet):
        decay = float(np.exp(-0.138 / rng.uniform(0.15, 0.9)))  # -60 dB in that many seconds
        ratio = 10 ** (-rng.uniform(0.0, 14.0) / 10)  # tail against direct sound
        tail = [0.0, 0.0, ratio * (1 - decay)]
        power = np.exp(raw[i, :, : MELS + 1])
        wet_power = power + lfilter(tail, [1.0, -decay], power, axis=0)
        raw[i, :, : MELS + 1] = np.log(wet_power)
        raw[i, :, MELS + 1] *= (power[:, MELS] / wet_power[:, MELS]) ** 0.5


def mask(
    features: NDArray[np.float32], rng: np.random.Generator, clean: float
) -> NDArray[np.float32]:
    """SpecAugment (Park et al., 2019): hide a few bands, and a few hops at a time."""
    for row in features:
        if rng.random() < clean:
            continue
        for _ in range(rng.integers(0, 3)):
            at, width = int(rng.integers(0, MELS)), int(rng.integers(1, 10))
            row[:, at : min(at + width, MELS)] = -1.0
        if rng.random() < 0.3:
            at, width = int(rng.integers(0, len(row))), int(rng.integers(1, 5))
            row[at : at + width] = row[max(at - 1, 0)]
    return features


_CHANNEL_WEIGHTS = {"jawOpen": 2.0, "mouthClose": 2.0, "mouthPucker": 1.2, "mouthFunnel": 1.2}


def loss_of(out: Tensor, channels: Tensor, closure: Tensor, phone: Tensor) -> Tensor:
    """Score all look-aheads of ``(B, T, heads, OUTPUTS)`` against targets of the same hops."""
    weights = torch.tensor([_CHANNEL_WEIGHTS.get(name, 1.0) for name in CHANNELS])
    gaps = torch.from_numpy(GAP_WEIGHTS)
    total = out.new_zeros(())
    for head, (look_ahead, weight) in enumerate(zip(LOOK_AHEADS_MS, _HEAD_WEIGHTS, strict=True)):
        lag = look_ahead // 10
        said = out[:, _WARM_UP + lag :, head]
        last = out.shape[1] - lag
        want = channels[:, _WARM_UP:last]
        got = said[..., : len(CHANNELS)]
        curve = functional.smooth_l1_loss(got, want, beta=0.06, reduction="none")
        speed = (got[:, 1:] - got[:, :-1]) - (want[:, 1:] - want[:, :-1])
        gap = torch.relu(got @ gaps) - torch.relu(want @ gaps)
        shut = functional.binary_cross_entropy_with_logits(
            said[..., CLOSURE], closure[:, _WARM_UP:last]
        )
        classes = functional.cross_entropy(
            said[..., PHONES].flatten(0, 1), phone[:, _WARM_UP:last].flatten()
        )
        total = total + weight * (
            (curve * weights).mean()
            + 0.3 * speed.abs().mean()
            + 0.8 * gap.abs().mean()
            + 0.10 * shut
            + 0.04 * classes
        )
    return total


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
        partial = self.folder / "checkpoint.partial.npz"
        np.savez(partial, **arrays)
        partial.replace(self.checkpoint)

    def restore(self) -> None:
        """Go on from the checkpoint."""
        with np.load(self.checkpoint, allow_pickle=False) as data:
            arrays = {k: torch.from_numpy(np.array(data[k])) for k in data.files}
        self.steps, self.spent = int(arrays["steps"]), float(arrays["spent"])
        for net, prefix in ((self.net, "net/"), (self.average, "average/")):
            net.load_state_dict(
                {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
            )
        for i, parameter in enumerate(self.net.parameters()):
            keys = [k for k in arrays if k.startswith(f"adam/{i}/")]
            self.optimiser.state[parameter] = {k.split("/")[-1]: arrays[k] for k in keys}

    def step(self, data: Corpus, rng: np.random.Generator) -> float:
        """Train on one batch; return its loss."""
        config = self.config
        crop = data.batch(rng, config.batch, config.hops)
        raw = disturb(crop["raw"].astype(np.float32), rng, config.clean)
        assert raw.shape[-1] == RAW
        features = mask(normalise(raw)[0], rng, config.clean)
        out, *_ = self.net(torch.from_numpy(features), *self.net.start(len(features)))
        loss = loss_of(
            out,
            torch.from_numpy(crop["channels"].astype(np.float32)),
            torch.from_numpy(crop["closure"].astype(np.float32)),
            torch.from_numpy(crop["phone"].astype(np.int64)),
        )
        share = min(self.spent / (config.minutes * 60), 1.0)
        warm = min(1.0, (self.steps + 1) / 100)
        for group in self.optimiser.param_groups:
            group["lr"] = config.rate * warm * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * share)))
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        keep = min(0.998, self.steps / (self.steps + 20))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.net.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        return float(loss.detach())

    def run(self, data: Corpus, report_every: int = 50) -> None:
        """Train until the budget is spent, saving on the way."""
        rng = np.random.default_rng([self.config.seed, self.steps])
        recent: list[float] = []
        saved = time.monotonic()
        last = saved
        while self.spent < self.config.minutes * 60:
            recent.append(self.step(data, rng))
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


def write_weights(trainer: Trainer, out: Path, about: dict[str, object]) -> Path:
    """Export the averaged network to ``out/motion.onnx`` with ``manifest.json`` beside it."""
    out.mkdir(parents=True, exist_ok=True)
    graph = out / "motion.onnx"
    export_onnx(trainer.average, len(CHANNELS), graph)
    manifest = {
        "file": graph.name,
        "sha256": hashlib.sha256(graph.read_bytes()).hexdigest(),
        "bytes": graph.stat().st_size,
        "parameters": sum(p.numel() for p in trainer.average.parameters()),
        "command": "python -m models.motion.train --make-corpus --corpus DIR --out DIR "
        f"--shards {about.get('shards')} --minutes {trainer.config.minutes:g}",
        "steps": trainer.steps,
        "training_minutes": round(trainer.spent / 60, 1),
        "network": asdict(trainer.net.config),
        "training": asdict(trainer.config),
        **about,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return graph


DATA = {
    "data": "Synthetic speech only, made by models.motion.corpus from word lists of this "
    "repository; no recording of a person and no captured performance was used directly.",
    "voices": {
        "flite slt, rms, awb": "CMU ARCTIC derived, BSD-like (free for any use)",
        "festival cmu_us_slt_arctic_hts": "EST licence, BSD-like",
        "festival kal_diphone": "CMU/Edinburgh, free for any use",
        "festival lp_diphone, pc_diphone": "GPL-2+ voice databases (Italian)",
        "festival msu_ru_nsh_clunits": "BSD-like (Russian)",
        "festival czech_dita, krb, machac": "GPL-3+ voice databases (Czech)",
        "festival czech_ph": "GPL-2+ voice database (Czech)",
        "festival suo_fi_lj, hy_fi_mv": "LGPL voice databases (Finnish)",
        "festival upc_ca_ona_hts": "LGPL-2.1+ (Catalan)",
        "espeak-ng, 19 languages": "GPL-3+ program; formant synthesis",
    },
    "note": "Programs and voice databases are tools here; none of them is part of the weights.",
    "licence": "Apache-2.0",
}


def main(argv: list[str] | None = None) -> int:
    """Train from the command line."""
    parser = argparse.ArgumentParser(prog="train motion", description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of shards")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints and weights")
    parser.add_argument("--make-corpus", action="store_true", help="generate the corpus first")
    parser.add_argument("--shards", type=int, default=22, help="shards to generate")
    parser.add_argument("--workers", type=int, default=1, help="processes that generate")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=TrainConfig.batch)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--export-only", action="store_true", help="write the weights as they are")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    if args.make_corpus:
        corpus.make(args.corpus, args.shards, 1, args.workers, corpus.CorpusConfig())
    shards = len(list(args.corpus.glob("shard-????.npz")))
    if shards == 0:
        parser.error(f"No shards in {args.corpus}; give --make-corpus to generate them.")
    trainer = Trainer(
        args.out,
        TrainConfig(minutes=args.minutes, batch=args.batch, seed=args.seed),
        NetConfig(),
    )
    if (args.resume or args.export_only) and trainer.checkpoint.is_file():
        trainer.restore()
    hours = 0.0
    if not args.export_only:
        data = Corpus(args.corpus)
        trainer.run(data)
        hours = data.hours
    about: dict[str, object] = {**DATA, "shards": max(shards, args.shards), "corpus_hours": hours}
    logger.info("%s", write_weights(trainer, args.out, about))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
