"""What a turning head uncovers and covers: edges, layers, what stays where it is."""

from __future__ import annotations

import numpy as np
import pytest

from models.renderer.warp import soften_steps


def slanted(size: int, slope: float, turned: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A black part before a white one: picture in whole pixels, its sources, and the true shares.

    The edge runs ``slope`` pixels aside per pixel along.
    """
    yy, xx = np.mgrid[:size, :size].astype(np.float64)
    if turned:
        yy, xx = xx, yy
    place = size / 2 + slope * (yy - size / 2) + 0.2
    white = xx > place
    share = np.clip(xx - place + 0.5, 0, 1)
    source = np.stack([np.mgrid[:size, :size][1], np.mgrid[:size, :size][0]], -1).astype(np.float32)
    source[white] += 30.0
    picture = np.repeat(255 * white[..., None], 3, 2).astype(np.uint8)
    return picture, source, 255 * share


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("slope", [0.05, 0.2, -0.35])
def test_an_edge_has_no_stairs(slope: float, turned: bool):
    size = 64
    picture, source, truth = slanted(size, slope, turned)
    before = np.abs(picture[8:-8, 8:-8, 0] - truth[8:-8, 8:-8])
    found = np.zeros((size * size // 8, 5), np.int16)
    box = np.zeros((size, size), np.float32)
    soften_steps(picture, source, box, 0, 0, np.float32(4.5), found)
    # Edges are drawn a little softer than their true share; blur that alike before comparing.
    soft = truth.copy()
    soft[1:-1, 1:-1] = (
        truth[1:-1, 1:-1] / 2
        + (truth[:-2, 1:-1] + truth[2:, 1:-1] + truth[1:-1, :-2] + truth[1:-1, 2:]) / 8
    )
    after = np.abs(picture[8:-8, 8:-8, 0] - soft[8:-8, 8:-8])
    near = np.abs(truth[8:-8, 8:-8] - 127) < 127
    assert after[near].mean() < 0.45 * before[near].mean()
    assert after[~near].max() < 45


def test_a_stretch_without_steps_stays_as_it_is():
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    source = np.stack(np.mgrid[:64, :64][::-1], -1).astype(np.float32) * 0.7
    kept = picture.copy()
    found = np.zeros((512, 5), np.int16)
    box = np.zeros((64, 64), np.float32)
    soften_steps(picture, source, box, 0, 0, np.float32(4.5), found)
    assert np.array_equal(picture, kept)
