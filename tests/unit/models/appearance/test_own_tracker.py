"""Parts of our own face tracker; what it finds is in test_tracker."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.models.appearance.tracker import parts, provider, weights
from visavis.models.appearance.tracker.faces import levels, tiles
from visavis.models.appearance.tracker.own import OwnTracker
from visavis.models.appearance.tracker.pictures import cut, follow_edges
from visavis.models.shipped import WeightsError, WeightsMissing


def spot(height: int, width: int, x: float, y: float, sigma: float) -> NDArray[np.uint8]:
    """A bright spot whose middle is between pixels if it wants to be."""
    ys, xs = np.mgrid[:height, :width]
    one = 255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.rint(one).astype(np.uint8)[..., None], 3, axis=2)


def middle_of(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    weight = picture[..., 0].astype(float)
    ys, xs = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(xs * weight).sum(), (ys * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("side", [40.0, 110.0, 300.0, 470.0])
@pytest.mark.parametrize(("angle", "mirrored"), [(0.0, False), (0.4, False), (-0.7, True)])
def test_a_look_shows_a_point_where_its_matrix_says(
    side: float, angle: float, mirrored: bool
) -> None:
    photo = spot(500, 640, 301.3, 248.6, side / 30)
    matrix = parts.look(np.array([310.0, 240.0]), side, angle, 112, mirrored=mirrored)
    wanted = matrix @ (301.3, 248.6, 1.0)
    assert np.abs(middle_of(cut(photo, matrix, 112)) - wanted).max() < 0.12


def test_a_look_over_the_border_goes_on_with_it() -> None:
    photo = np.full((60, 80, 3), 77, np.uint8)
    for side in (30.0, 400.0):
        look = cut(photo, parts.look(np.array([2.0, 2.0]), side, 0.2, 64), 64)
        assert look.shape == (64, 64, 3) and (look == 77).all()


def test_a_look_levels_the_eyes_and_a_mirror_turns_them_round() -> None:
    points = np.zeros((478, 3))
    points[list(parts.RIGHT_EYE), :2] = (100, 100)
    points[list(parts.LEFT_EYE), :2] = (140, 130)
    apart, angle = parts.eyes_apart(points)
    assert apart == pytest.approx(50)
    plain = parts.look(np.array([120.0, 115.0]), 100.0, angle, 100)
    right, left = (plain @ (x, y, 1) for x, y in ((100, 100), (140, 130)))
    assert right[1] == pytest.approx(left[1]) and left[0] - right[0] == pytest.approx(50)
    flipped = parts.look(np.array([120.0, 115.0]), 100.0, angle, 100, mirrored=True)
    assert (flipped @ (100, 100, 1))[0] == pytest.approx(left[0])


def test_a_matte_follows_the_edges_of_its_photo() -> None:
    photo = np.zeros((400, 600, 3), np.uint8)
    photo[:, 300:] = (200, 120, 60)
    ramp = np.clip((np.arange(600) - 294.5) / 10, 0, 1).astype(np.float32)  # soft, ten pixels
    mask = np.tile(ramp, (400, 1))
    steps = np.abs(np.diff(follow_edges(photo, mask), axis=1))[50:-50]
    assert (steps.argmax(axis=1) == 299).all() and steps.max() > 3 * np.diff(mask, axis=1).max()
    for value in (0.0, 0.4, 1.0):  # what is even stays as it is, in any picture
        noise = np.random.default_rng(1).integers(0, 256, (50, 70, 3)).astype(np.uint8)
        even = np.full((50, 70), value, np.float32)
        assert np.abs(follow_edges(noise, even) - value).max() < 2e-3


def test_the_matte_is_opencv_contribs_guided_filter() -> None:
    import cv2

    if not hasattr(cv2, "ximgproc"):
        return  # the headless OpenCV has none: nothing to be compared with
    rng = np.random.default_rng(4)
    photo = cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (256, 192))
    mask = cv2.resize(rng.random((9, 12)).astype(np.float32), (256, 192))
    theirs = cv2.ximgproc.guidedFilter(photo, mask, 3, 1e-3 * 255**2)
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(follow_edges(photo, mask) - np.clip(theirs, 0, 1))[inner].max() < 0.02


def test_tiles_cover_every_pixel_and_a_panorama_in_squares() -> None:
    for height, width in ((400, 600), (300, 2000), (1500, 320)):
        for level in levels(height, width):
            seen = np.zeros((height, width), bool)
            for x0, y0, x1, y1 in level:
                seen[y0:y1, x0:x1] = True
            assert not level or seen[: height // 2 * 2 - 2, : width // 2 * 2 - 2].mean() > 0.99
    for x0, y0, x1, y1 in tiles(300, 2000, 1.0, 1):
        assert (x1 - x0, y1 - y0) == (300, 300)


def test_regions_are_closed_under_the_mirror_they_are_read_with() -> None:
    mirror = weights.shipped().mirror
    assert np.array_equal(mirror[mirror], np.arange(478))
    assert set(mirror[list(parts.LIPS)]) == set(parts.LIPS)
    left = set(mirror[list(parts.EYE)])
    assert not left & set(parts.EYE) and {263, 362, 473} <= left
    pairs = {33: 263, 133: 362, 468: 473, 61: 291, 234: 454, 10: 10, 152: 152}
    assert {mark: int(mirror[mark]) for mark in pairs} == pairs


def test_a_damaged_mirror_is_refused_in_a_sentence(tmp_path: Path) -> None:
    for said in ("", "[1, 2]", json.dumps([0] * 478), '{"a": 1}', json.dumps([1e99] * 478)):
        (tmp_path / "mirror.json").write_text(said)
        with pytest.raises(WeightsError, match="is damaged; reinstall"):
            weights.read_mirror(tmp_path)


def test_without_its_weights_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "EYE_GRAPH", tmp_path / "eye.onnx")
    with pytest.raises(WeightsMissing, match="visavis train tracker"):
        OwnTracker()


def test_the_choice_is_mediapipe_only_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "mediapipe_installed", lambda: False)
    assert isinstance(provider.open_tracker(), OwnTracker)
    assert isinstance(provider.open_tracker("own"), OwnTracker)
    with pytest.raises(ValueError, match="not 'dlib'"):
        provider.open_tracker("dlib")


def test_a_second_tracker_is_the_same_kind_as_the_first() -> None:
    first, second = provider.open_tracker(), provider.open_tracker()
    assert type(first) is type(second)
    first.close()
    second.close()


def test_the_shipped_networks_are_small() -> None:
    total = sum(path.stat().st_size for path in weights.shipped().graphs.values())
    assert total <= 12e6
