"""The renderer, measured on the pictures it draws of the astronaut."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.tracker.provider import open_tracker
from visavis.models.coefficients import ARKIT, COUNT, INDEX, neutral
from visavis.models.renderer.geometry.pose import head_pose
from visavis.models.renderer.raster.warp import FAR, count_bits, cover, rasterise
from visavis.models.renderer.renderer import Renderer

GREY = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def renderer(astronaut_identity: Identity) -> Renderer:
    return Renderer(astronaut_identity)


@pytest.fixture(scope="module")
def tracker():
    tracker = open_tracker()
    yield tracker
    tracker.close()


def pose(**values: float) -> np.ndarray:
    """A coefficient vector; a name without Left/Right sets both sides."""
    vector = neutral()
    for name, value in values.items():
        names = [n for n in (name, name + "Left", name + "Right") if n in INDEX]
        assert names, name
        for n in names:
            vector[INDEX[n]] = value
    return vector


def mouth_box(identity: Identity) -> tuple[slice, slice]:
    """Rows and columns around the mouth, from the eyes' place in the photo."""
    eyes = np.mean([e.iris for e in identity.eyes], axis=0)
    u = identity.inter_ocular_px
    x, y = int(eyes[0]), int(eyes[1] + 1.1 * u)
    return np.s_[y - int(0.2 * u) : y + int(0.45 * u), x - int(0.36 * u) : x + int(0.36 * u)]


def throat_pixels(picture: np.ndarray, identity: Identity) -> int:
    """Pixels in the mouth's box that are too dark to be lip or skin."""
    grey = picture[mouth_box(identity)].astype(float) @ GREY
    return int((grey < 0.5 * np.median(grey)).sum())


def test_same_coefficients_same_picture(renderer):
    rng = np.random.default_rng(1)
    values = (rng.uniform(0, 0.4, COUNT)).astype(np.float32)
    values[52:] = 0.05
    first = renderer.render(values).copy()
    assert first.shape == (512, 512, 3) and first.dtype == np.uint8
    renderer.render(neutral())
    assert np.array_equal(renderer.render(values), first)


def test_no_picture_shows_what_was_drawn_before(renderer):
    """What lies beside the person was left over from the frame before and looked like an edge."""
    ramp = np.arange(24)[:, None] * np.linspace(0.1, 1.3, COUNT)
    wild = (0.4 * np.abs(np.sin(ramp))).astype(np.float32)
    forth = [renderer.render(values).copy() for values in wild]
    back = [renderer.render(values).copy() for values in wild[::-1]][::-1]
    assert [k for k in range(24) if not np.array_equal(forth[k], back[k])] == []


def test_a_smaller_picture_shows_the_same(astronaut_identity, renderer):
    import cv2

    small = Renderer(astronaut_identity, size=256)
    values = pose(jawOpen=0.3, headYaw=0.1)
    want = cv2.resize(renderer.render(values), (256, 256), interpolation=cv2.INTER_AREA)
    got = small.render(values)
    assert got.shape == (256, 256, 3)
    assert np.abs(got.astype(int) - want).mean() < 2.5


def test_mouth_motion_leaves_the_background_alone(astronaut_identity, renderer):
    still = renderer.render(neutral()).copy()
    moved = renderer.render(pose(jawOpen=0.5, mouthFunnel=0.3)).copy()
    empty = astronaut_identity.alpha == 0
    assert empty.mean() > 0.2
    eyes = np.mean([e.iris for e in astronaut_identity.eyes], axis=0)
    u = astronaut_identity.inter_ocular_px
    away = empty.copy()  # the outline of jaw and cheeks itself may move
    away[int(eyes[1]) : int(eyes[1] + 2.3 * u), int(eyes[0] - 1.8 * u) : int(eyes[0] + 1.8 * u)] = 0
    assert np.array_equal(moved[away], still[away])
    assert np.array_equal(still[away], astronaut_identity.background[away])
    rows = np.flatnonzero((moved != still).any((1, 2)))
    assert rows[0] > eyes[1] - 1.2 * u


def test_head_motion_leaves_the_far_background_alone(astronaut_identity, renderer):
    turned = renderer.render(pose(headYaw=0.2, headRoll=0.1, torsoBreath=1.0)).copy()
    corner = np.s_[:60, :60]
    assert np.array_equal(turned[corner], astronaut_identity.photo[corner])


