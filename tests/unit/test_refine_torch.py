"""Batches, networks and graphs of the refiners' training; collected where torch is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engines.onnx_engine import OnnxEngine
from models.renderer.refine.crop import GATE, INSIDE, SEEN, SHIFT, WARPED
from models.renderer.refine.crop import SIDE as MOUTH_SIDE
from models.renderer.refine.data import PairSet, assemble
from models.renderer.refine.frame_graph import export_frame
from models.renderer.refine.light import LIGHT_ROWS
from models.renderer.refine.light_graph import LightGraph, export_light
from models.renderer.refine.network import NetworkConfig, RefinerNetwork, endpoint
from tests.unit.test_refine_coded import frame


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def arrays(rng, count: int = 6) -> dict:
    rows = [frame(rng, k + 1) for k in range(count)]
    return {name: np.stack([np.asarray(r[name]) for r in rows]) for name in rows[0]}


@pytest.mark.parametrize("window", [(32, 32), (64, 64)])
def test_a_batch_is_cut_flipped_and_recoloured_alike(rng, window):
    pairs = PairSet(arrays(rng), "frame")
    batch = assemble(pairs, np.arange(6), np.random.default_rng(1), window)
    assert batch.x.shape == (6, 18, *window) and batch.target.shape == (6, 3, *window)
    assert float(batch.x[:, GATE].max()) <= 1 and float(batch.x.abs().max()) <= 1
    # Where the truth is lighter in the pair it is lighter in the batch, whatever its colours.
    gained = (batch.target - batch.x[:, WARPED]).mean((1, 2, 3))
    assert float(gained.min()) > 0
    # Turned round, the ramp falls and the shift points the other way.
    falls = batch.x[:, WARPED.start, 0, 0] > batch.x[:, WARPED.start, 0, -1]
    signs = batch.x[:, SHIFT.start].amax((1, 2)) + batch.x[:, SHIFT.start].amin((1, 2))
    seen = signs != 0
    assert (
        seen.any() and bool(((signs < 0) == falls)[seen].all()) and falls.any() and not falls.all()
    )


def test_whole_pairs_are_unchanged(rng):
    made = arrays(rng)
    batch = PairSet(made, "frame").whole(np.array([2]))
    shown = ((batch.x[0, WARPED] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(shown, made["warped"][2])
    assert np.array_equal(batch.x[0, INSIDE][0].numpy() * 255, made["inside"][2])


def test_portraits_get_their_share(rng):
    pairs = PairSet(arrays(rng), "frame")
    chances = pairs.even(0.25)
    assert chances.sum() == pytest.approx(1) and chances[pairs.real].sum() == pytest.approx(0.25)


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig((4, 8, 8)),
        NetworkConfig((4, 8), stem=4, interior=False, keep_tone=False),
        NetworkConfig((4, 8, 8, 8), stem=4, interior=False, keep_tone=False),
    ],
)
def test_a_fresh_network_of_any_size_changes_nothing(config):
    side = 2 * config.grid
    x = torch.rand(2, 18, side, side) * 2 - 1
    network = RefinerNetwork(config)
    assert torch.equal(endpoint(network, x), x[:, WARPED])
    torch.nn.init.normal_(network.head.weight, 0, 0.1)
    changed = endpoint(network, x)
    assert changed.shape == (2, 3, side, side) and not torch.equal(changed, x[:, WARPED])


def test_the_lights_graph_is_the_network_also_at_its_borders(tmp_path):
    network = RefinerNetwork(NetworkConfig((8, 8, 8), keep_tone=False, light=True)).eval()
    torch.nn.init.normal_(network.head.weight, 0, 0.3)
    torch.nn.init.normal_(network.stem.weight, 0, 0.2)
    x = torch.rand(2, 18, LIGHT_ROWS, MOUTH_SIDE) * 2 - 1
    x[:, :3], x[:, 16:] = x[:, 3:6], 1.0
    with torch.no_grad():
        whole, folded = network.factor(x), LightGraph(network)(x[:, SEEN])
    assert whole.std() > 0.01 and torch.allclose(whole, folded, atol=1e-4)
    assert export_light(network, tmp_path / "light.onnx") < 1e-4
    with pytest.raises(ValueError, match="of a mouth"):
        LightGraph(RefinerNetwork(NetworkConfig((8, 8), stem=4, interior=False)))


def test_the_frames_graph_is_the_network_and_returns_what_the_gate_forbids(tmp_path):
    network = RefinerNetwork(NetworkConfig((4, 8), stem=4, interior=False, keep_tone=False))
    torch.nn.init.normal_(network.head.weight, 0, 0.2)
    assert export_frame(network, tmp_path / "frame.onnx", 32) < 1e-2
    rng = np.random.default_rng(0)
    inputs = {
        "frame": rng.uniform(0, 255, (2, 32, 32, 3)), "photo": rng.uniform(0, 255, (2, 32, 32, 3)),
        "shift": rng.normal(0, 0.1, (2, 8, 8, 2)), "inside": np.zeros((2, 8, 8, 1)),
        "gate": np.zeros((2, 8, 8, 1)),
    }  # fmt: skip
    inputs = {n: v.astype(np.float32) for n, v in inputs.items()}
    engine = OnnxEngine(tmp_path / "frame.onnx")
    assert np.array_equal(engine.run(inputs)["picture"], inputs["frame"])
    inputs["gate"][:, 2:6] = 1
    changed = np.abs(engine.run(inputs)["picture"] - inputs["frame"])
    assert changed[:, 12:20].mean() > 1 and changed[:, :2].max() == 0
