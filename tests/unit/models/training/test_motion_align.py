"""Phone times found anew: by a network's probabilities, and by warping spectra."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.unit.models.motion.motion_sounds import AH, noise, vowel
from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.quality.motion import foreign
from visavis.benchmarks.quality.motion.speech import Recording
from visavis.models.motion.curves import CHANNELS
from visavis.models.motion.phones import CLASS_INDEX, CLASSES, Phone
from visavis.models.motion.training import recipe
from visavis.models.motion.training.corpus import align
from visavis.models.motion.training.corpus.voices import Utterance
from visavis.models.motion.training.evaluate import from_channels, recall_at

TRUE = [("SIL", 10), ("M", 8), ("AA", 15), ("P", 6), ("IY", 11), ("SIL", 12)]


def heard(sure: float, rows: list[tuple[str, int]]) -> np.ndarray:
    names = [n for n, count in rows for _ in range(count)]
    out = np.full((len(names), len(CLASSES)), (1 - sure) / len(CLASSES))
    out[np.arange(len(names)), [CLASS_INDEX[n] for n in names]] += sure
    noise = np.random.default_rng(0).normal(0, 0.2, out.shape)
    return (np.log(out) + noise).astype(np.float32)


def test_known_phones_are_put_where_they_are_heard() -> None:
    phones, fit = align.align(heard(0.6, TRUE), ["M", "AA", "P", "IY"])
    assert [p.name for p in phones] == [n for n, _ in TRUE]
    ends = np.cumsum([count for _, count in TRUE]) / 100
    np.testing.assert_allclose([p.end for p in phones], ends, atol=0.011)
    assert fit > align.LEAST_FIT


def test_a_silence_that_is_not_there_is_left_out() -> None:
    phones, _ = align.align(heard(0.6, TRUE), ["M", "AA", "SIL", "P", "IY"])
    assert [p.name for p in phones] == [n for n, _ in TRUE]


def test_words_that_were_not_said_do_not_fit() -> None:
    _, right = align.align(heard(0.6, TRUE), ["M", "AA", "P", "IY"])
    _, wrong = align.align(heard(0.6, TRUE), ["S", "UW", "K", "F", "AO"])
    assert wrong < align.LEAST_FIT < right
    with pytest.raises(ValueError, match="too short"):
        align.align(heard(0.6, TRUE), ["M", "AA"] * 40)


def spoken(pauses: float, pace: float) -> tuple[np.ndarray, tuple[Phone, ...]]:
    """Say hiss, vowel, hiss, vowel with a pause in between."""
    parts = [("SIL", pauses), ("S", 0.2), ("AA", 0.3), ("SIL", pauses), ("S", 0.15), ("AA", 0.4)]
    sounds, phones, at = [], [], 0.0
    for name, seconds in [*parts, ("SIL", 0.1)]:
        seconds = seconds if name == "SIL" else seconds * pace
        if name == "S":
            sounds.append(0.1 * noise(seconds))
        else:
            sounds.append(vowel(seconds, AH) if name == "AA" else np.zeros(int(16000 * seconds)))
        phones.append(Phone(at, at + len(sounds[-1]) / 16000, name))
        at = phones[-1].end
    hiss = 1e-4 * np.random.default_rng(1).standard_normal(sum(map(len, sounds)))
    return (np.concatenate(sounds) + hiss).astype(np.float32), tuple(phones)


def test_warping_carries_times_to_a_slower_speaker_with_pauses() -> None:
    known, told = spoken(0.1, 1.0)
    pcm, true = spoken(0.5, 1.4)
    found, _ = foreign.timed(pcm, Utterance(known, told, "test"))
    for ours, theirs in zip(found, true, strict=True):
        if ours.name != "SIL":
            assert ours.start == pytest.approx(theirs.start, abs=0.045)
            assert ours.end == pytest.approx(theirs.end, abs=0.045)


def test_what_cannot_be_warped_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="twice as long"):
        foreign.warp(np.zeros((40, 3)), np.zeros((100, 3)))


def test_errors_are_those_of_the_same_phones() -> None:
    still = from_channels(np.zeros((10, len(CHANNELS)), np.float32))
    known = Recording(np.zeros(1600, np.float32), [(0.1, 0.2, "M"), (0.3, 0.4, "S")], still)
    warped = Recording(known.pcm, [(0.13, 0.21, "M"), (0.3, 0.4, "S"), (0.5, 0.6, "S")], still)
    errors = foreign.errors_ms({"a": warped}, {"a": known})
    assert errors["phones"] == 1 and errors["start_error_p50"] == pytest.approx(30)


def test_recall_among_equal_scores_is_what_chance_would_give() -> None:
    shut = [0.0] * 50
    assert recall_at(shut, shut) == pytest.approx(0.05)
    assert recall_at([0.0] * 10, [0.0] * 20 + [-1.0] * 80) == pytest.approx(0.25)
    assert recall_at([0.0, 0.0, -0.5, -0.9], [0.0] * 10 + [-1.0] * 90) == pytest.approx(0.25)
    assert recall_at([0.0, -0.3], [-0.2] + [-0.5 - i / 100 for i in range(99)]) == 1.0


def test_the_recipe_hands_each_stage_what_the_one_before_made(tmp_path: Path) -> None:
    found = recipe.commands(tmp_path / "corpus", tmp_path / "out", tmp_path / "takes")
    assert len(found) == len(recipe.STAGES) + 1
    *lips, flow = found
    first, second, third = lips[:3]
    assert "--warm-start" not in first and "--facegood" not in first
    for before, after in pairwise(lips):
        made = before[before.index("--out") + 1]
        assert after[after.index("--warm-start") + 1] == f"{made}/checkpoint.npz"
    assert third[third.index("--timer") + 1] == second[second.index("--out") + 1] + "/motion.onnx"
    assert flow[flow.index("--part") + 1] == "flow"
    codes = iter([0, 3, 0])
    assert recipe.run(lambda words: next(codes), tmp_path, tmp_path, None) == 3


def test_prompts_that_choices_were_made_on_are_not_among_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "asterisk-core-sounds-en" / "core-sounds-en.txt.gz"
    listed.parent.mkdir()
    said = "known: yes\nnew: no\nbad: maybe\nshort: oh\nsub/known2: well\n"
    listed.write_bytes(gzip.compress(said.encode()))
    folder = tmp_path / "en_US_f_Allison"
    (folder / "sub").mkdir(parents=True)
    for name in ("known", "new", "bad", "short", "sub/known2"):
        (folder / f"{name}.g722").touch()

    def sound(path: Path) -> np.ndarray:
        return np.zeros(16000 if path.stem != "short" else 3000, np.float32)

    def aligned(pcm: np.ndarray, words: str, *, every_word: bool) -> list[tuple[float, float, str]]:
        assert every_word
        if words == "maybe":
            raise BenchmarkError("Not all of the words are in the pronouncing dictionary.")
        return [(0.2, 0.4, "N"), (0.4, 0.8, "OW")]

    monkeypatch.setattr(foreign, "read_sound", sound)
    monkeypatch.setattr(foreign, "align", aligned)
    still = from_channels(np.zeros((100, len(CHANNELS)), np.float32))
    known = dict.fromkeys(("known", "sub_known2"), Recording(np.zeros(1), [], still))
    assert list(foreign.unseen(known, tmp_path, tmp_path)) == ["new"]
    assert foreign.unseen(known, tmp_path / "none", tmp_path) == {}
