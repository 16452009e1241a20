"""What a turning head uncovers and covers: edges, layers, what stays where it is."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.geometry.attached import GRID, head_share
from visavis.models.renderer.geometry.pose import head_pose, turning_back
from visavis.models.renderer.raster.edges import soften_steps
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.shell import face_blend


def slanted(size: int, slope: float, turned: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A black part before a white one: picture in whole pixels, its sources, and the true shares.

    The edge runs ``slope`` pixels aside per pixel along.
    """
    yy, xx = np.mgrid[:size, :size].astype(np.float64)
    if turned:
        yy, xx = xx, yy
    place = size / 2 + slope * (yy - size / 2) + 0.2
    white = xx > place
    share = np.clip(xx - place + 0.5, 0, 1)
    source = np.stack([np.mgrid[:size, :size][1], np.mgrid[:size, :size][0]], -1).astype(np.float32)
    source[white] += 30.0
    picture = np.repeat(255 * white[..., None], 3, 2).astype(np.uint8)
    return picture, source, 255 * share


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("slope", [0.05, 0.2, -0.35])
def test_an_edge_has_no_stairs(slope: float, turned: bool):
    size = 64
    picture, source, truth = slanted(size, slope, turned)
    before = np.abs(picture[8:-8, 8:-8, 0] - truth[8:-8, 8:-8])
    found = np.zeros((size * size // 8, 5), np.int16)
    box = np.zeros((size, size), np.float32)
    soften_steps(picture, source, box, 0, 0, np.float32(4.5), found)
    # Edges are drawn a little softer than their true share; blur that alike before comparing.
    soft = truth.copy()
    soft[1:-1, 1:-1] = (
        truth[1:-1, 1:-1] / 2
        + (truth[:-2, 1:-1] + truth[2:, 1:-1] + truth[1:-1, :-2] + truth[1:-1, 2:]) / 8
    )
    after = np.abs(picture[8:-8, 8:-8, 0] - soft[8:-8, 8:-8])
    near = np.abs(truth[8:-8, 8:-8] - 127) < 127
    assert after[near].mean() < 0.45 * before[near].mean()
    assert after[~near].max() < 45


def test_a_stretch_without_steps_stays_as_it_is():
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    source = np.stack(np.mgrid[:64, :64][::-1], -1).astype(np.float32) * 0.7
    kept = picture.copy()
    found = np.zeros((512, 5), np.int16)
    box = np.zeros((64, 64), np.float32)
    soften_steps(picture, source, box, 0, 0, np.float32(4.5), found)
    assert np.array_equal(picture, kept)


def person(clothes: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A face with hair, a neck and clothes: picture, opacity, model x and y, the face's outline."""
    size = 256
    yy, xx = np.mgrid[:size, :size].astype(np.float32)
    x, y = (xx - 128) / 8, (100 - yy) / 8  # cm
    picture = np.full((size, size, 3), 200, np.uint8)
    body = (np.abs(x) < 4) & (y < 0) | (y < -9 + 0.1 * np.abs(x))
    body |= (np.abs(x) > 6) & (y < -5.5)  # a high collar beside the neck
    hair = (x / 9) ** 2 + ((y - 2) / 11) ** 2 < 1
    face = (x / 6.5) ** 2 + (y / 8.5) ** 2 < 1
    picture[body] = clothes
    picture[(np.abs(x) < 4) & (y < 0) & (y > -12)] = (215, 170, 145)
    picture[hair] = (60, 40, 30)
    picture[face] = (215, 170, 145)
    alpha = 255 * (body | hair | face).astype(np.uint8)
    cells = (np.arange(GRID) + 0.5) * size / GRID - 0.5
    u, v = np.meshgrid(cells, cells)
    model = np.stack([(u - 128) / 8, (100 - v) / 8], -1).astype(np.float32)
    turn = np.linspace(0, 2 * np.pi, 40)
    outline = np.stack([128 + 52 * np.cos(turn), 100 + 68 * np.sin(turn)], 1).astype(np.float32)
    return picture, alpha, model, outline


def test_clothes_stay_and_hair_and_neck_go():
    picture, alpha, model, outline = person((40, 60, 170))
    share = head_share(picture, alpha, model, outline)
    x, y = np.abs(model[..., 0]), model[..., 1]
    assert share[(y > -3) & (x < 8)].min() > 0.95
    assert share[(y < -6) & (y > -11) & (x < 3)].min() > 0.95  # the neck
    assert share[(y < -7) & (x > 9)].max() < 0.05
    assert np.array_equal(share, head_share(picture, alpha, model, outline))


def test_clothes_in_the_hairs_colour_are_left_to_height_alone():
    picture, alpha, model, outline = person((62, 42, 30))
    assert (head_share(picture, alpha, model, outline) == 1).all()


def test_a_helmets_ring_stays_when_the_head_tips(astronaut_identity: Identity):
    renderer = Renderer(astronaut_identity)
    rest = renderer.render(neutral()).astype(int)
    for roll in (-0.2, 0.2):
        values = neutral()
        values[INDEX["headRoll"]] = roll
        tipped = renderer.render(values)
        for ring in (np.s_[285:330, 62:84], np.s_[315:345, 345:375]):
            assert np.abs(tipped[ring].astype(int) - rest[ring]).mean() < 4.0
        hair = np.s_[60:120, 180:330]
        assert np.abs(tipped[hair].astype(int) - renderer.identity.photo[hair]).mean() > 12.0


@pytest.mark.parametrize("yaw", [-0.35, 0.35])
def test_the_near_cheek_does_not_smear_before_hair_that_lies_deep(
    astronaut_identity: Identity, yaw: float
):
    renderer = Renderer(astronaut_identity)
    shell, rig = renderer._shell, renderer.rig
    deeper = 3.0 * rig.scale
    shell._nodes[:, 2] -= deeper
    shell._sheet_home[:, 2] -= deeper
    values = neutral()
    values[INDEX["headYaw"]] = yaw
    renderer.render(values)
    landmarks = load_basis().landmarks
    nose, chin = (rig.points[landmarks[n]] for n in (4, 17))
    side = 1 if yaw < 0 else -1  # the near cheek
    columns = np.arange(int(nose[0]), int(nose[0]) + side * int(rig.unit), side)
    source = renderer.shown()[int(nose[1]) : int(chin[1])][:, columns, 0]
    # Nowhere are nine pixels drawn from fewer than three of the photo's.
    assert (side * (source[:, 9:] - source[:, :-9])).min() > 3.0


def test_a_face_that_looks_aside_has_no_throat_under_its_chin():
    basis = load_basis()
    face = basis.part("face")
    facing, hidden = np.ones(len(basis.neutral), np.float32), np.ones(len(basis.neutral))
    throat = (np.abs(basis.neutral[:, 0]) < 1.5) & (basis.neutral[:, 1] < -8.0)
    throat &= np.isin(np.arange(len(throat)), face)
    frontal, aside = (face_blend(basis, face, facing, hidden, yaw)[throat] for yaw in (0.02, 0.25))
    assert frontal.max() > 0.9
    assert aside.max() == 0


def test_a_shadow_beside_the_neck_is_no_piece_of_clothes():
    picture, alpha, model, outline = person((62, 42, 30))
    picture[176:192, 182:196] = (10, 90, 110)  # a colour the head has not, far from any edge
    assert (head_share(picture, alpha, model, outline) == 1).all()


def test_the_chins_edge_is_found_and_rises_to_both_sides(astronaut_identity: Identity):
    renderer, chin = Renderer(astronaut_identity), load_basis().landmarks[152]
    x, y = renderer.rig.source[chin]
    u, edge, share = renderer.rig.unit, renderer._chin._edge, renderer._chin._share
    middle, side = round(float(x)), int(0.45 * u)
    assert abs(edge[middle] - y) < 0.1 * u and share[middle] == 1
    assert max(edge[middle - side], edge[middle + side]) < edge[middle]
    assert share[0] == share[-1] == 0


def test_only_a_raised_chin_changes_what_lies_behind_it(astronaut_identity: Identity):
    renderer = Renderer(astronaut_identity)
    renderer.render(neutral())
    points, size = renderer.rig.points, renderer.size
    rng = np.random.default_rng(9)
    flow = (size * rng.random((size, size, 3))).astype(np.float32)
    kept = flow.copy()
    depth = np.full((size, size), points[:, 2].min(), np.float32)
    correct = renderer._chin.continue_neck
    for pitch in (0.0, 0.2):
        correct(depth, flow, 0, points, pitch)
    correct(np.full_like(depth, points[:, 2].max()), flow, 0, points, -0.2)  # the chin itself
    assert np.array_equal(flow, kept)
    correct(depth, flow, 0, points, -0.2)
    assert (flow[..., 1] >= kept[..., 1]).all() and (flow[..., 1] > kept[..., 1]).any()
    assert np.array_equal(flow[..., ::2], kept[..., ::2])
    above = int(points[load_basis().landmarks[17], 1])
    assert np.array_equal(flow[:above], kept[:above])


def test_a_photo_that_looks_aside_turns_back_less_than_on():
    assert turning_back(0.0) == turning_back(np.radians(-8)) == 1.0
    assert turning_back(np.radians(40)) == pytest.approx(0.3)

    def turned(yaw: float, photo: float) -> float:
        values = neutral()
        values[INDEX["headYaw"]] = yaw
        return float(np.arcsin(head_pose(values, 80.0, photo_yaw=photo).matrix[0, 2]))

    aside = np.radians(20)
    assert turned(0.35, aside) == pytest.approx(turned(0.35, 0.0))
    assert abs(turned(-0.35, aside)) < 0.6 * turned(0.35, aside)
    assert turned(-0.35, -aside) == pytest.approx(-turned(0.35, aside))
    assert turned(-0.05, aside) == pytest.approx(-0.05, abs=1e-4)  # small motions are as asked
