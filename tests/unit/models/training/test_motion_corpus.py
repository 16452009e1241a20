"""Speech with exact phones: augmentation keeps time, and a small shard is reproducible."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tests.unit.models.motion.motion_sounds import AH, noise, tone, vowel, vowel_and_silence
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.motion.curves import CHANNELS
from visavis.models.motion.features import RAW
from visavis.models.motion.phones import BILABIAL, VOWELS, Phone
from visavis.models.motion.stream import MOTION_GRAPH
from visavis.models.motion.training import evaluate
from visavis.models.motion.training.corpus import augment, text, voices
from visavis.models.motion.training.corpus.corpus import make_shard
from visavis.models.motion.training.corpus.spoken import CorpusConfig

HAVE = voices.installed()
needs_flite = pytest.mark.skipif(
    not HAVE["flite"], reason="no training data: flite is not installed"
)
needs_espeak = pytest.mark.skipif(
    not HAVE["espeak"], reason="no training data: espeak-ng is not installed"
)


def envelope_centre(sound: np.ndarray) -> float:
    power = sound.astype(float) ** 2
    return float((power * np.arange(len(sound))).sum() / power.sum() / 16000)


def brightness(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float((power * np.arange(len(power))).sum() / power.sum())


def test_formant_warp_moves_the_spectrum_and_not_the_time() -> None:
    sound = vowel_and_silence()
    up, down = augment.warp_formants(sound, 1.2), augment.warp_formants(sound, 0.85)
    assert brightness(up) > brightness(sound) > brightness(down)
    assert abs(envelope_centre(up) - envelope_centre(sound)) < 0.01
    assert len(up) == len(sound)


def test_a_warp_of_one_changes_nothing() -> None:
    sound = vowel(0.5, AH)
    assert np.corrcoef(augment.warp_formants(sound, 1.0), sound)[0, 1] > 0.999


def test_speed_moves_phones_with_the_sound() -> None:
    phones = (Phone(0.5, 1.0, "AA"),)
    fast, moved = augment.change_speed(vowel_and_silence(), phones, 1.25)
    assert moved[0].start == pytest.approx(0.4, abs=0.01)
    assert envelope_centre(fast) == pytest.approx(0.6, abs=0.02)


def test_a_whisper_has_no_pitch_and_a_new_source_keeps_the_time() -> None:
    sound = vowel_and_silence()
    rng = np.random.default_rng(0)
    whispered = augment.whisper(sound, rng)
    again = augment.reexcite(sound, (Phone(0.5, 1.0, "AA"),), rng)
    for changed in (whispered, again):
        assert abs(envelope_centre(changed) - envelope_centre(sound)) < 0.04


def test_opus_comes_back_aligned() -> None:
    sound = vowel_and_silence()
    coded = augment.opus(sound, 24000)
    assert coded.shape == sound.shape
    assert np.corrcoef(coded, sound)[0, 1] > 0.8


def test_degraded_sound_is_finite_and_in_range() -> None:
    for seed in range(25):
        out = augment.degrade(vowel_and_silence(), np.random.default_rng(seed), noise(0.5))
        assert np.isfinite(out).all() and np.abs(out).max() <= 1.2
        assert np.isfinite(augment.negative(np.random.default_rng(seed), 1.0)).all()


def test_a_duration_walk_keeps_sound_and_phones_together() -> None:
    raw = np.zeros((200, RAW), np.float32)
    raw[80:120] = 1.0
    phones = (Phone(0.0, 0.8, "SIL"), Phone(0.8, 1.2, "AA"), Phone(1.2, 2.0, "SIL"))
    for seed in range(10):
        out, moved = augment.walk_durations(raw, phones, np.random.default_rng(seed))
        loud = np.flatnonzero(out[:, 0] > 0.5)
        assert loud[0] / 100 == pytest.approx(moved[1].start, abs=0.015)
        assert (loud[-1] + 1) / 100 == pytest.approx(moved[1].end, abs=0.015)


@needs_flite
def test_a_small_shard_is_the_same_twice(tmp_path: Path) -> None:
    config = CorpusConfig(flite=1, festival=0, espeak=0, negatives=2, versions=2)
    arrays = []
    for name in ("a", "b"):
        make_shard(tmp_path / f"{name}.npz", 0, 5, config)
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as data:
            arrays.append({k: data[k] for k in data.files})
    for key, value in arrays[0].items():
        np.testing.assert_array_equal(value, arrays[1][key])
    hops = int(arrays[0]["hops"].sum())
    assert arrays[0]["raw"].shape == (hops, RAW)
    assert arrays[0]["channels"].shape == (hops, len(CHANNELS))
    assert arrays[0]["closure"].max() > 0.9


def separation(said: voices.Utterance) -> tuple[float, float]:
    """Return the mean narrowest opening in bilabials, and the mean of vowels' middles."""
    track = evaluate.predict(OnnxEngine(MOTION_GRAPH), said.pcm)
    closed, opened = [], []
    for phone in said.phones:
        part = track.aperture[int(phone.start * 100) : int(phone.end * 100) + 1]
        if phone.name in BILABIAL:
            closed.append(part.min())
        elif phone.name in VOWELS and len(part) > 4:
            opened.append(part[len(part) // 2])
    return float(np.mean(closed)), float(np.mean(opened))


@needs_flite
@pytest.mark.parametrize("voice", ["slt", "rms", "awb"])
def test_flite_speech_closes_at_bilabials(voice: str) -> None:
    closed, opened = separation(
        voices.flite("Bob may have moved a damp map above the bamboo.", voice)
    )
    assert closed < 0.08
    assert opened > 0.14


@needs_espeak
def test_espeak_speech_closes_at_bilabials() -> None:
    said = voices.Espeak().speak("Papa buys a big map from my mama.", "en-us")
    assert said.phones[0].start == 0.0
    starts = [p.start for p in said.phones]
    assert starts == sorted(starts)
    closed, opened = separation(said)
    assert closed < 0.1
    assert opened > 0.12


def test_tones_and_noise_have_no_phones_to_close_for() -> None:
    track = evaluate.predict(OnnxEngine(MOTION_GRAPH), np.concatenate([tone(1.0), noise(1.0)]))
    assert track.aperture[10:].max() < 0.1


@pytest.mark.parametrize("language", text.INVENTED)
def test_invented_words_put_lips_and_tongue_beside_every_vowel(language: str) -> None:
    said = [text.invented(language, random.Random(seed)) for seed in range(200)]
    assert said[7] == text.invented(language, random.Random(7))
    assert not any("-" in s for s in said) and all(s[-1] in ".?!" for s in said)
    letters = {"ru": "пмтну", "uk": "пмтну", "hi": "पमतनु"}.get(language, "pmtnu")
    together = "".join(said)
    beside = {lip + letters[-1] for lip in letters[:-1]}
    if language != "hi":  # there the sign of u differs from the letter
        assert all(pair in together for pair in beside)
    assert len({word for s in said for word in s.rstrip(".?!").split()}) > 700


def test_sentences_about_rounding_put_both_kinds_of_lips_beside_the_same_sounds() -> None:
    said = [text.rounded(random.Random(seed)) for seed in range(300)]
    assert said[7] == text.rounded(random.Random(7))
    assert not any("{" in s or "|" in s for s in said)
    words = " ".join(said).lower().replace(",", " ").replace(".", " ").split()
    share = {w: words.count(w) / len(words) for w in ("you", "menu", "to", "two", "tea", "yes")}
    assert share["you"] > 0.04 and min(share.values()) > 0.001
