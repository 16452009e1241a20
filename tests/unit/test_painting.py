"""The painted mouth: made once at enrolment, the same for the same photo, and drawn by frames."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import cv2
import numpy as np
import pytest

from visavis.models.appearance.basis import load_basis
from visavis.models.appearance.identity import Identity, IdentityError
from visavis.models.appearance.painting import bake as baking
from visavis.models.appearance.painting.bake import paint_mouth, prepare, widest
from visavis.models.appearance.painting.canvas import (
    CONDITIONS,
    HEIGHT,
    LOWER,
    MAPS,
    RELIEF,
    TONGUE,
    UPPER,
    WIDTH,
    Canvas,
    cut,
    labels,
    on_canvas,
    placement,
)
from visavis.models.appearance.painting.painter import choose, merit, paint
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.renderer import Renderer

TEETH = (214.0, 202.0, 180.0)


class Toy:
    """Flows to one picture: teeth of one colour with dark gaps, everything else dark red."""

    def __init__(self, teeth: tuple[float, float, float] = TEETH) -> None:
        self.teeth = np.array(teeth, np.float32)
        self.seen: list[dict[str, np.ndarray]] = []

    def run(self, inputs):
        self.seen.append(inputs)
        maps = inputs["conditions"][:, 5:]
        assert inputs["conditions"].shape[1:] == (CONDITIONS, HEIGHT, WIDTH)
        tooth = np.clip(maps[:, UPPER] + maps[:, LOWER], 0, 1)[:, None]
        light = 0.5 + 0.5 * maps[:, RELIEF][:, None]
        colour = (
            self.teeth[None, :, None, None] * light * tooth
            + (1 - tooth) * np.array([70.0, 25, 25], np.float32)[None, :, None, None]
        )
        target = colour / 127.5 - 1
        return {"v": ((inputs["x"] - target) / inputs["t"][:, :, None, None]).astype(np.float32)}


class Noise:
    """Answers with a velocity of zero: what an untrained network paints."""

    def run(self, inputs):
        return {"v": np.zeros_like(inputs["x"])}


@pytest.fixture(scope="module")
def calm(astronaut_identity) -> Identity:
    """Someone whose photo shows no teeth."""
    return replace(astronaut_identity, teeth=np.zeros((0, 0, 4), np.uint8))


@pytest.fixture(scope="module")
def canvas(calm) -> Canvas:
    view = Renderer(calm).look_inside(widest())
    assert view is not None
    return prepare(load_basis(), labels(load_basis()), view)[0]


@pytest.fixture(scope="module")
def painted(calm) -> Identity:
    return paint_mouth(calm, Toy())


def wide(**more: float) -> np.ndarray:
    values = widest()
    for name, value in more.items():
        values[INDEX[name]] = value
    return values


def mouth_of(identity: Identity, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame and which pixels are the inside of its mouth."""
    view = Renderer(identity).look_inside(values)
    assert view is not None
    return view.frame.astype(np.float32), view.hole > 0.9


def test_the_canvas_is_upright_and_of_one_scale():
    corners = np.array([[100.0, 100], [220, 190]], np.float32)
    place = placement(corners, np.array([150.0, 260], np.float32))
    both = on_canvas(np.array([[100.0, 100, 0], [220, 190, 0], [150, 260, 10]], np.float32), place)
    assert both[0, 1] == pytest.approx(both[1, 1], abs=1e-3)
    assert both[1, 0] - both[0, 0] == pytest.approx(100.0, abs=1e-3)
    assert both[2, :2] == pytest.approx([(WIDTH - 1) / 2, (HEIGHT - 1) / 2], abs=1e-3)
    assert both[2, 2] == pytest.approx(10 * 100 / 150)


def test_a_large_picture_is_cut_without_aliasing():
    rng = np.random.default_rng(1)
    picture = rng.choice([0.0, 255.0], (900, 900)).astype(np.float32)
    place = placement(
        np.array([[250.0, 300], [650, 300]], np.float32), np.array([450.0, 600], np.float32)
    )
    assert cut(picture, place).std() < 40


