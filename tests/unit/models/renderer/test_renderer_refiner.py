"""The refiner's place in the chain."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.refiner import Refinement, RefinerInput, apply_refinement
from visavis.models.renderer.renderer import Renderer

BOX = (120, 100, 280, 300)


class ToyRefiner:
    """Reddens the inside of the mouth, with a gate that the test sets."""

    def __init__(self, gate: float) -> None:
        self.gate = gate
        self.seen: list[RefinerInput] = []

    def box(self, size, places):
        if places.mouth is not None:
            x0, y0, x1, y1 = places.mouth
            assert 0 <= x0 < x1 <= size and 0 <= y0 < y1 <= size
        return BOX

    def refine(self, frame: RefinerInput) -> Refinement:
        self.seen.append(frame)
        residual = np.zeros(frame.warped.shape, np.float32)
        residual[..., 0] = 40.0
        return Refinement(residual, np.where(frame.inside, self.gate, 0.0))


@pytest.fixture(scope="module")
def talking() -> np.ndarray:
    values = neutral()
    values[INDEX["jawOpen"]] = 0.4
    return values


@pytest.fixture(scope="module")
def plain(astronaut_identity: Identity, talking) -> np.ndarray:
    return Renderer(astronaut_identity).render(talking).copy()


def test_a_closed_gate_changes_no_bit(astronaut_identity, talking, plain):
    toy = ToyRefiner(0.0)
    assert np.array_equal(Renderer(astronaut_identity, refiner=toy).render(talking), plain)
    assert len(toy.seen) == 1  # and warming up did not feed it


def test_an_open_gate_changes_only_its_pixels(astronaut_identity, talking, plain):
    toy = ToyRefiner(1.0)
    refined = Renderer(astronaut_identity, refiner=toy).render(talking).copy()
    changed = (refined != plain).any(2)
    mouth = np.zeros_like(changed)
    mouth[BOX[1] : BOX[3], BOX[0] : BOX[2]] = toy.seen[0].inside
    assert changed.sum() > 100 and not (changed & ~mouth).any()
    assert (refined[..., 1:] == plain[..., 1:]).all()


def test_what_the_refiner_sees(astronaut_identity, talking, plain):
    toy = ToyRefiner(1.0)
    renderer = Renderer(astronaut_identity, refiner=toy)
    renderer.render(talking)
    renderer.render(talking)
    crop = np.s_[BOX[1] : BOX[3], BOX[0] : BOX[2]]
    frame, again = toy.seen
    assert np.array_equal(frame.warped, plain[crop])
    assert np.array_equal(frame.photo, astronaut_identity.photo[crop])
    assert np.array_equal(again.warped, plain[crop])  # the past is an input, not a source
    assert frame.inside.any() and not frame.inside.all()
    assert frame.interior[frame.inside].any()
    assert not frame.interior[~frame.inside].any()
    rows, columns = np.mgrid[BOX[1] : BOX[3], BOX[0] : BOX[2]]
    moved = np.hypot(frame.vertices[..., 0] - columns, frame.vertices[..., 1] - rows)
    assert np.median(moved) < 3


@pytest.mark.parametrize("jaw", [0.0, 0.1, 0.25])
def test_sealed_lips_show_nothing_of_the_inside(astronaut_identity, jaw):
    toy = ToyRefiner(0.0)
    values = neutral()
    values[INDEX["jawOpen"]] = values[INDEX["mouthClose"]] = jaw
    Renderer(astronaut_identity, refiner=toy).render(values)
    assert not (toy.seen[0].inside).any()


def test_residual_is_clipped_and_gated():
    picture = np.full((2, 2, 3), 250, np.uint8)
    residual = np.full((2, 2, 3), 40.0, np.float32)
    apply_refinement(picture, Refinement(residual, np.array([[0.0, 1.0], [0.1, 2.0]], np.float32)))
    assert picture[0, 0].tolist() == [250] * 3 and picture[0, 1].tolist() == [255] * 3
    assert picture[1, 0].tolist() == [254] * 3 and picture[1, 1].tolist() == [255] * 3
