"""Synthetic people: ground truth that agrees with the pictures, shards, splits, light, balance."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from visavis.models.coefficients import COUNT, INDEX
from visavis.models.renderer.training.people.balance import (
    balance_of,
    describe,
    tone_of,
    typology_angle,
)
from visavis.models.renderer.training.people.clips import random_motion
from visavis.models.renderer.training.people.command import main
from visavis.models.renderer.training.people.drawing.gl import (
    COLUMNS,
    WIDTH,
    Canvas,
    CanvasUnavailableError,
    GlCanvas,
    Groups,
    Look,
)
from visavis.models.renderer.training.people.drawing.light import (
    Light,
    estimate_shading,
    random_light,
    sh_basis,
    to_linear,
    to_srgb,
)
from visavis.models.renderer.training.people.drawing.soft import SoftCanvas
from visavis.models.renderer.training.people.head.interior import aperture_light, lamp_through
from visavis.models.renderer.training.people.labels import choose, read_labels
from visavis.models.renderer.training.people.shards import (
    ShardError,
    ShardWriter,
    photo_places,
    read_shard,
    read_shards,
    truth_tracker,
)
from visavis.models.renderer.training.people.studio import Studio, is_held_out

SIZE = 96
DISTANCE = 80.0
DATA = Path(__file__).resolve().parents[5] / "shared" / "data"


def white_light() -> Light:
    sh = np.zeros((9, 3), np.float32)
    sh[0], sh[2] = 0.7, 0.3
    lamps = np.array([[0.3, 0.3, 0.9], [-0.5, 0, 0.85], [0, 0.5, -0.85]], np.float32)
    return Light(sh, lamps, np.zeros((3, 3), np.float32), np.full(3, 0.2, np.float32), "test")


def smooth_texture(rng: np.random.Generator, size: int, low: int, high: int) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.uniform(0, 1, (size, size, 3)).astype(np.float32), (0, 0), 6)
    noise = (noise - noise.min()) / np.ptp(noise)
    return np.rint(low + noise * (high - low)).astype(np.uint8)


@pytest.fixture(scope="module")
def look() -> Look:
    rng = np.random.default_rng(0)
    opaque = np.full((64, 64, 1), 255, np.uint8)
    lips = np.zeros((64, 64), np.uint8)
    lips[40:50, 24:40] = 255
    grey = np.full(3, 0.4, np.float32)
    return Look(
        np.concatenate([smooth_texture(rng, 64, 60, 220), opaque], 2), lips,
        np.concatenate([smooth_texture(rng, 64, 20, 120), opaque], 2),
        smooth_texture(rng, 64, 90, 250), white_light(), grey, grey, (0.4, 0.15, 0.03, 1.0),
        (0.0, 0.0, 0.0, 0.0),
    )  # fmt: skip


def grid(nodes: int, width: float, height) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square sheet: points in cm, uv, triangles."""
    axis = np.linspace(0, 1, nodes)
    u, v = np.meshgrid(axis, axis)
    x, y = (u - 0.5) * width, (v - 0.5) * width
    points = np.stack([x, y, height(x, y)], -1).reshape(-1, 3)
    j, i = np.mgrid[0 : nodes - 1, 0 : nodes - 1]
    a = (j * nodes + i).ravel()
    b, c, d = a + 1, a + nodes, a + nodes + 1
    tris = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return points, np.stack([u, v], -1).reshape(-1, 2), tris.astype(np.int32)


def doll(move: np.ndarray, photo: np.ndarray | None) -> tuple[np.ndarray, Groups, np.ndarray]:
    """A dome (skin) before a plane (sheet), a tooth-coloured plate before the dome's middle."""
    parts = [
        ("sheet", 8.0, grid(9, 26, lambda x, y: 0 * x - 6)),
        ("skin", 0.0, grid(25, 16, lambda x, y: 6 * np.cos(x / 8) * np.cos(y / 8) - 3)),
        ("inside", 3.0, grid(5, 3, lambda x, y: 0 * x + 4.0)),
    ]
    corners, groups, at = [], [], 0
    for name, kind, (points, uv, tris) in parts:
        moved = points if name == "sheet" else points @ move[:, :3].T + move[:, 3]
        w = DISTANCE - moved[:, 2]
        scale = DISTANCE / w / 15.0
        block = np.zeros((len(points), WIDTH), np.float32)
        x, y = moved[:, 0] * scale, moved[:, 1] * scale
        z = (125 + 35) / (125 - 35) * w - 2 * 125 * 35 / (125 - 35)
        block[:, COLUMNS["place"]] = np.stack([x * w, y * w, z, w], 1)
        block[:, COLUMNS["normal"]] = (0, 0, 1)
        block[:, COLUMNS["uv"]] = uv
        block[:, COLUMNS["tint"]] = (0.5, 0.3, 0.2)
        block[:, COLUMNS["kind"].start] = kind
        block[:, COLUMNS["gate"]] = 1
        block[:, COLUMNS["lamp"]] = 1
        block[:, COLUMNS["back"]] = (0, 0, 1)
        block[:, COLUMNS["photo"]] = np.stack(
            [(x + 1) / 2, (1 - y) / 2, moved[:, 2], moved[:, 2]], 1
        )
        corners.append(block)
        groups.append((name, np.ascontiguousarray(tris + np.int32(at))))
        at += len(points)
    out = np.concatenate(corners)
    places = out[:, COLUMNS["photo"]][:, :3].copy()
    if photo is not None:
        out[:, COLUMNS["photo"].start : COLUMNS["photo"].start + 3] = photo
    return out, groups, places


