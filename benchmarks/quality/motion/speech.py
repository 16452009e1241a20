"""Where the speech of the evaluation comes from: aligned recordings, and voices held out.

A folder of recordings is aligned by its ``phones.json`` (``{name: [[start, end, ARPAbet]]}``) or,
where a ``.txt`` with the words lies beside each recording, by forced alignment with pocketsphinx.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError
from visavis.models.motion.curves import RATE, build
from visavis.models.motion.features import SAMPLE_RATE
from visavis.models.motion.phones import UnknownPhone
from visavis.models.motion.training.corpus import text, voices
from visavis.models.motion.training.evaluate import Labels, Track, from_channels, phone_built

SOUNDS = (".flac", ".wav", ".ogg", ".mp3", ".m4a")

# What training never hears: a voice of festival, and variants of espeak-ng that the corpus does
# not use. The languages are in the corpus, spoken by other variants; Romanian and Danish are not.
HELD_OUT_MALE = voices.FestivalVoice("voice_ked_diphone", "english", "en", "ascii")
HELD_OUT_VARIANTS = ("Gene", "Diogo", "shelby", "travis", "aunty", "Denis")
LANGUAGES = {
    "Spanish": ("es-419", "es"),
    "French": ("fr-be", "fr"),
    "Italian": ("it", "it"),
    "Russian": ("ru", "ru"),
    "Mandarin": ("cmn-latn-pinyin", "cmn-latn-pinyin"),
}


@dataclass(frozen=True)
class Recording:
    """Speech with its phones.

    Attributes:
        pcm: ``(samples,)`` float32 at 16 kHz.
        labels: (start, end, name); ARPAbet, or the classes of ``visavis.models.motion.phones``.
        built: the curves that the generator makes of the phones.
    """

    pcm: NDArray[np.float32]
    labels: Labels
    built: Track


Recordings = dict[str, Recording]


def read_sound(path: Path) -> NDArray[np.float32]:
    """Decode any audio file to mono 16 kHz samples in [-1, 1].

    Raises:
        BenchmarkError: it cannot be read.
    """
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    pieces: list[NDArray[np.float32]] = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(audio=0):
                pieces += [r.to_ndarray().reshape(-1) for r in resampler.resample(frame)]
            pieces += [r.to_ndarray().reshape(-1) for r in resampler.resample(None)]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise BenchmarkError(f"{path} is no sound file that can be read.") from error
    return np.concatenate(pieces).astype(np.float32)


def arpabet(pcm: NDArray[np.float32], labels: Labels) -> Recording:
    """Return a recording with aligned ARPAbet phones."""
    return Recording(pcm, labels, phone_built(labels, -(-len(pcm) * RATE // SAMPLE_RATE)))


def synthetic(said: voices.Utterance) -> Recording:
    """Return what a synthesiser said, with its own phones."""
    channels, _ = build(said.phones, -(-len(said.pcm) * RATE // SAMPLE_RATE))
    labels = [(p.start, p.end, p.name) for p in said.phones]
    return Recording(said.pcm, labels, from_channels(channels))


def folder(path: Path, limit: int | None = None) -> Recordings:
    """Read a folder of aligned recordings, or of recordings with their words.

    Raises:
        BenchmarkError: there is nothing that can be used.
    """
    if not path.is_dir():
        raise BenchmarkError(f"There is no folder {path}.")
    files = {p.stem: p for p in sorted(path.iterdir()) if p.suffix.lower() in SOUNDS}
    index = path / "phones.json"
    if index.is_file():
        try:
            labels = json.loads(index.read_text("utf-8"))
        except ValueError as error:
            raise BenchmarkError(f"{index} is not JSON.") from error
    else:
        words = {n: p.with_suffix(".txt") for n, p in files.items()}
        labels = {
            n: align(read_sound(files[n]), w.read_text("utf-8"))
            for n, w in words.items()
            if w.is_file()
        }
    names = [n for n in sorted(labels) if n in files][:limit]
    if not names:
        raise BenchmarkError(
            f"{path} holds no recordings with a phones.json or with .txt files of their words."
        )
    return {n: arpabet(read_sound(files[n]), labels[n]) for n in names}


def align(
    pcm: NDArray[np.float32], words: str, *, every_word: bool = False
) -> list[tuple[float, float, str]]:
    """Return when each phone of known English words was said, by forced alignment.

    Args:
        pcm: ``(samples,)`` at 16 kHz.
        words: what is said.
        every_word: whether a word that the dictionary lacks is an error; else it is left out.

    Raises:
        BenchmarkError: pocketsphinx is missing, or the words do not fit the sound.
    """
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise BenchmarkError(
            "Aligning words needs pocketsphinx: pip install 'visavis[train]'."
        ) from error
    decoder = Decoder(samprate=SAMPLE_RATE, lm=None, loglevel="FATAL")
    asked = re.findall(r"[a-z0-9']+", words.lower())
    known = [w for w in asked if decoder.lookup_word(w) is not None]
    if not known or (every_word and known != asked):
        raise BenchmarkError("Not all of the words are in the pronouncing dictionary.")
    data = (np.clip(pcm, -1, 1) * 32_767).astype("<i2").tobytes()
    decoder.set_align_text(" ".join(known))
    for again in range(2):  # words first, then the phones within them
        decoder.start_utt()
        decoder.process_raw(data, full_utt=True)
        try:
            decoder.end_utt()
        except RuntimeError as error:
            raise BenchmarkError("The words do not fit the sound.") from error
        if again:
            break  # asking this pass for its words ends the process
        if decoder.hyp() is None:
            raise BenchmarkError("The words do not fit the sound.")
        decoder.set_alignment()
    rows = []
    found = decoder.get_alignment()  # held, or its entries would outlive it
    for word in found:
        rows += [(p.start / 100, (p.start + p.duration) / 100, str(p.name)) for p in word]
    return [r for r in rows if r[2] != "SIL" and not r[2].startswith("+")]


def faster(recording: Recording, factor: float) -> Recording:
    """Return a recording played faster: pitch and formants rise, as a child's are higher."""
    count = int(len(recording.pcm) / factor)
    pcm = np.interp(np.arange(count) * factor, np.arange(len(recording.pcm)), recording.pcm)
    labels = [(a / factor, b / factor, name) for a, b, name in recording.labels]
    return arpabet(pcm.astype(np.float32), labels)


def held_out_male(count: int = 60, seed: int = 11) -> Recordings:
    """Return English sentences by a male voice that training never hears; {} without festival."""
    if not voices.installed()["festival"]:
        return {}
    rng = random.Random(seed)
    said = voices.festival(HELD_OUT_MALE, [text.english(rng) for _ in range(count)])
    return {str(i): synthetic(u) for i, u in enumerate(said)}


def language(name: str, count: int = 48, seed: int = 12) -> Recordings:
    """Return sentences of one of ``LANGUAGES`` by held-out voices; {} without espeak-ng."""
    return {str(i): synthetic(u) for i, u in enumerate(_spoken(name, count, seed))}


def _spoken(name: str, count: int, seed: int) -> Iterator[voices.Utterance]:
    if not voices.installed()["espeak"]:
        return
    voice, words = LANGUAGES[name]
    rng = random.Random(seed)
    espeak = voices.Espeak()
    for _ in range(count):
        variant = rng.choice(HELD_OUT_VARIANTS)
        said = text.sentence(words, rng)
        try:
            yield espeak.speak(said, f"{voice}+{variant}", rate=rng.randint(135, 190))
        except UnknownPhone:
            continue
