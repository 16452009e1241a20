"""Deterministic corpus of speech features with face curves, from speech synthesisers.

``python -m models.motion.corpus --out DIR --shards N`` writes ``shard-0000.npz`` and so on. Each
shard mixes all voices, stores every utterance clean and in augmented versions as *raw*
(not yet gain-normalised) features, and adds sounds that are no voice with a closed mouth.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.motion import align, augment, text, voices
from models.motion.curves import DEFAULT, CurveConfig, build, phone_classes
from models.motion.features import SAMPLE_RATE, RawFeatures
from models.motion.phones import Phone, UnknownPhone
from models.motion.predictor import Graph
from models.motion.voices import Utterance

logger = logging.getLogger(__name__)
SECOND_FROM = 26  # number of the second part's first shard
THIRD_FROM = 40
_ONSET_SHARDS = 2
HELD_OUT = ("festival/voice_ked_diphone",)  # a male voice that training never hears


@dataclass(frozen=True)
class CorpusConfig:
    """How much of what goes into one shard.

    Attributes:
        flite: utterances per flite voice (those built from recordings of people).
        festival: utterances per festival voice.
        espeak: utterances with random espeak-ng voices.
        negatives: three-second sounds without voice.
        versions: augmented versions beside the clean one.
        rhvoice: utterances per RHVoice voice, timed by a trained network.
        pico: utterances per Pico voice, timed likewise.
        later: utterances per festival voice of ``LATER_FESTIVAL_VOICES``.
        onsets: short English utterances per flite, RHVoice and English Pico voice that begin
            with a vowel.
        invented: utterances of words that nobody knows, per flite and festival voice; three times
            as many per Pico and RHVoice voice that reads as it is spelled, ten times as many by
            espeak-ng.
    """

    flite: int = 26
    festival: int = 4
    espeak: int = 90
    negatives: int = 60
    versions: int = 2
    rhvoice: int = 0
    pico: int = 0
    later: int = 0
    onsets: int = 0
    invented: int = 0


# Shards of the second stage: mostly voices that the first stage did not have.
SECOND = CorpusConfig(flite=6, festival=4, espeak=24, negatives=40, rhvoice=16, pico=16, later=5)


# And some of nothing but short utterances that begin with a vowel.
ONSETS = CorpusConfig(flite=0, festival=0, espeak=0, negatives=4, onsets=20)

# Shards of the last stage: invented words.
THIRD = CorpusConfig(flite=3, festival=0, espeak=0, negatives=30, invented=5)


def speech(config: CorpusConfig, seed: int) -> Iterator[Utterance]:
    """Yield the utterances of one shard; synthesisers that are not installed are left out."""
    rng = random.Random(seed)
    have = voices.installed()
    if have["flite"]:
        for voice in ("slt", "rms", "awb"):
            for _ in range(config.flite):
                pitch = None if rng.random() < 0.6 else rng.uniform(85, 240)
                said = text.english(rng)
                yield voices.flite(said, voice, stretch=rng.uniform(0.8, 1.3), pitch=pitch)
    if have["festival"]:
        for fest in voices.FESTIVAL_VOICES:
            texts = [text.sentence(fest.language, rng) for _ in range(config.festival)]
            if f"festival/{fest.command}" not in HELD_OUT:
                yield from voices.festival(fest, texts, stretch=rng.uniform(0.85, 1.25))
    if have["espeak"]:
        espeak = voices.Espeak()
        for _ in range(config.espeak):
            name, language = voices.random_espeak_voice(rng)
            said = text.sentence(language, rng)
            rate, pitch, spread = rng.randint(125, 215), rng.randint(20, 80), rng.randint(20, 90)
            try:
                yield espeak.speak(said, name, rate=rate, pitch=pitch, spread=spread)
            except (UnknownPhone, ValueError) as error:
                logger.debug("skipped: %s", error)


def later_speech(config: CorpusConfig, seed: int, timer: Graph) -> Iterator[Utterance]:
    """Yield what voices say that came later: two more of festival, RHVoice's and Pico's.

    Args:
        config: how many.
        seed: of the words.
        timer: motion graph of an earlier training, which finds the phones' times.
    """
    rng = random.Random(seed)
    have = voices.installed()
    if have["festival"]:
        for fest in voices.LATER_FESTIVAL_VOICES:
            texts = [text.sentence(fest.language, rng) for _ in range(config.later)]
            yield from voices.festival(fest, texts, stretch=rng.uniform(0.85, 1.25))
    if have["rhvoice"] and have["flite"]:
        for voice in voices.RHVOICE_VOICES:
            for _ in range(config.rhvoice):
                said = text.english(rng)
                pcm = voices.rhvoice(
                    said, voice, rate=rng.randint(75, 125), pitch=rng.randint(80, 125)
                )
                yield from _timed(timer, pcm, voices.flite(said, "slt"), f"rhvoice/{voice}")
    if have["pico"] and have["espeak"]:
        espeak = voices.Espeak()
        for voice, language in voices.PICO_VOICES.items():
            for _ in range(config.pico):
                said = text.sentence(language, rng)
                pcm = voices.pico(
                    said, voice, rate=rng.randint(75, 125), pitch=rng.randint(75, 130)
                )
                try:
                    told = (
                        voices.flite(said, "slt")
                        if voice == "en-US"
                        else espeak.speak(said, language)
                    )
                except (UnknownPhone, ValueError):
                    continue
                yield from _timed(timer, pcm, told, f"pico/{voice}")


def onsets(config: CorpusConfig, seed: int, timer: Graph) -> Iterator[Utterance]:
    """Yield short utterances that begin with a vowel; arguments as of ``later_speech``."""
    rng = random.Random(seed)
    have = voices.installed()
    if not have["flite"]:
        return
    for _ in range(config.onsets):
        for voice in ("slt", "rms", "awb"):
            said = text.vowel_first(rng)
            told = voices.flite(said, voice, stretch=rng.uniform(0.8, 1.3))
            yield Utterance(told.pcm, told.phones, f"onset/{told.voice}")
        if have["rhvoice"]:
            said, voice = text.vowel_first(rng), rng.choice(voices.RHVOICE_VOICES)
            pcm = voices.rhvoice(said, voice, rate=rng.randint(75, 125), pitch=rng.randint(80, 125))
            yield from _timed(timer, pcm, voices.flite(said, "slt"), f"onset/rhvoice/{voice}")
        if have["pico"]:
            said = text.vowel_first(rng)
            pcm = voices.pico(said, "en-US", rate=rng.randint(75, 125), pitch=rng.randint(75, 130))
            yield from _timed(timer, pcm, voices.flite(said, "slt"), "onset/pico/en-US")


def invented(config: CorpusConfig, seed: int, timer: Graph) -> Iterator[Utterance]:
    """Yield words that nobody knows, in languages that are spelled as they sound.

    Arguments as of ``later_speech``.
    """
    rng = random.Random(seed)
    have = voices.installed()
    count = config.invented
    if have["flite"]:
        for voice in ("slt", "rms", "awb") * count:
            yield voices.flite(text.invented("en", rng), voice, stretch=rng.uniform(0.8, 1.3))
    if have["festival"]:
        for fest in (*voices.FESTIVAL_VOICES, *voices.LATER_FESTIVAL_VOICES):
            texts = [text.invented(fest.language, rng) for _ in range(count)]
            if f"festival/{fest.command}" not in HELD_OUT:
                yield from voices.festival(fest, texts, stretch=rng.uniform(0.85, 1.25))
    if not have["espeak"]:
        return
    espeak = voices.Espeak()
    for _ in range(10 * count):
        name, language = voices.random_espeak_voice(rng)
        if language not in text.INVENTED:
            continue
        rate, pitch, spread = rng.randint(125, 215), rng.randint(20, 80), rng.randint(20, 90)
        try:
            yield espeak.speak(
                text.invented(language, rng), name, rate=rate, pitch=pitch, spread=spread
            )
        except (UnknownPhone, ValueError) as error:
            logger.debug("skipped: %s", error)
    for name, language in (*voices.RHVOICE_OTHERS.items(), *voices.PICO_VOICES.items()):
        is_pico = name in voices.PICO_VOICES
        if language == "en" or not have["pico" if is_pico else "rhvoice"]:
            continue
        speak = voices.pico if is_pico else voices.rhvoice
        for _ in range(3 * count):
            said = text.invented(language, rng)
            try:
                pcm = speak(said, name, rate=rng.randint(75, 125), pitch=rng.randint(78, 127))
                told = espeak.speak(said, language)
            except (UnknownPhone, ValueError) as error:
                logger.debug("skipped: %s", error)
                continue
            yield from _timed(timer, pcm, told, f"{'pico' if is_pico else 'rhvoice'}/{name}")


def _timed(
    timer: Graph, pcm: NDArray[np.float32], told: Utterance, voice: str
) -> Iterator[Utterance]:
    """Yield the sound with the phones of another rendering, timed anew, if they fit."""
    try:
        phones, fit = align.align(align.probabilities(timer, pcm), [p.name for p in told.phones])
    except ValueError:
        return
    if fit >= align.LEAST_FIT:
        yield Utterance(pcm, phones, voice)


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
    said = list(speech(config, seed * 100003 + index))
    if timer is not None:
        graph = align.Timer(timer)
        said += later_speech(config, seed * 100003 + index + 50021, graph)
        said += onsets(config, seed * 100003 + index + 70001, graph)
        said += invented(config, seed * 100003 + index + 90001, graph)
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
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        raw=np.concatenate([raw for raw, *_ in rows]).astype(np.float16),
        channels=np.concatenate([c for c, _ in curves]).astype(np.float16),
        closure=np.concatenate([c for _, c in curves]).astype(np.float16),
        phone=np.concatenate([phone_classes(p, len(r)) for r, p, *_ in rows]).astype(np.uint8),
        hops=hops,
        voice=np.array([v for *_, v in rows]),
    )
    os.replace(partial, path)
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


def make_second(out: Path, shards: int, workers: int, timer: Path) -> None:
    """Write what is missing of the second part: ``shards`` of ``SECOND`` and two of ``ONSETS``.

    Args:
        out: folder of the corpus.
        shards: how many of ``SECOND``; they are numbered from ``SECOND_FROM`` on.
        workers: processes.
        timer: motion graph that times the phones of voices that do not tell.
    """
    split = SECOND_FROM + shards
    for numbers, config in (
        (range(SECOND_FROM, split), SECOND),
        (range(split, split + _ONSET_SHARDS), ONSETS),
    ):
        todo = [i for i in numbers if not (out / f"shard-{i:04d}.npz").is_file()]
        _write(out, todo, 1, workers, config, timer)


def make_third(out: Path, shards: int, workers: int, timer: Path) -> None:
    """Write what is missing of the third part, shards of ``THIRD``; arguments as before."""
    numbers = range(THIRD_FROM, THIRD_FROM + shards)
    todo = [i for i in numbers if not (out / f"shard-{i:04d}.npz").is_file()]
    _write(out, todo, 1, workers, THIRD, timer)


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
