"""Batches, networks and graphs of the refiners' training; collected where torch is installed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from visavis.benchmarks.quality.renderer.refiners import refiner_of
from visavis.models.renderer.relight.crop import GATE, INSIDE, SEEN, SHIFT, WARPED
from visavis.models.renderer.relight.crop import SIDE as MOUTH_SIDE
from visavis.models.renderer.relight.light import LIGHT_ROWS
from visavis.models.renderer.training.relight.data import PairSet, assemble
from visavis.models.renderer.training.relight.graphs.export import load_network
from visavis.models.renderer.training.relight.graphs.light_graph import LightGraph, export_light
from visavis.models.renderer.training.relight.graphs.network import (
    NetworkConfig,
    RefinerNetwork,
    endpoint,
)
from visavis.models.renderer.training.relight.pairs.pairs import write_arrays
from visavis.models.renderer.training.relight.train import main

SIDE = 64


def frame(person: int, moved: float = 0.1) -> dict:
    """A pair whose pictures rise from left to right and whose truth is lighter."""
    shift = np.zeros((SIDE, SIDE, 2), np.float32)
    shift[16:48, 16:48, 0] = moved
    ramp = np.linspace(20, 200, SIDE).astype(np.uint8)
    picture = np.dstack([np.tile(ramp, (SIDE, 1))] * 3)
    inside = np.zeros((SIDE, SIDE), np.uint8)
    inside[26:40, 24:44] = 255
    return {
        "warped": picture, "photo": picture, "interior": picture, "target": picture + np.uint8(20),
        "shift": shift, "inside": inside, "person": person, "real": person % 2 == 0,
    }  # fmt: skip


def arrays(count: int = 6) -> dict:
    rows = [frame(k + 1) for k in range(count)]
    return {name: np.stack([np.asarray(r[name]) for r in rows]) for name in rows[0]}


@pytest.mark.parametrize("window", [(32, 32), (64, 64)])
def test_a_batch_is_cut_flipped_and_recoloured_alike(window):
    pairs = PairSet(arrays())
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


def test_whole_pairs_are_unchanged():
    made = arrays()
    batch = PairSet(made).whole(np.array([2]))
    shown = ((batch.x[0, WARPED] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(shown, made["warped"][2])
    assert np.array_equal(batch.x[0, INSIDE][0].numpy() * 255, made["inside"][2])


def test_portraits_get_their_share():
    pairs = PairSet(arrays())
    chances = pairs.weights(0.25)
    assert chances.sum() == pytest.approx(1) and chances[pairs.real].sum() == pytest.approx(0.25)


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig((4, 8, 8)),
        NetworkConfig((4, 8), stem=4, keep_tone=False),
        NetworkConfig((4, 8, 8, 8), stem=4, keep_tone=False),
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
        LightGraph(RefinerNetwork(NetworkConfig((8, 8), stem=4)))


def some_pairs(side: int) -> dict:
    """Pairs of three people, one of them held out, whose truth is a little lighter."""
    rows = []
    for person in (1, 2, -3):
        warped = np.full((side, side, 3), 90 + 10 * abs(person), np.uint8)
        inside = np.zeros((side, side), np.uint8)
        inside[3 * side // 8 : side // 2, side // 4 : 3 * side // 4] = 255
        shift = np.full((side, side, 2), 0.1, np.float32)
        rows.append({
            "warped": warped, "photo": warped, "interior": warped, "target": warped + np.uint8(9),
            "inside": inside, "shift": shift, "person": person, "follows": False,
            "real": person == 1,
        })  # fmt: skip
    return {name: np.stack([np.asarray(r[name]) for r in rows]) for name in rows[0]}


def test_every_stage_trains_goes_on_and_is_written(tmp_path):
    side = 96
    write_arrays(tmp_path / "pairs" / "a.npz", some_pairs(side))
    words = ["--pairs", str(tmp_path / "pairs"), "--out", str(tmp_path / "out")]
    words += [
        "--widths",
        "8",
        "8",
        "--batch",
        "4",
        "--free-tone",
        "--stages",
        "shade",
        "regression",
        "light",
    ]
    assert main([*words, "--samples", "40"]) == 0
    about = json.loads((tmp_path / "out" / "regression.json").read_text())
    assert about["samples"] >= 40 and about["side"] == side and about["pairs"] == 2
    assert {p.stem for p in (tmp_path / "out" / "graphs").glob("*.onnx")} == {"shade", "light"}
    assert main([*words, "--samples", "60", "--resume"]) == 0
    again = json.loads((tmp_path / "out" / "regression.json").read_text())
    assert again["samples"] == 60 and again["seconds"] > about["seconds"]
    # What was learned is lighter, as the truth is.
    regression = load_network(tmp_path / "out" / "regression.safetensors")
    residual, _ = regression(torch.zeros(1, 18, side, side))
    assert float(residual.detach().mean()) > 0
    manifest = json.loads((tmp_path / "out" / "graphs" / "light.json").read_text())
    assert set(manifest["samples"]) == {"regression", "light"}
    assert refiner_of(tmp_path / "out" / "graphs" / "light.onnx")().side == 96


def test_what_cannot_be_trained_is_one_sentence(tmp_path, capsys):
    (tmp_path / "pairs").mkdir()
    with pytest.raises(SystemExit):
        main(["--pairs", str(tmp_path / "pairs"), "--out", str(tmp_path / "out")])
    assert "There are no training pairs." in capsys.readouterr().err
