"""The front end: chunked equals whole, masks, and independence of gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models.motion.motion_sounds import AH, noise, vowel, vowel_and_silence
from visavis.models.motion.features import FEATURES, HOP, MELS, FrontEnd, RawFeatures, mel_filters

PCM = np.stack([vowel_and_silence(), noise(1.5)])
HOPS = PCM.shape[1] // HOP


def run(chunks: list[int]) -> np.ndarray:
    front = FrontEnd()
    state = front.init_state(len(PCM))
    out, at = [], 0
    for hops in chunks:
        out.append(front.step(PCM[:, at * HOP : (at + hops) * HOP], state))
        at += hops
    return np.concatenate(out, axis=1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_chunked_equals_whole(sizes: list[int]) -> None:
    chunks, left = [], HOPS
    for size in sizes:
        chunks.append(min(size, left))
        left -= chunks[-1]
        if left == 0:
            break
    if left:
        chunks.append(left)
    np.testing.assert_allclose(run(chunks), run([HOPS]), atol=2e-4)


def test_whole_recording_and_stream_agree_on_the_raw_features() -> None:
    raw = RawFeatures().whole(PCM[0])
    assert raw.shape == (HOPS, MELS + 2)
    assert np.isfinite(raw).all()
    assert RawFeatures().whole(np.zeros(10, np.float32)).shape == (0, MELS + 2)


def test_exec_mask_leaves_a_slot_as_it_is() -> None:
    front = FrontEnd()
    state = front.init_state(2)
    front.step(PCM[:, : 40 * HOP], state)
    tail, level = state.tail.copy(), state.level.copy()
    front.step(PCM[:, 40 * HOP : 60 * HOP], state, np.array([True, False]))
    assert not np.array_equal(state.tail[0], tail[0])
    np.testing.assert_array_equal(state.tail[1], tail[1])
    assert state.level[1] == level[1]


def test_reset_mask_restarts_one_slot() -> None:
    front = FrontEnd()
    state = front.init_state(2)
    front.step(PCM[:, : 80 * HOP], state)
    kept = state.tail[1].copy()
    front.reset(state, np.array([True, False]))
    fresh = front.init_state(2)
    np.testing.assert_array_equal(state.tail[0], fresh.tail[0])
    assert state.level[0] == fresh.level[0]
    np.testing.assert_array_equal(state.tail[1], kept)


def test_speech_20_db_quieter_looks_the_same() -> None:
    sound = vowel(1.5, AH)
    front = FrontEnd()
    loud = front.step(sound[None], front.init_state(1))[0, 60:120]
    quiet = front.step(0.1 * sound[None], front.init_state(1))[0, 60:120]
    heard = loud[:, :MELS] > -0.5  # bands that are not empty
    assert heard.mean() > 0.5
    assert np.abs(loud[:, :MELS] - quiet[:, :MELS])[heard].mean() < 0.02
    assert loud.shape[1] == FEATURES


def test_voicing_tells_a_vowel_from_noise() -> None:
    voiced = RawFeatures().whole(vowel(1.0, AH))[20:80, MELS + 1]
    hissed = RawFeatures().whole(noise(1.0))[20:80, MELS + 1]
    assert voiced.mean() > hissed.mean() + 0.3


def test_every_mel_band_hears_something() -> None:
    weights = mel_filters()
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, rtol=1e-5)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_extremes_stay_finite(level: float) -> None:
    front = FrontEnd()
    out = front.step(np.full((1, 100 * HOP), level, np.float32), front.init_state(1))
    assert np.isfinite(out).all()
