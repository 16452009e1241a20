"""Manners of moving: who reads keeps the head still, who talks freely does not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.models.motion.motion_sounds import speech_like
from visavis.models.coefficients import INDEX
from visavis.models.motion.flow import MANNERS, MOODS, NAMES, checked_mood, gains_of
from visavis.streamer.worker.pipeline.motion_models import MotionModels, load_motion

FPS = 25
HEAD = [INDEX[n] for n in ("headPitch", "headYaw", "headRoll")]


@pytest.fixture(scope="module")
def models() -> MotionModels:
    return load_motion("cpu")


def heads(models: MotionModels, mood: str, style: float = 1.0) -> np.ndarray:
    """Return the head's angles of four people who talk for half a minute, in degrees."""
    sound = speech_like(30.0, 5)
    runs = [models.stream(fps=FPS, seed=s, mood=mood, style=style).push(sound) for s in range(4)]
    return np.degrees(np.stack(runs)[..., HEAD])


@pytest.mark.parametrize("mood", ["lively", "conversational"])
def test_free_talk_moves_the_head(models: MotionModels, mood: str) -> None:
    turned = heads(models, mood)
    pitch, yaw, roll = turned.reshape(-1, 3).std(0)
    assert 2.2 < pitch < 6.0
    assert 3.0 < yaw < 6.5
    assert 1.0 < roll < 3.0
    # Large, but a head: no step from frame to frame, nothing beyond what a photo bears.
    assert np.abs(np.diff(turned, axis=1)).max() < 3.0
    assert np.abs(turned).max() < 26.0


def test_neutral_reads(models: MotionModels) -> None:
    turned = heads(models, "neutral")
    # Within three seconds, as the readers on video were measured.
    parts = turned[:, : turned.shape[1] // 75 * 75].reshape(-1, 75, 3).std(1)
    pitch, yaw, roll = np.median(parts, axis=0)
    assert 0.2 < pitch < 0.8
    assert 0.5 < yaw < 1.6
    assert 0.2 < roll < 0.75


def test_the_network_knows_moods_only() -> None:
    assert set(MOODS) < set(MANNERS)
    for mood in MANNERS:
        checked_mood(mood, 1.0)
    with pytest.raises(ValueError, match="conversational"):
        checked_mood("chatty", 1.0)
    slow, quick = gains_of("warm")
    assert slow.shape == quick.shape == (len(NAMES),)
    assert (slow == 1).all()
    assert (quick == 1).all()


def test_one_manner_does_not_change_the_lips(models: MotionModels) -> None:
    sound = speech_like(4.0, 2)
    lips = [INDEX[n] for n in ("jawOpen", "mouthPucker", "mouthFunnel", "mouthClose")]
    reading, talking = (
        models.stream(fps=FPS, mood=m).push(sound)[:, lips] for m in ("neutral", "conversational")
    )
    assert np.array_equal(reading, talking)
