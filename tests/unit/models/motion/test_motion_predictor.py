"""The shipped graph behind the predictor: streaming, masks, look-aheads."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models.motion.motion_sounds import noise, vowel_and_silence
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.motion.curves import CHANNELS
from visavis.models.motion.features import HOP
from visavis.models.motion.layout import LOOK_AHEADS_MS
from visavis.models.motion.phones import CLASSES
from visavis.models.motion.predictor import MotionPredictor, head_of
from visavis.models.motion.stream import MOTION_GRAPH, load_motion_engine_path

PCM = np.stack([vowel_and_silence(), noise(1.5), 0.1 * vowel_and_silence()])
HOPS = PCM.shape[1] // HOP


@pytest.fixture(scope="module")
def predictor() -> MotionPredictor:
    return MotionPredictor(OnnxEngine(MOTION_GRAPH))


def run(predictor: MotionPredictor, pcm: np.ndarray, chunks: list[int], ms: int = 80) -> np.ndarray:
    state = predictor.init_state(len(pcm))
    out, at = [], 0
    for hops in chunks:
        got = predictor.step(pcm[:, at * HOP : (at + hops) * HOP], state, ms)
        out.append(np.concatenate([got.curves, got.closure[..., None]], axis=-1))
        at += hops
    return np.concatenate(out, axis=1)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(LOOK_AHEADS_MS))
def test_chunked_equals_whole(predictor: MotionPredictor, seed: int, ms: int) -> None:
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.choice(np.arange(1, HOPS), rng.integers(0, 20), replace=False))
    chunks = np.diff([0, *cuts, HOPS]).tolist()
    whole = run(predictor, PCM, [HOPS], ms)
    np.testing.assert_allclose(run(predictor, PCM, chunks, ms), whole, atol=2e-3)


def test_slots_do_not_hear_each_other(predictor: MotionPredictor) -> None:
    together = run(predictor, PCM, [4] * (HOPS // 4))
    for slot in range(len(PCM)):
        alone = run(predictor, PCM[slot : slot + 1], [4] * (HOPS // 4))
        np.testing.assert_allclose(together[slot], alone[0], atol=2e-3)


def test_exec_mask_leaves_a_slot_as_it_is(predictor: MotionPredictor) -> None:
    state = predictor.init_state(2)
    predictor.step(PCM[:2, : 60 * HOP], state)
    before = {name: tensor.copy() for name, tensor in state.net.items()}
    mask = np.array([False, True])
    predictor.step(PCM[:2, 60 * HOP : 64 * HOP], state, exec_mask=mask)
    for name, tensor in state.net.items():
        np.testing.assert_array_equal(tensor[0], before[name][0])
        assert not np.array_equal(tensor[1], before[name][1])


def test_reset_mask_restarts_one_slot(predictor: MotionPredictor) -> None:
    state = predictor.init_state(2)
    predictor.step(PCM[:2, : 60 * HOP], state)
    mask = np.array([True, False])
    again = predictor.step(PCM[:2, 60 * HOP : 64 * HOP], state, reset_mask=mask)
    fresh = predictor.init_state(2)
    first = predictor.step(PCM[:2, 60 * HOP : 64 * HOP], fresh)
    np.testing.assert_allclose(again.curves[0], first.curves[0], atol=1e-4)
    assert np.abs(again.closure[1] - first.closure[1]).max() > 1e-3


def test_each_slot_may_have_its_own_look_ahead(predictor: MotionPredictor) -> None:
    same = np.stack([PCM[0], PCM[0]])
    mixed = predictor.step(same, predictor.init_state(2), np.array([0, 120])).curves
    for slot, ms in enumerate((0, 120)):
        alone = predictor.step(same[:1], predictor.init_state(1), ms).curves
        np.testing.assert_allclose(mixed[slot], alone[0], atol=2e-3)


def test_outputs_are_in_range(predictor: MotionPredictor) -> None:
    got = predictor.step(PCM, predictor.init_state(len(PCM)))
    assert got.curves.shape == (3, HOPS, len(CHANNELS))
    assert got.phones.shape == (3, HOPS, len(CLASSES))
    for values in (got.curves, got.closure, got.phones):
        assert np.isfinite(values).all()
        assert values.min() >= 0.0 and values.max() <= 1.0
    np.testing.assert_allclose(got.phones.sum(axis=-1), 1.0, atol=1e-4)


def test_a_step_takes_whole_hops(predictor: MotionPredictor) -> None:
    with pytest.raises(ValueError, match="whole hops"):
        predictor.step(np.zeros((1, 150), np.float32), predictor.init_state(1))


@pytest.mark.parametrize(("asked", "head"), [(0, 0), (39, 0), (60, 40), (80, 80), (120, 120)])
def test_the_longest_trained_look_ahead_that_fits(asked: int, head: int) -> None:
    assert head_of(asked) == head


@pytest.mark.parametrize("asked", [-1, 121])
def test_a_look_ahead_out_of_range_is_refused(asked: int) -> None:
    with pytest.raises(ValueError, match="look-ahead must be between 0 and 120"):
        head_of(asked)


def test_the_weights_are_those_of_their_manifest() -> None:
    graph = load_motion_engine_path()
    manifest = json.loads((graph.parent / "manifest.json").read_text())
    assert hashlib.sha256(graph.read_bytes()).hexdigest() == manifest["sha256"]
    assert graph.stat().st_size <= 12 * 2**20
    assert manifest["voices"] and manifest["command"].startswith("visavis train motion --recipe")
