"""Where lips turn inwards they lose light, and nothing further away changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from visavis.models.renderer.mouth.mouth import _TUNING, _mix

SKIN, DEEP = 200, 40.0
LINING = np.array([120.0, 60.0, 60.0], np.float32)


@pytest.fixture(scope="module")
def mixed() -> np.ndarray:
    """A round mouth of 24 pixels in plain skin, painted."""
    y, x = np.mgrid[:64, :64] - 31.5
    coverage = np.clip(16.0 * (np.hypot(x, y) - 11.5), 0, 16).astype(np.uint8)
    out = np.full((80, 80, 3), SKIN, np.uint8)
    interior = np.full((128, 128, 3), DEEP, np.float32)
    near = cv2.GaussianBlur(coverage, (0, 0), 2.0)
    rim = np.array([*_TUNING.rim_skin, *_TUNING.rim_inside], np.float32)
    _mix(out, interior, coverage, near, LINING, rim, 8, 8)
    return out


def test_skin_and_throat_away_from_the_edge_keep_every_bit(mixed):
    assert (mixed[:12] == SKIN).all() and (mixed[-12:] == SKIN).all()
    assert (mixed[38:42, 38:42] == DEEP).all()


def test_lips_are_darker_at_their_edge_the_upper_more_than_the_lower(mixed):
    column = mixed[:, 40].astype(float)
    top, bottom = 27, 52  # the first whole pixel of skin above and below the hole
    assert SKIN > column[top - 2, 1] > column[top, 1] > 0.55 * SKIN
    assert column[top, 1] < column[bottom, 1] - 8 < SKIN - 8
    assert column[top, 0] > column[top, 1], "what light is left is red"


def test_beside_the_edge_the_lips_own_inside_is_seen(mixed):
    column = mixed[:, 40].astype(float)
    assert column[29, 0] > DEEP + 5, "the hole has no cut edge"
    assert column[29, 0] - column[29, 1] > 2
    assert (np.abs(np.diff(column[34:46], axis=0)) < 6).all()