def test_the_maps_show_both_rows_and_their_gaps(canvas):
    assert canvas.maps.shape == (HEIGHT, WIDTH, MAPS)
    inside = canvas.hole > 0.5
    upper = inside & (canvas.maps[..., UPPER] > 0.5)
    lower = inside & (canvas.maps[..., LOWER] > 0.5)
    assert upper.sum() > 150 and lower.sum() > 40
    rows = np.arange(HEIGHT)[:, None] * np.ones(WIDTH)
    assert rows[upper].mean() < rows[lower].mean()
    relief = canvas.maps[..., RELIEF][upper]
    assert relief.min() < 0.4 and relief.max() > 0.95
    assert canvas.maps[..., [UPPER, LOWER, TONGUE]].sum(2).max() <= 1.01


def test_conditions_hide_the_hole_and_nothing_else(canvas):
    seen = canvas.conditions()
    hole = canvas.to_paint() > 0
    assert seen.shape == (CONDITIONS, HEIGHT, WIDTH) and seen.dtype == np.float32
    assert (seen[:3, hole] == 0).all()
    around = canvas.picture.transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(seen[:3, ~hole], around[:, ~hole], atol=1e-5)
    assert (seen[4][canvas.hole > 0.9] > 0).all() and (seen[4][~hole] < 0).all()


def test_painting_is_the_same_for_the_same_seed(canvas):
    toy = Toy()
    again = [paint(Noise(), canvas, seed=s, candidates=2) for s in (3, 3, 4)]
    assert np.array_equal(again[0], again[1]) and not np.array_equal(again[0], again[2])
    outside = canvas.to_paint() == 0
    for painting in paint(toy, canvas, seed=3, candidates=3):
        np.testing.assert_allclose(painting[outside], canvas.picture[outside], atol=0.01)
    times = [float(i["t"][0, 0]) for i in toy.seen]
    assert times == [1.0, 0.75, 0.5, 0.25] and all(i["d"][0, 0] == 0.25 for i in toy.seen)


def test_the_choice_prefers_teeth_where_they_belong(canvas):
    good = paint(Toy(), canvas, candidates=1)[0]
    shifted = np.roll(good, 5, 1)
    flat = np.full_like(good, 150.0)
    green = good * np.array([0.7, 1.1, 0.7], np.float32)
    dark = good * 0.4
    noisy = paint(Noise(), canvas, candidates=1)[0]
    paintings = np.stack([shifted, flat, green, dark, noisy, good])
    assert choose(paintings, canvas, TEETH) == 5
    merits = [merit(p, canvas, TEETH) for p in paintings]
    assert all(merits[-1] > m + 0.1 for m in merits[:-1])


def test_the_pose_that_was_painted_gives_the_painting_back(calm, painted):
    frame, hole = mouth_of(painted, widest())
    before, _ = mouth_of(calm, widest())
    assert np.abs(frame - before)[hole].mean() > 4
    far = cv2.dilate(hole.astype(np.uint8), np.ones((13, 13), np.uint8)) == 0
    assert np.array_equal(frame[far], before[far])
    bright = np.percentile(frame[hole], 97, axis=0)
    assert bright == pytest.approx(TEETH, rel=0.15)


def test_nothing_changes_where_the_mouth_is_closed(calm, painted):
    assert np.array_equal(Renderer(calm).render(neutral()), Renderer(painted).render(neutral()))


def test_teeth_move_with_the_jaw_and_keep_their_look(painted):
    still = mouth_of(painted, wide(jawOpen=0.2))
    open_ = mouth_of(painted, wide(jawOpen=0.6))
    levels = [np.percentile(frame[hole].mean(1), 95) for frame, hole in (still, open_)]
    assert levels[0] == pytest.approx(levels[1], rel=0.12)


def test_a_frame_is_the_same_twice(painted):
    renderer = Renderer(painted)
    first = renderer.render(wide(headYaw=0.1)).copy()
    renderer.render(wide(jawOpen=0.7))
    assert np.array_equal(first, renderer.render(wide(headYaw=0.1)))


def test_the_photo_s_own_teeth_win(astronaut_identity):
    assert astronaut_identity.teeth.size, "the astronaut smiles"
    assert paint_mouth(astronaut_identity, Toy()) is astronaut_identity


