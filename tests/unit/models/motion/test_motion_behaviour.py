"""Ten simulated minutes of behaviour against the published statistics."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.coefficients import COUNT, INDEX
from visavis.models.motion.behaviour import Behaviour, Drive, with_eye_look

FPS = 25
MINUTES = 10


def simulate(seed: int, talking: bool, minutes: float = MINUTES, fps: int = FPS) -> np.ndarray:
    behaviour = Behaviour(fps, seed)
    rng = np.random.default_rng(99)
    out = np.empty((int(minutes * 60 * fps), COUNT), np.float32)
    for n in range(len(out)):
        time = n / fps
        syllable = max(0.0, np.sin(2 * np.pi * 3.1 * time)) * (0.6 + 0.4 * np.sin(1.7 * time))
        pause = time % 4.0 > 3.4
        voice = 1.0 if talking and not pause else 0.0
        jaw = voice * syllable * 0.4
        out[n] = behaviour.step(Drive(voice, voice * (0.4 + syllable * rng.uniform(0.5, 1)), jaw))
    return out


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    return simulate(1, talking=True)


@pytest.fixture(scope="module")
def rest() -> np.ndarray:
    return simulate(1, talking=False)


def blinks(values: np.ndarray) -> tuple[float, np.ndarray]:
    lid = values[:, INDEX["eyeBlinkLeft"]]
    shut = (lid > 0.5).astype(int)
    starts = np.flatnonzero(np.diff(shut) == 1)
    return len(starts) / (len(values) / FPS / 60), np.diff(starts) / FPS


def test_blink_rates(talk: np.ndarray, rest: np.ndarray) -> None:
    assert 13 <= blinks(rest)[0] <= 21  # published 17
    assert 20 <= blinks(talk)[0] <= 31  # published 26


def test_blinks_close_fully_and_last_a_third_of_a_second(rest: np.ndarray) -> None:
    lid = rest[:, INDEX["eyeBlinkLeft"]]
    peaks = [lid[i] for i in range(1, len(lid) - 1) if lid[i - 1] < lid[i] >= lid[i + 1] > 0.3]
    assert np.min(peaks) > 0.85
    share = np.mean(lid > 0.1)
    assert 0.02 < share < 0.16
    assert np.std(blinks(rest)[1]) > 0.8  # no metronome


def test_gaze_is_mostly_at_the_viewer(talk: np.ndarray, rest: np.ndarray) -> None:
    def away(values: np.ndarray) -> float:
        yaw = np.degrees(values[:, INDEX["gazeYaw"]] + values[:, INDEX["headYaw"]])
        pitch = np.degrees(values[:, INDEX["gazePitch"]] + values[:, INDEX["headPitch"]])
        return float(np.mean(np.hypot(yaw, pitch) > 2.5))

    assert away(rest) < 0.12  # published 0.43 / (7.9 + 0.43) = 5 %
    assert 0.08 < away(talk) < 0.32  # published 0.93 / (3.1 + 0.93) = 23 %


def test_saccades_are_quick_and_small(talk: np.ndarray) -> None:
    yaw = np.degrees(talk[:, INDEX["gazeYaw"]])
    steps = np.abs(np.diff(yaw))
    assert steps.max() > 2.0  # most of a saccade fits into one frame
    assert np.abs(yaw).max() < 20.0
    assert np.median(steps) < 0.35


def test_head_moves_slowly_and_a_little(talk: np.ndarray, rest: np.ndarray) -> None:
    for name in ("headPitch", "headYaw", "headRoll"):
        moving = np.degrees(talk[:, INDEX[name]])
        assert 0.3 <= moving.std() <= 3.0
        assert np.degrees(rest[:, INDEX[name]]).std() < moving.std()
        power = np.abs(np.fft.rfft(moving - moving.mean())) ** 2
        frequency = np.fft.rfftfreq(len(moving), 1 / FPS)
        assert power[frequency > 2.5].sum() / power.sum() < 0.02


def test_breath_rate_and_the_inhale_before_speech(rest: np.ndarray) -> None:
    breath = rest[:, INDEX["torsoBreath"]]
    assert breath.min() >= 0 and breath.max() <= 1
    rises = np.flatnonzero((breath[:-1] < 0.5) & (breath[1:] >= 0.5))
    assert 12 <= len(rises) / MINUTES <= 18
    behaviour = Behaviour(FPS, 5)
    spoken = [behaviour.step(Drive(1.0, 0.8, 0.2)) for _ in range(4 * FPS)]
    paused = [behaviour.step(Drive()) for _ in range(FPS)]
    column = INDEX["torsoBreath"]
    assert max(p[column] for p in paused) > spoken[-1][column] + 0.2


def test_brows_lift_on_stress_only(talk: np.ndarray, rest: np.ndarray) -> None:
    assert rest[:, INDEX["browInnerUp"]].max() == 0.0
    lifted = talk[:, INDEX["browInnerUp"]]
    rises = np.sum((lifted[:-1] < 0.08) & (lifted[1:] >= 0.08)) / MINUTES
    assert 2 <= rises <= 40


def test_the_listener_smiles_more_than_the_talker(talk: np.ndarray, rest: np.ndarray) -> None:
    name = INDEX["mouthSmileLeft"]
    assert talk[-500:, name].mean() < rest[-500:, name].mean() <= 0.15


def test_same_seed_same_course() -> None:
    first, again = (simulate(7, True, 0.2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, simulate(8, True, 0.2))


def test_the_lips_are_left_alone(talk: np.ndarray) -> None:
    for name in ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "tongueOut"):
        assert np.all(talk[:, INDEX[name]] == 0.0)


def test_gaze_as_arkit_coefficients() -> None:
    values = np.zeros((1, COUNT), np.float32)
    values[0, INDEX["gazeYaw"]] = np.radians(15.0)
    values[0, INDEX["gazePitch"]] = np.radians(-15.0)
    out = with_eye_look(values)[0]
    for name in ("eyeLookOutLeft", "eyeLookInRight", "eyeLookUpLeft", "eyeLookUpRight"):
        assert out[INDEX[name]] == pytest.approx(0.5, abs=1e-5)
    for name in ("eyeLookInLeft", "eyeLookOutRight", "eyeLookDownLeft"):
        assert out[INDEX[name]] == 0.0
    assert values[0, INDEX["eyeLookOutLeft"]] == 0.0
