"""The eyes' refiner: where it may act, what it leaves alone, and how it shares a frame."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.refiner import EyePlace, Places, Refiners
from visavis.models.renderer.relight.crop import CHANNELS, GATE, INSIDE, INTERIOR, WARPED, Crop
from visavis.models.renderer.relight.shade import MouthShade, shade_graph
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.relight.eye_pairs import EyePair, EyeRecorder, kept
from visavis.models.renderer.training.relight.eye_runtime import EyeRefiner
from visavis.models.renderer.training.relight.eyes import EYE_SIDE, changes, eye_box, eye_gate
from visavis.models.renderer.training.relight.pairs import read_pairs, write_pairs

UNIT = 80.0


class Toy:
    """Brightens by a fixed step of colour; counts its runs and keeps what it saw."""

    provider = "toy"

    def __init__(self, change: float = 0.2) -> None:
        self.change = change
        self.seen: list[np.ndarray] = []

    def run(self, inputs):
        x = inputs["x"]
        assert x.dtype == np.float32 and x.shape == (2, CHANNELS, EYE_SIDE, EYE_SIDE)
        self.seen.append(x.copy())
        return {"residual": np.full_like(x[:, :3], self.change), "alpha": x[:, GATE].copy()}


def face(**values: float) -> np.ndarray:
    """Return coefficients; names of pairs stand for both sides."""
    out = neutral()
    for name, value in values.items():
        for full in [name] if name in INDEX else [name + "Left", name + "Right"]:
            out[INDEX[full]] = value
    return out


def an_eye(drop: float = 0.0, turn: float = 0.0, at: tuple[float, float] = (200, 200)) -> EyePlace:
    """Return an eye of 38 x 14 pixels whose upper lid has come down by ``drop`` units."""
    along = np.linspace(-19, 19, 17)
    height = 7 * (1 - (along / 19) ** 2)
    upper, lower = np.stack([along, -height], 1), np.stack([along, height], 1)
    still = (np.concatenate([upper, lower]) + at).astype(np.float32)
    now = still.copy()
    now[:17, 1] += np.minimum(drop * UNIT, 2 * height).astype(np.float32)
    return EyePlace(still, now, (0.0, 0.0), turn, (150, 150), np.full((90, 90), 16, np.uint8))


def gate_of(drop: float = 0.0, turn: float = 0.0) -> np.ndarray:
    eye = an_eye(drop, turn)
    return eye_gate(eye, eye_box(512, eye, UNIT), UNIT)


@pytest.fixture(scope="module")
def plain(astronaut_identity: Identity) -> Renderer:
    return Renderer(astronaut_identity)


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture(scope="module")
def shared(astronaut_identity: Identity) -> Renderer:
    return Renderer(astronaut_identity)


@pytest.fixture
def refined(shared: Renderer, toy: Toy) -> Renderer:
    shared._refiner = Refiners([EyeRefiner(toy)])
    return shared


@pytest.mark.parametrize("at", [(1, 1), (510, 300), (200, 240)])
@pytest.mark.parametrize("unit", [12.0, 80.0, 300.0, 2000.0])
def test_the_box_stays_inside_the_picture(at, unit):
    x0, y0, x1, y1 = eye_box(512, an_eye(at=at), unit) or (0, 0, 8, 8)
    assert 0 <= x0 < x1 <= 512 and 0 <= y0 < y1 <= 512 and x1 - x0 == y1 - y0


def test_an_eye_outside_of_the_picture_has_no_box():
    assert eye_box(512, an_eye(at=(-30, 200)), UNIT) is None
    assert eye_box(512, an_eye(at=(200, 560)), UNIT) is None


def test_lids_do_not_move_the_box():
    boxes = {eye_box(512, an_eye(drop), UNIT) for drop in np.linspace(0, 0.2, 9)}
    assert len(boxes) == 1


def test_an_open_eye_that_looks_as_in_the_photo_has_no_gate():
    assert not gate_of().any() and not gate_of(0.01, 0.07).any()
    assert changes(an_eye(), UNIT) == (0.0, 0.0)


def test_a_closed_eye_opens_the_gate_over_lid_and_ball():
    open_ = gate_of(0.2)
    assert open_.dtype == np.float32 and open_.shape == (EYE_SIDE, EYE_SIDE)
    assert open_.min() >= 0 and open_.max() > 0.98
    ys, xs = np.nonzero(open_ > 0.5)
    eye, scale = an_eye(0.2), EYE_SIDE / (0.85 * UNIT)
    assert np.ptp(xs) > 38 * scale and np.ptp(ys) > 14 * scale + 0.13 * UNIT * scale
    for edge in (open_[0], open_[-1], open_[:, 0], open_[:, -1]):
        assert edge.max() == 0
    assert gate_of(0.2).max() >= gate_of(0.03).max() > 0
    assert eye.now[:17, 1].max() > eye.still[:17, 1].max()


def test_a_gaze_alone_opens_the_eyeball_only():
    ball, lids = gate_of(turn=0.5), gate_of(0.2)
    assert 0.9 < ball.max() <= 1 and (ball > 0.5).sum() < 0.6 * (lids > 0.5).sum()
    rows = np.flatnonzero(ball.max(1) > 0.5)
    assert rows[0] > np.flatnonzero(lids.max(1) > 0.5)[0]


@pytest.mark.parametrize("kind", ["drop", "turn"])
def test_the_gate_grows_without_jumps(kind):
    end = {"drop": 0.2, "turn": 0.6}[kind]
    gates = np.array([gate_of(**{kind: v}) for v in np.linspace(0, end, 201)])
    steps = np.abs(np.diff(gates, axis=0))
    assert not gates[0].any() and gates[-1].max() > 0.9
    assert steps.max() < 0.06
    means = gates.mean((1, 2))
    grown = np.diff(means[: 1 + int(means.argmax())])
    assert grown.min() > -0.002 and grown.max() < 0.02


def test_the_gate_does_not_jump_with_the_pixels_of_the_frame():
    def at(x: float) -> np.ndarray:
        eye = an_eye(0.2, at=(x, 200.0))
        box = eye_box(512, eye, UNIT)
        wide = np.zeros((512, 512), np.float32)
        wide[box[1] : box[3], box[0] : box[2]] = cv2.resize(
            eye_gate(eye, box, UNIT), (box[2] - box[0], box[3] - box[1])
        )
        return wide

    frames = np.array([at(x) for x in 200 + np.linspace(0, 2, 21)])
    assert np.abs(np.diff(frames, axis=0)).max() < 0.12


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"headYaw": 0.25, "headPitch": -0.1, "headRoll": 0.1},
        {"jawOpen": 0.5, "mouthSmile": 0.6},
        {"gazeYaw": 0.02, "torsoShrug": 0.3},
    ],
)
def test_eyes_as_in_the_photo_are_bit_by_bit_the_warps(plain, refined, toy, values):
    vector = face(**values)
    assert np.array_equal(refined.render(vector), plain.render(vector))
    assert not toy.seen


@pytest.mark.parametrize(
    "values",
    [
        {"eyeBlink": 1.0},
        {"eyeBlink": 0.5, "headYaw": 0.2},
        {"gazeYaw": 0.3},
        {"eyeSquint": 1.0},
        {"gazePitch": 0.25, "headRoll": -0.15},
    ],
)
def test_both_eyes_are_one_run_and_only_the_gate_changes(plain, refined, toy, values):
    vector = face(**values)
    before = plain.render(vector).astype(np.int16)
    after = refined.render(vector).astype(np.int16)
    assert len(toy.seen) == 1
    refiner = refined._refiner.eyes[0]
    allowed = np.zeros(before.shape[:2], bool)
    for x, (x0, y0, x1, y1) in zip(toy.seen[0], refiner._boxes, strict=True):
        assert x[GATE].max() > 0.3
        gate = cv2.resize(x[GATE][0], (x1 - x0, y1 - y0))
        allowed[y0:y1, x0:x1] |= gate > 1 / 255
    changed = (before != after).any(2)
    assert not (changed & ~allowed).any()
    assert 0.001 < changed.mean() < 0.12
    assert 8 < np.abs(after - before).max() <= 27


def test_what_the_network_sees(plain, refined, toy):
    vector = face(eyeBlink=0.4, gazeYaw=0.2)
    frame = plain.render(vector).copy()
    refined.render(vector)
    for x, (x0, y0, x1, y1) in zip(toy.seen[0], refined._refiner.eyes[0]._boxes, strict=True):
        small = cv2.resize(frame[y0:y1, x0:x1], (EYE_SIDE, EYE_SIDE), interpolation=cv2.INTER_AREA)
        assert np.abs((x[WARPED] + 1) * 127.5 - small.transpose(2, 0, 1)).max() < 1
        assert not x[INSIDE].any(), "the mouth's tone is none of the eyes'"
        ball = x[INTERIOR].max(0) > -0.9
        assert 0.01 < ball.mean() < 0.2


def test_a_wink_leaves_the_other_eye_alone(plain, refined, toy):
    vector = neutral()
    vector[INDEX["eyeBlinkLeft"]] = 1.0
    changed = (plain.render(vector) != refined.render(vector)).any(2)
    left, right = refined._refiner.eyes[0]._boxes
    assert right is None and left is not None
    columns = np.flatnonzero(changed.any(0))
    assert len(columns) and columns[0] >= left[0] and columns[-1] < left[2]
    assert len(toy.seen) == 1 and not toy.seen[0][1].any()


def test_a_network_that_changes_nothing_changes_no_bit(plain, refined, toy):
    toy.change = 0.0
    for values in ({"eyeBlink": 1.0}, {"gazeYaw": -0.3, "headYaw": 0.2}):
        vector = face(**values)
        assert np.array_equal(refined.render(vector), plain.render(vector))
    assert len(toy.seen) == 2


def test_a_still_picture_stands_still(refined):
    first = refined.render(face(eyeBlink=0.7)).copy()
    refined.render(face(gazeYaw=0.3, headYaw=-0.2))
    assert np.array_equal(refined.render(face(eyeBlink=0.7)), first)


def test_opening_eyes_come_back_without_a_jump(plain, refined):
    """Where the gate shuts, the last frame that it changes is all but the warp's."""
    vectors = [face(eyeBlink=b) for b in np.linspace(0.3, 0, 31)]
    apart = [
        np.abs(refined.render(v).astype(np.int16) - plain.render(v).astype(np.int16)).max()
        for v in vectors
    ]
    assert apart[0] > 15 and apart[-1] == 0
    assert max(abs(a - b) for a, b in itertools.pairwise(apart)) <= 5