@pytest.mark.parametrize(
    "sealed",
    [
        {},
        {"mouthPress": 0.4, "mouthRollLower": 0.2, "mouthRollUpper": 0.2},
        {"jawOpen": 0.2, "mouthClose": 0.2},
        {"jawOpen": 0.1, "mouthClose": 0.1, "mouthPucker": 0.3},
        {"mouthSmile": 0.5},
    ],
)
def test_lips_are_sealed_in_the_picture(astronaut_identity, renderer, sealed):
    opened = throat_pixels(renderer.render(pose(jawOpen=0.3)), astronaut_identity)
    shut = renderer.render(pose(**sealed)).copy()
    assert opened > 80
    assert throat_pixels(shut, astronaut_identity) <= 0.03 * opened
    assert renderer.mouth_opening(pose(**sealed)) < 0.005


def test_opening_grows_with_the_jaw_and_is_natural(renderer):
    gaps = [renderer.mouth_opening(pose(jawOpen=v)) for v in (0.0, 0.1, 0.2, 0.3, 0.45, 0.6)]
    assert gaps == sorted(gaps) and gaps[0] < 0.005
    assert 0.10 < gaps[3] < 0.20
    assert 0.22 < gaps[5] < 0.40


def test_mouth_opening_does_not_depend_on_the_head(renderer):
    still = renderer.mouth_opening(pose(jawOpen=0.3))
    assert renderer.mouth_opening(pose(jawOpen=0.3, headRoll=0.15)) == pytest.approx(
        still, rel=0.05
    )


def test_blink_covers_the_iris(astronaut_identity, renderer):
    def darkness(picture: np.ndarray) -> list[float]:
        found = []
        for eye in astronaut_identity.eyes:
            x, y = (round(v) for v in eye.iris)
            found.append(float((picture[y - 1 : y + 2, x - 1 : x + 2] @ GREY).mean()))
        return found

    open_eyes = darkness(renderer.render(neutral()))
    shut = darkness(renderer.render(pose(eyeBlink=1.0)))
    skin = float(np.array(astronaut_identity.colours.skin) @ GREY)
    assert max(open_eyes) < 0.45 * skin
    assert min(shut) > 0.6 * skin


def test_one_eye_can_wink(renderer):
    still = renderer.render(neutral()).astype(int)
    wink = renderer.render(pose(eyeBlinkLeft=1.0)).astype(int)
    columns = np.flatnonzero(np.abs(wink - still).max((0, 2)) > 12)
    identity = renderer.identity
    middle = np.mean([e.iris[0] for e in identity.eyes])
    assert columns.min() > middle  # the subject's left is the viewer's right


def landmarks(tracker, picture: np.ndarray) -> np.ndarray:
    return tracker.detect(np.ascontiguousarray(picture))[0].points


def test_head_turns_as_the_vocabulary_says(renderer, tracker):
    def measure(**values: float) -> tuple[float, float, float]:
        points = landmarks(tracker, renderer.render(pose(**values)).copy())
        left, right = points[[362, 263], :2].mean(0), points[[33, 133], :2].mean(0)
        eyes, unit = (left + right) / 2, np.linalg.norm(left - right)
        nose = (points[1, :2] - eyes) / unit
        tilt = np.degrees(np.arctan2(*(left - right)[::-1]))
        return float(nose[0]), float(nose[1]), float(tilt)

    still = measure()
    assert measure(headYaw=0.2)[0] > still[0] + 0.04
    assert measure(headYaw=-0.2)[0] < still[0] - 0.04
    # The tracker sees less of a nod in a face that smiles, as this photo's does at rest.
    assert measure(headPitch=0.14)[1] > still[1] + 0.012
    assert measure(headPitch=-0.14)[1] < still[1] - 0.03
    assert measure(headRoll=0.14)[2] == pytest.approx(still[2] + 8.0, abs=1.5)


def test_head_moves_as_the_vocabulary_says(renderer, tracker):
    def centre(**values: float) -> np.ndarray:
        return landmarks(tracker, renderer.render(pose(**values)).copy())[:468, :2].mean(0)

    still, unit = centre(), renderer.identity.inter_ocular_px
    assert (centre(headX=0.1) - still)[0] == pytest.approx(0.1 * unit, abs=3)
    assert (centre(headY=0.1) - still)[1] == pytest.approx(0.1 * unit, abs=3)


