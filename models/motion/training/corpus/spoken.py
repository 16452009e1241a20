"""What the corpus says, part by part: which voices read what, and when each phone was said."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.models.motion.phones import UnknownPhone
from visavis.models.motion.predictor import Graph
from visavis.models.motion.training.corpus import align, text, voices
from visavis.models.motion.training.corpus.voices import Utterance

logger = logging.getLogger(__name__)

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
        rounded: English utterances about rounding per flite, RHVoice, English festival and Pico
            voice; twice as many by espeak-ng.
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
    rounded: int = 0


# Shards of the third stage: mostly voices that the first stage did not have.
SECOND = CorpusConfig(flite=6, festival=4, espeak=24, negatives=40, rhvoice=16, pico=16, later=5)


# And some of nothing but short utterances that begin with a vowel.
ONSETS = CorpusConfig(flite=0, festival=0, espeak=0, negatives=4, onsets=20)

# Shards of the last stage: invented words.
THIRD = CorpusConfig(flite=3, festival=0, espeak=0, negatives=30, invented=5)

# And some of words in which rounding is hard to hear.
FOURTH = CorpusConfig(flite=3, festival=0, espeak=0, negatives=20, rounded=24)


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


def rounded(config: CorpusConfig, seed: int, timer: Graph) -> Iterator[Utterance]:
    """Yield English in which rounding is hard to hear; arguments as of ``later_speech``."""
    rng = random.Random(seed)
    have = voices.installed()
    if not have["flite"] or not config.rounded:
        return
    for voice in ("slt", "rms", "awb") * config.rounded:
        pitch = None if rng.random() < 0.6 else rng.uniform(85, 240)
        stretch = rng.uniform(0.75, 1.3)
        yield voices.flite(text.rounded(rng), voice, stretch=stretch, pitch=pitch)
    if have["festival"]:
        for fest in voices.FESTIVAL_VOICES:
            if fest.language == "en" and f"festival/{fest.command}" not in HELD_OUT:
                texts = [text.rounded(rng) for _ in range(config.rounded)]
                yield from voices.festival(fest, texts, stretch=rng.uniform(0.85, 1.25))
    later = [(name, voices.rhvoice) for name in voices.RHVOICE_VOICES if have["rhvoice"]]
    later += [("en-US", voices.pico)] if have["pico"] else []
    for name, speak in later:
        maker = "pico" if speak is voices.pico else "rhvoice"
        for _ in range(config.rounded):
            said = text.rounded(rng)
            pcm = speak(said, name, rate=rng.randint(75, 125), pitch=rng.randint(78, 127))
            yield from _timed(timer, pcm, voices.flite(said, "slt"), f"{maker}/{name}")
    if have["espeak"]:
        espeak = voices.Espeak()
        for _ in range(2 * config.rounded):
            variant = rng.choice(voices.ESPEAK_VARIANTS)
            name = rng.choice(("en-us", "en-gb"))
            rate, pitch, spread = rng.randint(125, 215), rng.randint(20, 80), rng.randint(20, 90)
            try:
                yield espeak.speak(
                    text.rounded(rng), f"{name}+{variant}" if variant else name,
                    rate=rate, pitch=pitch, spread=spread,
                )  # fmt: skip
            except (UnknownPhone, ValueError) as error:
                logger.debug("skipped: %s", error)


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