@pytest.mark.parametrize("order", [1, -1])
def test_mouth_and_eyes_share_a_frame_and_keep_their_bits(astronaut_identity, plain, order):
    graph = OnnxEngine(shade_graph())
    vector = face(jawOpen=0.35, mouthLowerDown=0.12, eyeBlink=0.8)
    warp = plain.render(vector).copy()
    drawn = []
    for parts in ([MouthShade(graph)], [EyeRefiner(Toy())], [MouthShade(graph), EyeRefiner(Toy())]):
        plain._refiner = Refiners(parts[::order])
        drawn.append(plain.render(vector).copy())
    plain._refiner = MouthShade(graph)
    alone = plain.render(vector).copy()
    plain._refiner = None
    mouth, eyes, both = drawn
    assert np.array_equal(mouth, alone)
    lit, repaired = (mouth != warp).any(2), (eyes != warp).any(2)
    assert lit.any() and repaired.any() and not (lit & repaired).any()
    assert np.array_equal(both[~repaired], mouth[~repaired])
    assert np.array_equal(both[repaired], eyes[repaired])


def test_an_answer_that_is_no_number_leaves_the_eyes_alone(plain, refined, toy):
    toy.change = float("nan")
    vector = face(eyeBlink=1.0)
    assert np.array_equal(refined.render(vector), plain.render(vector))


