"""Words for arrays: what is short must say the same as what is long."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.arrays import held_within


@pytest.mark.parametrize("kind", [np.float32, np.float64, int])
def test_a_place_is_held_as_numpy_clips_it(kind: type) -> None:
    places = [-1e9, -3, -0.5, 0, 0.5, 1, 127.5, 254.99, 255, 256, 257, 1e9]
    for place in map(kind, places):
        for least, most in ((0, 256), (1, 256), (0, 255), (0, 0)):
            assert held_within(place, least, most) == int(np.clip(place, least, most))


def test_beyond_every_number_is_the_border() -> None:
    assert held_within(np.float32(np.inf), 0, 256) == 256
    assert held_within(-np.inf, 1, 256) == 1


def test_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        held_within(np.float32(np.nan), 0, 256)
