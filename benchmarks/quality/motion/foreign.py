"""Real speakers of other languages, timed without any model that we trained.

The recordings are telephone prompts that Debian packages with their words (``asterisk-core-sounds-
es|fr|it|ru`` and ``-g722``): four professional speakers, one per language, 16 kHz. Nobody has
timed their phones. espeak-ng says the same words and knows its own phones; dynamic time warping
(Sakoe and Chiba, 1978) of the two spectra carries the times over. Prompts whose spectra stay far
apart are left out. How well that works is measured on the English prompts, whose times are known.

Share-alike recordings: for evaluation only, nothing of them is trained on or kept.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.quality.motion.speech import (
    Recording,
    Recordings,
    align,
    arpabet,
    read_sound,
    synthetic,
)
from visavis.models.motion.curves import RATE
from visavis.models.motion.features import MELS, SAMPLE_RATE, RawFeatures
from visavis.models.motion.phones import Phone, UnknownPhone
from visavis.models.motion.training.corpus import voices
from visavis.models.motion.training.corpus.voices import Utterance
from visavis.models.motion.training.evaluate import BILABIALS, LABIODENTALS

SOUNDS = Path("/usr/share/asterisk/sounds")
WORDS = Path("/usr/share/doc")
_ENGLISH = ("en-us+f2", "en-us+f4")
_COMPARED = BILABIALS | LABIODENTALS | {"S", "W", "N", "IY"}


@dataclass(frozen=True)
class Prompts:
    """One language: where its prompts lie and which voices of espeak-ng read it aloud."""

    folder: str
    package: str
    voices: tuple[str, ...]


LANGUAGES = {
    "Spanish": Prompts("es_MX_f_Allison", "asterisk-core-sounds-es", ("es-419+f2", "es+f4")),
    "French": Prompts("fr_CA_f_June", "asterisk-core-sounds-fr", ("fr+f2", "fr+f4")),
    "Italian": Prompts("it_IT_m_Carlo", "asterisk-core-sounds-it", ("it", "it+m3")),
    "Russian": Prompts("ru_RU_f_IvrvoiceRU", "asterisk-core-sounds-ru", ("ru+f2", "ru+f4")),
}
LEAST_S, MOST_S = 0.9, 9.0  # shorter prompts are single words, longer ones drift
_KEPT = 0.7  # share of the prompts, those that warp best
_CEPSTRA = 16
_PAUSE = 8  # hops
_QUIET = 7.4  # natural log of power, 32 dB


def words_of(path: Path) -> dict[str, str]:
    """Read ``name: words`` lines of a gzipped list."""
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise BenchmarkError(f"The list of words {path} cannot be read.") from error
    rows = (line.split(":", 1) for line in lines if ":" in line and not line.startswith(";"))
    return {name.strip(): words.strip() for name, words in rows}


def spectra(pcm: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return cepstra and their change per hop, each of unit variance, pauses cut short.

    People pause where a synthesiser does not, and longer.

    Args:
        pcm: ``(samples,)`` at 16 kHz.

    Returns:
        ``(kept, features)`` and which hops were kept, ``(kept,)``.
    """
    raw = RawFeatures().whole(pcm).astype(float)
    kept = _without_pauses(raw[:, MELS])
    raw = raw[kept]
    bands = np.maximum(raw[:, :MELS], raw[:, :MELS].max() - 9.0)  # a floor 39 dB down
    cepstra = scipy.fft.dct(bands, axis=1, norm="ortho")[:, :_CEPSTRA]
    cepstra = (cepstra - cepstra.mean(0)) / (cepstra.std(0) + 1e-6)
    cepstra[:, 0] *= 2.0  # loudness says where the pauses are
    change = np.gradient(cepstra, axis=0)
    change = change / (change.std(0) + 1e-6)
    return np.asarray(np.hstack([cepstra, 0.7 * change])), kept


