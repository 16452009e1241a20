"""One session of motion: frames, look-ahead, bad input, barge-in, and a mouth that stays shut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.kept import kept
from tests.unit.models.motion.motion_sounds import AH, RATE, noise, tone, vowel, vowel_and_silence
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.coefficients import COUNT, INDEX
from visavis.models.motion.curves import CHANNEL, CHANNELS, aperture
from visavis.models.motion.pooling import FramePool
from visavis.models.motion.stream import MOTION_GRAPH, MotionStream, eager_ms

ENGINE = OnnxEngine(MOTION_GRAPH)
SOUND = vowel_and_silence()


def frames_of(pcm: np.ndarray, sizes: list[int] | None = None, **options: int) -> np.ndarray:
    stream = MotionStream(ENGINE, **options)
    if sizes is None:
        return stream.push(pcm)
    out, at = [], 0
    for size in sizes:
        out.append(stream.push(pcm[at : at + size]))
        at += size
    out.append(stream.push(pcm[at:]))
    return np.concatenate(out)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(0, 3000), max_size=25),
    st.sampled_from([20, 24, 25, 30]),
    st.sampled_from([0, 40, 50, 80, 120]),
)
def test_output_does_not_depend_on_chunking(sizes: list[int], fps: int, ms: int) -> None:
    whole = frames_of(SOUND, fps=fps, look_ahead_ms=ms)
    np.testing.assert_array_equal(frames_of(SOUND, sizes, fps=fps, look_ahead_ms=ms), whole)


@pytest.mark.parametrize("fps", [20, 25, 30])
@pytest.mark.parametrize("ms", [0, 40, 80, 100, 120])
def test_a_frame_comes_with_its_last_sample_plus_the_look_ahead(fps: int, ms: int) -> None:
    stream = MotionStream(ENGINE, fps=fps, look_ahead_ms=ms)
    pushed = got = 0
    for size in (160, 1, 479, 640, 1000, 333, 5000):
        got += len(stream.push(np.zeros(size, np.float32)))
        pushed += size
        complete = max(0, (pushed - ms * 16) * fps // RATE)
        assert got == complete


def test_nothing_pushed_gives_nothing() -> None:
    assert frames_of(np.zeros(0, np.float32)).shape == (0, COUNT)


def test_an_open_vowel_opens_the_mouth_and_silence_shuts_it() -> None:
    opened = aperture(frames_of(np.concatenate([SOUND, SOUND])))
    assert opened[16:23].max() > 0.15  # the vowel is frames 12.5-25
    assert opened[5:11].max() <= 0.04
    assert opened[31:37].max() <= 0.04


def test_a_quiet_vowel_opens_the_mouth_as_wide() -> None:
    loud = aperture(frames_of(np.concatenate([SOUND, SOUND])))[12:25].max()
    quiet = aperture(frames_of(0.1 * np.concatenate([SOUND, SOUND])))[12:25].max()
    assert abs(loud - quiet) < 0.12


@pytest.mark.parametrize(
    ("sound", "limit"),
    [
        (np.zeros(3 * RATE, np.float32), 0.04),
        (noise(3.0, 0.0005), 0.04),
        (noise(3.0, 0.05), 0.08),
        (tone(3.0, 440.0), 0.08),
        (tone(3.0, 1000.0), 0.08),
    ],
    ids=["silence", "hiss", "noise", "tone 440", "tone 1000"],
)
def test_what_is_no_voice_leaves_the_mouth_shut(sound: np.ndarray, limit: float) -> None:
    assert aperture(frames_of(sound))[8:].max() <= limit


def test_samples_that_are_not_finite_count_as_silence() -> None:
    broken = SOUND.copy()
    broken[::37] = np.nan
    broken[5::101] = np.inf
    clean = np.where(np.isfinite(broken), broken, 0.0).astype(np.float32)
    np.testing.assert_array_equal(frames_of(broken), frames_of(clean))


def test_overdriven_sound_is_clipped() -> None:
    loud = (SOUND * 50).astype(np.float32)
    got = frames_of(loud)
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got, frames_of(np.clip(loud, -1, 1)))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(100, np.int16),
        np.zeros((2, 100), np.float32),
        [0.0] * 10,
        np.zeros(9, np.complex64),
    ],
    ids=["int16", "stereo", "list", "complex"],
)
def test_the_wrong_kind_of_sound_is_refused_in_a_sentence(bad: object) -> None:
    with pytest.raises(ValueError, match=r"^Sound must be .*\.$"):
        MotionStream(ENGINE).push(bad)  # type: ignore[arg-type]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="look-ahead"):
        MotionStream(ENGINE, look_ahead_ms=500)
    with pytest.raises(ValueError, match="Frames per second"):
        MotionStream(ENGINE, fps=0)


def test_values_stay_in_their_ranges() -> None:
    got = frames_of(np.concatenate([SOUND, noise(1.0), SOUND]))
    face = got[:, : INDEX["tongueOut"] + 1]
    assert face.min() >= 0.0 and face.max() <= 1.0
    assert got.dtype == np.float32


def test_barge_in_eases_the_lips_to_rest_within_200_ms() -> None:
    stream = MotionStream(ENGINE)
    before = stream.push(vowel(1.0, AH))
    held = aperture(before[-1:])[0]
    assert held > 0.1
    stream.reset()
    after = stream.push(np.zeros(RATE, np.float32))
    opened = aperture(after)
    assert opened[0] > 0.4 * held  # no jump
    assert np.all(np.diff(opened[:6]) <= 1e-3)
    assert opened[5:].max() <= 0.04  # 5 frames are 200 ms
    moved = np.abs(np.diff(np.concatenate([before[-1:], after[:1]]), axis=0))[0]
    assert moved[INDEX["headYaw"]] < 0.02 and moved[INDEX["headPitch"]] < 0.02


def test_frames_count_from_zero_again_after_a_barge_in() -> None:
    stream = MotionStream(ENGINE)
    stream.push(SOUND[:10_001])
    stream.reset()
    assert len(stream.push(np.zeros(640 + 1280 - 1, np.float32))) == 0
    assert len(stream.push(np.zeros(1, np.float32))) == 1


def test_same_seed_same_motion_other_seed_other_head_same_lips() -> None:
    first, again, other = (frames_of(SOUND, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[:, INDEX["headYaw"]], other[:, INDEX["headYaw"]])
    np.testing.assert_array_equal(first[:, INDEX["jawOpen"]], other[:, INDEX["jawOpen"]])


def test_what_is_kept_does_not_grow() -> None:
    stream = MotionStream(ENGINE)
    sizes = []
    for _ in range(30):
        stream.push(noise(0.5))
        sizes.append(kept(stream))
    assert max(sizes[5:]) <= max(sizes[:5])


def gaps_of(closure: list[float], hops: int = 4) -> list[float]:
    """Gap of every frame of an open mouth with this closure over it."""
    pool = FramePool()
    curves = np.zeros((hops, len(CHANNELS)), np.float32)
    curves[:, CHANNEL["jawOpen"]] = 0.4
    rows = np.array(closure, np.float32).reshape(-1, hops)
    return [aperture_of(pool.frame(curves, row)) for row in rows]


def test_a_short_closure_survives_pooling() -> None:
    assert gaps_of([0.0, 0.0, 0.9, 0.0])[0] < 0.05
    assert gaps_of([0.0, 0.0, 0.0, 0.0])[0] > 0.3


@pytest.mark.parametrize("hops", [2, 3, 4, 5])
@pytest.mark.parametrize("length", [3, 4, 5, 6, 8])
def test_a_closure_is_shown_wherever_it_falls(hops: int, length: int) -> None:
    """At every phase against the frames one of them is shut, and those outside stay open."""
    for start in range(2 * hops, 3 * hops):
        closure = np.zeros(8 * hops + 8)
        bump = np.sin(np.pi * (np.arange(length) + 1) / (length + 1))
        closure[start : start + length] = 0.95 * bump / bump.max()
        gaps = gaps_of(list(closure[: 8 * hops]), hops)
        assert min(gaps) < 0.06, (hops, length, start)
        touched = set(range(start // hops, (start + length - 1) // hops + 1))
        assert all(g > 0.3 for i, g in enumerate(gaps) if i not in touched)


def test_a_closure_does_not_shut_the_vowels_beside_it() -> None:
    """One hop of the closure in the frames before and after is not enough."""
    before, inside, after = gaps_of([0, 0, 0, 0.7, 0.9, 0.95, 0.95, 0.9, 0.7, 0, 0, 0])
    assert inside < 0.02
    assert before > 0.2
    assert after > 0.2


def test_two_closures_in_a_row_are_two() -> None:
    gaps = gaps_of([0, 0.8, 0.9, 0.1, 0, 0, 0, 0, 0.1, 0.9, 0.8, 0])
    assert gaps[0] < 0.05
    assert gaps[1] > 0.3
    assert gaps[2] < 0.05


def aperture_of(channels: np.ndarray) -> float:
    from visavis.models.motion.curves import expand

    values = np.zeros(COUNT, np.float32)
    expand(channels, values)
    return float(aperture(values[None])[0])


@pytest.mark.parametrize("fps", [25, 30])
@pytest.mark.parametrize("look_ahead_ms", [40, 80])
def test_an_eager_stream_has_the_same_lips_sooner(fps: int, look_ahead_ms: int) -> None:
    """Lips follow the sound by 10 ms, so the last hop of a frame need not be waited for."""
    spare = eager_ms(fps, look_ahead_ms) * 16
    assert spare >= 80
    patient = MotionStream(ENGINE, fps=fps, look_ahead_ms=look_ahead_ms)
    eager = MotionStream(ENGINE, fps=fps, look_ahead_ms=look_ahead_ms)
    eager.hurry()
    due = -(-RATE // fps) + look_ahead_ms * 16 - spare
    assert len(eager.push(SOUND[: due - 1])) == 0
    first = eager.push(SOUND[due - 1 : due])
    assert len(first) == 1, "as soon as what its lips need has come"
    rows, others = np.concatenate([first, eager.push(SOUND[due:])]), patient.push(SOUND)
    assert len(rows) >= len(others) > 10
    lips = [INDEX[name] for name in ("jawOpen", "mouthFunnel", "mouthPucker", "mouthClose")]
    assert np.abs(others[:, lips[0]]).max() > 0.05
    assert np.allclose(rows[: len(others), lips], others[:, lips], atol=2e-3)
