"""Phones to curves, the phone tables, and the evaluation's arithmetic."""

from __future__ import annotations

import random

import numpy as np
import pytest

from visavis.models.coefficients import COUNT
from visavis.models.motion.curves import (
    CHANNEL,
    CHANNELS,
    GAP_WEIGHTS,
    aperture,
    build,
    collapse,
    expand,
    lip_gap,
    phone_classes,
    rest_lips,
    seal,
)
from visavis.models.motion.phones import (
    CLASS_INDEX,
    CLASSES,
    Phone,
    UnknownPhone,
    classes_of,
    timed_arpabet,
)
from visavis.models.motion.training import evaluate
from visavis.models.motion.training.corpus import text


def say(*names: str, each: float = 0.09) -> list[Phone]:
    padded = ["SIL", "SIL", *names, "SIL", "SIL"]
    return [Phone(i * each, (i + 1) * each, n) for i, n in enumerate(padded)]


def at(phones: list[Phone], number: int) -> int:
    """Return the hop in the middle of a phone, the padding not counted."""
    phone = phones[number + 2]
    return int(50 * (phone.start + phone.end))


@pytest.mark.parametrize("consonant", ["P", "B", "M"])
@pytest.mark.parametrize("vowel", ["AA", "IY", "UW", "AO"])
def test_bilabials_close_between_any_vowels(consonant: str, vowel: str) -> None:
    phones = say(vowel, consonant, vowel)
    channels, closure = build(phones, 70)
    gap = lip_gap(channels)
    assert gap[at(phones, 1)] < 0.005
    assert closure[at(phones, 1)] > 0.95
    assert gap[at(phones, 0)] > 0.04 and gap[at(phones, 2)] > 0.04


def test_labiodentals_nearly_close_with_the_lip_tucked() -> None:
    phones = say("AA", "F", "AA")
    channels, closure = build(phones, 70)
    middle = at(phones, 1)
    assert channels[middle, CHANNEL["mouthRollLower"]] > 0.4
    assert lip_gap(channels)[middle] < 0.05
    assert closure[middle] < 0.05


def test_vowels_are_told_apart() -> None:
    shape = {}
    for name in ("AA", "IY", "UW"):
        phones = say("T", name, "T", each=0.12)
        shape[name] = build(phones, 90)[0][at(phones, 1)]
    jaw, pucker, stretch = (CHANNEL[n] for n in ("jawOpen", "mouthPucker", "mouthStretch"))
    assert shape["AA"][jaw] > shape["IY"][jaw] + 0.15
    assert shape["UW"][pucker] > 0.3 > shape["AA"][pucker]
    assert shape["IY"][stretch] > shape["UW"][stretch] + 0.05


def test_tongue_consonants_inherit_the_lips() -> None:
    rounded, spread = say("UW", "T", "UW"), say("IY", "T", "IY")
    pucker = CHANNEL["mouthPucker"]
    high = build(rounded, 70)[0][at(rounded, 1), pucker]
    low = build(spread, 70)[0][at(spread, 1), pucker]
    assert high > low + 0.2


def test_silence_is_shut_and_rounding_starts_early() -> None:
    phones = say("S", "S", "UW")
    channels, _ = build(phones, 70)
    assert lip_gap(channels)[:8].max() < 0.01
    assert channels[at(phones, 1), CHANNEL["mouthPucker"]] > 0.02
    assert build([], 10)[0].sum() == 0.0


def test_curves_are_smooth() -> None:
    rng = random.Random(0)
    names = rng.choices(CLASSES[1:], k=60)
    channels, _ = build(say(*names, each=0.07), 450)
    jaw = channels[:, CHANNEL["jawOpen"]]
    assert np.abs(np.diff(jaw)).max() < 0.06  # 6 per second, the 99th percentile of capture
    assert channels.min() >= 0.0 and channels.max() <= 1.0


def test_sealing_shuts_any_mouth_and_resting_never_overshoots() -> None:
    rng = np.random.default_rng(0)
    channels = rng.uniform(0, 0.5, (200, len(CHANNELS))).astype(np.float32)
    channels[:, CHANNEL["mouthClose"]] = 0.0
    seal(channels, np.ones(200, np.float32))
    assert lip_gap(channels).max() < 1e-5
    channels[:, CHANNEL["mouthClose"]] = 1.0
    rest_lips(channels)
    positive = channels[channels @ GAP_WEIGHTS > -0.1]
    assert len(positive) > 100
    assert (positive @ GAP_WEIGHTS).min() > -0.05


def test_expand_and_collapse_are_inverse() -> None:
    channels = np.random.default_rng(1).uniform(0, 1, (5, len(CHANNELS))).astype(np.float32)
    values = np.zeros((5, COUNT), np.float32)
    expand(channels, values)
    np.testing.assert_allclose(collapse(values), channels, atol=1e-6)
    np.testing.assert_allclose(aperture(values), lip_gap(channels) / 0.513, atol=1e-5)


