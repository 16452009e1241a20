"""The refiner of a call, with a network that the test plays itself."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.renderer.refiner import Places, RefinerInput, apply_refinement
from visavis.models.renderer.relight.crop import (
    CHANNELS,
    GATE,
    SIDE,
    STEP,
    TIME,
    WARPED,
    gate,
    mouth_box,
)
from visavis.models.renderer.training.relight import bridge
from visavis.models.renderer.training.relight.runtime import MouthRefiner, walk


class Toy:
    """Brightens by a fixed step of colour; counts its runs and keeps what it saw."""

    provider = "toy"

    def __init__(self, change: float = 0.2, alpha: float = 1.0) -> None:
        self.change, self.alpha = change, alpha
        self.seen: list[np.ndarray] = []

    def run(self, inputs):
        x = inputs["x"]
        assert x.dtype == np.float32 and x.shape[1:] == (CHANNELS, SIDE, SIDE)
        self.seen.append(x.copy())
        residual = np.full_like(x[:, :3], self.change)
        return {"residual": residual, "alpha": self.alpha * x[:, GATE]}


def places(mouth=(100, 140, 160, 170), unit=80.0) -> Places:
    return Places(mouth, unit)


def frame(side: int, rng: np.random.Generator, hole: bool = True) -> RefinerInput:
    def picture() -> np.ndarray:
        return rng.integers(0, 255, (side, side, 3), np.uint8)

    inside = np.zeros((side, side), bool)
    if hole:
        inside[side // 2 - 8 : side // 2 + 8, side // 3 : -side // 3] = True
    vertices = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)
    return RefinerInput(picture(), picture(), picture(), vertices, inside)


def refine(toy: Toy, rng, *, steps: int = 1, unit: float = 80.0, noise: bool = False):
    refiner = MouthRefiner(toy, steps=steps, noise=noise)
    box = refiner.box(512, places(unit=unit))
    shown = frame(box[2] - box[0], rng)
    return shown, refiner.refine(shown)


@pytest.mark.parametrize("mouth", [(0, 0, 40, 20), (480, 500, 512, 512), (200, 240, 260, 280)])
@pytest.mark.parametrize("unit", [20.0, 80.0, 300.0, 2000.0])
def test_the_box_stays_inside_the_picture(mouth, unit):
    x0, y0, x1, y1 = mouth_box(512, places(mouth, unit))
    assert 0 <= x0 < x1 <= 512 and 0 <= y0 < y1 <= 512 and x1 - x0 == y1 - y0


def test_closed_lips_run_no_network():
    assert MouthRefiner(Toy()).box(512, places(None)) is None


def test_a_network_that_changes_nothing_changes_no_bit(rng):
    for unit in (30.0, 71.1, 80.0, 150.0):
        shown, refinement = refine(Toy(change=0.0), rng, unit=unit)
        out = shown.warped.copy()
        apply_refinement(out, refinement)
        assert np.array_equal(out, shown.warped)


def test_the_change_stays_at_the_mouth_and_has_the_right_size(rng):
    _, refinement = refine(Toy(change=0.2), rng)
    change = refinement.residual * refinement.alpha[..., None]
    side = len(change)
    inner = change[side // 2 - 3 : side // 2 + 3, side // 2 - 10 : side // 2 + 10]
    assert np.allclose(inner, 0.2 * 127.5, atol=1.0)
    assert not change[: side // 5].any() and not change[:, :4].any() and not change[:, -4:].any()


def test_a_still_picture_stands_still(rng):
    refiner = MouthRefiner(Toy(), steps=2, noise=True)
    box = refiner.box(512, places())
    shown = frame(box[2] - box[0], rng)
    first = refiner.refine(shown)
    again = refiner.refine(shown)
    assert np.array_equal(first.residual, again.residual)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_steps_are_told_to_the_network(rng, steps):
    toy = Toy()
    refine(toy, rng, steps=steps)
    times = [float(x[0, TIME].mean()) for x in toy.seen]
    assert times == pytest.approx([1 - i / steps for i in range(steps)])
    assert all(np.allclose(x[0, STEP], 1 / steps) for x in toy.seen)


def test_other_step_counts_are_refused():
    with pytest.raises(ValueError, match="1, 2 or 4"):
        MouthRefiner(Toy(), steps=3)


def test_the_gate_is_open_inside_and_shut_at_the_border():
    inside = np.zeros((SIDE, SIDE), np.uint8)
    inside[40:56, 20:76] = 255
    open_ = gate(inside)
    assert open_[44:52, 30:66].min() > 0.98
    assert open_[:20].max() == 0 and open_[:, :4].max() == 0
    assert gate(np.zeros_like(inside)).max() == 0
    assert gate(np.full_like(inside, 255))[0].max() < 0.2


def test_the_bridge_ends_where_it_should(rng):
    picture, start = rng.standard_normal((2, 3, 4, 4))
    assert np.allclose(bridge.state_at(0.0, picture, start), picture)
    assert np.allclose(bridge.state_at(1.0, picture, start), start)
    middle = bridge.state_at(0.75, picture, start)
    # With the right endpoint a step lands on the bridge, whatever its length.
    assert np.allclose(
        bridge.advance(middle, picture, 0.75, 0.5), bridge.state_at(0.25, picture, start)
    )
    for steps in (1, 2, 4, 12):
        walked = bridge.sample(start, lambda state, t, step: picture, steps)
        assert np.allclose(walked, picture)


@pytest.mark.parametrize(("t", "step"), [(1.0, 1.0), (1.0, 0.5), (0.5, 0.5)])
def test_a_shortcut_reaches_what_two_half_steps_reach(rng, t, step):
    state = rng.standard_normal((3, 4, 4))

    def predict(x, t, step):  # a network that contradicts itself from step to step
        return 0.3 * x + t

    middle = bridge.advance(state, predict(state, t, step / 2), t, step / 2)
    middle = bridge.advance(middle, predict(middle, t - step / 2, step / 2), t - step / 2, step / 2)
    endpoint = bridge.shortcut(state, predict, t, step)
    assert np.allclose(bridge.advance(state, endpoint, t, step), middle)
    assert not np.allclose(endpoint, predict(state, t, step))


def test_the_walk_uses_the_last_endpoint_only_at_the_end(rng):
    x = rng.standard_normal((1, CHANNELS, SIDE, SIDE)).astype(np.float32)
    x[:, GATE] = 1.0
    picture = walk(Toy(change=0.3), x, 4, noise=False)
    assert np.allclose(picture, x[:, WARPED] + 0.3, atol=1e-5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
