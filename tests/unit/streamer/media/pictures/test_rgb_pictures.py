"""I420 as RGB, against OpenCV's own conversion."""

from __future__ import annotations

import numpy as np

from visavis.streamer.integrations.pictures import rgb
from visavis.streamer.media.encoder import to_i420


def test_colours_come_back() -> None:
    y, x = np.mgrid[0:256, 0:320].astype(np.float32)
    picture = np.stack([x * 255 / 320, y, (x + y) % 256 * 0 + 90], axis=2).astype(np.uint8)
    back = np.asarray(rgb(to_i420(picture)))
    assert back.shape == picture.shape
    error = np.abs(back[2:-2, 2:-2].astype(int) - picture[2:-2, 2:-2])
    assert error.mean() < 1.5 and np.percentile(error, 99) < 6


def test_plain_colours_are_exact() -> None:
    for colour in [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 60), (20, 180, 90)]:
        picture = np.full((64, 64, 3), colour, np.uint8)
        assert np.abs(np.asarray(rgb(to_i420(picture))).astype(int) - picture).max() <= 3
