"""Closed lids: taken from the photo at enrolment, drawn by the renderer."""

from __future__ import annotations

import cv2
import numpy as np

from visavis.models.appearance import colours
from visavis.models.appearance.colours import EYE_CONTOUR, EyeTextures, _light, take_eye
from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.eyes.lashes import lash_at, lash_picture
from visavis.models.renderer.renderer import Renderer

SKIN = np.array([200, 150, 120])
IRIS = ((473, 474, 475, 476, 477), (468, 469, 470, 471, 472))
GREY = np.array([0.299, 0.587, 0.114])


def eye_in_a_socket(shade: float) -> EyeTextures:
    """An eye 60 pixels wide, with the skin above it darkened to ``shade``."""
    picture = np.empty((200, 200, 3), np.uint8)
    picture[:] = SKIN
    picture[40:100] = SKIN * shade
    cv2.ellipse(picture, (100, 100), (30, 12), 0, 0, 360, (230, 230, 230), -1)
    cv2.circle(picture, (100, 100), 10, (40, 25, 15), -1)
    cv2.ellipse(picture, (100, 100), (31, 13), 0, 180, 360, (15, 10, 10), 3)  # lashes
    points = np.zeros((478, 3), np.float32)
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for contour in EYE_CONTOUR:
        points[list(contour), :2] = np.stack([100 + 30 * np.cos(turn), 100 + 12 * np.sin(turn)], -1)
    for ring in IRIS:
        points[list(ring), :2] = [(100, 100), (110, 100), (100, 90), (90, 100), (100, 110)]
    return take_eye(picture, points, 0, 120)


def lid_colour(eye: EyeTextures) -> np.ndarray:
    """The middle of the closed lid."""
    y, x = 100 - eye.patch.top, 100 - eye.patch.left
    return eye.lids[y - 5 : y + 3, x - 10 : x + 10].reshape(-1, 3).mean(0)


def test_a_lid_is_skin_also_in_a_dark_socket():
    for shade in (1.0, 0.35, 0.1):  # plain light, a deep socket, the rim of dark glasses
        colour = lid_colour(eye_in_a_socket(shade))
        assert 0.55 * (SKIN @ GREY) < colour @ GREY < 1.02 * (SKIN @ GREY)
        hue, wanted = colour / colour.sum(), SKIN / SKIN.sum()
        assert np.abs(hue - wanted).max() < 0.04


def test_a_lid_wears_the_make_up_above_the_eye():
    plain, made_up = lid_colour(eye_in_a_socket(1.0)), lid_colour(eye_in_a_socket(0.6))
    assert made_up @ GREY < 0.85 * (plain @ GREY)


def test_lashes_are_what_joins_the_rim_and_a_fold_is_not():
    bare = np.full((120, 120, 3), 180, np.uint8)
    photo = bare.copy()
    photo[44:60, 40:44] = 30  # a lash stands on the rim in row 60
    photo[44:48, 70:90] = 30  # a fold lies above it
    rim = np.stack([np.linspace(30, 90, 9), np.full(9, 60.0)], 1).astype(np.float32)
    found = lash_picture(photo, bare, rim, 60.0)
    columns = found.shape[1]
    lash, fold = found[:, columns // 6 : columns // 4], found[:, 3 * columns // 4 :]
    assert lash[:8].max() > 0.5
    assert fold.max() < 0.05


def test_a_lid_in_a_socket_is_darker_than_in_plain_light():
    assert lid_colour(eye_in_a_socket(0.35)) @ GREY < 0.9 * (
        lid_colour(eye_in_a_socket(1.0)) @ GREY
    )


def test_lashes_are_not_drawn_out_over_a_half_closed_lid(astronaut_identity: Identity):
    renderer = Renderer(astronaut_identity)
    vector = neutral()
    vector[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = 0.5
    picture = renderer.render(vector).astype(float) @ GREY
    skin = float(np.array(astronaut_identity.colours.skin) @ GREY)
    for side, eye in enumerate(astronaut_identity.eyes):
        rim = renderer.rig.points[renderer.rig.lids[side].upper]
        x, y = round(eye.iris[0]), rim[np.abs(rim[:, 0] - eye.iris[0]).argmin(), 1]
        above = picture[int(y) - 4 : int(y) - 2, x - 4 : x + 5]
        assert above.mean() > 0.7 * skin


def test_a_lid_never_covers_the_brow(astronaut_identity: Identity):
    renderer, unit = Renderer(astronaut_identity), astronaut_identity.inter_ocular_px
    frown = neutral()
    frown[[INDEX["browDownLeft"], INDEX["browDownRight"]]] = 0.5
    down = frown.copy()
    down[INDEX["gazePitch"]] = 0.35
    frowning, looking = (renderer.render(v).astype(float) @ GREY for v in (frown, down))
    for eye in astronaut_identity.eyes:
        x, y = (round(v) for v in eye.iris)
        brow = np.s_[y - round(0.5 * unit) : y - round(0.22 * unit), x - 8 : x + 9]
        assert np.abs(looking[brow] - frowning[brow]).mean() < 3


def test_teeth_are_as_bright_as_the_light_not_as_the_skin():
    dark, white = np.array([70.0, 50.0, 40.0]), np.array([110.0, 105.0, 100.0])
    assert _light(dark, white) > 1.4 * dark.max()
    assert _light(dark, 3 * white) <= 1.71 * dark.max()  # a lamp in the eye is no white
    light = np.array([230.0, 190.0, 170.0])
    assert _light(light, white) == light.max()
    assert _light(light, None) == light.max()


def test_teeth_are_never_as_warm_as_skin(monkeypatch):
    red = np.array([220.0, 120.0, 90.0])
    monkeypatch.setattr(colours, "_eye_white", lambda picture, landmarks: red)
    none = np.zeros((0, 0, 4), np.uint8)
    picture, points = np.zeros((4, 4, 3), np.uint8), np.zeros((478, 3), np.float32)
    tooth = colours._teeth_colour(picture, none, np.array([200.0, 120.0, 90.0]), points)
    assert tooth[1] > 0.8 * tooth[0] and tooth[2] > 0.68 * tooth[0]
    assert tooth[0] > tooth[1] > tooth[2]


def test_a_lid_comes_out_of_a_socket_into_the_light_by_degrees():
    eye = eye_in_a_socket(0.6)
    y, x = 100 - eye.patch.top, 100 - eye.patch.left
    rows = eye.lids[y - 40 : y + 9, x - 3 : x + 4].mean(1) @ GREY
    assert rows[-8] > 1.1 * rows[0]
    assert np.abs(np.diff(rows)).max() < 0.05 * (SKIN @ GREY)


def test_hanging_lashes_get_shorter_towards_both_corners():
    line = np.stack([np.linspace(20, 80, 9), np.full(9, 50.0)], 1).astype(np.float32)
    lashes = np.ones((24, 96), np.float32)
    down = {
        x: max(dy for dy in range(1, 20) if lash_at(line, x, 50 + dy, 1.0, lashes, 16.0, 1.0) > 0.1)
        for x in (23.0, 30.0, 50.0, 70.0, 77.0)
    }
    assert down[23.0] < down[30.0] < down[50.0] > down[70.0] > down[77.0]


def test_a_lids_upper_edge_does_not_stand_upright_over_the_corners(astronaut_identity: Identity):
    for eye in Renderer(astronaut_identity)._eyes:
        edge, rim = eye._rims[4], eye._open
        assert np.abs(np.diff(edge)).max() <= 0.7 * np.abs(np.diff(rim)).max()
        assert edge[eye._middle].mean() < rim[eye._middle].mean() + 1.0
