"""Bars around a photo, and the crown of a head that its upper edge cuts."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.appearance.layers.layers import background_behind, refine_matte, without_bars
from visavis.models.renderer.crown import extend_sides, extend_top, rows_outside


def noise(height: int = 200, width: int = 240) -> np.ndarray:
    rng = np.random.default_rng(2)
    return rng.integers(40, 220, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("colour", [0, 255])
def test_bars_are_found_at_each_side(colour):
    photo = noise()
    photo[:18] = photo[-9:] = colour
    photo[:, :14] = photo[:, -30:] = colour
    assert without_bars(photo) == (14, 18, 210, 191)


def test_a_caption_on_a_bar_is_part_of_it():
    photo = noise()
    photo[-24:] = 3
    photo[-18:-10, 60:120:2] = 250
    assert without_bars(photo) == (0, 0, 240, 176)


def test_a_plain_backdrop_is_no_bar():
    for level in (0, 128, 255):
        photo = np.full((200, 240, 3), level, np.uint8)
        yy, xx = np.mgrid[:200, :240]
        photo[(xx - 120) ** 2 / 60**2 + (yy - 130) ** 2 / 110**2 < 1] = (150, 120, 100)
        assert without_bars(photo) == (0, 0, 240, 200)
    assert without_bars(np.zeros((50, 50, 3), np.uint8)) == (0, 0, 50, 50)
    assert without_bars(noise()) == (0, 0, 240, 200)


def head(cut: int, size: int = 128) -> np.ndarray:
    """A bright ellipse for a head whose crown is ``cut`` rows above the picture."""
    yy, xx = np.mgrid[:size, :size]
    centre = 60 - cut
    inside = (xx - 64) ** 2 / 36**2 + (yy - centre) ** 2 / 60**2 <= 1
    person = np.zeros((size, size, 4), np.uint8)
    person[..., :3] = np.where(inside[..., None], (90, 60, 40), (10, 200, 10))
    person[..., 3] = 255 * inside
    return person


@pytest.mark.parametrize("cut", [6, 12, 18])
def test_a_cut_crown_closes_above_the_picture(cut):
    size, added = 128, rows_outside(128)
    tall = extend_top(head(cut), (64.0, 60.0 - cut), 118.0 - cut, 30.0)
    assert tall.shape == (size + added, size, 4)
    assert np.array_equal(tall[added:], head(cut))
    width = (tall[:added, :, 3] > 127).sum(1)
    assert width[0] == 0  # no column that goes on for ever
    assert (np.diff(width) >= 0).all()
    below = (head(cut)[0, :, 3] > 127).sum()
    assert 0.75 * below < width[-1] <= below + 2
    rise = int((width > 0).sum())
    assert 0.4 * cut <= rise <= 2.2 * cut + 4
    solid = tall[:added, :, 3] > 200
    assert (tall[:added, :, :3][solid] == (90, 60, 40)).mean() > 0.9  # hair, not background


def test_a_whole_head_gets_no_crown():
    person = np.roll(head(0), 12, axis=0)
    person[:12] = 0
    tall = extend_top(person, (64.0, 72.0), 130.0, 30.0)
    assert (tall[: rows_outside(128), :, 3] == 0).all()


def test_hair_that_the_sides_cut_goes_on_outside_without_streaks():
    size, added = 128, rows_outside(128)
    rng = np.random.default_rng(3)
    yy, xx = np.mgrid[:size, :size]
    person = np.zeros((size, size, 4), np.uint8)
    person[..., :3] = rng.integers(0, 255, (size, size, 1))
    person[..., 3] = 255 * ((xx - 52) ** 2 / 60**2 + (yy - 70) ** 2 / 50**2 <= 1)
    wide = extend_sides(person, (30.0, 80.0))
    assert wide.shape == (size, size + 2 * added, 4)
    assert np.array_equal(wide[:, added:-added], person)
    assert (wide[:, -added:, 3] == 0).all()  # the other side is not cut
    height = (wide[:, :added, 3] > 127).sum(0)
    assert (np.diff(height) >= 0).all() and height[0] == 0  # round, and closed
    cut = (person[:, 0, 3] > 127).sum()
    assert 0.75 * cut < height[-1] <= cut + 2
    inside = wide[40:100, added - 8 : added, 0].astype(int)
    assert np.abs(np.diff(inside, axis=1)).mean() > 40  # a texture of its own, not one column


def test_what_a_corner_cuts_stays_open_there():
    size, added = 128, rows_outside(128)
    person = np.zeros((size, size, 4), np.uint8)
    person[60:, :, 3] = 255  # shoulders over the whole width
    wide = extend_sides(person, (40.0, 90.0))
    assert (wide[-1, :, 3] == 255).all()
    assert (np.diff((wide[:, :added, 3] > 127).sum(0)) >= 0).all()


def test_a_forehead_is_not_mirrored_above_the_hair():
    person = head(12)
    person[12:40, 30:98, :3] = (230, 190, 170)  # hair is only a strip below the cut
    tall = extend_top(person, (64.0, 48.0), 106.0, 24.0)
    assert (tall[: rows_outside(128), :, 0] < 150).all()


def scene(grain: float, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """A plain or grained backdrop behind a dark disc: picture and opacity."""
    rng = np.random.default_rng(11)
    yy, xx = np.mgrid[:size, :size]
    picture = 150 + grain * rng.standard_normal((size, size, 1)) + np.zeros(3)
    disc = (xx - size / 2) ** 2 + (yy - size / 2) ** 2 < (0.25 * size) ** 2
    picture[disc] = 30
    return np.clip(picture, 0, 255).astype(np.uint8), disc.astype(np.float32)


def test_the_backdrops_grain_goes_on_behind_the_person():
    rough, alpha = scene(12.0)
    smooth, _ = scene(0.0)
    behind = (alpha > 0) & (np.roll(alpha, 30, 1) == 0)  # what a head that turns uncovers
    filled = background_behind(rough, alpha)
    assert filled[behind].std() > 0.4 * rough[alpha == 0].std()
    assert abs(float(filled[behind].mean()) - 150) < 4
    assert background_behind(smooth, alpha)[behind].std() < 1.0
    far = np.roll(alpha, 24, 1) + np.roll(alpha, -24, 1) + np.roll(alpha, 24, 0) == 0
    far &= (np.roll(alpha, -24, 0) == 0) & (alpha == 0)
    assert np.array_equal(filled[far], rough[far])


def test_strands_that_the_matte_leaves_out_do_not_stain_what_is_behind():
    picture, alpha = scene(0.0)
    yy, xx = np.mgrid[:256, :256]
    radius = np.hypot(xx - 128, yy - 128)
    curls = (radius > 70) & (radius < 73) & (np.arctan2(yy - 128, xx - 128) % 0.5 < 0.3)
    picture[curls] = 30
    filled = background_behind(picture, alpha)
    assert np.abs(filled[alpha > 0].astype(int) - 150).max() < 12


def test_what_stands_apart_is_no_part_of_the_person():
    picture, alpha = scene(0.0)
    probability = alpha.copy()
    probability[20:60, 5:25] = 1.0  # a chair
    face = np.hypot(*(np.mgrid[:256, :256] - 128)) < 30
    matte = refine_matte(picture, probability, face)
    assert matte[20:60, 5:25].max() == 0
    assert matte[face].min() == 1


def test_a_heads_own_shadow_is_no_outline_behind_it():
    size = 256
    yy, xx = np.mgrid[:size, :size]
    away = np.hypot(xx - 128, yy - 128) - 60
    picture = np.full((size, size, 3), 200, np.uint8)
    picture[(away > 0) & (away < 6)] = 120  # a rim of shadow that the matte leaves out
    picture[away <= 0] = 20
    alpha = np.clip(0.5 - away, 0, 1).astype(np.float32)
    behind = background_behind(picture, alpha)
    assert behind[away < 30].min() > 185
    assert np.array_equal(behind[away > 40], picture[away > 40])
