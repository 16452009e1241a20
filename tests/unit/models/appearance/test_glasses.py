"""Frames of glasses: found at enrolment, moved by the head alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from visavis.models.appearance.face.fit import EYE_CONTOUR
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers.glasses import find_frames, without_frames
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.renderer import Renderer

RIM = (60, 20, 110)


def draw_frame(picture: np.ndarray, eyes: list[np.ndarray]) -> np.ndarray:
    """Draw a frame around eyes in pixels; return the picture."""
    out = picture.copy()
    unit = float(np.linalg.norm(eyes[1] - eyes[0]))
    thick = max(2, round(0.035 * unit))
    for eye in eyes:
        centre = (round(float(eye[0])), round(float(eye[1] + 0.06 * unit)))
        axes = (round(0.42 * unit), round(0.33 * unit))
        cv2.ellipse(out, centre, axes, 0, 0, 360, RIM, thick, cv2.LINE_AA)
    left, right = sorted(eyes, key=lambda e: e[0])
    start = (round(float(left[0] + 0.42 * unit)), round(float(left[1])))
    end = (round(float(right[0] - 0.42 * unit)), round(float(right[1])))
    cv2.line(out, start, end, RIM, thick, cv2.LINE_AA)
    return out


@pytest.fixture
def landmarks(astronaut_identity: Identity) -> np.ndarray:
    """The landmarks that finding frames needs: eyes, their corners and the nose's bridge."""
    points = np.zeros((478, 3), np.float32)
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    width = 0.24 * astronaut_identity.inter_ocular_px
    for contour, eye in zip(EYE_CONTOUR, astronaut_identity.eyes, strict=True):
        ring = np.stack([width * np.cos(turn), 0.35 * width * np.sin(turn)], -1)
        points[list(contour), :2] = ring + eye.iris
    left, right = (np.array(e.iris) for e in astronaut_identity.eyes)
    for corners, eye, out in (((33, 133), right, -1), ((263, 362), left, 1)):
        points[corners[0], :2] = eye + np.array([out * width, 0])
        points[corners[1], :2] = eye - np.array([out * width, 0])
    points[168, :2] = 0.5 * (left + right)
    return points


def eyes_of(identity: Identity) -> list[np.ndarray]:
    return [np.array(e.iris, np.float64) for e in identity.eyes]


def test_a_face_without_glasses_has_no_frame(astronaut_identity, landmarks):
    assert find_frames(astronaut_identity.photo, landmarks).size == 0


def test_a_frame_is_found_where_it_is(astronaut_identity, landmarks):
    photo = astronaut_identity.photo
    worn = draw_frame(photo, eyes_of(astronaut_identity))
    frames = find_frames(worn, landmarks)
    assert frames.shape == photo.shape[:2]
    drawn = np.abs(worn.astype(int) - photo).max(2) > 60
    assert (frames[drawn] > 128).mean() > 0.9
    assert (frames > 128).sum() < 3.0 * drawn.sum()
    bare = without_frames(worn, frames)
    error = np.abs(bare.astype(int) - photo).mean(2)[drawn]
    assert error.mean() < 0.3 * np.abs(worn.astype(int) - photo).mean(2)[drawn].mean()


def test_a_frame_stays_as_it_is_while_lids_and_brows_move(astronaut_identity, landmarks):
    worn = draw_frame(astronaut_identity.photo, eyes_of(astronaut_identity))
    frames = find_frames(worn, landmarks)
    bare = without_frames(worn, frames)
    identity = replace(astronaut_identity, photo=worn, foreground=bare, frames=frames)
    moving = neutral()
    for name in ("eyeBlinkLeft", "eyeBlinkRight", "browDownLeft", "browDownRight"):
        moving[INDEX[name]] = 1.0
    sure = frames > 250
    worst = {}
    for key, person in (
        ("frame", identity),
        ("skin", replace(identity, foreground=worn, frames=frames[:0, :0])),
    ):
        renderer = Renderer(person)
        rest = renderer.render(neutral()).astype(int)
        worst[key] = np.abs(renderer.render(moving).astype(int) - rest)[sure].mean()
    assert worst["frame"] < 0.5
    assert worst["skin"] > 5.0


def test_a_frame_turns_with_the_head(astronaut_identity, landmarks):
    worn = draw_frame(astronaut_identity.photo, eyes_of(astronaut_identity))
    frames = find_frames(worn, landmarks)
    identity = replace(
        astronaut_identity, photo=worn, foreground=without_frames(worn, frames), frames=frames
    )
    turned = neutral()
    turned[INDEX["headYaw"]] = 0.2
    drawers = [Renderer(identity), Renderer(replace(identity, frames=frames[:0, :0]))]
    places = []
    for vector in (neutral(), turned):
        with_frame, without = (drawer.render(vector).astype(int) for drawer in drawers)
        places.append(np.argwhere(np.abs(with_frame - without).max(2) > 40)[:, 1].mean())
    assert places[1] - places[0] > 0.08 * identity.inter_ocular_px


def test_bundles_without_frames_still_load(astronaut_identity):
    import io
    import zipfile

    old = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(astronaut_identity.to_bytes())) as new,
        zipfile.ZipFile(old, "w") as kept,
    ):
        for name in new.namelist():
            if name != "frames.npy":
                kept.writestr(name, new.read(name))
    assert Identity.from_bytes(old.getvalue()).frames.size == 0