def turned(angle: float, shift: tuple[float, float, float]) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s, shift[0]], [0, 1, 0, shift[1]], [-s, 0, c, shift[2]]])


def canvases() -> list[Canvas]:
    """The plain canvas always; the OpenGL one where there is OpenGL."""
    found: list[Canvas] = [SoftCanvas(SIZE)]
    with contextlib.suppress(CanvasUnavailableError):
        found.append(GlCanvas(SIZE, 2))
    return found


@pytest.fixture(scope="module")
def everyone() -> list[Canvas]:
    return canvases()


def draw_pair(canvas: Canvas, look: Look):
    canvas.dress(look)
    first, groups, places = doll(turned(0.0, (0, 0, 0)), None)
    photo = canvas.draw(first, groups)
    second, groups, _ = doll(turned(0.25, (0.8, -0.5, 0.4)), places)
    return photo, canvas.draw(second, groups)


def test_flow_carries_the_photo_to_the_frame(everyone, look) -> None:
    for canvas in everyone:
        photo, frame = draw_pair(canvas, look)
        xy = photo_places(frame, photo)
        seen = ~np.isnan(xy[..., 0])
        assert seen.mean() > 0.85
        xy = np.nan_to_num(xy, nan=-5).astype(np.float32)
        warped = cv2.remap(photo.picture, xy[..., 0], xy[..., 1], cv2.INTER_LINEAR)
        # Edges mix two surfaces; the truth is about what lies inside one.
        edge = cv2.morphologyEx(
            frame.semantics, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)
        ) > 0  # fmt: skip
        inside = seen & ~edge
        error = np.abs(warped.astype(float) - frame.picture)[inside].mean()
        still = np.abs(photo.picture.astype(float) - frame.picture)[inside].mean()
        assert error < 2.0
        assert error < 0.35 * still


def test_depth_orders_the_classes(everyone, look) -> None:
    for canvas in everyone:
        _, frame = draw_pair(canvas, look)
        kinds = set(np.unique(frame.semantics))
        assert {0, 1, 2, 4} <= kinds
        assert kinds & {7, 8}
        assert np.isnan(frame.depth[frame.semantics == 0]).all()
        assert np.isfinite(frame.depth[frame.semantics > 0]).all()
        sheet, skin = np.isin(frame.semantics, (7, 8)), np.isin(frame.semantics, (1, 2))
        assert frame.depth[sheet].max() < frame.depth[skin].max()
        assert np.median(frame.depth[frame.semantics == 4]) > np.median(frame.depth[skin])


def test_both_canvases_tell_the_same_truth(everyone, look) -> None:
    frames = [draw_pair(canvas, look)[1] for canvas in everyone]
    for one, other in itertools.pairwise(frames):
        assert (one.semantics == other.semantics).mean() > 0.98
        same = (one.semantics == other.semantics) & (one.semantics > 0)
        assert np.abs(one.depth - other.depth)[same].max() < 0.05
        assert np.abs(one.photo - other.photo)[same][:, :2].max() * SIZE < 0.1
    again = draw_pair(SoftCanvas(SIZE), look)[1]
    assert (again.picture == frames[0].picture).all()


def test_a_small_opening_lets_little_light_in() -> None:
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1).astype(np.float32)
    depths = np.array([0.5, 1.0, 2.0, 4.0])
    points = np.zeros((6, 3), np.float32)
    points[:4, 2] = -depths
    points[4] = (0, 0, -1)
    points[5] = (0, 0, 1)
    normals = np.tile(np.array([0, 0, 1], np.float32), (6, 1))
    normals[4] = (0, 0, -1)
    share = np.zeros(6, np.float32)
    aperture_light(points, normals, ring, np.array([0, 0, 1], np.float32), share)
    # Nusselt: a disk of radius 1 at distance h fills 1 / (1 + h^2) of a facing sky.
    np.testing.assert_allclose(share[:4], 1 / (1 + depths**2), atol=0.01)
    assert share[4] == 0
    assert share[5] == 1


