"""A held vowel keeps the mouth open; hums, noise and ordinary speech are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.models.motion.motion_sounds import AH, RATE, noise, speech_like, tone, vowel
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.coefficients import INDEX
from visavis.models.motion import stream as stream_module
from visavis.models.motion.curves import CHANNEL, CHANNELS
from visavis.models.motion.features import FEATURES, MELS
from visavis.models.motion.steady import SteadySound
from visavis.models.motion.stream import MotionStream, load_motion_engine_path

ENGINE = OnnxEngine(load_motion_engine_path())
JAW = INDEX["jawOpen"]
Floats = NDArray[np.float32]


def jaw(pcm: Floats) -> Floats:
    return MotionStream(ENGINE).push(pcm)[:, JAW]


class Without(SteadySound):
    def lips(self, curves: Floats, closure: Floats, voice: Floats) -> None:
        pass


@pytest.mark.parametrize("pitch", [110.0, 210.0])
def test_a_vowel_is_open_as_long_as_it_is_held(
    monkeypatch: pytest.MonkeyPatch, pitch: float
) -> None:
    sound = np.concatenate([vowel(4.0, AH, pitch), np.zeros(RATE, np.float32)])
    opened = jaw(sound)
    assert opened[25:95].min() > 0.6 * opened[10:25].mean() > 0.1
    assert opened[-15:].max() < 0.03, "and shut when it is over"
    monkeypatch.setattr(stream_module, "SteadySound", Without)
    assert jaw(sound)[75:95].max() < 0.5 * opened[25:95].min(), "which the network alone is not"


def test_what_never_opened_the_mouth_is_not_kept_open() -> None:
    still = np.zeros(RATE // 2, np.float32)
    for sound in (tone(3.0, 220.0), noise(3.0), 0.2 * np.sign(tone(3.0, 120.0))):
        assert jaw(np.concatenate([still, sound.astype(np.float32)])).max() < 0.05


def test_a_hum_after_speech_lets_the_mouth_shut() -> None:
    talk = speech_like(2.0, seed=3)
    after = jaw(np.concatenate([talk, np.zeros(RATE // 4, np.float32), tone(3.0, 150.0)]))
    assert after[-40:].max() < 0.05


def test_speech_that_changes_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = (AH, (300.0, 2300.0, 3000.0, 3600.0), (400.0, 900.0, 2400.0, 3300.0))
    talk = np.concatenate([vowel(0.18, shapes[k % 3], 120.0 + k) for k in range(24)])
    ours = MotionStream(ENGINE).push(talk)
    monkeypatch.setattr(stream_module, "SteadySound", Without)
    np.testing.assert_array_equal(MotionStream(ENGINE).push(talk), ours)


def hops(count: int, *, loud: float = 1.0, seed: int | None = None) -> Floats:
    """Features of a voiced sound; with a seed its bands jump about."""
    features = np.full((count, FEATURES), loud * 1.5, np.float32)
    features[:, MELS + 1] = 1.0
    if seed is not None:
        features[:, :MELS] += np.random.default_rng(seed).normal(0, 2.0, (count, MELS))
    return features


def hear(steady: SteadySound, features: Floats) -> None:
    steady.hear(features, np.ones(len(features), np.float32))


def rows(count: int, opening: float) -> tuple[Floats, Floats, Floats]:
    curves = np.zeros((count, len(CHANNELS)), np.float32)
    curves[:, CHANNEL["jawOpen"]] = opening
    return curves, np.zeros(count, np.float32), np.full(count, opening, np.float32)


def test_the_lips_come_back_to_the_network_gradually_when_the_sound_changes() -> None:
    steady = SteadySound()
    hear(steady, np.concatenate([hops(60), hops(40, seed=1)]))
    steady.lips(*rows(30, 0.4))
    curves, closure, voice = rows(70, 0.0)
    steady.lips(curves, closure, voice)
    opening = curves[:, CHANNEL["jawOpen"]]
    np.testing.assert_allclose(opening[:30], 0.4, atol=1e-6)
    np.testing.assert_allclose(voice[:30], 0.4, atol=1e-6)
    assert (np.diff(opening[29:40]) <= 0).all() and np.diff(opening).min() > -0.1
    assert not opening[40:].any()


@pytest.mark.parametrize("opening", [0.0, 0.02])
def test_shut_lips_are_not_kept(opening: float) -> None:
    steady = SteadySound()
    hear(steady, hops(100))
    steady.lips(*rows(50, opening))
    curves, closure, voice = rows(50, 0.3)
    steady.lips(curves, closure, voice)
    np.testing.assert_allclose(curves[:, CHANNEL["jawOpen"]], 0.3)


def test_a_machine_that_was_left_running_is_let_go() -> None:
    steady = SteadySound()
    hear(steady, hops(1000))
    steady.lips(*rows(100, 0.4))
    curves, closure, voice = rows(900, 0.0)
    steady.lips(curves, closure, voice)
    assert curves[500, CHANNEL["jawOpen"]] > 0.3 and not curves[-50:].any()


def test_chunks_make_no_difference() -> None:
    sound = vowel(1.5, AH)
    whole, stream = MotionStream(ENGINE).push(sound), MotionStream(ENGINE)
    parts = [stream.push(sound[at : at + 333]) for at in range(0, len(sound), 333)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=2e-5)
