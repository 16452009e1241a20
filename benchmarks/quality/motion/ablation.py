"""``python -m visavis.benchmarks.quality.motion.ablation``: what each augmentation is worth.

A smaller network than the one shipped is trained anew for every arm, all for the same number of
steps from the same seed, and tried on real speech clean, in noise and through a telephone, on a
male voice held out, and on noise alone. Short trainings rank the groups; their figures are not
those of the shipped weights.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality.motion import speech
from visavis.benchmarks.quality.motion.speech import Recordings
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.motion.curves import CHANNELS
from visavis.models.motion.layout import NetConfig
from visavis.models.motion.training import evaluate

NET = NetConfig(width=96, hidden=128)
_VERSIONS = 3  # of each utterance in a shard: clean, another throat, another place as well
_KEYS = ("raw", "channels", "closure", "phone")


@dataclass(frozen=True)
class Arm:
    """One training.

    Attributes:
        name: what it is trained with.
        versions: which stored versions of each utterance.
        feature_domain: whether batches are changed once more in the log-mel domain.
        negatives: whether sounds that are no voice are in it.
    """

    name: str
    versions: frozenset[int]
    feature_domain: bool
    negatives: bool = True


ARMS = (
    Arm("clean synthetic speech only", frozenset({0}), False),
    Arm("+ throats, pace and sources", frozenset({0, 1}), False),
    Arm("+ rooms, noise, bands, levels, codecs", frozenset({0, 1, 2}), False),
    Arm("+ changes in the log-mel domain (all)", frozenset({0, 1, 2}), True),
    Arm("all, but no sounds without a voice", frozenset({0, 1, 2}), True, negatives=False),
)


def keep(shard: dict[str, NDArray[Any]], arm: Arm) -> dict[str, NDArray[Any]]:
    """Return a shard with an arm's versions only."""
    voices, ends = shard["voice"], np.cumsum(shard["hops"])
    spoken = np.flatnonzero(voices != "negative")
    wanted = [int(i) for place, i in enumerate(spoken) if place % _VERSIONS in arm.versions]
    if arm.negatives:
        wanted += [int(i) for i in np.flatnonzero(voices == "negative")]
    parts = [slice(int(ends[i] - shard["hops"][i]), int(ends[i])) for i in wanted]
    out = {k: np.concatenate([shard[k][p] for p in parts]) for k in _KEYS}
    return {**out, "hops": shard["hops"][wanted], "voice": voices[wanted]}


@contextlib.contextmanager
def _batches(changed: bool) -> Iterator[None]:
    """Train with batches as they are stored, if not ``changed``."""
    from visavis.models.motion.training import train

    before = train.disturb, train.mask
    if not changed:
        train.disturb = lambda raw, rng, clean: raw
        train.mask = lambda features, rng, clean: features
    try:
        yield
    finally:
        train.disturb, train.mask = before


def train_arm(arm: Arm, corpus: Path, scratch: Path, steps: int, shards: int) -> Path:
    """Train one arm; return its graph."""
    from visavis.models.motion.training.batches import Corpus
    from visavis.models.motion.training.network import export_onnx
    from visavis.models.motion.training.train import TrainConfig, Trainer

    folder = scratch / "".join(c if c.isalnum() else "-" for c in arm.name)
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    for path in sorted(corpus.glob("shard-????.npz"))[:shards]:
        with np.load(path, allow_pickle=False) as data:
            np.savez(folder / "shards" / path.name, **keep({k: data[k] for k in data.files}, arm))
    config = TrainConfig(steps=steps, batch=8, captured=0, hops=200, rate=3e-3)
    trainer = Trainer(folder, config, NET)
    if trainer.checkpoint.is_file():
        trainer.restore()
    with _batches(arm.feature_domain):
        trainer.run(Corpus(folder / "shards"))
    graph = folder / "motion.onnx"
    export_onnx(trainer.average, len(CHANNELS), graph)
    return graph


def try_arm(graph: Path, real: Recordings, male: Recordings) -> dict[str, dict[str, float]]:
    """Return an arm's figures by condition."""
    engine = OnnxEngine(graph)
    rows = {}
    for name, how, said in (
        ("real voice", "clean", real),
        ("noise at 10 dB", "noise10", real),
        ("telephone band", "telephone", real),
        ("held-out male", "clean", male),
    ):
        rng = np.random.default_rng(3)
        tracks = {
            n: evaluate.predict(engine, evaluate.disturbed(r.pcm, how, rng), 80, NET)
            for n, r in said.items()
        }
        if said:
            rows[name] = evaluate.summarise(
                tracks,
                {n: r.pcm for n, r in said.items()},
                {n: r.labels for n, r in said.items()},
                {n: r.built for n, r in said.items()},
            )
    noise = evaluate.non_speech()
    opened = [
        float(np.percentile(evaluate.predict(engine, noise[n], 80, NET).aperture[30:], 95))
        for n in ("white_noise", "fan", "music", "melody")
    ]
    rows["no voice"] = {"aperture_p95": max(opened)}
    return rows


def main(argv: list[str] | None = None) -> int:
    """Train and try every arm; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of shards")
    parser.add_argument("--asterisk", type=Path, required=True, help="aligned real speech")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--shards", type=int, default=4, help="how many of the corpus are used")
    parser.add_argument("--arms", type=int, nargs="*", help="numbers of the arms, in this order")
    parser.add_argument("--limit", type=int, help="first N recordings only")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the JSON to write")
    args = parser.parse_args(argv)
    real, male = speech.folder(args.asterisk, args.limit), speech.held_out_male(40)
    result: dict[str, Any] = {"steps": args.steps, "network": NET.__dict__, "arms": {}}
    chosen = range(len(ARMS)) if args.arms is None else args.arms
    for arm in (ARMS[i] for i in chosen):
        began, spent = time.monotonic(), time.process_time()
        graph = train_arm(arm, args.corpus, args.scratch, args.steps, args.shards)
        spent = time.process_time() - spent
        rows = try_arm(graph, real, male)
        rows["cost"] = {"training_cpu_s": spent, "cpu_ms_per_step": 1000 * spent / args.steps}
        result["arms"][arm.name] = {
            n: {k: round(v, 4) for k, v in r.items()} for n, r in rows.items()
        }
        args.output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        sys.stderr.write(f"{arm.name}: {time.monotonic() - began:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