def test_lips_cast_a_shadow() -> None:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack([2 * np.cos(angle), np.sin(angle), 0 * angle], 1).astype(np.float32)
    points = np.array([[0, 0, -1], [0, 0.9, -1], [0, -0.5, -1], [0, 0, 1]], np.float32)
    lit = np.zeros(4, np.float32)
    above = np.array([0, np.sin(0.6), np.cos(0.6)], np.float32)
    lamp_through(points, ring, above, np.float32(0.1), lit)
    assert lit[0] > 0.9
    assert lit[1] < 0.1
    assert lit[2] > 0.9
    assert lit[3] == 1


def test_shading_is_found_again() -> None:
    rng = np.random.default_rng(1)
    normals = rng.normal(0, 1, (3000, 3))
    normals[:, 2] = np.abs(normals[:, 2]) + 0.3
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    truth = np.array([0.8, 0.1, 0.15, 0.25, 0, 0, 0, 0, 0], np.float32)
    level = sh_basis(normals) @ truth
    level[:300] *= 0.3  # brows and shadows
    found = sh_basis(normals) @ estimate_shading(np.tile(level[:, None], (1, 3)) * 0.4, normals)
    wanted = sh_basis(normals) @ truth
    assert np.corrcoef(found, wanted)[0, 1] > 0.98
    np.testing.assert_allclose(to_srgb(to_linear(np.arange(256))), np.arange(256), atol=0.01)


def test_lights_are_drawn_alike_from_a_seed_and_never_black() -> None:
    own = np.eye(9, dtype=np.float32)[0]
    names = set()
    for seed in range(40):
        one, other = (random_light(np.random.default_rng(seed), own) for _ in range(2))
        assert (one.sh == other.sh).all()
        names.add(one.name)
        front = one.irradiance(np.array([[0, 0, 1.0]]))
        assert 0.5 < front.mean() < 1.5
    assert names == {"own", "studio", "window", "room", "evening"}


def test_motion_is_deterministic_and_within_limits() -> None:
    for seed in range(6):
        one, other = (random_motion(np.random.default_rng(seed), 3) for _ in range(2))
        assert (one.frames == other.frames).all()
        assert one.frames.shape == (18, COUNT)
        assert np.flatnonzero(one.starts).tolist() == [0, 6, 12]
        assert (one.frames[:, :52] >= 0).all()
        assert (one.frames[:, :52] <= 1).all()
        assert one.frames[:, INDEX["jawOpen"]].max() <= 0.72
        assert np.abs(one.frames[:, INDEX["headYaw"]]).max() <= np.radians(20) + 1e-6
        assert (one.photo[52:] == 0).all()
        step = np.abs(np.diff(one.frames[:6, INDEX["headYaw"]]))
        assert step.max() < np.radians(2)


def small_shard(tmp_path: Path, look: Look) -> Path:
    canvas = SoftCanvas(SIZE)
    writer = ShardWriter()
    for person, portrait in enumerate(("0001.jpg", "0002.jpg", "0010.jpg", "0014.jpg")):
        photo, frame = draw_pair(canvas, look)
        motion = random_motion(np.random.default_rng(person), 1)
        labels = {"portrait": portrait, "tone": 3, "sex": "female", "age": "old", "light": "own"}
        marks = np.random.default_rng(2).uniform(20, 70, (478, 3)).astype(np.float32)
        writer.add(
            person, is_held_out(portrait), labels, motion, marks, photo, [frame] * 6
        )  # fmt: skip
    path = tmp_path / "shard-00000.npz"
    writer.write(path, size=SIZE, seed=5)
    return path


def test_shards_come_back_as_they_were(tmp_path: Path, look: Look) -> None:
    path = small_shard(tmp_path, look)
    clips = list(read_shards(tmp_path))
    assert [c.person for c in clips] == [0, 1, 2, 3]
    photo, frame = draw_pair(SoftCanvas(SIZE), look)
    truth = clips[1].truth(4)
    assert (truth.semantics == frame.semantics).all()
    assert (truth.mouth == np.isin(frame.semantics, (3, 4, 5))).all()
    wanted = photo_places(frame, photo)[::2, ::2]
    np.testing.assert_array_equal(np.isnan(truth.photo_xy), np.isnan(wanted))
    inside = ~np.isnan(wanted).any(-1) & (wanted > 0).all(-1)
    assert np.abs(truth.photo_xy - wanted)[inside].max() < 1 / 64
    solid = np.isfinite(truth.depth)
    np.testing.assert_allclose(truth.depth[solid], frame.depth[::2, ::2][solid], atol=1e-3)
    assert np.abs(clips[1].targets[5].astype(int) - frame.picture).mean() < 2.5
    assert len(clips[0].targets) == 6
    assert len(clips[0].targets[2:]) == 4
    motion = random_motion(np.random.default_rng(2), 1)
    np.testing.assert_array_equal(clips[2].coefficients, motion.frames)
    assert path.with_name("shard-00000.npz.partial").exists() is False


