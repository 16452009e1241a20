"""What enrolment makes of a toothy smile: a mouth that can close."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.appearance.colours import take_teeth
from visavis.models.appearance.layers.closed_mouth import _crease
from visavis.models.appearance.layers.folds import soften_folds

GREY = np.array([0.299, 0.587, 0.114])
SKIN, LOWER, UPPER = (205, 165, 140), (200, 120, 115), (120, 75, 65)
# MediaPipe's contours, from the subject's right corner to the left one.
OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)


def smiling() -> tuple[np.ndarray, np.ndarray]:
    """A smile 100 px wide in a face of 240, and its landmarks."""
    picture = np.empty((300, 300, 3), np.uint8)
    picture[:] = SKIN
    points = np.zeros((478, 3), np.float32)
    points[:2, 0] = 30, 270
    arch = np.sin(np.linspace(0, np.pi, 11))
    for rows, half, high, colour in (
        (OUTER_UPPER, 50, -16, UPPER), (OUTER_LOWER, 50, 30, LOWER),
        (INNER_UPPER, 44, -8, None), (INNER_LOWER, 44, 18, None),
    ):  # fmt: skip
        x = np.linspace(150 - half, 150 + half, 11)
        points[list(rows), :2] = np.stack([x, 200 + high * arch], -1)
        if colour is not None:
            cv2.fillPoly(picture, [points[list(rows), :2].round().astype(np.int32)], colour)
    ring = points[[*INNER_UPPER, *INNER_LOWER[::-1]], :2].round().astype(np.int32)
    cv2.fillPoly(picture, [ring], (240, 235, 225))
    for x in (106, 194):
        cv2.circle(picture, (x, 200), 5, (25, 15, 12), -1)
    return picture, points


def test_dark_corners_of_a_smile_go():
    picture, points = smiling()
    assert (picture[195:206, 101:112] @ GREY).min() < 30
    teeth, clean = take_teeth(picture, points)
    assert teeth.size
    for x in (106, 194):
        assert (clean[195:206, x - 5 : x + 6] @ GREY).min() > 0.5 * (np.array(SKIN) @ GREY)
    beside = clean[195:206, 85:95].reshape(-1, 3) @ GREY
    assert beside.min() > 0.95 * (np.array(SKIN) @ GREY)


def test_teeth_beyond_the_contour_do_not_bleach_the_corners():
    picture, points = smiling()
    for x in (104, 196):
        cv2.circle(picture, (x, 200), 5, (240, 235, 225), -1)
    clean = take_teeth(picture, points)[1]
    for x in (106, 194):
        assert (clean[196:205, x - 4 : x + 5] @ GREY).max() < 1.05 * (np.array(SKIN) @ GREY)


def test_a_rolled_in_upper_lip_gets_light():
    picture, points = smiling()
    clean = take_teeth(picture, points)[1]
    upper, lower = clean[187:190, 145:155] @ GREY, clean[222:226, 145:155] @ GREY
    assert 0.68 * lower.mean() < upper.mean() < lower.mean()
    assert np.array_equal(clean[240:], picture[240:])


def with_cheeks(beard: tuple[int, int, int] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The smile with dimples beside it, on skin or in a beard; where the dimples are."""
    picture, points = smiling()
    for middle, cheek in ((210, (50, 101, 118, 117)), (90, (280, 330, 347, 346))):
        corners = ((-12, 90), (12, 90), (12, 114), (-12, 114))
        points[list(cheek), :2] = [(middle + x, y) for x, y in corners]
    if beard is not None:
        outside = (picture == SKIN).all(2) & (np.arange(300)[:, None] > 150)
        picture[outside] = beard
    dimples = np.zeros((300, 300), np.uint8)
    for x in (92, 208):
        cv2.line(dimples, (x, 190), (x, 210), 1, 3)
    picture[dimples > 0] = (0.6 * picture[dimples > 0]).astype(np.uint8)
    return picture, points, dimples > 0


def test_dimples_beside_a_smile_go_with_it():
    picture, points, dimples = with_cheeks(None)
    before = (picture[dimples] @ GREY).mean()
    skin = np.array(SKIN) @ GREY
    assert (soften_folds(picture, points, 1.0)[dimples] @ GREY).mean() > 0.6 * before + 0.4 * skin
    assert np.array_equal(soften_folds(picture, points, 0.0), picture)


def test_a_beard_keeps_what_is_dark_in_it():
    picture, points, dimples = with_cheeks((60, 45, 40))
    kept = soften_folds(picture, points, 1.0)
    assert np.abs(kept[dimples].astype(int) - picture[dimples]).mean() < 4


def test_lips_that_shine_are_no_teeth():
    picture, points = smiling()
    picture[212:216, 130:171] = (250, 175, 170)  # wet and pale, but redder than the teeth
    teeth = take_teeth(picture, points)[0]
    assert teeth[203:208, 140:160, 3].min() > 200
    assert teeth[213:215, 140:160, 3].max() < 60


def test_what_fills_the_corners_is_red_as_lips_are_not_grey():
    picture, points = smiling()
    clean = take_teeth(picture, points)[1].astype(float)
    for x in (108, 192):
        corner = clean[198:204, x - 3 : x + 4].reshape(-1, 3).mean(0)
        # Skin in shadow would have .80; the lower lip has .60 and the upper one .625.
        assert corner[1] / corner[0] < 0.70


def test_a_crease_beyond_a_corner_goes_too():
    picture, points = smiling()
    for ends in ((86, 96), (204, 214)):
        cv2.line(picture, (ends[0], 200), (ends[1], 200), (90, 60, 50), 3)
    clean = take_teeth(picture, points)[1]
    for part in (np.s_[198:203, 87:95], np.s_[198:203, 206:214]):
        assert (picture[part] @ GREY).min() < 80 < 130 < (clean[part] @ GREY).min()


def test_neither_a_beard_nor_a_shadow_is_a_crease():
    skin = np.zeros((60, 120), bool)
    skin[20:40, 10:30] = skin[20:40, 90:110] = True
    grey = np.full(skin.shape, 180.0, np.float32)
    grey[29:31, 12:28] = grey[29:31, 92:108] = 60.0
    bare, bearded = np.zeros(skin.shape, np.float32), np.zeros(skin.shape, np.float32)
    bearded[:, 60:] = 1.0
    assert _crease(grey, skin, bare).sum() == 64
    assert _crease(grey, skin, bearded).sum() == 32
    grey[20:28, 10:30] = 60.0  # a shadow over half of one side
    assert not _crease(grey, skin, bare)[:, :60].any()


def test_what_is_filled_beside_a_corner_is_skin_not_lip():
    picture, points = smiling()
    for x in (99, 201):
        cv2.circle(picture, (x, 200), 8, (25, 15, 12), -1)
    clean = take_teeth(picture, points)[1].astype(float)
    for part in (np.s_[197:204, 91:97], np.s_[197:204, 203:209]):
        assert (picture[part] @ GREY).min() < 30
        hue = clean[part][..., 1] / clean[part][..., 0]
        assert hue.min() > 0.76, "skin has .80, lips .60"
