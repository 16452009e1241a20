"""The three-dimensional fit and the refusals of enrolment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.face.basis import BASIS_PATH, load_basis
from visavis.models.appearance.face.fit import fit_face
from visavis.models.appearance.face.neutral import _missing_width, lid_seam, lip_seam, neutralise
from visavis.models.appearance.layers.folds import soften_folds
from visavis.models.appearance.layers.layers import background_behind, frame_face, push_pull
from visavis.models.appearance.photo.errors import EnrolmentRefused


@dataclass
class Face:
    points: np.ndarray


class FakeTracker:
    """Knows where the faces are because the test put them there."""

    def __init__(self, *faces: np.ndarray) -> None:
        self.faces = [Face(f) for f in faces]

    def detect(self, photo):
        return self.faces

    def segment(self, photo):
        mask = np.zeros(photo.shape[:2], np.float32)
        mask[photo.shape[0] // 5 :, photo.shape[1] // 4 : -photo.shape[1] // 4] = 1
        return mask


def synthetic_face(
    yaw: float = 0.0, width: float = 170.0, centre=(256, 230), **expression: float
) -> np.ndarray:
    """Landmarks ``(478, 3)`` of a face whose parameters are known."""
    basis = load_basis()
    rng = np.random.default_rng(7)
    identity = rng.normal(size=60).clip(-2, 2) * 0.6
    model = basis.neutral + np.tensordot(identity, basis.identity, 1)
    for name, value in expression.items():
        model = model + value * basis.expression[basis.expression_names.index(name)]
    view = model @ Rotation.from_euler("y", yaw).as_matrix().T
    scale = width / 15.5
    vertex = np.where(basis.landmarks < 0, basis.landmarks[4], basis.landmarks)
    points = view[vertex] * (scale, -scale, -scale) + (*centre, 0)
    eyes = []
    for ring in ((33, 133), (362, 263)):
        middle = points[list(ring)].mean(0)
        around = np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]]) * 5.5
        eyes.append(middle + around)
    return np.concatenate([points, *eyes]).astype(np.float32)


def photo(level: int = 150) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (level + rng.integers(-9, 9, (512, 512, 3))).clip(0, 255).astype(np.uint8)


def test_basis_is_small_and_its_manifest_is_true():
    import hashlib
    import json

    data = BASIS_PATH.read_bytes()
    manifest = json.loads((BASIS_PATH.parent / "manifest.json").read_text())
    assert len(data) < 6_000_000
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest()
    assert "MIT License" in (BASIS_PATH.parent / "LICENSE-ICT-FaceKit.txt").read_text()


def test_fit_recovers_a_known_face():
    points = synthetic_face(yaw=np.radians(14), jawOpen=0.3, mouthSmile_L=0.5, mouthSmile_R=0.5)
    basis = load_basis()
    fit = fit_face(basis, points)
    assert fit.rms < 1.2
    assert np.degrees(fit.angles[1]) == pytest.approx(14, abs=3)
    named = dict(zip(basis.expression_names, fit.expression, strict=True))
    assert named["jawOpen"] == pytest.approx(0.3, abs=0.12)
    assert named["mouthSmile_L"] == pytest.approx(0.5, abs=0.25)
    assert fit.scale == pytest.approx(170 / 15.5, rel=0.06)


def test_neutralising_takes_the_smile_and_closes_the_lips():
    basis = load_basis()
    smiling = synthetic_face(jawOpen=0.25, mouthSmile_L=0.8, mouthSmile_R=0.8)
    fit = fit_face(basis, smiling)
    geometry = neutralise(basis, fit)
    seam = lip_seam(basis, geometry.rest)
    assert geometry.opening > 0.3
    assert np.abs(seam.gap(geometry.rest)).max() < 0.06
    at = {n: basis.landmarks[n] for n in (61, 291, 0, 17)}
    seen = (geometry.source[at[291]] - geometry.source[at[61]])[0]
    rest = fit.project(geometry.rest[[at[61], at[291]]])
    assert rest[1, 0] - rest[0, 0] < 0.95 * seen  # a mouth at rest is narrower than a smile


def test_a_face_rests_at_part_of_its_smile():
    basis = load_basis()
    smiling = synthetic_face(jawOpen=0.15, mouthSmile_L=0.8, mouthSmile_R=0.8, cheekSquint_L=0.5)
    fit = fit_face(basis, smiling)
    geometry = neutralise(basis, fit)
    row = basis.expression_names.index("mouthSmile_L")
    kept = fit.expression[row] - geometry.lost[row]
    assert 0.2 < kept / fit.expression[row] < 0.6
    assert geometry.kept[row] == pytest.approx(kept, abs=1e-4)
    assert geometry.kept[basis.expression_names.index("jawOpen")] == 0
    corners = [basis.landmarks[n] for n in (61, 291)]
    own = fit_face(basis, synthetic_face())
    calm = np.ptp(own.project(neutralise(basis, own).rest[corners])[:, 0]) / own.scale
    rest = np.ptp(fit.project(geometry.rest[corners])[:, 0]) / fit.scale
    assert rest > calm  # never narrower than the same person's lips


def test_thin_or_drooping_lips_are_the_persons_own():
    basis = load_basis()
    serious = {"mouthRollLower": 0.6, "mouthRollUpper": 0.3, "mouthFrown_L": 0.5,
               "mouthFrown_R": 0.5, "mouthShrugLower": 0.4}  # fmt: skip
    points = synthetic_face(**serious)
    fit = fit_face(basis, points)
    geometry = neutralise(basis, fit)
    assert geometry.smile < 0.3
    lips = [basis.landmarks[n] for n in (61, 291, 0, 17, 13, 14)]
    moved = fit.project(geometry.rest[lips]) - geometry.source[lips]
    assert np.abs(moved).max() < 0.05 * np.ptp(points[:468, 0])
    wide = synthetic_face(mouthSmile_L=0.9, mouthSmile_R=0.9, mouthRollLower=0.5, jawOpen=0.2)
    lost = neutralise(basis, fit_face(basis, wide)).lost
    assert lost[basis.expression_names.index("mouthRollLower")] > 0.1


def test_source_lies_on_the_landmarks():
    basis = load_basis()
    points = synthetic_face(yaw=0.1, mouthSmile_L=0.4, mouthSmile_R=0.4)
    geometry = neutralise(basis, fit_face(basis, points))
    trusted = (basis.landmarks >= 0) & (basis.landmark_distance < 0.3)
    error = np.linalg.norm(
        geometry.source[basis.landmarks[trusted]] - points[:468][trusted, :2], axis=1
    )
    assert np.percentile(error, 95) < 1.0


@pytest.mark.parametrize("eye", [0, 1])
def test_lid_seam_closes_an_eye(eye):
    basis = load_basis()
    points = basis.neutral.copy()
    seam = lid_seam(basis, points, eye)
    gap = seam.gap(points)
    assert gap.max() > 0.5
    for _ in range(4):
        seam.change(points, -seam.gap(points))
    assert np.abs(seam.gap(points)).max() < 0.08 * gap.max()


def refusal(*faces: np.ndarray, picture: np.ndarray | None = None) -> str:
    with pytest.raises(EnrolmentRefused) as caught:
        enrol(photo() if picture is None else picture, tracker=FakeTracker(*faces))
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_refusals_name_their_reason():
    one = synthetic_face()
    assert "No face" in refusal()
    assert "several" in refusal(one, synthetic_face(width=110, centre=(120, 120)))
    assert "too small" in refusal(synthetic_face(width=60))
    assert "turned" in refusal(synthetic_face(yaw=np.radians(45)))
    assert "dark" in refusal(one, picture=photo(12))


def test_a_small_face_in_the_background_is_no_reason():
    identity = enrol(
        photo(), tracker=FakeTracker(synthetic_face(width=40, centre=(60, 60)), synthetic_face())
    )
    assert identity.inter_ocular_px > 50


def test_progress_is_monotonous_and_ends_at_one():
    told: list[float] = []
    enrol(photo(), tracker=FakeTracker(synthetic_face()), progress=lambda f, s: told.append(f))
    assert told == sorted(told) and told[-1] == 1.0 and len(told) >= 4


def test_a_bar_across_the_nose_is_noted():
    face, picture = synthetic_face(), photo()
    assert not any("glasses" in n for n in enrol(picture, tracker=FakeTracker(face)).notes)
    y = round(float(face[[133, 362], 1].mean()))
    picture[y - 3 : y + 4, 160:350] = 15
    assert any("glasses" in n for n in enrol(picture, tracker=FakeTracker(face)).notes)


def test_framing_stays_inside_the_photo():
    for centre in ((100, 110), (400, 420), (256, 230)):
        framing = frame_face(photo(), synthetic_face(centre=centre), 512)
        assert framing.left >= 0 and framing.left + framing.side <= 512
        assert framing.top >= 0 and framing.top + framing.side <= 512


def test_background_is_untouched_away_from_the_person():
    picture = photo()
    alpha = np.zeros((512, 512), np.float32)
    alpha[200:400, 200:300] = 1
    picture[200:400, 200:300] = (250, 0, 0)
    filled = background_behind(picture, alpha)
    far = np.ones((512, 512), bool)
    far[180:420, 180:320] = False
    assert np.array_equal(filled[far], picture[far])
    assert filled[250:350, 220:280, 0].max() < 200  # no red is left behind


def test_push_pull_keeps_what_is_known_and_invents_no_extremes():
    rng = np.random.default_rng(0)
    image = rng.uniform(50, 100, (65, 48, 3)).astype(np.float32)
    weight = (rng.uniform(size=(65, 48)) > 0.7).astype(np.float32)
    filled = push_pull(image, weight)
    assert np.allclose(filled[weight == 1], image[weight == 1], atol=1e-3)
    assert filled.min() > 45 and filled.max() < 105


def test_only_a_smile_loses_its_folds():
    face, picture = synthetic_face(), photo()
    fold = face[[203, 206, 216], :2].round().astype(int)
    for x, y in fold:
        picture[y - 2 : y + 3, x - 2 : x + 3] = (90, 60, 55)
    assert soften_folds(picture, face, 0.1) is picture
    softer = soften_folds(picture, face, 1.0)
    for x, y in fold:
        assert softer[y, x].mean() > picture[y, x].mean() + 25
    assert np.array_equal(softer[:100], picture[:100])


def test_a_smile_that_goes_leaves_no_narrow_mouth():
    basis = load_basis()
    rest = basis.neutral.copy()
    corners = basis.landmarks[[61, 291]]
    seen = rest.copy()
    seen[corners[0], 0] *= 1.4
    seen[corners[1], 0] *= 1.4
    narrow = rest.copy()
    narrow[corners, 0] *= 0.8
    stretch = _missing_width(basis, narrow, seen)
    assert 0.1 < stretch <= 0.4
    assert _missing_width(basis, seen, seen) == 0.0, "wide enough"
    assert _missing_width(basis, narrow, narrow) == 0.0, "never beyond the photo's own width"
