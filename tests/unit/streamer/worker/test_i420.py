"""A picture of which only parts are converted again is the picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.streamer.media.encoder import to_i420
from visavis.streamer.worker.i420 import Still

_HEIGHT, _WIDTH = 36, 50
_SPAN = st.tuples(st.integers(0, 10**6), st.integers(1, 20))


@settings(max_examples=60)
@given(st.lists(st.lists(st.tuples(_SPAN, _SPAN), max_size=3), min_size=1, max_size=6))
def test_parts_are_as_good_as_the_whole(frames: list[list[tuple]]) -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    still = Still()
    kept = [(still.convert(rgb, None), to_i420(rgb))]
    for boxes in frames:
        changed = []
        for (x, columns), (y, rows) in boxes:
            left, top = x % (_WIDTH - 1), y % (_HEIGHT - 1)
            right, bottom = min(_WIDTH, left + columns), min(_HEIGHT, top + rows)
            changed.append((left, top, right, bottom))
            shape = rgb[top:bottom, left:right].shape
            rgb[top:bottom, left:right] = rng.integers(0, 256, shape, dtype=np.uint8)
        kept.append((still.convert(rgb, changed), to_i420(rgb)))
    for picture, truth in kept:
        assert np.array_equal(picture, truth), "and none is written to again"


def test_another_size_is_converted_whole() -> None:
    still = Still()
    still.convert(np.zeros((36, 50, 3), np.uint8), None)
    wide = np.full((36, 60, 3), 200, np.uint8)
    assert np.array_equal(still.convert(wide, []), to_i420(wide))
