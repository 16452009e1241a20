"""The face tracker on the one real photo there is, and on what can be made from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from visavis.models.appearance.layers.covered import refuse_covered
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.tracker.faces import LANDMARKS, FaceLandmarks, OpenTracker
from visavis.models.appearance.tracker.provider import mediapipe_installed, open_tracker
from visavis.streamer.avatars.child import upright

Image = NDArray[np.uint8]


# MediaPipe where there is one for this Python, and always our own networks.
TRACKERS = [name for name in ("mediapipe", "own") if name == "own" or mediapipe_installed()]


@pytest.fixture(scope="module", params=TRACKERS)
def tracker(request: pytest.FixtureRequest) -> Iterator[OpenTracker]:
    made = open_tracker(request.param)
    yield made
    made.close()


@pytest.fixture(scope="module")
def photo() -> Image:
    return np.ascontiguousarray(astronaut())


@pytest.fixture(scope="module")
def face(tracker: OpenTracker, photo: Image) -> FaceLandmarks:
    (found,) = tracker.detect(photo)
    return found


def test_the_face_is_found_where_it_is(face: FaceLandmarks) -> None:
    assert face.points.shape == (LANDMARKS, 3) and face.points.dtype == np.float32
    assert face.score > 0.7
    x0, y0, x1, y1 = face.box
    assert 160 < x0 < 190 and 250 < x1 < 285 and 50 < y0 < 90 and 160 < y1 < 190
    left, right = face.points[468, :2], face.points[473, :2]  # iris centres
    assert right[0] - left[0] == pytest.approx(face.inter_ocular_px, rel=0.1)
    assert face.points[13, 1] > face.points[1, 1] > face.points[168, 1]  # lip, nose tip, bridge


def test_a_photo_without_a_face_gives_none(tracker: OpenTracker) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 300, 3), np.uint8)
    assert tracker.detect(noise) == []
    assert tracker.detect(np.full((64, 64, 3), 128, np.uint8)) == []


def test_several_faces_come_largest_first(tracker: OpenTracker, photo: Image) -> None:
    smaller = cv2.resize(photo[:, ::-1], (340, 340), interpolation=cv2.INTER_AREA)
    both = np.full((512, 900, 3), 200, np.uint8)
    both[:340, :340], both[:, 388:] = smaller, photo
    faces = tracker.detect(both)
    assert [round(f.box[0], -2) for f in faces] == [600, 200]
    assert faces[0].width > 1.3 * faces[1].width


def test_a_small_face_in_a_large_photo_is_found(
    tracker: OpenTracker, photo: Image, face: FaceLandmarks
) -> None:
    large = np.full((1400, 2000, 3), (90, 120, 150), np.uint8)
    large[700:1212, 1300:1812] = photo
    (found,) = tracker.detect(large)
    moved = found.points[:, :2] - [1300, 700]
    assert np.abs(moved - face.points[:, :2]).mean() < 1.5


def test_landmarks_scale_with_the_photo(
    tracker: OpenTracker, photo: Image, face: FaceLandmarks
) -> None:
    (double,) = tracker.detect(cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    assert np.abs(double.points / 2 - face.points)[:, :2].mean() < 1.0
    depth = np.corrcoef(double.points[:468, 2], face.points[:468, 2])[0, 1]
    assert depth > 0.98 and np.ptp(double.points[:, 2]) / np.ptp(face.points[:, 2]) > 1.8


def test_grey_and_tightly_cropped_photos_serve(
    tracker: OpenTracker, photo: Image, face: FaceLandmarks
) -> None:
    grey = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    (found,) = tracker.detect(grey)
    assert np.abs(found.points - face.points)[:, :2].mean() < 2.0
    (tight,) = tracker.detect(np.ascontiguousarray(photo[50:200, 155:295]))
    assert np.abs(tight.points[:, :2] + [155, 50] - face.points[:, :2]).mean() < 2.0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_photo_on_its_side_is_turned_upright(
    tracker: OpenTracker, photo: Image, turns: int
) -> None:
    turned, notes = upright(np.ascontiguousarray(np.rot90(photo, turns)), tracker)
    assert np.array_equal(turned, photo)
    assert len(notes) == (turns != 0)


def test_the_person_is_told_from_the_background(tracker: OpenTracker, photo: Image) -> None:
    close = np.ascontiguousarray(photo[:300, 75:375])  # about as enrolment frames a face
    person = tracker.segment(close)
    assert person.shape == close.shape[:2] and person.dtype == np.float32
    assert person.min() >= 0 and person.max() <= 1
    assert person[80:170, 115:175].mean() > 0.95 and person[270:, 100:200].mean() > 0.95
    assert person[20:150, 10:60].mean() < 0.1 and person[10:60, 240:290].mean() < 0.1
    assert tracker.segment(np.zeros((90, 2000, 3), np.uint8)).shape == (90, 2000)


def test_mediapipe_tells_a_whole_body_from_the_background_too(photo: Image) -> None:
    if "mediapipe" not in TRACKERS:
        return  # ours does not: it learnt from portraits, as its card says
    person = open_tracker("mediapipe").segment(photo)
    assert person[80:170, 190:250].mean() > 0.95 and person[350:500, 80:250].mean() > 0.95
    assert person[20:200, 80:140].mean() < 0.1 and person[10:60, 430:500].mean() < 0.1


def test_a_video_frame_is_tracked_in_one_pass(
    tracker: OpenTracker, photo: Image, face: FaceLandmarks
) -> None:
    close = cv2.resize(photo[20:220, 120:320], (512, 512), interpolation=cv2.INTER_CUBIC)
    found = tracker.track(close)
    assert found is not None
    back = found.points[:, :2] * (200 / 512) + [120, 20]
    assert np.abs(back - face.points[:, :2]).mean() < 1.5
    assert tracker.track(np.zeros((256, 256, 3), np.uint8)) is None


def test_a_plain_face_is_not_covered(photo: Image, face: FaceLandmarks) -> None:
    refuse_covered(photo, face.points)
    grey = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    refuse_covered(grey, face.points)


@pytest.mark.parametrize("colour", [(20, 20, 25), (200, 220, 235), (214, 170, 145)])
def test_a_covered_mouth_is_refused(
    photo: Image, face: FaceLandmarks, colour: tuple[int, int, int]
) -> None:
    masked = photo.copy()
    lower = face.points[[234, 93, 132, 58, 172, 136, 152, 365, 397, 288, 361, 323, 454, 5], :2]
    cv2.fillPoly(masked, [cv2.convexHull(np.rint(lower).astype(np.int32))], colour)
    shade = np.random.default_rng(0).normal(0, 3, photo.shape[:2])[..., None]  # a fabric's grain
    masked = np.clip(masked + cv2.GaussianBlur(shade, (0, 0), 1)[..., None], 0, 255)
    with pytest.raises(EnrolmentRefused, match="mouth cannot be seen"):
        refuse_covered(masked.astype(np.uint8), face.points)


def test_dark_glasses_are_refused(photo: Image, face: FaceLandmarks) -> None:
    masked = photo.copy()
    for eye in ((33, 133), (263, 362)):
        centre = np.rint(face.points[list(eye), :2].mean(axis=0)).astype(int)
        cv2.ellipse(masked, (int(centre[0]), int(centre[1])), (18, 14), 0, 0, 360, (25, 25, 28), -1)
    with pytest.raises(EnrolmentRefused, match="dark glasses"):
        refuse_covered(masked, face.points)


@pytest.mark.parametrize("choice", TRACKERS)
def test_it_is_quiet_and_loads_nothing_heavy(choice: str) -> None:
    program = (
        "import sys, numpy as np\n"
        "from visavis.models.appearance.tracker.provider import open_tracker\n"
        f"t = open_tracker({choice!r})\n"
        "photo = np.zeros((300, 300, 3), np.uint8)\n"
        "t.detect(photo), t.segment(photo)\n"
        "print([m for m in ('matplotlib', 'jax', 'sounddevice', 'torch') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
