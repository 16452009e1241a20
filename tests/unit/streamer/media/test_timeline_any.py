"""Whatever comes whenever, media time keeps the clock's pace and nothing is raised."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.streamer.media.timeline import GRACE, MAX_AHEAD, RATE, Timeline

ARRIVALS = st.lists(
    st.tuples(
        st.floats(0, 0.8),  # seconds since the last arrival
        st.integers(-RATE, RATE),  # where the packet says it belongs, off its true place
        st.integers(0, 2880),  # samples in it
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(ARRIVALS, st.integers(0, 30_000))
def test_any_arrivals(arrivals: list[tuple[float, int, int]], constant: int) -> None:
    timeline, now, written = Timeline(0.0), 0.0, 0
    for wait, off, length in arrivals:
        now += wait
        timeline.push(
            round(now * RATE) + (off if off % 3 == 0 else 0) - constant,
            np.ones(length, np.int16),
            now,
        )
        timeline.fill(now)
        assert timeline.written >= written
        written = timeline.written
        assert timeline.due(now) - GRACE <= written <= timeline.due(now) + MAX_AHEAD + 2880


def test_sound_that_half_overlaps_after_much_that_was_refused() -> None:
    timeline, now, block = Timeline(0.0), 0.0, 960
    for k in range(60):  # settles 10 ms late, so that a correction is owed
        now = (k + 1) * 0.02 + (0.010 if k > 5 else 0.0)
        timeline.push(k * block, np.ones(block, np.int16), now)
        timeline.fill(now)
    for _ in range(10):  # 200 ms, the most that is refused in a row
        timeline.push(10 * block, np.ones(block, np.int16), now)
    before = timeline.written
    timeline.push(60 * block - block // 2, np.ones(block, np.int16), now + 0.02)
    assert timeline.written > before
