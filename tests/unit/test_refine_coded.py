"""Coded pairs on disk, and the gates of whole frames."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.renderer.training.relight.coded import read_coded, write_coded
from visavis.models.renderer.training.relight.frame_pairs import FramePair, cuts
from visavis.models.renderer.training.relight.gates import moved_gate
from visavis.models.renderer.training.relight.pairs import read_pairs

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
    again = read_coded([tmp_path / "b.npz"])["shift"][0][0]
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


def test_pairs_of_several_sizes_are_one_sentence(tmp_path, rng):
    small = {n: v[:32, :32] if isinstance(v, np.ndarray) else v for n, v in frame(rng, 1).items()}
    write_coded(tmp_path / "a.npz", [frame(rng, 1)])
    write_coded(tmp_path / "b.npz", [small])
    with pytest.raises(ValueError, match=r"several sizes: \[32, 64\]"):
        read_pairs(tmp_path.glob("*.npz"))


def test_a_large_pair_is_cut_to_the_size_of_the_others(rng):
    made = frame(rng, 4)
    pair = FramePair(**made)
    assert list(cuts(pair, SIDE)) == [pair]
    found = list(cuts(pair, 40))
    assert len(found) == 4 and {p.person for p in found} == {4}
    for part in found:
        assert part.warped.shape == (40, 40, 3) and part.shift.shape == (40, 40, 2)
        # A ramp from left to right: every picture is cut at the same place.
        assert np.array_equal(part.target, part.warped + np.uint8(20))
    assert len({part.warped.tobytes() for part in found}) > 1
