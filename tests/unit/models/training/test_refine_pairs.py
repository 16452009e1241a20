"""Training pairs and the measures that judge them."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from tests.fakes.graphs import MOTION
from visavis.benchmarks.quality import pictures
from visavis.benchmarks.quality.renderer.renderer import arms_of, measure, summarise
from visavis.benchmarks.quality.renderer.renderer_people import regions
from visavis.models.renderer.relight.crop import GATE, INSIDE, SIDE, Crop
from visavis.models.renderer.relight.shade import shade_graph
from visavis.models.renderer.training.relight.pairs.pairs import (
    Pair,
    agreement,
    arrays_of,
    in_shards,
    read_pairs,
    write_arrays,
    write_pairs,
)


def smooth(rng: np.random.Generator, size: int) -> np.ndarray:
    picture = cv2.GaussianBlur(rng.uniform(0, 255, (size, size, 3)).astype(np.float32), (0, 0), 4)
    low, high = picture.min(), picture.max()
    return ((picture - low) / (high - low) * 255).astype(np.uint8)


def pair(rng: np.random.Generator, person: int, follows: bool = False) -> Pair:
    target = smooth(rng, SIDE)
    inside = np.zeros((SIDE, SIDE), np.uint8)
    inside[40:56, 25:70] = 255
    warped = np.where(inside[..., None] > 0, target // 2 + 100, target).astype(np.uint8)
    shift = rng.normal(0, 0.1, (SIDE, SIDE, 2)).astype(np.float32)
    return Pair(Crop(warped, target, warped, shift, inside), target, person, follows)


def test_pairs_survive_the_disk(tmp_path, rng):
    pairs = [pair(rng, 3), pair(rng, -7, True)]
    write_pairs(tmp_path / "a.npz", pairs)
    arrays = read_pairs(tmp_path.glob("*.npz"))
    assert arrays["person"].tolist() == [3, -7] and arrays["follows"].tolist() == [False, True]
    assert np.array_equal(arrays["target"][1], pairs[1].target)
    assert np.allclose(arrays["shift"][0], pairs[0].crop.shift, atol=1e-3)
    assert not list(tmp_path.glob("*.partial"))


def test_no_pairs_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no training pairs"):
        read_pairs(tmp_path.glob("*.npz"))


def test_runs_are_not_cut_by_shards(rng):
    one = pair(rng, 1)
    runs = [Pair(one.crop, one.target, 1, follows=i % 4 != 0) for i in range(12)]
    shards = list(in_shards(iter(runs), 3))
    assert sum(map(len, shards)) == 12
    assert [len(shard) for shard in shards] == [4, 4, 4]
    assert not any(shard[0].follows for shard in shards)


def test_teeth_against_a_dark_throat_teach_nothing():
    skin = np.full((SIDE, SIDE, 3), 150, np.uint8)
    inside = np.zeros((SIDE, SIDE), np.uint8)
    inside[30:60, 20:70] = 255
    warped, target = skin.copy(), skin.copy()
    warped[30:60, 20:70], target[30:60, 20:70] = 30, 30
    target[32:44, 24:66] = 190  # teeth that the renderer has not drawn
    target[50:56, 30:60] = 45  # the same dark, lit a little otherwise
    target[80:84, 30:60] = 10  # outside of the mouth the truth is never doubted
    trusted = agreement(warped, target, inside)
    assert trusted[35:41, 30:60].max() < 0.05
    assert trusted[50:56, 35:55].min() > 0.95
    assert trusted[62:].min() == 1.0


def test_regions_lie_where_their_classes_are():
    semantics = np.zeros((64, 64), np.uint8)
    semantics[16:64, 16:48] = 1
    semantics[40:44, 28:36] = 4
    found = regions(semantics)
    assert set(found) == {"mouth", "silhouette", "all"}  # no eyes are seen
    assert found["mouth"][42, 32] == 1 and found["mouth"][20, 32] == 0
    assert found["silhouette"][30, 16] == 1 and found["silhouette"][30, 32] == 0
    assert found["all"].min() == 1


def test_equal_pictures_measure_as_equal(rng):
    picture, weight = smooth(rng, 64), np.ones((64, 64))
    assert pictures.psnr(picture, picture, weight) == 99.0
    assert pictures.ssim(picture, picture, weight) == pytest.approx(1.0)
    assert pictures.ms_ssim(picture, picture, weight) == pytest.approx(1.0)


def test_psnr_is_that_of_the_region(rng):
    truth = smooth(rng, 64).astype(np.float64)
    wrong = truth.copy()
    wrong[:32] += 10.0
    half = np.zeros((64, 64))
    half[:32] = 1
    assert pictures.psnr(wrong, truth, half) == pytest.approx(20 * np.log10(25.5))
    assert pictures.psnr(wrong, truth, 1 - half) == 99.0


def test_blur_costs_similarity_and_sharpness(rng):
    truth = rng.integers(0, 255, (96, 96, 3)).astype(np.uint8)
    blurred, weight = cv2.GaussianBlur(truth, (0, 0), 2), np.ones((96, 96))
    assert pictures.ssim(blurred, truth, weight) < 0.6
    assert pictures.ms_ssim(blurred, truth, weight) < 0.95
    assert pictures.sharpness(blurred, weight) < 0.5 * pictures.sharpness(truth, weight)


def test_intervals_are_over_people(rng):
    people = np.repeat(np.arange(8), 50)
    offsets = rng.normal(0, 1, 8)
    values = offsets[people] + rng.normal(0, 0.01, 400)
    mean, low, high = pictures.interval(values, people)
    assert low < mean < high and mean == pytest.approx(values.mean())
    # Fifty frames of a person are no fifty people.
    assert high - low > 0.5


class Halved:
    """A light that takes half of what is inside the mouth."""

    side = SIDE

    def __init__(self, left: float) -> None:
        self.left = left

    def gain(self, x: np.ndarray) -> np.ndarray:
        assert x[GATE].shape == (1, SIDE, SIDE)
        return (x[INSIDE][0] * (self.left - 1)).astype(np.float32)


def test_a_better_light_measures_better(rng):
    made = [pair(rng, -p) for p in (1, 2, 3)]
    arrays = {
        "person": np.array([-1, -2, -3]),
        "shift": np.stack([p.crop.shift for p in made]),
        **{
            n: np.stack([getattr(p.crop, n) for p in made])
            for n in ("warped", "photo", "interior", "inside")
        },
    }  # fmt: skip
    lit = np.where(arrays["inside"][..., None] > 0, arrays["warped"] // 2, arrays["warped"])
    arrays["target"] = lit
    arms = {"warp": None, "good": Halved(0.5), "poor": Halved(1.4)}
    table = summarise(measure(arms, arrays), arrays["person"])
    assert table["good"]["gain_over_warp_db"][0] > 3 > 0 > table["poor"]["gain_over_warp_db"][0]
    assert "gain_over_warp_db" not in table["warp"]


def test_arms_are_what_lies_in_the_folder(tmp_path):
    assert arms_of(tmp_path) == {"warp": None}
    shutil.copy(shade_graph(), tmp_path / "mine.onnx")
    assert list(arms_of(tmp_path)) == ["warp", "mine"]
    (tmp_path / "motion.onnx").symlink_to(MOTION)
    with pytest.raises(ValueError, match="neither light nor shade"):
        arms_of(tmp_path)


def test_pairs_of_several_sizes_are_one_sentence(tmp_path, rng):
    made = arrays_of([pair(rng, 1)])
    write_arrays(tmp_path / "a.npz", made)
    small = {n: v[:, :32, :32] if v.ndim > 2 else v for n, v in made.items()}
    write_arrays(tmp_path / "b.npz", small)
    with pytest.raises(ValueError, match=r"several sizes: \[32, 96\]"):
        read_pairs(tmp_path.glob("*.npz"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)
