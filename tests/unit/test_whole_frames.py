"""Whole frames: what a network for them is told, where it may act, and its graph."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.fakes.mouths import talking
from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.refiner import CELL, Refiners
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.relight.whole import FrameRefiner

SIZE = 256


class Lighter:
    """Makes what it may change ten steps lighter."""

    def __init__(self, cut: int = 0) -> None:
        self.cut, self.seen = cut, []

    def run(self, inputs):
        self.seen.append(inputs)
        gate = inputs["gate"].repeat(CELL, 1).repeat(CELL, 2)
        picture = inputs["frame"] + 10 * gate
        return {"picture": picture[:, self.cut :]}


def turned(yaw: float = 0.2, **more: float) -> np.ndarray:
    values = neutral()
    values[INDEX["headYaw"]] = yaw
    for name, value in more.items():
        values[INDEX[name]] = value
    return values


def test_what_a_frame_shows_is_told_for_every_fourth_pixel_alike(astronaut_identity: Identity):
    renderer = Renderer(astronaut_identity, size=SIZE)
    renderer.render(turned(jawOpen=0.3))
    every = renderer.shown()
    assert every.shape == (SIZE, SIZE, 2) and np.array_equal(every[2::4, 2::4], renderer.shown(4))
    home = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1)
    away = np.abs(every - home).max(2)
    assert away.max() > 5 and away[:4].max() == 0  # the head has turned before a still backdrop


def test_what_has_not_moved_keeps_every_bit(astronaut_identity: Identity):
    plain = Renderer(astronaut_identity, size=SIZE)
    ours = Renderer(astronaut_identity, size=SIZE, refiner=FrameRefiner(Lighter()))
    home = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1)
    for values, most in ((neutral(), 0.3), (turned(), 0.9)):
        changed = np.abs(ours.render(values).astype(int) - plain.render(values)).max(2)
        assert changed.max() <= 10 and 0.02 < (changed > 8).mean() < most
        moved = (np.abs(ours.shown() - home).max(2) > 0.2).astype(np.uint8)
        near = cv2.dilate(moved, np.ones((8 * CELL + 1, 8 * CELL + 1), np.uint8))
        assert not changed[near == 0].any() and (near == 0).any()


def test_the_inside_of_the_mouth_is_left_to_its_own_network(astronaut_identity: Identity):
    graph = Lighter()
    ours = Renderer(astronaut_identity, size=SIZE, refiner=FrameRefiner(graph))
    ours.render(talking(0.5, headYaw=0.2))
    inside, gate = graph.seen[-1]["inside"][0, ..., 0], graph.seen[-1]["gate"][0, ..., 0]
    assert inside.max() == 1 and gate[inside > 0].max() < 1e-6 and gate.max() == 1
    assert graph.seen[-1]["shift"].shape == (1, SIZE // CELL, SIZE // CELL, 2)


def test_it_follows_the_refiners_of_places(astronaut_identity: Identity):
    order = []

    class First:
        def box(self, size, places):
            order.append("box")

        def refine(self, frame):
            raise AssertionError("no box was chosen")

    class Whole:
        def refine_whole(self, out, photo, moved, hole, unit):
            order.append((out.shape, moved.shape, hole.shape))

    renderer = Renderer(astronaut_identity, size=SIZE, refiner=Refiners([Whole(), First()]))
    renderer.render(turned())
    cells = SIZE // CELL
    assert order == ["box", ((SIZE, SIZE, 3), (cells, cells, 2), (cells, cells))]


def test_a_wrong_answer_is_named(astronaut_identity: Identity):
    broken = Renderer(astronaut_identity, size=SIZE, refiner=FrameRefiner(Lighter(cut=1)))
    with pytest.raises(ValueError, match="answers with the shape"):
        broken.render(turned())
