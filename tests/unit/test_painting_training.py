"""Training of the painter: registration, crops, teacher and student, and the graph they end in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.appearance.basis import load_basis
from visavis.models.appearance.painting.canvas import (
    ARCH,
    CONDITIONS,
    HEIGHT,
    LOWER,
    MAPS,
    RELIEF,
    UPPER,
    WIDTH,
    draw_maps,
    labels,
)
from visavis.models.appearance.painting.training.command import main
from visavis.models.appearance.painting.training.crops import augmented, load, plain
from visavis.models.appearance.painting.training.export import export
from visavis.models.appearance.painting.training.flow import (
    Draw,
    Plan,
    chord_loss,
    flow_loss,
    hole_loss,
    train,
    trajectories,
)
from visavis.models.appearance.painting.training.mouths import SHAPE, Mouth, save, seen_teeth
from visavis.models.appearance.painting.training.network import PaintNetwork
from visavis.models.appearance.painting.training.register import register


def mouth(number: int) -> Mouth:
    """A drawn mouth: light teeth over a dark hole in skin of a random colour."""
    rng = np.random.default_rng(number)
    picture = np.full((*SHAPE, 3), rng.uniform(90, 220, 3), np.uint8)
    hole = np.zeros(SHAPE, np.uint8)
    hole[22:42, 20:76] = 255
    maps = np.zeros((*SHAPE, 1 + MAPS), np.float16)
    maps[..., 0] = np.where(hole > 0, 0.4, -0.6)
    maps[22:34, 20:76, 1 + UPPER] = 1
    maps[22:34, 20:76, 1 + RELIEF] = 1
    maps[22:34, 20:76, 1 + ARCH] = np.linspace(-1, 1, 56)
    picture[22:42, 20:76] = (60, 20, 20)
    picture[22:34, 20:76] = (225, 215, 195)
    picture[22:34, 20:76:8] = (120, 100, 90)
    about = np.array([0.12, 110.0, 0.5, 0.7], np.float32)
    return Mouth(f"{number:04}.jpg", picture, hole, maps, about)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("painting")
    save([mouth(k) for k in range(50)], out / "mouths.npz")
    return out


@pytest.fixture(scope="module")
def data(folder):
    return load(folder / "mouths.npz")


def test_held_out_mouths_are_the_same_every_time_and_never_drawn(data, folder):
    again = load(folder / "mouths.npz")
    assert np.array_equal(data.held_out, again.held_out) and data.held_out.sum() == 32
    kept = np.flatnonzero(~data.held_out)
    draw = Draw(data, 64, 0)
    drawn = {int(r) for r in draw._rng.choice(draw._rows, 400, p=draw._share)}
    assert drawn <= set(kept.tolist())


def test_crops_keep_picture_and_maps_together(data):
    batch = augmented(data, np.arange(24), torch.Generator().manual_seed(0))
    assert batch.picture.shape == (24, 3, HEIGHT, WIDTH)
    assert batch.conditions.shape == (24, CONDITIONS, HEIGHT, WIDTH)
    upper = batch.conditions[:, 5 + UPPER] > 0.9
    told = batch.about[:, 2] > 0.5
    grey = batch.picture.mean(1)
    hole = batch.paint[:, 0] > 0
    for k in torch.nonzero(told)[:, 0]:
        tooth, other = upper[k] & hole[k], hole[k] & ~upper[k]
        assert grey[k][tooth].mean() > grey[k][other].mean()
    assert (batch.conditions[~told][:, -MAPS:] == 0).all()
    assert (batch.conditions[:, :3] * batch.paint == 0).all()


def test_a_mirrored_crop_mirrors_the_arch(data):
    random = torch.Generator().manual_seed(3)
    arch = augmented(data, np.arange(40), random).conditions[:, 5 + ARCH]
    left, right = arch[:, :, : WIDTH // 3].mean((1, 2)), arch[:, :, -WIDTH // 3 :].mean((1, 2))
    with_maps = (left - right).abs() > 0.05
    assert with_maps.sum() > 20
    assert (left[with_maps] < right[with_maps]).all()


def test_the_loss_is_of_the_hole_alone():
    paint = torch.zeros(1, 1, 8, 8)
    paint[..., 2:6, 2:6] = 1
    outside = torch.randn(1, 3, 8, 8) * (1 - paint)
    assert float(hole_loss(outside, paint)) == 0
    assert float(hole_loss(outside + paint, paint)) > 0.5


def test_teacher_and_student_train_go_on_and_export(data, tmp_path):
    torch.manual_seed(0)
    draw = Draw(data, 8, 1)

    def loss(network, _):
        return flow_loss(network, draw(), draw.random)

    teacher = train(PaintNetwork((16, 32, 32)), Plan(3, 8, every=2), tmp_path / "t.pt", loss)
    assert torch.load(tmp_path / "t.pt", weights_only=True)["done"] == 3
    steps = []
    train(
        PaintNetwork((16, 32, 32)), Plan(5, 8), tmp_path / "t.pt",
        lambda network, average: steps.append(1) or loss(network, average),
    )  # fmt: skip
    assert len(steps) == 2, "it goes on where the checkpoint stopped"
    known = trajectories(teacher, draw, 16)
    assert known.states.shape == (16, 5, 3, HEIGHT, WIDTH)
    rows = torch.arange(8)
    found = chord_loss(teacher, teacher, known.take(rows), draw.random)
    assert 0 < found.item() < np.inf
    graph = tmp_path / "mouth.onnx"
    assert export(teacher, data, graph) < 1e-3
    batch = plain(data, np.arange(2))
    answer = OnnxEngine(graph).run({
        "x": batch.picture.numpy(), "conditions": batch.conditions.numpy(),
        "t": np.ones((2, 1), np.float32), "d": np.ones((2, 1), np.float32),
        "about": batch.about.numpy(),
    })["v"]  # fmt: skip
    assert answer.shape == (2, 3, HEIGHT, WIDTH) and np.isfinite(answer).all()


def test_a_student_that_knows_the_chords_has_no_loss(data):
    """The target of a step is the straight way between two states of the teacher's trajectory."""

    class Straight(torch.nn.Module):
        def forward(self, x, conditions, t, d, about):
            return torch.full_like(x, 0.5)

    draw = Draw(data, 8, 4)
    known = trajectories(Straight(), draw, 8)
    assert float(chord_loss(Straight(), Straight(), known, draw.random)) < 1e-4


