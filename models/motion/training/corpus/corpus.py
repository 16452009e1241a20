"""Deterministic corpus of speech features with face curves, from speech synthesisers.

``python -m visavis.models.motion.training.corpus.corpus --out DIR --shards N`` writes
``shard-0000.npz`` and so on. Each shard mixes all voices, stores every utterance clean and in
augmented versions as *raw* (not yet gain-normalised) features, and adds sounds that are no voice
with a closed mouth.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.models.files import SHARED, atomic_path
from visavis.models.motion.curves import DEFAULT, CurveConfig, build, phone_classes
from visavis.models.motion.features import SAMPLE_RATE, RawFeatures
from visavis.models.motion.phones import Phone
from visavis.models.motion.training.corpus import align, augment, spoken, voices
from visavis.models.motion.training.corpus.spoken import FOURTH, ONSETS, SECOND, THIRD, CorpusConfig
from visavis.models.motion.training.corpus.voices import Utterance

logger = logging.getLogger(__name__)
SECOND_FROM = 26  # number of the second part's first shard
THIRD_FROM = 40
FOURTH_FROM = 60
_ONSET_SHARDS = 2


def version(
    utterance: Utterance, rng: np.random.Generator, strength: int, babble: NDArray[np.float32]
) -> tuple[NDArray[np.float32], tuple[Phone, ...], CurveConfig]:
    """Return raw features, phones and the curves' constants of one augmented version.

    A shout opens the mouth wider and a murmur less; everything else keeps the fitted constants.

    Args:
        utterance: clean speech.
        rng: decides everything.
        strength: 0 clean apart from its level, 1 another throat, 2 also another source or place.
        babble: other speech, used as noise.
    """
    pcm, phones = utterance.pcm, utterance.phones
    lead = int(rng.uniform(0.05, 0.6) * SAMPLE_RATE)
    pcm = np.concatenate([np.zeros(lead, np.float32), pcm, np.zeros(4800, np.float32)])
    shift = lead / SAMPLE_RATE
    phones = (
        Phone(0.0, shift, "SIL"),
        *(Phone(p.start + shift, p.end + shift, p.name, p.stress) for p in phones),
        Phone(phones[-1].end + shift, len(pcm) / SAMPLE_RATE, "SIL"),
    )
    curves = DEFAULT
    if strength > 0:
        if rng.random() < 0.22:
            effort = float(rng.uniform(0.5, 1.0) * rng.choice([-1.0, 1.0]))
            pcm = augment.strain(pcm, effort)
            wider = 1.0 + (0.25 if effort > 0 else 0.4) * effort
            curves = replace(DEFAULT, jaw=DEFAULT.jaw * wider, lips=DEFAULT.lips * wider)
        if rng.random() < 0.7:
            pcm = augment.warp_formants(pcm, float(rng.uniform(0.80, 1.25)))
        if rng.random() < 0.6:
            pcm, phones = augment.change_speed(pcm, phones, float(rng.uniform(0.82, 1.22)))
        if rng.random() < 0.3:
            pcm = augment.reexcite(pcm, phones, rng)
    if strength > 1:
        pcm = augment.degrade(pcm, rng, babble)
    else:
        level = 10 ** (rng.uniform(-24, -1) / 20)
        pcm = (pcm / (np.max(np.abs(pcm)) + 1e-6) * level).astype(np.float32)
        pcm = pcm + rng.standard_normal(len(pcm)).astype(np.float32) * 10 ** rng.uniform(-5, -3.4)
    raw = RawFeatures().whole(np.asarray(pcm, np.float32))
    if rng.random() < (0.5 if strength == 0 else 0.8):
        raw, phones = augment.walk_durations(raw, phones, rng)
    return raw, phones, curves


def make_shard(
    path: Path, index: int, seed: int, config: CorpusConfig, timer: Path | None = None
) -> int:
    """Write one shard; return its hops. The same arguments give the same shard."""
    rng = np.random.default_rng([seed, index])
    said = list(spoken.speech(config, seed * 100003 + index))
    if timer is not None:
        graph = align.Timer(timer)
        said += spoken.later_speech(config, seed * 100003 + index + 50021, graph)
        said += spoken.onsets(config, seed * 100003 + index + 70001, graph)
        said += spoken.invented(config, seed * 100003 + index + 90001, graph)
        said += spoken.rounded(config, seed * 100003 + index + 110017, graph)
    rows: list[tuple[NDArray[np.float32], tuple[Phone, ...], CurveConfig, str]] = []
    babble = np.concatenate([u.pcm for u in said[:6]]) if said else np.zeros(0, np.float32)
    for utterance in said:
        if len(utterance.phones) < 3:
            continue
        for strength in range(config.versions + 1):
            row = version(utterance, rng, min(strength, 2), babble)
            rows.append((*row, utterance.voice))
    for _ in range(config.negatives):
        raw = RawFeatures().whole(augment.negative(rng))
        rows.append((raw, (Phone(0.0, len(raw) / 100, "SIL"),), DEFAULT, "negative"))
    curves = [build(phones, len(raw), config) for raw, phones, config, _ in rows]
    hops = np.array([len(raw) for raw, *_ in rows])
    with atomic_path(path, mode=SHARED) as partial:
        np.savez(
            partial,
            raw=np.concatenate([raw for raw, *_ in rows]).astype(np.float16),
            channels=np.concatenate([c for c, _ in curves]).astype(np.float16),
            closure=np.concatenate([c for _, c in curves]).astype(np.float16),
            phone=np.concatenate([phone_classes(p, len(r)) for r, p, *_ in rows]).astype(np.uint8),
            hops=hops,
            voice=np.array([v for *_, v in rows]),
        )
    return int(hops.sum())


def make(out: Path, shards: int, seed: int, workers: int, config: CorpusConfig) -> None:
    """Write what is missing of ``shards`` shards and a description beside them."""
    out.mkdir(parents=True, exist_ok=True)
    todo = [i for i in range(shards) if not (out / f"shard-{i:04d}.npz").is_file()]
    about = {
        "seed": seed,
        "config": config.__dict__,
        "installed": voices.installed(),
        "flite": _version(["flite", "--version"]),
        "espeak-ng": _version(["espeak-ng", "--version"]),
        "festival": _version(["festival", "--version"]),
    }
    (out / "corpus.json").write_text(json.dumps(about, indent=1))
    _write(out, todo, seed, workers, config, None)


def make_later(
    out: Path, timer: Path, workers: int, second: int = 0, third: int = 0, fourth: int = 0
) -> None:
    """Write what is missing of the later parts, which need a trained network.

    Args:
        out: folder of the corpus.
        timer: motion graph that times the phones of voices that do not tell.
        workers: processes.
        second: shards of voices that came later (``SECOND``); two of ``ONSETS`` follow them.
        third: shards of invented words (``THIRD``).
        fourth: shards about rounding (``FOURTH``).
    """
    split = SECOND_FROM + second
    for numbers, config in (
        (range(SECOND_FROM, split), SECOND),
        (range(split, split + _ONSET_SHARDS if second else split), ONSETS),
        (range(THIRD_FROM, THIRD_FROM + third), THIRD),
        (range(FOURTH_FROM, FOURTH_FROM + fourth), FOURTH),
    ):
        todo = [i for i in numbers if not (out / f"shard-{i:04d}.npz").is_file()]
        _write(out, todo, 1, workers, config, timer)


def _write(
    out: Path,
    todo: Sequence[int],
    seed: int,
    workers: int,
    config: CorpusConfig,
    timer: Path | None,
) -> None:
    # espeak-ng carries state from one utterance to the next: a fresh process per shard keeps a
    # shard the same whatever was made before it.
    with ProcessPoolExecutor(workers, max_tasks_per_child=1) as pool:
        jobs = {
            i: pool.submit(make_shard, out / f"shard-{i:04d}.npz", i, seed, config, timer)
            for i in todo
        }
        for i, job in jobs.items():
            logger.info("shard %d: %.1f minutes", i, job.result() / 6000)


def _version(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return (done.stdout or done.stderr).strip().splitlines()[0]


def main(argv: list[str] | None = None) -> int:
    """Make a corpus from the command line."""
    parser = argparse.ArgumentParser(description="Make the corpus of the motion predictor.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not any(voices.installed().values()):
        parser.error(
            "No speech synthesiser is installed; apt-get install flite espeak-ng festival."
        )
    make(args.out, args.shards, args.seed, args.workers, CorpusConfig())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
