"""Lips touch on less evidence in noise than in clear speech."""

from __future__ import annotations

import numpy as np

from visavis.models.motion import caution


def test_the_floor_falls_at_once_and_rises_slowly_whatever_the_chunks() -> None:
    energy = np.random.default_rng(0).uniform(-12, 0, (3, 400)).astype(np.float32)
    energy[:, 200:] = -3.0
    whole, last = caution.follow_floor(energy, caution.start(3))
    floor, parts = caution.start(3), []
    for at in range(0, 400, 7):
        part, floor = caution.follow_floor(energy[:, at : at + 7], floor)
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(floor, last)
    assert (whole <= energy).all()
    assert (np.diff(whole[:, 200:]) >= 0).all() and (whole[:, 210] < -8).all()
    assert (np.diff(whole[:, 200:]) < 0.02).all()


def test_clear_speech_asks_for_more_certainty_than_noise() -> None:
    closure = np.linspace(0, 1, 21, dtype=np.float32)[None]
    clear = caution.cautious(closure, np.full_like(closure, -12.0))
    between = caution.cautious(closure, np.full_like(closure, -6.0))
    noisy = caution.cautious(closure, np.full_like(closure, -2.0))
    inside = slice(1, -1)
    assert (clear[:, inside] < between[:, inside]).all()
    assert (between[:, inside] < noisy[:, inside]).all()
    assert (clear[:, inside] < closure[:, inside]).all()
    assert (noisy[:, inside] > closure[:, inside]).all()
    for ends in (clear, between, noisy):
        assert ends[0, 0] == 0 and ends[0, -1] == 1 and (np.diff(ends) > 0).all()