def test_splits_are_disjoint_by_portrait(tmp_path: Path, look: Look) -> None:
    small_shard(tmp_path, look)
    train, held = (list(read_shards(tmp_path, split)) for split in ("train", "held_out"))
    assert len(train) + len(held) == 4
    names = [{c.labels["portrait"] for c in clips} for clips in (train, held)]
    assert not names[0] & names[1]
    with pytest.raises(ValueError, match="no split named"):
        list(read_shards(tmp_path, "test"))
    share = np.mean([is_held_out(name) for name in read_labels()])
    assert 0.08 < share < 0.25


def test_a_damaged_shard_is_refused(tmp_path: Path, look: Look) -> None:
    path = small_shard(tmp_path, look)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ShardError, match="cannot be read"):
        read_shard(path)


def test_the_truth_tracker_errs_as_much_as_asked(tmp_path: Path, look: Look) -> None:
    clip = read_shard(small_shard(tmp_path, look))[0]
    tracker = truth_tracker(clip, np.random.default_rng(3), noise=0.6)
    error = tracker.detect(clip.photo)[0].points - clip.landmarks
    assert np.sqrt((error[:, :2] ** 2).mean()) == pytest.approx(0.6, rel=0.05)
    matte = tracker.segment(clip.photo)
    assert matte.shape == (SIZE, SIZE)
    assert 0.3 < matte.mean() < 1


def test_tones_run_from_light_to_dark() -> None:
    skins = [(245, 220, 205), (225, 185, 160), (200, 160, 130), (170, 120, 90), (60, 38, 30)]
    tones = [tone_of(np.array(s, float)) for s in skins]
    assert tones == sorted(tones)
    assert tones[0] == 1
    assert tones[-1] == 6
    # A colour whose L* is 50 has the angle 0.
    assert abs(typology_angle(np.array([137.0, 114.0, 95.0]))) < 8


def test_portraits_are_chosen_evenly() -> None:
    labels = read_labels()
    assert len(labels) > 200
    rng = np.random.default_rng(0)
    chosen = [labels[choose(labels, rng)] for _ in range(800)]
    sexes = [c.sex for c in chosen]
    assert abs(sexes.count("female") - sexes.count("male")) < 160
    dark = sum(c.tone >= 5 for c in chosen) / 800
    assert 0.2 < dark < 0.3
    assert 0.35 < sum(c.age in ("middle", "old") for c in chosen) / 800 < 0.65


def test_the_command_says_what_is_missing(tmp_path: Path, look: Look, capsys) -> None:
    assert main(["--seed", "1"]) == 2
    assert main(["--people", str(tmp_path)]) == 2
    assert main(["--people", str(tmp_path), "--sheet", str(tmp_path / "s.png")]) == 1
    errors = capsys.readouterr().err
    for words in ("--people FOLDER", "--facekit FOLDER", "no shards"):
        assert words in errors
    small_shard(tmp_path, look)
    assert main(["--people", str(tmp_path), "--sheet", str(tmp_path / "s.png")]) == 0
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet.shape == (8 * 192, 8 * 192, 3)
    assert sheet.std() > 10


def test_balance_counts_everyone(tmp_path: Path, look: Look) -> None:
    small_shard(tmp_path, look)
    counts = balance_of(tmp_path)
    assert sum(table["people"]["all"] for table in counts.values()) == 4
    assert sum(table["age"]["old"] for table in counts.values()) == 4
    assert "impressions" in describe(counts)


class _Everything:
    def segment(self, photo: np.ndarray) -> np.ndarray:
        return np.ones(photo.shape[:2], np.float32)


def test_a_person_is_the_same_every_time() -> None:
    if not (DATA / "facekit" / "ict_facekit.npz").exists():
        pytest.skip("no training data: the face kit is not there")
    studio = Studio(DATA / "facekit", DATA / "faces", _Everything(), SoftCanvas(128), 128)
    one, other = (studio.take(3, 9, 1) for _ in range(2))
    assert (one.photo.picture == other.photo.picture).all()
    assert (one.frames[4].picture == other.frames[4].picture).all()
    assert (one.landmarks == other.landmarks).all()
    assert {1, 2, 6} <= set(np.unique(one.photo.semantics))
    assert one.held_out == is_held_out(str(one.labels["portrait"]))
    # The nose's tip lies where the picture shows skin, below the eyes and above the mouth.
    nose, eyes, mouth = one.landmarks[1], one.landmarks[[468, 473]].mean(0), one.landmarks[13]
    assert eyes[1] < nose[1] < mouth[1]
    assert one.photo.semantics[round(nose[1]), round(nose[0])] == 1
