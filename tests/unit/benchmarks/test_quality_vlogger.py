"""Measures without a reference and over time, on pictures whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.quality.vlogger import naturalness, temporal, vlogger
from visavis.benchmarks.quality.vlogger.blur import cpbd, edge_widths


def scene(seed: int, side: int = 384) -> np.ndarray:
    """Return a picture of shapes and grain, sharp as a camera's."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side, 3), 120, np.uint8)
    for _ in range(60):
        x, y, r = (int(v) for v in rng.integers(0, side, 3))
        colour = tuple(int(v) for v in rng.integers(20, 235, 3))
        cv2.circle(picture, (x, y), 5 + r // 10, colour, -1, cv2.LINE_AA)
    grain = cv2.GaussianBlur(rng.normal(0, 14, picture.shape[:2]), (0, 0), 0.7)
    return np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


@pytest.fixture(scope="module")
def pristine() -> naturalness.Pristine:
    return naturalness.fit(scene(seed) for seed in range(30))


def test_blur_and_noise_raise_niqe(pristine: naturalness.Pristine) -> None:
    held_out = scene(99)
    own = naturalness.niqe(held_out, pristine)
    soft = [naturalness.niqe(blurred(held_out, sigma), pristine) for sigma in (1.0, 2.5)]
    assert own < soft[0] < soft[1]
    noise = np.random.default_rng(0).normal(0, 40, held_out.shape)
    assert own < naturalness.niqe(np.clip(held_out + noise, 0, 255).astype(np.uint8), pristine)


def test_a_model_of_too_few_pictures_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="too few pictures"):
        naturalness.fit([scene(1, 96)])
    with pytest.raises(BenchmarkError, match="96 pixels"):
        naturalness.features(scene(1, 90))


def test_a_gaussians_shape_is_two_and_sides_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(200_000)
    shape, left, right = naturalness.asymmetric_gaussian(values)
    assert shape == pytest.approx(2.0, abs=0.05)
    assert left == pytest.approx(np.sqrt(2), rel=0.03) == pytest.approx(right, rel=0.03)
    shape, _, _ = naturalness.asymmetric_gaussian(rng.laplace(size=200_000))
    assert shape == pytest.approx(1.0, abs=0.05)
    _, left, right = naturalness.asymmetric_gaussian(np.where(values > 0, 3 * values, values))
    assert right > 2 * left


def test_blur_lowers_cpbd() -> None:
    picture = np.full((256, 256, 3), 60, np.uint8)
    for x in range(30, 250, 80):
        cv2.rectangle(picture, (x, 8), (x + 40, 247), (190, 180, 170), -1)
    values = [cpbd(picture), *(cpbd(blurred(picture, sigma)) for sigma in (0.7, 1.2, 2.5))]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.95
    assert values[3] < 0.1
    assert cpbd(scene(3)) > cpbd(blurred(scene(3), 1.5))
    assert np.isnan(cpbd(np.full((128, 128, 3), 90, np.uint8)))


def test_an_edge_is_as_wide_as_it_was_drawn() -> None:
    grey = np.full((3, 60), 40, np.float32)
    grey[:, 20:29] = np.linspace(40, 200, 9)
    grey[:, 29:] = 200
    assert edge_widths(grey, np.array([1]), np.array([24])).tolist() == [8.0]


def test_what_stands_or_moves_steadily_has_no_jitter() -> None:
    points = np.zeros((20, 5, 2))
    points[..., 0] = 3.0 * np.arange(20)[:, None]
    assert temporal.jitter(points, 100.0) == pytest.approx(0.0, abs=1e-9)
    trembling = points + np.where(np.arange(20) % 2, 1.0, 0.0)[:, None, None] * [1.0, 0.0]
    assert temporal.jitter(trembling, 100.0) == pytest.approx(20.0)  # 2 px of 100, thousandths


def test_seeds_that_agree_have_no_diversity_and_a_still_face_no_range() -> None:
    points = np.zeros((2, 10, 4, 2))
    assert temporal.diversity(points, 100.0) == 0.0
    points[1, ..., 1] = 6.0
    assert temporal.diversity(points, 100.0) == pytest.approx(30.0)
    assert temporal.movement(points[1], 100.0) == 0.0
    swing = np.zeros((2, 1, 2))
    swing[1, 0, 0] = 8.0
    assert temporal.movement(swing, 100.0) == pytest.approx(40.0)


def test_the_warping_error_forgives_movement_but_not_flicker() -> None:
    wide = blurred(scene(5, 300), 1.5)
    still = [wide[50:242, 50:242]] * 4
    moving = [wide[50:242, 50 + 2 * k : 242 + 2 * k] for k in range(4)]
    light = [np.clip(f.astype(int) + 25 * (k % 2), 0, 255).astype(np.uint8)
             for k, f in enumerate(still)]  # fmt: skip
    assert temporal.warping_error(still) == 0.0
    assert temporal.warping_error(moving) < 0.3 * temporal.warping_error(light)


def test_groups_have_intervals_that_hold_their_means() -> None:
    rng = np.random.default_rng(1)
    rows: list[vlogger.Row] = [
        {"tone": "1-2" if k % 2 else "5-6", "sex": "female", "age": "old" if k < 3 else "young",
         "niqe": float(5 + (k % 2) + 0.1 * rng.standard_normal())}
        for k in range(12)
    ]  # fmt: skip
    found = vlogger.groups(rows)["niqe"]
    assert set(found) == {"all", "tone 1-2", "tone 5-6", "sex female", "age young"}
    assert all(v["low"] < v["mean"] < v["high"] for v in found.values())
    assert found["tone 5-6"]["high"] < found["tone 1-2"]["low"]
    assert len(vlogger.table({"groups": {"niqe": found}}).splitlines()) == 12
    assert vlogger.plain({"a": {"x": float("nan"), "y": 1.0}}) == {"a": {"x": None, "y": 1.0}}


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path, capsys) -> None:
    missing = str(tmp_path / "none")
    assert vlogger.main(["--photos", missing, "--speech", missing]) == 2
    assert "There is no folder" in capsys.readouterr().err
