"""The light of large pictures: what the shipped network may do to a frame, and what it may not."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fakes.mouths import frame
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.appearance.identity import Identity
from visavis.models.renderer.refiner import Places
from visavis.models.renderer.relight import light
from visavis.models.renderer.relight.crop import GATE, SEEN, SIDE, gate
from visavis.models.renderer.relight.light import (
    LIGHT_ROWS,
    SMALLEST,
    MouthLight,
    first_row,
    light_graph,
)
from visavis.models.renderer.relight.shade import MouthShade
from visavis.streamer.worker.pipeline import picture_models
from visavis.streamer.worker.pipeline.picture_models import load_pictures

LEAST, MOST = np.exp(-0.6), np.exp(0.6)

BOX = (60, 60, 60 + SIDE, 60 + SIDE)
MOUTH = Places((100, 100, 116, 116), SIDE / 1.35)  # in the middle of that box


@pytest.fixture(scope="module")
def graph() -> OnnxEngine:
    return OnnxEngine(light_graph())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_the_shipped_graph_is_checked(tmp_path: Path, monkeypatch):
    for name in (light.LIGHT_GRAPH.name, "manifest.json"):
        shutil.copy(light.LIGHT_GRAPH.with_name(name), tmp_path)
    copied = tmp_path / light.LIGHT_GRAPH.name
    monkeypatch.setattr(light, "LIGHT_GRAPH", copied)
    assert light_graph() == copied
    copied.write_bytes(copied.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="do not match"):
        light_graph()
    copied.unlink()
    with pytest.raises(FileNotFoundError, match="light weights are missing"):
        light_graph()


def test_what_the_network_answers_is_a_factor_in_its_bounds(graph):
    x = np.random.default_rng(0).uniform(-1, 1, (3, 13, LIGHT_ROWS, SIDE)).astype(np.float32)
    x[:, -2:] = np.abs(x[:, -2:])
    factor = graph.run({"x": x})["factor"]
    assert factor.shape == (3, 1, LIGHT_ROWS, SIDE)
    assert factor.min() >= LEAST - 1e-4 and factor.max() <= MOST + 1e-4
    assert factor.std() > 0.02, "an untrained network answers 1"


@pytest.mark.parametrize("rows", [(40, 50), (0, 30), (70, 96), (20, 78)])
def test_the_rows_that_are_looked_at_hold_the_mouth(rows):
    open_ = np.zeros((SIDE, SIDE), np.float32)
    open_[slice(*rows), 20:70] = 1
    top = first_row(open_)
    assert top % 8 == 0 and 0 <= top <= SIDE - LIGHT_ROWS
    missed = open_.sum() - open_[top : top + LIGHT_ROWS].sum()
    assert missed <= 0.07 * open_.sum()
    assert first_row(np.zeros((SIDE, SIDE), np.float32)) in (16, 24)


def test_every_colour_gets_the_same_light(graph, rng):
    shown = frame(SIDE, rng)
    refiner = MouthLight(graph)
    assert refiner.box(256, MOUTH) == BOX
    change = refiner.refine(shown)
    with np.errstate(invalid="ignore", divide="ignore"):
        factors = change.residual / shown.warped
    seen = (shown.warped.min(2) > 8) & (change.alpha > 0.5)
    assert np.abs(factors[seen] - factors[seen][:, :1]).max() < 1e-3
    assert factors[seen].min() > LEAST - 1.001 and factors[seen].max() < MOST - 0.999
    assert not change.alpha[0].any() and not change.alpha[:, 0].any()


def test_teeth_of_the_photo_are_changed_less(graph, rng):
    shown, found = frame(SIDE, rng), []
    for own in (False, True):
        refiner = MouthLight(graph, own_teeth=own)
        refiner.box(256, MOUTH)
        found.append(np.abs(refiner.refine(shown).residual))
    assert 0.4 * found[0].mean() < found[1].mean() < 0.75 * found[0].mean()
    assert (found[1] <= found[0] + 1e-3).all()


def test_a_mouth_gets_the_same_wherever_it_lies_in_the_crop(graph, rng):
    """The window moves by the network's own grid."""
    inside = np.zeros((SIDE, SIDE), np.uint8)
    inside[28:40, 30:66] = 255
    x = np.zeros((13, SIDE, SIDE), np.float32)
    x[:9] = cv2.GaussianBlur(rng.uniform(-1, 1, (SIDE, SIDE, 9)), (0, 0), 3).transpose(2, 0, 1)
    x[11], x[12] = inside / 255.0, gate(inside)
    lower = np.roll(x, 24, 1)
    found = []
    for one in (x, lower):
        top = first_row(one[GATE.start - SEEN.start])
        found.append((graph.run({"x": one[None, :, top : top + LIGHT_ROWS]})["factor"][0, 0], top))
    (a, top_a), (b, top_b) = found
    same = [a[26 - top_a : 42 - top_a], b[50 - top_b : 66 - top_b]]
    assert np.abs(same[0] - same[1]).max() < 0.08


def test_small_pictures_get_the_small_network(astronaut_identity: Identity):
    pictures = load_pictures("cpu")
    kinds = [type(pictures.renderer(astronaut_identity, s).refiner) for s in (256, SMALLEST, 512)]
    assert kinds == [MouthShade, MouthLight, MouthLight]
    assert load_pictures("cpu", refine=False).renderer(astronaut_identity, 512).refiner is None
    assert load_pictures("cpu", callers=2).light is not None


def test_live_pictures_get_it_where_it_is_fast_enough(monkeypatch, astronaut_identity: Identity):
    monkeypatch.setattr(picture_models, "step_ms", lambda light: 9.0)
    slow = load_pictures("cpu", live=True)
    assert slow.light is None
    assert type(slow.renderer(astronaut_identity, 512).refiner) is MouthShade
    assert load_pictures("cpu").light is not None, "a file can wait"
    monkeypatch.setattr(picture_models, "step_ms", lambda light: 0.5)
    fast = load_pictures("cpu", live=True)
    assert type(fast.renderer(astronaut_identity, 512).refiner) is MouthLight


def test_the_time_of_a_mouth_is_measured(graph):
    assert 0.05 < picture_models.step_ms(graph) < 500
