"""Teeth that the photo shows come with its light; ours is not laid on them a second time."""

from __future__ import annotations

import numpy as np

from visavis.models.renderer.mouth.mouth import _TUNING, _shade
from visavis.models.renderer.mouth.teeth import PhotoTeeth

ENAMEL = np.array([[220.0, 210.0, 195.0]], np.float32)


def tooth(gap: float, shares: tuple[float, float]) -> np.ndarray:
    """Return the colour of a tooth's vertex just under the upper lip at a gap in cm."""
    out = np.zeros((1, 3), np.float32)
    light = np.array([[1.0], [shares[0]], [shares[1]]], np.float32)
    ring, (low, high) = np.array([0.0, 10.0], np.float32), _TUNING.thin
    _shade(
        np.array([[5.0, 1.0, 0.0]], np.float32), ENAMEL, light, np.ones(3, np.float32),
        np.float32(0.0), np.float32(20.0), ring, np.zeros(2, np.float32),
        np.full(2, gap, np.float32), np.full(3, 60.0, np.float32),
        (np.float32(low), np.float32(high - low), np.float32(1.0)), out,
    )  # fmt: skip
    return out[0]


def test_own_teeth_are_seen_at_smaller_gaps():
    own, drawn = (tooth(0.15, (1.0, share)) for share in (_TUNING.own_sooner, 1.0))
    assert own[0] > 1.4 * drawn[0]
    assert np.allclose(tooth(0.0, (1.0, _TUNING.own_sooner)), 60.0), (
        "behind shut lips nothing glows"
    )


def test_own_teeth_bring_their_lips_shadow_themselves():
    own, drawn = (tooth(1.0, (share, 1.0)) for share in (_TUNING.own_shadow, 1.0))
    assert drawn[0] < 0.72 * ENAMEL[0, 0]
    assert 0.85 * ENAMEL[0, 0] < own[0] < ENAMEL[0, 0]


def test_teeth_that_the_photo_does_not_show_keep_the_shade_of_a_rows_end():
    texture = np.zeros((20, 20, 4), np.uint8)
    texture[8:12, 6:14, 3] = 255
    lookup = np.array([[10, 10, 1], [2, 10, 1], [10, 10, 0], [-5, 40, 1]], np.float32)
    teeth = PhotoTeeth(texture, lookup, np.full(3, 200, np.float32))
    assert np.array_equal(teeth.shown(), [1, 0, 0, 0]), "only in the row, and where it is seen"