@pytest.mark.parametrize(
    ("label", "table", "classes"),
    [
        ("ay", "english", ("AA", "IH")),
        ("o1", "italian", ("OO",)),
        ("m:", "finnish", ("M",)),
        ("ch", "czech", ("X",)),
        ("bb", "russian", ("B",)),
        ("tʃ", "ipa", ("CH",)),
        ("pʲ", "ipa", ("P",)),
        ("uː", "ipa", ("UW",)),
        ("ʲ", "ipa", ()),
        ("_:", "ipa", ("SIL",)),
        ("ɛ̃", "ipa", ("EH",)),
    ],
)
def test_labels_of_every_engine(label: str, table: str, classes: tuple[str, ...]) -> None:
    assert classes_of(label, table)[0] == classes


def test_unknown_labels_are_refused_by_name() -> None:
    with pytest.raises(UnknownPhone, match="qqq"):
        classes_of("qqq", "english")


def test_classes_at_hops() -> None:
    phones = timed_arpabet([(0.1, 0.2, "B"), (0.2, 0.4, "AY1")], 0.5)
    assert [p.name for p in phones] == ["SIL", "B", "AA", "IH", "SIL"]
    got = phone_classes(phones, 50)
    assert got[15] == CLASS_INDEX["B"] and got[25] == CLASS_INDEX["AA"] and got[45] == 0


@pytest.mark.parametrize("language", ["en", *text.LANGUAGES])
def test_sentences_are_made_from_a_seed(language: str) -> None:
    said = text.sentence(language, random.Random(4))
    assert said == text.sentence(language, random.Random(4))
    assert len(said) > 8 and "{" not in said


def test_area_under_curve_recall_and_d_prime() -> None:
    assert evaluate.area_under_curve([3, 4], [1, 2]) == 1.0
    assert evaluate.area_under_curve([1, 2], [1, 2]) == 0.5
    assert evaluate.area_under_curve([1, 3], [2, 4]) == 0.25
    assert evaluate.recall_at([5.0, 0.0], list(range(5)), 0.0) == 0.5
    assert evaluate.d_prime([2.0, 4.0], [-1.0, 1.0]) == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("shift", [-4, 0, 7])
def test_lag_is_found_with_its_sign(shift: int) -> None:
    sound = np.random.default_rng(0).standard_normal(400)
    sound = np.convolve(sound, np.ones(5) / 5, "same")
    _, best, lag = evaluate.correlation_and_lag(np.roll(sound, shift), sound)
    assert lag == shift and best > 0.9


def test_phone_built_curves_score_perfectly_and_energy_cannot_tell_place() -> None:
    rng = np.random.default_rng(0)
    words = ["B AA T IY", "M AE K UW", "T AA P IY", "N IY D AA", "G UW B AE", "K AA M IY"]
    labels, time = [], 0.3
    for word in rng.choice(words, 40):
        for name in word.split():
            labels.append((time, time + 0.1, name))
            time += 0.1
    pcm = rng.standard_normal(int((time + 0.3) * 16000)).astype(np.float32) * 0.01
    for start, end, name in labels:
        if len(name) == 2:
            pcm[int(start * 16000) : int(end * 16000)] *= 20
    track = evaluate.phone_built(labels, len(pcm) // 160)
    figures = evaluate.summarise({"a": track}, {"a": pcm}, {"a": labels})
    assert figures["place_auc"] > 0.99 and figures["closure_recall_5"] > 0.99
    assert figures["aperture_r"] > 0.999 and figures["aperture_lag_ms"] == 0.0
    assert figures["rounding_d"] > 3.0
    energy = evaluate.summarise({"a": evaluate.energy_jaw(pcm)}, {"a": pcm}, {"a": labels})
    assert energy["place_auc"] < 0.7


@pytest.mark.parametrize(
    "how", ["clean", "noise10", "room", "telephone", "quiet", "short", "long", "whisper"]
)
def test_disturbances_keep_length_and_stay_finite(how: str) -> None:
    sound = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    got = evaluate.disturbed(sound, how, np.random.default_rng(1))
    assert got.shape == sound.shape and got.dtype == np.float32 and np.isfinite(got).all()


def test_an_unknown_disturbance_is_refused() -> None:
    with pytest.raises(ValueError, match="no condition"):
        evaluate.disturbed(np.zeros(10, np.float32), "underwater", np.random.default_rng(0))


def test_a_late_jaw_is_found_late_against_capture() -> None:
    rng = np.random.default_rng(0)
    jaw = np.abs(np.convolve(rng.standard_normal(2000), np.hanning(25), "same")) * 0.1
    captured = np.interp(np.arange(600) / 30 + 1 / 60, (np.arange(2000) + 0.5) / 100, jaw)
    figures = evaluate.against_capture(np.roll(jaw, 4), captured, 30.0)
    assert figures["lag_ms"] == pytest.approx(40.0, abs=10.0)
    assert figures["r"] > 0.85
    assert figures["p95"] == pytest.approx(figures["captured_p95"], rel=0.1)