def test_gaze_moves_the_iris_and_little_else(renderer, tracker):
    def irises(**values: float) -> np.ndarray:
        points = landmarks(tracker, renderer.render(pose(**values)).copy())
        return (points[[468, 473], :2] - points[[33, 362], :2]).mean(0)

    still = irises()
    assert irises(gazeYaw=0.3)[0] > still[0] + 1.5
    assert irises(gazeYaw=-0.3)[0] < still[0] - 1.5
    assert irises(gazePitch=0.3)[1] > still[1] + 0.5


def test_rendering_the_photos_own_expression_gives_the_photo_back(astronaut_identity, renderer):
    names = load_basis().expression_names
    vector = neutral()
    for name, value in zip(names, astronaut_identity.expression, strict=True):
        plain = name.replace("_L", "Left").replace("_R", "Right")
        target = plain if plain in INDEX else name[:-2]
        if target in ARKIT:
            vector[INDEX[target]] = max(vector[INDEX[target]], value)
    again = renderer.render(vector).astype(float)
    photo = astronaut_identity.photo.astype(float)
    eyes = np.mean([e.iris for e in astronaut_identity.eyes], axis=0)
    u = astronaut_identity.inter_ocular_px
    x, y = int(eyes[0]), int(eyes[1])
    upper = np.s_[y - int(0.6 * u) : y + int(0.5 * u), x - int(u) : x + int(u)]
    whole = np.s_[y - int(0.8 * u) : y + int(1.9 * u), x - int(u) : x + int(u)]

    def psnr(box) -> float:
        return float(10 * np.log10(255**2 / np.mean((again[box] - photo[box]) ** 2)))

    assert psnr(upper) > 30
    assert psnr(whole) > 24


def test_slow_motion_has_no_jumps(renderer):
    previous, steps = None, []
    for i in range(40):
        t = i / 25
        values = pose(
            headYaw=0.12 * np.sin(1.1 * t), headPitch=0.04 * np.sin(1.7 * t),
            jawOpen=0.12 + 0.12 * np.sin(2.0 * t), torsoBreath=0.5 + 0.5 * np.sin(t),
            eyeBlink=0.3 + 0.3 * np.sin(1.3 * t), gazeYaw=0.1 * np.sin(0.9 * t),
        )  # fmt: skip
        frame = renderer.render(values).astype(np.int16)
        if previous is not None:
            steps.append(float(np.abs(frame - previous).mean()))
        previous = frame
    steps_array = np.array(steps)
    around = np.convolve(np.pad(steps_array, 2, mode="edge"), np.ones(5) / 5, "valid")
    assert (steps_array < 1.6 * around + 0.05).all()


def test_hostile_numbers_do_no_harm(renderer):
    values = np.full(COUNT, np.nan, np.float32)
    assert np.array_equal(renderer.render(values), renderer.render(neutral()))
    for extreme in (1e6, -1e6, np.inf):
        assert renderer.render(np.full(COUNT, extreme, np.float32)).shape == (512, 512, 3)
    with pytest.raises(ValueError, match="coefficients"):
        renderer.render(np.zeros(3, np.float32))


def test_every_face_coefficient_is_visible(renderer):
    still = renderer.render(neutral()).astype(int)
    jaw = renderer.render(pose(jawOpen=0.3)).astype(int)
    for name in ARKIT:
        if name in ("mouthClose", "tongueOut", "jawForward"):
            base, values = jaw, pose(jawOpen=0.3, **{name: 0.3 if name == "mouthClose" else 0.8})
        else:
            base, values = still, pose(**{name: 0.6})
        change = np.abs(renderer.render(values).astype(int) - base)
        assert (change.max(2) > 6).sum() > 12, name


def mouth_width(renderer: Renderer, **values: float) -> float:
    """Width of the drawn lips in pixels."""
    vector = pose(**values)
    rig = renderer.rig
    turned = head_pose(vector, rig.unit, rig.turning, rig.yaw)
    points = rig.pose(rig.express(rig.map(vector)), turned)
    ring = points[rig.lips.upper, 0]
    return float(np.ptp(ring))


def open_columns(renderer: Renderer, **values: float) -> np.ndarray:
    """Which columns between the corners of the mouth are open, 0-1 along the lips."""
    rig = renderer.rig
    gap = rig.lips.gap(rig.express(rig.map(pose(**values))))
    return rig.lips.stations[gap > 0.02]


