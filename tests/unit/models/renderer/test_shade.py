"""The light in the mouth: what the shipped network may do to a frame, and what it may not."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fakes.mouths import frame
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.appearance.identity import Identity
from visavis.models.renderer.refiner import Places, RefinerInput, apply_refinement
from visavis.models.renderer.relight import shade
from visavis.models.renderer.relight.crop import GATE, SEEN, SIDE, WARPED, gate, pack, take
from visavis.models.renderer.relight.shade import CELLS, SHADE_SIDE, MouthShade, shade_graph
from visavis.streamer.worker.pipeline.picture_models import load_pictures

LEAST, MOST = np.exp(-0.5), 1.25


class Toy:
    """Multiplies by one factor."""

    provider = "toy"

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.runs = 0

    def run(self, inputs):
        x = inputs["x"]
        assert x.dtype == np.float32
        assert x.shape[1:] == (SEEN.stop - SEEN.start, SHADE_SIDE, SHADE_SIDE)
        self.runs += 1
        return {"factor": np.full((len(x), 1, CELLS, CELLS), self.factor, np.float32)}


@pytest.fixture(scope="module")
def graph() -> OnnxEngine:
    return OnnxEngine(shade_graph())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_what_the_network_answers_is_a_factor_in_its_bounds(graph):
    x = np.random.default_rng(0).normal(0, 1, (3, 13, SHADE_SIDE, SHADE_SIDE)).astype(np.float32)
    factor = graph.run({"x": x})["factor"]
    assert factor.shape == (3, 1, CELLS, CELLS)
    assert factor.min() >= LEAST - 1e-4 and factor.max() <= MOST + 1e-4
    assert factor.std() > 0.02, "an untrained network answers 1"


def test_closed_lips_run_nothing(graph):
    toy = Toy(1.2)
    assert MouthShade(toy).box(512, Places(None, 80.0)) is None
    assert toy.runs == 0


@pytest.mark.parametrize("unit", [30.0, 80.0, 151.0])
def test_pixels_are_multiplied_at_their_own_resolution(rng, unit):
    shader = MouthShade(Toy(1.1))
    box = shader.box(512, Places((200, 240, 260, 280), unit))
    shown = frame(box[2] - box[0], rng)
    refinement = shader.refine(shown)
    full = refinement.alpha > 0.99
    assert full.any() and (refinement.alpha == 0).any()
    np.testing.assert_allclose(
        refinement.residual[full], 0.1 * shown.warped[full].astype(np.float32), atol=0.01
    )
    out = shown.warped.copy()
    apply_refinement(out, refinement)
    assert np.array_equal(out[refinement.alpha <= 0], shown.warped[refinement.alpha <= 0])


def test_a_network_that_changes_nothing_changes_no_bit(rng):
    shader = MouthShade(Toy(1.0))
    box = shader.box(512, Places((200, 240, 260, 280), 90.0))
    shown = frame(box[2] - box[0], rng)
    out = shown.warped.copy()
    apply_refinement(out, shader.refine(shown))
    assert np.array_equal(out, shown.warped)


def test_a_call_sees_what_training_saw(rng):
    """A live crop is taken at once at half a pair's size; training halves the pair's."""
    shown = frame(192, rng)
    smooth = [cv2.GaussianBlur(p, (0, 0), 6) for p in (shown.warped, shown.photo, shown.interior)]
    shown = RefinerInput(*smooth, shown.vertices, shown.inside)
    box = (60, 60, 252, 252)
    live = pack(take(shown, box, 90.0, SHADE_SIDE))[SEEN]
    pair = pack(take(shown, box, 90.0))[SEEN]
    halved = pair.reshape(-1, SHADE_SIDE, 2, SHADE_SIDE, 2).mean((2, 4))
    assert np.abs(live - halved).mean() < 0.006
    assert np.abs(live - halved).max() < 0.12


def test_it_can_be_left_out(astronaut_identity: Identity):
    assert load_pictures("cpu", refine=False).shade is None
    renderer = load_pictures("cpu", refine=False).renderer(astronaut_identity, 256)
    assert renderer.refiner is None
    assert load_pictures("cpu").renderer(astronaut_identity, 256).refiner is not None
    assert load_pictures("cpu", callers=2).shade is not None


def test_other_weights_than_the_manifests_are_refused(tmp_path: Path, monkeypatch):
    for file in shade.SHADE_GRAPH.parent.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(shade, "SHADE_GRAPH", tmp_path / "shade.onnx")
    with (tmp_path / "shade.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ValueError, match="mouth weights do not match"):
        shade_graph()
    (tmp_path / "shade.onnx").unlink()
    with pytest.raises(FileNotFoundError, match="mouth weights are missing"):
        shade_graph()


def test_the_gate_is_the_same_at_both_sizes():
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = np.where(((x - 48) / 24) ** 2 + ((y - 50) / 11) ** 2 < 1, 255, 0).astype(np.uint8)
    small = cv2.resize(inside, (SHADE_SIDE, SHADE_SIDE), interpolation=cv2.INTER_AREA)
    halved = gate(inside).reshape(SHADE_SIDE, 2, SHADE_SIDE, 2).mean((1, 3))
    assert np.abs(gate(small) - halved).mean() < 0.02
    assert WARPED.start == SEEN.start and GATE.stop == SEEN.stop
