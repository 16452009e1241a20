from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.streamer.worker.probe import BLOCKS, Probe

RATE, FPS = 16_000, 25


def read(picture: np.ndarray) -> tuple[int, bool, int, bool]:
    size = picture.shape[1] // BLOCKS
    bits = picture[size // 2 : 2 * size : size, size // 2 :: size, 1] > 127
    value = int("".join(str(int(b)) for b in bits[0]), 2)
    offset = int("".join(str(int(b)) for b in bits[1, 1:9]), 2)
    return value, bool(bits[1, 0]), offset, bool(bits[1, 9]) == bool(bits[0].sum() % 2)


@given(st.integers(0, 10**8), st.sampled_from([256, 384, 512]))
def test_any_frame_number_reads_back(frame: int, size: int) -> None:
    picture = np.full((size, size, 3), 127, np.uint8)
    Probe(RATE, FPS).stamp(picture, frame)
    assert read(picture) == (frame * 40, False, 0, True)


@pytest.mark.parametrize("chunk", [160, 999, 640])
def test_a_click_marks_its_own_frame_once(chunk: int) -> None:
    sound = np.zeros(RATE, np.float32)
    sound[7 * 640 + 176 : 7 * 640 + 200] = 0.9
    sound[8 * 640 + 10] = -0.9  # ringing of the same click
    probe = Probe(RATE, FPS)
    for start in range(0, len(sound), chunk):
        probe.listen(sound[start : start + chunk])
    marks = {}
    for frame in range(25):
        picture = np.zeros((256, 256, 3), np.uint8)
        probe.stamp(picture, frame)
        _, click, offset, _ = read(picture)
        if click:
            marks[frame] = offset
    assert marks == {7: 11}


def test_a_session_whose_sound_came_late_is_stamped_with_its_own_media_time() -> None:
    probe = Probe(RATE, FPS)
    sound = np.zeros(RATE, np.float32)
    sound[3 * 640 + 176] = 0.9
    probe.listen(sound)
    read_back = []
    for frame in (12, 13):
        picture = np.zeros((256, 256, 3), np.uint8)
        probe.stamp(picture, frame, first_frame=10)
        read_back.append(read(picture)[:3])
    assert read_back == [(480, False, 0), (520, True, 11)]