def test_round_lips_are_narrow_and_open_only_in_the_middle(renderer):
    rounded = {"jawOpen": 0.14, "mouthPucker": 0.7, "mouthFunnel": 0.2}
    assert mouth_width(renderer, **rounded) < 0.72 * mouth_width(renderer)
    open_part = open_columns(renderer, **rounded)
    assert open_part.min() > 0.08 and open_part.max() < 0.92
    assert np.ptp(open_columns(renderer, jawOpen=0.3)) > np.ptp(open_part)
    half = open_columns(renderer, jawOpen=0.25, mouthPucker=0.35, mouthFunnel=0.4)
    assert half.min() > 0.08 and half.max() < 0.92  # no slits at the corners


def test_a_tucked_lip_shows_the_teeth_above_it(astronaut_identity, renderer):
    tucked = {"jawOpen": 0.09, "mouthClose": 0.06, "mouthRollLower": 0.5, "mouthUpperUp": 0.1}
    assert 0.01 < renderer.mouth_opening(pose(**tucked)) < 0.06
    quick = {"jawOpen": 0.04, "mouthRollLower": 0.22, "mouthUpperUp": 0.1}
    assert 0.01 < renderer.mouth_opening(pose(**quick)) < 0.06
    area = mouth_box(astronaut_identity)
    seen = renderer.render(pose(**tucked))[area].astype(float) @ GREY
    shut = renderer.render(neutral())[area].astype(float) @ GREY
    brighter = (seen - shut > 15).sum()
    assert brighter > 20


def test_nearly_closed_lips_touch(renderer):
    almost = {"jawOpen": 0.12, "mouthClose": 0.1, "mouthLowerDown": 0.02}
    assert renderer.mouth_opening(pose(**almost)) < 0.01


def test_a_blink_leaves_the_lower_lid(astronaut_identity, renderer):
    still = renderer.render(neutral()).astype(int)
    blink = renderer.render(pose(eyeBlink=1.0)).astype(int)
    unit = astronaut_identity.inter_ocular_px
    for eye in astronaut_identity.eyes:
        x, y = (round(v) for v in eye.iris)
        below = np.s_[y + int(0.13 * unit) : y + int(0.3 * unit), x - 8 : x + 9]
        lid = np.s_[y - int(0.05 * unit) : y + int(0.04 * unit), x - 8 : x + 9]
        assert np.abs(blink[below] - still[below]).mean() < 6
        assert np.abs(blink[lid] - still[lid]).mean() > 20


def test_two_renderers_draw_in_two_threads_as_in_one(astronaut_identity, renderer):
    rng = np.random.default_rng(5)
    vectors = rng.uniform(0, 0.3, (12, COUNT)).astype(np.float32)
    vectors[:, 52:] *= 0.3
    alone = [renderer.render(v).copy() for v in vectors]
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(lambda r: [r.render(v).copy() for v in vectors], r)
            for r in (Renderer(astronaut_identity), Renderer(astronaut_identity))
        ]
        for job in jobs:
            assert all(np.array_equal(a, b) for a, b in zip(alone, job.result(), strict=True))


def test_thin_triangles_fill_every_sample_once_covered():
    points = np.array([[1, 1, 0], [30, 1.5, 0], [29, 22, 0], [2, 20.5, 0]], np.float32)
    tris = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    masks, count = np.zeros((32, 32), np.uint16), np.zeros((32, 32), np.uint8)
    cover(tris, points, masks, 0, 0)
    count_bits(masks, count)
    assert (count[3:19, 4:28] == 16).all()  # no seam between the two
    assert count[0].sum() == 0 and 0 < count[20, 5] <= 16
    depth = np.full((32, 32), FAR, np.float32)
    out = np.zeros((32, 32, 2), np.float32)
    rasterise(tris, points, points[:, :2].copy(), depth, out, 0, 0)
    inside = depth > FAR
    yy, xx = np.nonzero(inside)
    assert inside[3:20, 4:29].all() and not inside[24:].any()
    assert np.abs(out[yy, xx] - np.stack([xx, yy], 1)).max() < 1e-2


def test_one_more_session_takes_little_memory(astronaut_identity, renderer):
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        another = Renderer(Identity.from_bytes(astronaut_identity.to_bytes()))
        another.render(pose(jawOpen=0.3, headYaw=0.1))
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert another.size == 512
    assert held < 40e6
