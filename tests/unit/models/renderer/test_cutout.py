"""A person before a new background: no lamp on the shoulder, no rim of the old wall, all there."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from visavis.models.appearance.identity import Identity
from visavis.models.renderer.canvas import Canvas
from visavis.models.renderer.cutout import cut_out
from visavis.models.renderer.renderer import Renderer


def with_lamp(identity: Identity, bar: int) -> Identity:
    """The same person with a lamp in the upper corner that a bar joins to the hair."""
    alpha = identity.alpha.copy()
    size = identity.size
    middle = (round(0.1 * size), round(0.12 * size))
    cv2.circle(alpha, middle, round(0.07 * size), 255, -1)
    cv2.line(alpha, middle, (size // 2, round(0.2 * size)), 255, bar)
    return replace(identity, alpha=alpha)


def test_a_lamp_on_a_thread_goes_and_the_person_stays(astronaut_identity: Identity) -> None:
    size = astronaut_identity.size
    corner = np.s_[: size // 4, : size // 5]
    lamp = with_lamp(astronaut_identity, 4)
    assert lamp.alpha[corner].mean() > 40
    assert cut_out(lamp).alpha[corner].max() < 3
    plain, mended = cut_out(astronaut_identity).alpha, cut_out(lamp).alpha
    face = np.s_[size // 4 : 3 * size // 4, size // 3 : 2 * size // 3]
    assert np.array_equal(plain[face], mended[face])


def test_nobody_loses_anything_but_their_rim(astronaut_identity: Identity) -> None:
    before, after = astronaut_identity, cut_out(astronaut_identity)
    solid = cv2.erode((before.alpha > 250).astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    assert (after.alpha[solid] > 250).mean() > 0.995
    inside = (before.alpha == 255) & (after.alpha == 255)
    assert np.array_equal(after.foreground[inside], before.foreground[inside])
    assert (after.alpha[before.alpha == 0] == 0).mean() > 0.99, "cloth is only smoothed"


def test_a_dark_wall_leaves_no_rim(astronaut_identity: Identity) -> None:
    """The matte reaches 4 pixels too far onto a dark wall; before white that would be a rim."""
    identity = astronaut_identity
    wall = np.array([30, 32, 36], np.uint8)
    alpha = identity.alpha.astype(np.float32)[..., None] / 255
    photo = np.rint(identity.foreground * alpha + wall * (1 - alpha)).astype(np.uint8)
    wide = cv2.dilate(identity.alpha, np.ones((9, 9), np.uint8))
    wide = cv2.GaussianBlur(wide, (0, 0), 1.5)
    colour = np.where(wide[..., None] > 0, photo, identity.foreground)
    background = np.full_like(photo, wall)
    false = replace(identity, photo=photo, alpha=wide, foreground=colour, background=background)
    bright = identity.foreground.astype(int).sum(2) > 300
    rim = (wide > 60) & (identity.alpha < 10)
    rim &= cv2.dilate(bright.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    rim[identity.size // 2 :] = False  # below, the suit has a dark collar

    def grey(person: Identity) -> float:
        share = person.alpha[rim].astype(float)[:, None] / 255
        laid = person.foreground[rim] * share + 255 * (1 - share)
        return float((255 - laid).mean())

    assert grey(false) > 60
    assert grey(cut_out(false)) < 0.5 * grey(false)


@pytest.mark.parametrize(("backdrop", "same"), [("own", True), ("blur", False), ((0, 0, 0), False)])
def test_the_own_background_keeps_its_matte(
    astronaut_identity: Identity, backdrop: object, same: bool
) -> None:
    drawn: list[Identity] = []

    def make(person: Identity, side: int, held: float) -> Renderer:
        drawn.append(person)
        return Renderer(person, size=side, cutout=True, held_sides=held)

    Canvas(
        astronaut_identity,
        512,
        512,
        framing="bust",
        backdrop=backdrop,
        renderer=make,  # type: ignore[arg-type]
    )
    assert np.array_equal(drawn[0].alpha, astronaut_identity.alpha) is same
