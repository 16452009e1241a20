"""The measures of rendered mouths, on curves whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.benchmarks.quality.measures import (
    closure_at,
    closure_at_false_rate,
    correlation,
    flicker,
    follow,
    narrowest,
    silent_frames,
    speech_envelope,
    tokens,
)

FPS = 25
RATE = 16_000


def smooth_noise(frames: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.convolve(rng.standard_normal(frames + 8), np.hanning(9), "valid")


def test_the_envelope_hears_speech_and_not_hum() -> None:
    t = np.arange(2 * RATE) / RATE
    loud = (t % 0.4 < 0.2).astype(float)  # five frames on, five off
    pcm = 0.5 * np.sin(2 * np.pi * 1000 * t) * loud + 0.5 * np.sin(2 * np.pi * 60 * t)
    envelope = speech_envelope(pcm.astype(np.float32), RATE, FPS)
    assert len(envelope) == 50
    on = envelope[[2, 12, 22]]
    off = envelope[[7, 17, 27]]
    assert np.allclose(on, 0.5 / np.sqrt(2), rtol=0.02) and (off < 0.01).all()


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_the_envelope_has_a_value_per_frame_at_any_rate(rate: int) -> None:
    assert len(speech_envelope(np.ones(rate * 3 + 17, np.float32), rate, FPS)) == 75


@pytest.mark.parametrize("late_frames", [-4, -2, 0, 1, 3, 5])
def test_a_shifted_mouth_is_found_at_its_lag(late_frames: int) -> None:
    sound = smooth_noise(200, 1)
    mouth = np.roll(sound, late_frames)
    found = follow(mouth[10:-10], sound[10:-10], FPS)
    assert found.lag_ms == late_frames * 40 and found.r > 0.99
    assert found.r0 <= found.r


def test_a_lag_below_a_frame_is_seen() -> None:
    fine = smooth_noise(2000, 2)
    fine = np.convolve(fine, np.hanning(41), "same")
    sound, mouth = fine[40::4][:300], fine[38::4][:300]  # 2 of 100 Hz later
    assert follow(mouth, sound, FPS).lag_ms == 20


def test_what_does_not_follow_scores_low() -> None:
    scores = [follow(smooth_noise(300, i), smooth_noise(300, 90 + i), FPS).r0 for i in range(20)]
    assert abs(float(np.mean(scores))) < 0.1
    assert correlation(np.ones(50), smooth_noise(50, 3)) == 0.0


def test_the_narrowest_frame_of_an_interval() -> None:
    aperture = np.array([0.1, 0.2, 0.05, 0.3])
    assert narrowest(aperture, 0.0, 0.16, FPS) == 0.05
    assert narrowest(aperture, 0.0, 0.05, FPS) == 0.1  # only the first frame's middle is inside
    assert narrowest(aperture, 0.062, 0.078, FPS) == 0.2  # none inside: the nearest


def curve(closes: bool) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """Return ``AA M AA M ...`` at 25 fps, each 120 ms, the lips closing or not."""
    phones = [(i * 0.12, (i + 1) * 0.12, "M" if i % 2 else "AA") for i in range(40)]
    middles = (np.arange(120) + 0.5) / FPS
    is_m = (middles / 0.12).astype(int) % 2 == 1
    return np.where(is_m & closes, 0.0, 0.2), phones


def test_closing_lips_are_recalled_and_others_not() -> None:
    for closes in (True, False):
        aperture, phones = curve(closes)
        closed, open_ = tokens(aperture, phones, FPS)
        assert (len(closed), len(open_)) == (20, 20)
        score = closure_at_false_rate(closed, open_)
        assert score.recall == float(closes) and score.false_rate <= 0.05
        assert closure_at(closed, open_, 0.03).recall == float(closes)


def test_a_mouth_that_never_opens_recalls_everything_and_is_found_out() -> None:
    aperture, phones = curve(True)
    closed, open_ = tokens(aperture * 0, phones, FPS)
    fixed = closure_at(closed, open_, 0.03)
    assert (fixed.recall, fixed.false_rate) == (1.0, 1.0)
    assert closure_at_false_rate(closed, open_).recall == 0.0


def test_the_threshold_takes_no_more_vowels_than_allowed() -> None:
    rng = np.random.default_rng(4)
    open_ = rng.uniform(0, 1, 200)
    score = closure_at_false_rate(rng.uniform(0, 0.02, 50), open_, 0.05)
    assert 0.03 <= score.false_rate <= 0.05 and score.recall == 1.0
    chance = closure_at_false_rate(rng.uniform(0, 1, 2000), open_, 0.05)
    assert 0.02 < chance.recall < 0.1


def test_phones_beyond_the_last_frame_are_left_out() -> None:
    closed, open_ = tokens(np.zeros(10), [(0.1, 0.2, "P"), (0.5, 0.6, "P")], FPS)
    assert (len(closed), open_) == (1, [])
    assert np.isnan(closure_at([], [], 0.1).recall)


def test_silence_keeps_its_distance_from_speech() -> None:
    quiet = silent_frames([(0.0, 0.5, "SIL"), (0.5, 1.0, "AA")], 75, FPS)
    assert quiet[:5].all() and not quiet[5:32].any() and quiet[33:].all()


def test_flicker_sees_blinking_pixels_and_not_drift() -> None:
    drift = [np.full((8, 8, 3), 100 + 2 * i, np.uint8) for i in range(10)]
    blinking = [np.full((8, 8, 3), 100 + 6 * (i % 2), np.uint8) for i in range(10)]
    assert flicker(drift) == pytest.approx(0.0, abs=1e-4)
    assert flicker(blinking) == pytest.approx(6.0, abs=1e-4)
    assert flicker(drift[:2]) == 0.0
