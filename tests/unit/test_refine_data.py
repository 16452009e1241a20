"""Batches of pairs, coded pairs and the gates of whole frames."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.renderer.refine.coded import read_coded, write_coded  # noqa: E402
from models.renderer.refine.crop import GATE, INSIDE, SHIFT, WARPED  # noqa: E402
from models.renderer.refine.data import PairSet, assemble  # noqa: E402
from models.renderer.refine.gates import moved_gate  # noqa: E402
from models.renderer.refine.network import NetworkConfig, RefinerNetwork, endpoint  # noqa: E402
from models.renderer.refine.pairs import read_pairs  # noqa: E402

SIDE = 64


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def frame(rng: np.random.Generator, person: int, moved: float = 0.1) -> dict:
    shift = np.zeros((SIDE, SIDE, 2), np.float32)
    shift[16:48, 16:48, 0] = moved
    ramp = np.linspace(20, 200, SIDE).astype(np.uint8)
    picture = np.dstack([np.tile(ramp, (SIDE, 1))] * 3)
    inside = np.zeros((SIDE, SIDE), np.uint8)
    inside[30:36, 28:40] = 255
    return {
        "warped": picture, "photo": picture, "target": picture + np.uint8(20),
        "shift": shift, "inside": inside, "counts": np.full((SIDE, SIDE), 255, np.uint8),
        "person": person, "real": person % 2 == 0,
    }  # fmt: skip


def arrays(rng, count: int = 6) -> dict:
    rows = [frame(rng, k + 1) for k in range(count)]
    return {name: np.stack([np.asarray(r[name]) for r in rows]) for name in rows[0]}


def test_coded_pairs_survive_the_disk(tmp_path, rng):
    rows = [frame(rng, 1), frame(rng, -2, 0.37)]
    write_coded(tmp_path / "a.npz", rows)
    found = read_pairs(tmp_path.glob("*.npz"))
    assert found["person"].tolist() == [1, -2] and found["real"].tolist() == [False, True]
    assert np.array_equal(found["inside"][0], rows[0]["inside"])
    assert np.abs(found["target"][1].astype(int) - rows[1]["target"]).max() < 12
    assert np.abs(found["shift"][1].astype(float) - rows[1]["shift"]).max() < 0.02
    small = frame(rng, 1, 0.006)
    write_coded(tmp_path / "b.npz", [small])
    again = read_coded([tmp_path / "b.npz"])["shift"][0]
    assert np.abs(again.astype(float) - small["shift"]).max() < 0.001  # small ones more finely


def test_equal_pictures_are_kept_once(tmp_path, rng):
    once, twice = [frame(rng, 1)], [frame(rng, 1), frame(rng, 1)]
    write_coded(tmp_path / "a.npz", once)
    write_coded(tmp_path / "b.npz", twice)
    sizes = [(tmp_path / f"{n}.npz").stat().st_size for n in "ab"]
    assert sizes[1] < sizes[0] + 400


def test_a_damaged_picture_is_one_sentence(tmp_path, rng):
    write_coded(tmp_path / "a.npz", [frame(rng, 1)])
    with np.load(tmp_path / "a.npz") as shard:
        values = dict(shard)
    values["blobs"] = np.zeros_like(values["blobs"])
    np.savez(tmp_path / "a.npz", **values)
    with pytest.raises(ValueError, match="damaged"):
        read_pairs(tmp_path.glob("*.npz"))


def test_a_still_frame_keeps_every_bit(rng):
    still = np.zeros((SIDE, SIDE, 2), np.float32)
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    assert moved_gate(still, nothing).max() == 0
    assert moved_gate(still + 0.002, nothing).max() == 0
    values = [moved_gate(still + s, nothing)[32, 32] for s in np.linspace(0, 0.02, 41)]
    assert values[-1] == 1 and np.abs(np.diff(values)).max() < 0.1  # it opens without a jump


def test_the_gate_of_a_frame_leaves_the_mouth_alone(rng):
    shift = np.zeros((256, 256, 2), np.float32)
    shift[64:192, 64:192, 0] = 0.1
    inside = np.zeros((256, 256), np.uint8)
    inside[120:144, 112:160] = 255
    open_ = moved_gate(shift, inside)
    assert open_[inside > 0].max() < 1e-6
    assert open_[80, 80] > 0.9 and open_[16, 16] == 0


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