def _without_pauses(energy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the hops that stay when every pause is cut to ``_PAUSE`` hops."""
    quiet = energy < np.percentile(energy, 95) - _QUIET
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
    keep = np.ones(len(energy), bool)
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        keep[first + _PAUSE // 2 : max(last - _PAUSE // 2, first + _PAUSE // 2)] = False
    return np.flatnonzero(keep)


def warp(
    said: NDArray[np.float64], known: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Warp one sequence of features onto another.

    Steps are one to one, two to one and one to two (Sakoe and Chiba's slope 1/2), so that no
    phone vanishes.

    Args:
        said: ``(n, features)``.
        known: ``(m, features)``, half to twice as long.

    Returns:
        For every hop of ``known`` the hop of ``said``, and the mean distance along the path.

    Raises:
        BenchmarkError: one is more than twice as long as the other.
    """
    distance = np.sqrt(
        np.maximum((said**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2.0 * said @ known.T, 0.0)
    )
    n, m = distance.shape
    total = np.full((n + 2, m + 2), np.inf)
    step = np.zeros((n, m), np.int8)
    total[1, 1] = 0.0
    for i in range(n):
        here = distance[i]
        one = total[i + 1, 1 : m + 1]
        fast = total[i + 1, :m] if m else one
        slow = total[i, 1 : m + 1]
        before = distance[i - 1] if i else here
        aside = np.concatenate([[0.0], here[:-1]])
        choices = np.stack([one + 2 * here, fast + 2 * aside + here, slow + 2 * before + here])
        step[i] = np.argmin(choices, axis=0)
        total[i + 2, 2:] = choices.min(axis=0)
    if not np.isfinite(total[n + 1, m + 1]):
        raise BenchmarkError("The recording is more than twice as long or short as its words.")
    place = np.zeros(m)
    i, j = n - 1, m - 1
    while i >= 0 and j >= 0:
        place[j] = i
        kind = int(step[i, j])
        if kind == 1 and j:
            place[j - 1] = i
        i, j = i - (2 if kind == 2 else 1), j - (2 if kind == 1 else 1)
    return np.maximum.accumulate(place), float(total[n + 1, m + 1] / (n + m))


def timed(pcm: NDArray[np.float32], told: Utterance) -> tuple[tuple[Phone, ...], float]:
    """Carry the phones of a synthesiser over to a recording of the same words.

    Returns:
        The phones on the recording's clock, and the mean distance of the spectra.
    """
    real, heard = spectra(pcm)
    spoken, known = spectra(told.pcm)
    hops, cost = warp(real, spoken)
    there = heard[hops.astype(int)] / RATE

    def at(time: float) -> float:
        return float(np.interp(time, known / RATE, there))

    return tuple(Phone(at(p.start), at(p.end), p.name, p.stress) for p in told.phones), cost


def best_of(
    pcm: NDArray[np.float32], words: str, names: tuple[str, ...], espeak: voices.Espeak
) -> tuple[tuple[Phone, ...], float] | None:
    """Time the recording by the voice and pace that warp best; None if none can."""
    found: list[tuple[tuple[Phone, ...], float]] = []
    for name in names:
        try:
            told = espeak.speak(words, name)
            pace = len(told.pcm) / max(len(pcm), 1)
            told = espeak.speak(words, name, rate=int(np.clip(165 * pace, 90, 320)))
            found.append(timed(pcm, told))
        except (UnknownPhone, ValueError, BenchmarkError):
            continue
    return min(found, key=lambda f: f[1]) if found else None


def language(name: str, sounds: Path = SOUNDS, words: Path = WORDS) -> Recordings:
    """Return a language's recordings with the phones that warping gives; {} if not installed."""
    prompts = LANGUAGES[name]
    listed, folder = _list(words, prompts.package), sounds / prompts.folder
    if not listed.is_file() or not folder.is_dir() or not voices.installed()["espeak"]:
        return {}
    rows = sorted(_warped(prompts, words_of(listed), folder), key=lambda row: row[0])
    kept = rows[: max(1, int(_KEPT * len(rows)))] if rows else []
    return {key: recording for _, key, recording in kept}


def english(known: Recordings, words: Path = WORDS) -> Recordings:
    """Time English prompts by warping too, so that both can be compared; {} without the words."""
    listed = _list(words, "asterisk-core-sounds-en")
    if not listed.is_file() or not voices.installed()["espeak"]:
        return {}
    said, espeak = words_of(listed), voices.Espeak()
    found: list[tuple[float, str, Recording]] = []
    for name, recording in known.items():
        text = said.get(name) or said.get(name.replace("_", "/", 1))
        if text is None or not LEAST_S <= len(recording.pcm) / SAMPLE_RATE <= MOST_S:
            continue
        best = best_of(recording.pcm, text, _ENGLISH, espeak)
        if best is not None:
            found.append((best[1], name, synthetic(Utterance(recording.pcm, best[0], "warped"))))
    found.sort(key=lambda row: row[0])
    return {name: r for _, name, r in found[: int(_KEPT * len(found))]}


def unseen(known: Recordings, sounds: Path = SOUNDS, words: Path = WORDS) -> Recordings:
    """Return English prompts that are not among the known ones, aligned; {} if not installed.

    Choices between trainings were made on the known ones. Prompts with a word that the
    pronouncing dictionary lacks are left out.
    """
    listed, folder = _list(words, "asterisk-core-sounds-en"), sounds / "en_US_f_Allison"
    if not listed.is_file() or not folder.is_dir():
        return {}
    out: Recordings = {}
    for key, text in sorted(words_of(listed).items()):
        path = folder / f"{key}.g722"
        if not path.is_file() or {key, key.replace("/", "_")} & known.keys():
            continue
        pcm = read_sound(path)
        if not LEAST_S <= len(pcm) / SAMPLE_RATE <= MOST_S:
            continue
        try:
            out[key] = arpabet(pcm, align(pcm, text, every_word=True))
        except BenchmarkError:
            continue
    return out


def errors_ms(warped: Recordings, known: Recordings) -> dict[str, float]:
    """Compare where warping and alignment put the same phones of the same recordings.

    A kind of phone counts in a recording where both have as many of it.
    """
    starts: list[float] = []
    ends: list[float] = []
    for name, recording in warped.items():
        for kind in _COMPARED:
            ours, theirs = (
                [row for row in r.labels if row[2] == kind] for r in (recording, known[name])
            )
            if len(ours) == len(theirs):
                starts += [1000 * (a[0] - b[0]) for a, b in zip(ours, theirs, strict=True)]
                ends += [1000 * (a[1] - b[1]) for a, b in zip(ours, theirs, strict=True)]
    out = {"phones": float(len(starts)), "recordings": float(len(warped))}
    for what, rows in (("start", starts), ("end", ends)):
        if rows:
            out[f"{what}_bias"] = float(np.median(rows))
            out[f"{what}_error_p50"] = float(np.median(np.abs(rows)))
            out[f"{what}_error_p90"] = float(np.percentile(np.abs(rows), 90))
    return out


def _list(words: Path, package: str) -> Path:
    return words / package / f"{package.removeprefix('asterisk-')}.txt.gz"


def _warped(
    prompts: Prompts, words: dict[str, str], folder: Path
) -> Iterator[tuple[float, str, Recording]]:
    espeak = voices.Espeak()
    for key in sorted(words):
        path = folder / f"{key}.g722"
        text = re.sub(r"[\[(].*?[\])]", " ", words[key]).strip()
        if "/" in key or not path.is_file() or len(text) < 4:
            continue  # digits and letters lie in folders of their own
        pcm = read_sound(path)
        if not LEAST_S <= len(pcm) / SAMPLE_RATE <= MOST_S:
            continue
        found = best_of(pcm, text, prompts.voices, espeak)
        if found is not None:
            yield found[1], key, synthetic(Utterance(pcm, found[0], prompts.package))
