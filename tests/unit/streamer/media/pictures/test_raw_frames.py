"""The message of a frame: there and back, and nothing else is believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.streamer.media.raw_frames import FrameSound, Span, unpack


@given(st.integers(0, 2**40), st.integers(0, 5), st.booleans())
def test_what_is_packed_comes_back(frame: int, spans: int, own: bool) -> None:
    sound = np.arange(1920, dtype=np.int16)
    parts = tuple(Span(n, 100 * n, 50) for n in range(spans))
    back = unpack(FrameSound(frame, 7 * frame, sound, parts, own).pack())
    assert (back.frame, back.position, back.spans, back.own) == (frame, 7 * frame, parts, own)
    assert (back.sound == sound).all()


@given(st.binary(max_size=120))
def test_noise_is_a_message_or_one_sentence(message: bytes) -> None:
    try:
        told = unpack(message)
    except ValueError as error:
        assert str(error).endswith(".") or "buffer size" in str(error)
    else:
        assert all(span.first + span.count <= len(told.sound) for span in told.spans)


def test_a_span_beyond_the_sound_is_refused() -> None:
    message = FrameSound(1, 1, np.zeros(10, np.int16), (Span(0, 5, 6),)).pack()
    with pytest.raises(ValueError, match="malformed"):
        unpack(message)