def test_an_answer_of_another_shape_is_refused(refined, toy):
    small = np.zeros((2, 3, 32, 32), np.float32)
    toy.run = lambda inputs: {"residual": small, "alpha": small[:, :1]}
    with pytest.raises(ValueError, match="shape"):
        refined.render(face(eyeBlink=1.0))


def test_the_recorder_sees_both_eyes_and_changes_nothing(plain, shared):
    recorder = EyeRecorder()
    shared._refiner = Refiners([recorder])
    assert np.array_equal(shared.render(neutral()), plain.render(neutral()))
    assert len(recorder.frames) == 2 and all(f is not None for f in recorder.frames)
    left, right = recorder.boxes
    assert left[0] > right[0], "the subject's left is the viewer's right"


def test_an_eye_beyond_the_picture_is_left_alone(refined, toy):
    points = refined._rig.points.copy()
    nothing = ((0, 0, 0, 0), np.zeros((0, 0), np.uint8))
    some = ((0, 0, 4, 4), np.zeros((4, 4), np.uint8))
    expression = refined._rig.map(neutral())
    assert refined._eye_places([nothing, some], points, expression) == ()
    assert EyeRefiner(toy).eye_boxes(512, Places(None, UNIT)) == ()


def test_closed_lids_come_more_often_into_the_training():
    chances = np.linspace(0, 0.999, 500)
    often = [np.mean([kept(closed, c) for c in chances]) for closed in (0.0, 0.5, 1.0)]
    assert often[0] < 0.6 and often[1] == often[2] == 1.0


def test_pairs_are_read_as_they_were_written(tmp_path: Path):
    rng = np.random.default_rng(3)
    shape = (EYE_SIDE, EYE_SIDE)

    def picture(*more: int) -> np.ndarray:
        return rng.integers(0, 255, (*shape, *more), np.uint8)

    def pair(person: int) -> EyePair:
        shift = rng.uniform(-1, 1, (*shape, 2)).astype(np.float32)
        crop = Crop(picture(3), picture(3), picture(3), shift, np.zeros(shape, np.uint8))
        return EyePair(
            crop, picture(3), person, person < 0, gate=picture(), counts=picture(), closed=0.4
        )

    pairs = [pair(4), pair(-2)]
    write_pairs(tmp_path / "eyes.npz", pairs)
    arrays = read_pairs(tmp_path.glob("*.npz"))
    assert arrays["person"].tolist() == [4, -2] and arrays["follows"].tolist() == [False, True]
    assert not arrays["real"].any() and not arrays["inside"].any()
    for name in ("gate", "target", "counts"):
        assert np.array_equal(arrays[name], [getattr(p, name) for p in pairs])
    assert np.allclose(arrays["shift"], [p.crop.shift for p in pairs], atol=1e-3)
