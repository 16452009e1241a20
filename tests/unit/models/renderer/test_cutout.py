"""A person before a new background: no lamp on the shoulder, no rim of the old wall, all there."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from visavis.models.appearance.face.basis import load_basis
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


def test_ears_and_light_hair_before_a_wall_of_their_colour_stay(
    astronaut_identity: Identity,
) -> None:
    """What was filled in behind a person is a guess; the head's edge must not be judged by it."""
    identity = astronaut_identity
    person = identity.alpha > 128
    skin = identity.foreground[person].mean(0).astype(np.uint8)
    wall = np.full_like(identity.background, skin)
    after = cut_out(replace(identity, background=wall))
    rows = np.arange(identity.size)[:, None] < identity.source[load_basis().landmarks[152], 1]
    lost = identity.alpha.astype(int) - after.alpha.astype(int)
    assert (lost[rows & person] > 40).mean() < 0.002


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
