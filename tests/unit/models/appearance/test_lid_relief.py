"""How light falls on a closed lid."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.appearance.layers.lid_relief import lid_place, lid_relief, pigment
from visavis.models.appearance.layers.lids import closed_skin

WIDTH = 60.0


def opening() -> np.ndarray:
    """An open eye 60 pixels wide in a patch of 120, its rim at rows 48 and 72."""
    mask = np.zeros((120, 120), np.uint8)
    cv2.ellipse(mask, (60, 60), (30, 12), 0, 0, 360, 1, -1)
    return mask > 0


def test_a_lid_reaches_from_where_the_rims_meet_to_a_fold_above_the_open_eye():
    place = lid_place(opening(), WIDTH)
    assert abs(place.up[73, 60]) < 0.1
    assert 38 < np.abs(place.up[:, 60] - 1.0).argmin() < 46
    assert place.inside()[60, 60] > 0.9
    assert place.inside()[10, 60] == 0 and place.inside()[100, 60] == 0
    # Over the corners the fold is still well above where the rims meet.
    assert place.up[60, 30] < 1.0 and place.up[60, 89] < 1.0


def test_a_lid_is_light_in_the_middle_and_dark_at_fold_and_lashes():
    place = lid_place(opening(), WIDTH)
    light = lid_relief(place, WIDTH, 0.0)[:, 60]
    fold = int(np.abs(place.up[:, 60] - 1.0).argmin())
    assert light[60] > light[fold] + 0.04
    assert light[60] > light[72] + 0.15
    assert light[fold - 12] > light[fold]


def test_a_lid_has_no_edge_where_it_ends():
    place = lid_place(opening(), WIDTH)
    light = lid_relief(place, WIDTH, 0.0)
    assert np.abs(light[:20] - 1).max() < 0.01 and np.abs(light[:, :12] - 1).max() < 0.01
    assert np.abs(np.diff(light[:62], axis=0)).max() < 0.05  # of the light, from pixel to pixel
    assert np.abs(np.diff(light[:62], axis=1)).max() < 0.03


def test_rough_skin_has_finer_folds_on_its_lid():
    place = lid_place(opening(), WIDTH)
    rough, plain = lid_relief(place, WIDTH, 0.05), lid_relief(place, WIDTH, 0.0)
    assert 0.005 < (rough / plain)[48:70, 45:75].std() < 0.05


def test_a_lid_is_drawn_the_same_every_time():
    place = lid_place(opening(), WIDTH)
    assert np.array_equal(pigment(place, WIDTH), pigment(place, WIDTH))
    assert abs(float(pigment(place, WIDTH).std()) - 1.0) < 0.1


def test_no_eye_has_no_lid():
    assert lid_place(np.zeros((40, 40), bool), 20.0) is None


def eye_in(socket: int, colour: tuple[float, float, float] = (1.0, 0.75, 0.6)) -> np.ndarray:
    """An eye whose socket above has this brightness; the skin below has 200."""
    side = opening().shape[0]
    light = np.where(np.arange(side)[:, None] < 60, float(socket), 200.0) * np.ones((1, side))
    crop = light[..., None] * np.array(colour)
    crop[opening()] = (60, 40, 30)
    return crop.round().astype(np.uint8)


def lid_over_skin(socket: int) -> float:
    closed = closed_skin(eye_in(socket), opening(), WIDTH, np.zeros(opening().shape, np.float32))
    lid = closed[52:64, 50:70].astype(float).mean((0, 1))
    return float(lid.mean() / (200.0 * np.mean((1.0, 0.75, 0.6))))


def test_lids_in_side_light_are_not_of_two_shades():
    shaded, lit = lid_over_skin(90), lid_over_skin(260 - 40)
    assert 0.7 < shaded < lit < 1.12
    assert lit - shaded < 0.25


def test_the_shade_on_a_lid_is_warm_and_grey_pictures_stay_grey():
    none = np.zeros(opening().shape, np.float32)
    closed = closed_skin(eye_in(200), opening(), WIDTH, none).astype(float)
    rim = closed[72:76, 50:70].mean((0, 1))
    assert rim[1] / rim[0] < 0.72, "darker than skin, whose green is .75 of its red, and redder"
    grey = closed_skin(eye_in(200, (1.0, 1.0, 1.0)), opening(), WIDTH, none).astype(int)
    lid = grey[45:70, 45:75]
    assert (lid.max(-1) - lid.min(-1)).max() <= 12