def test_own_teeth_win_where_a_bundle_has_both(astronaut_identity, painted):
    both = replace(
        astronaut_identity, painted=painted.painted, painted_places=painted.painted_places,
        painted_colours=painted.painted_colours,
    )  # fmt: skip
    own, hole = mouth_of(astronaut_identity, widest())
    mixed, _ = mouth_of(both, widest())
    view = Renderer(astronaut_identity).look_inside(widest())
    place = placement(
        view.points[load_basis().landmarks[[33, 263]], :2],
        view.points[load_basis().landmarks[[61, 291, 13, 14]], :2].mean(0),
    )
    upper = prepare(load_basis(), labels(load_basis()), view)[0].maps[..., UPPER]
    upper = cv2.erode(upper * cut(hole.astype(np.float32), place), np.ones((3, 3), np.uint8))
    same = np.abs(cut(own, place) - cut(mixed, place)).max(2) < 2
    assert (upper > 0.99).sum() > 50 and same[upper > 0.99].mean() > 0.95


def test_a_bundle_keeps_its_painting(painted):
    back = Identity.from_bytes(painted.to_bytes())
    assert np.array_equal(back.painted, painted.painted) and back.painted.size
    assert np.array_equal(Renderer(back).render(widest()), Renderer(painted).render(widest()))


class TestOddBundles:
    WITHOUT: ClassVar = ("painted", "painted_places", "painted_colours")

    def test_one_from_before_draws_as_it_did(self, calm):
        from tests.unit.test_identity import rewritten

        names = {f"{n}.npy" for n in self.WITHOUT}
        old = Identity.from_bytes(rewritten(calm, lambda n, d: None if n in names else d))
        assert old.painted.size == 0
        assert np.array_equal(Renderer(old).render(widest()), Renderer(calm).render(widest()))

    @pytest.mark.parametrize(
        "change",
        [
            {"painted": np.zeros((4, 4), np.uint8)},
            {"painted": np.zeros((1, 80, 3), np.uint8)},
            {"painted": np.zeros((0, 0, 3), np.uint8)},
            {"painted_places": np.zeros((3, 4), np.float32)},
            {"painted_places": np.full((9999, 4), 7, np.float32)},
            {"painted_colours": np.zeros((0, 3), np.float32)},
            {"painted_places": np.full((9000, 4), np.nan, np.float32)},
        ],
        ids=["flat", "one row", "gone", "few places", "other places", "no colours", "not a number"],
    )
    def test_half_a_painting_is_refused(self, painted, change):
        broken = replace(painted, **change)
        with pytest.raises(IdentityError, match="damaged"):
            Identity.from_bytes(broken.to_bytes())

    @pytest.mark.parametrize("value", [-50.0, 1e6, np.nan, np.inf])
    @pytest.mark.parametrize("column", range(3))
    def test_places_outside_the_texture_are_refused(self, painted, value, column):
        places = painted.painted_places.copy()
        places[np.flatnonzero(places[:, 3] >= 0)[3], column] = value
        with pytest.raises(IdentityError, match="damaged"):
            Identity.from_bytes(replace(painted, painted_places=places).to_bytes())


class TestOddPeople:
    def test_a_mouth_that_does_not_open_is_left_alone(self, calm, monkeypatch):
        monkeypatch.setattr(baking, "WIDEST", {"mouthPucker": 0.5})
        assert paint_mouth(calm, Toy()) is calm

    def test_a_monochrome_photo_gets_grey_teeth(self, calm):
        grey = replace(calm, colours=replace(calm.colours, grey=1.0))
        made = paint_mouth(grey, Toy())
        assert made.painted.size and np.ptp(made.painted, axis=2).max() <= 1

    def test_colours_of_braces_stay_inside_their_teeth(self, calm):
        """Whatever is painted on teeth, gums, lips and tongue keep theirs."""
        steel = paint_mouth(calm, Toy((120.0, 130.0, 150.0)))
        frame, hole = mouth_of(steel, widest())
        before, _ = mouth_of(calm, widest())
        far = cv2.dilate(hole.astype(np.uint8), np.ones((13, 13), np.uint8)) == 0
        assert np.array_equal(frame[far], before[far])
        assert np.abs(frame - before)[hole].mean() > 4

    def test_an_untrained_network_is_recognised_as_worse(self, canvas):
        teeth = paint(Toy(), canvas, candidates=1)[0]
        noise = paint(Noise(), canvas, candidates=1)[0]
        assert merit(teeth, canvas, TEETH) > merit(noise, canvas, TEETH) + 0.5