def test_the_command_runs_its_stages(folder):
    main([
        "--faces", str(folder), "--out", str(folder), "--stages", "teacher", "student", "export",
        "--steps", "2", "--student-steps", "2", "--paths", "8", "--batch", "4",
    ])  # fmt: skip
    assert (folder / "mouth.onnx").stat().st_size < 12e6
    assert (folder / "manifest.json").is_file()


def drawn_teeth(down: float, across: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of the kit on a crop, and a picture whose teeth lie elsewhere."""
    basis = load_basis()
    known = labels(basis)
    vertices = np.zeros((len(known.parts), 3), np.float32)
    vertices[: len(basis.neutral)] = basis.neutral * (10.4, -10.4, 10.4)
    upper = basis.part_vertices("upper_teeth")
    front = upper[np.abs(basis.neutral[upper, 0]) < 0.9]
    vertices[:, :2] += (47.5, 34 - vertices[front, 1].max())
    lower = basis.part_vertices("lower_teeth")
    vertices[lower, 1] += 40 - vertices[lower, 1].min()
    vertices[len(basis.neutral) :, 1] = 200
    moved = vertices.copy()
    moved[upper, :2] += (across, down)
    maps = draw_maps(known, moved, SHAPE)
    light = 70 + 160 * maps[..., RELIEF] * maps[..., UPPER]
    light[maps[..., UPPER] < 0.5] = 25
    light[maps[..., LOWER] > 0.5] = 25
    picture = np.repeat(light[..., None], 3, 2).astype(np.uint8)
    inside = np.zeros(SHAPE, bool)
    inside[22:46, 18:78] = True
    return vertices, picture, inside


@pytest.mark.parametrize(("down", "across"), [(0.0, 0.0), (3.0, 2.0), (-3.0, -2.0), (5.0, 0.0)])
def test_the_kit_is_laid_over_the_teeth_that_are_seen(down, across):
    vertices, picture, inside = drawn_teeth(down, across)
    teeth = seen_teeth(picture, inside)
    found = register(load_basis(), vertices, picture, inside, teeth)
    assert found.upper == pytest.approx(down, abs=1.2)
    assert found.across == pytest.approx(across, abs=1.0)
    assert found.stretch == pytest.approx(1.0, abs=0.08)


def test_a_mouth_without_teeth_moves_nothing():
    vertices, picture, inside = drawn_teeth(0, 0)
    dark = np.full_like(picture, 30)
    found = register(load_basis(), vertices, dark, inside, seen_teeth(dark, inside))
    assert (found.upper, found.lower, found.across, found.stretch) == (0, 0, 0, 1)
