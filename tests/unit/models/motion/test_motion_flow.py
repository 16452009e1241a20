"""The flow: plants, ticks, masks, seeds, steps, moods and listening."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.kept import kept
from tests.unit.models.motion.motion_sounds import AH, noise, speech_like, vowel
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.coefficients import INDEX
from visavis.models.motion.behaviour import Behaviour, Drive
from visavis.models.motion.body import Listener
from visavis.models.motion.curves import aperture
from visavis.models.motion.features import MELS, FrontEnd, loudness_of
from visavis.models.motion.flow import (
    CHANNELS,
    CONDITIONS,
    DEGREE,
    INDEX_OF,
    MOODS,
    UNITS,
    FlowMotion,
    condition,
    plant,
)
from visavis.models.motion.stream import (
    FLOW_GRAPH,
    MOTION_GRAPH,
    MotionStream,
    load_flow_engine_path,
)

LIPS = OnnxEngine(MOTION_GRAPH)
FLOW = OnnxEngine(FLOW_GRAPH)


def talk(mood: str = "neutral", style: float = 1.0, ticks: int = 750) -> np.ndarray:
    """Conditions of someone who talks in phrases of 3.5 s with pauses, ``(ticks, C)``."""
    time = np.arange(ticks) / 25
    voice = (time % 4.2 < 3.5).astype(np.float32)
    loud = voice * (0.55 + 0.35 * np.sin(2 * np.pi * 2.6 * time) * np.sin(2 * np.pi * 0.31 * time))
    own = np.stack([voice, loud, np.roll(loud, -2), 0.35 * loud], axis=1).astype(np.float32)
    return np.stack([condition(o, np.zeros(2, np.float32), mood, style) for o in own])


def listen(mood: str = "neutral", ticks: int = 750) -> np.ndarray:
    """Conditions of someone who hears phrases of 2.5 s with pauses, ``(ticks, C)``."""
    time = np.arange(ticks) / 25
    on = (time % 4.0 < 2.5).astype(np.float32)
    loud = on * (0.75 + 0.2 * np.sin(2 * np.pi * 3.0 * time))
    heard = np.stack([loud, 0.8 * on], axis=1).astype(np.float32)
    return np.stack([condition(np.zeros(4, np.float32), h, mood, 1.0) for h in heard])


def draw(given: np.ndarray, seeds: list[int], steps: int = 2) -> np.ndarray:
    """Return ``(seeds, ticks, CHANNELS)`` in the flow's own units."""
    flow = FlowMotion(FLOW, steps)
    state = flow.init_state(len(seeds), seeds)
    rows = [flow.step(np.repeat(g[None], len(seeds), 0), state) for g in given]
    return np.stack(rows, axis=1) / UNITS


@pytest.fixture(scope="module")
def talking() -> np.ndarray:
    return draw(talk(), list(range(8)))


def test_the_shipped_graph_is_the_one_of_the_manifest() -> None:
    assert load_flow_engine_path() == FLOW_GRAPH
    assert FLOW_GRAPH.stat().st_size < 4_000_000


def test_a_plant_reaches_its_command_smoothly_and_without_overshoot() -> None:
    place, speed = np.zeros((1, CHANNELS), np.float32), np.zeros((1, CHANNELS), np.float32)
    track = []
    for _ in range(75):
        place, speed = plant(np.ones((1, CHANNELS), np.float32), place, speed)
        track.append(place[0])
    values = np.stack(track)
    assert np.all(values <= 1.0 + 1e-5) and np.all(np.diff(values, axis=0) > -1e-6)
    assert np.allclose(values[-1], 1.0, atol=0.01)


def test_a_batch_with_masks_equals_single_sessions() -> None:
    given = talk(ticks=60)
    flow = FlowMotion(FLOW)
    state = flow.init_state(3, [4, 5, 6])
    seen: list[list[np.ndarray]] = [[], [], []]
    rng = np.random.default_rng(0)
    at = np.zeros(3, int)
    while at.min() < 40:
        run = rng.random(3) < 0.6
        before = [a.copy() for a in (state.hidden, state.command, state.place, state.speed)]
        out = flow.step(given[np.minimum(at, 59)], state, exec_mask=run)
        for i in range(3):
            if run[i]:
                seen[i].append(out[i])
                at[i] += 1
            else:
                after = (state.hidden, state.command, state.place, state.speed)
                assert all(np.array_equal(a[i], b[i]) for a, b in zip(after, before, strict=True))
    for i, seed in enumerate((4, 5, 6)):
        alone = draw(given[:40], [seed])[0] * UNITS
        assert np.allclose(np.stack(seen[i][:40]), alone, atol=2e-5)


def test_a_reset_slot_starts_from_rest_and_leaves_the_others() -> None:
    flow = FlowMotion(FLOW)
    state = flow.init_state(2, [1, 2])
    for row in talk(ticks=30):
        flow.step(np.repeat(row[None], 2, 0), state)
    kept = state.place[1].copy()
    flow.reset(state, np.array([True, False]))
    assert not state.place[0].any() and not state.hidden[0].any()
    assert np.array_equal(state.place[1], kept)


def test_seeds_differ_and_repeat(talking: np.ndarray) -> None:
    assert np.array_equal(talking[:2], draw(talk(), [0, 1]))
    heads = talking[:, :, INDEX_OF["headYaw"]]
    between = [abs(np.corrcoef(heads[i], heads[j])[0, 1]) for i in range(8) for j in range(i)]
    assert np.median(between) < 0.5


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_any_number_of_steps_gives_the_same_kind_of_motion(steps: int, talking: np.ndarray) -> None:
    other = draw(talk(), list(range(8)), steps)
    for name in ("headPitch", "headYaw", "headRoll"):
        ratio = other[..., INDEX_OF[name]].std() / talking[..., INDEX_OF[name]].std()
        assert 0.5 < ratio < 2.0, (name, ratio)


def test_other_step_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="1, 2 or 4"):
        FlowMotion(FLOW, 3)


def test_head_motion_is_alive_slow_and_bounded(talking: np.ndarray) -> None:
    degrees = talking * UNITS / DEGREE
    sigma = {n: degrees[..., INDEX_OF[n]].std() for n in ("headPitch", "headYaw", "headRoll")}
    assert 0.4 < sigma["headPitch"] < 4 and 0.5 < sigma["headYaw"] < 6, sigma
    assert 0.2 < sigma["headRoll"] < 3, sigma
    yaw = degrees[..., INDEX_OF["headYaw"]]
    power = (np.abs(np.fft.rfft(yaw - yaw.mean(axis=1, keepdims=True), axis=1)) ** 2).sum(axis=0)
    hertz = np.fft.rfftfreq(yaw.shape[1], 1 / 25)
    assert power[hertz > 2.5].sum() / power.sum() < 0.05
    assert np.abs(np.diff(degrees[..., :3], n=2, axis=1)).max() < 3.0  # no jumps


def test_four_minutes_do_not_drift() -> None:
    given = talk(ticks=105)
    flow = FlowMotion(FLOW)
    state = flow.init_state(4, [1, 2, 3, 4])
    means = []
    for n in range(6000):
        values = flow.step(np.repeat(given[n % 105][None], 4, 0), state)
        means.append(values[:, :3] / DEGREE)
    track = np.stack(means)
    assert np.abs(track).max() < 25
    thirds = track.reshape(3, 2000, 4, 3).mean(axis=1)
    assert np.abs(thirds[2] - thirds[0]).max() < 2.5


def test_moods_and_style_change_what_they_should() -> None:
    smile, frown = INDEX_OF["mouthSmileLeft"], INDEX_OF["browDownLeft"]
    seeds = list(range(4))
    by_mood = {m: draw(talk(m), seeds)[:, 100:] for m in MOODS}
    assert by_mood["warm"][..., smile].mean() > by_mood["neutral"][..., smile].mean() + 0.3
    assert by_mood["serious"][..., smile].mean() < 0.25
    assert by_mood["serious"][..., frown].mean() > by_mood["neutral"][..., frown].mean() + 0.2
    size = {m: v[..., :3].std() for m, v in by_mood.items()}
    assert size["lively"] > 1.3 * size["neutral"] > 1.3 * size["serious"], size
    spread = [draw(talk(style=s), seeds)[:, 100:, :3].std() for s in (0.0, 1.0, 2.0)]
    assert spread[0] < 0.5 * spread[1] and spread[2] > 1.4 * spread[1], spread


def test_silence_stays_alive_and_calmer_than_talk(talking: np.ndarray) -> None:
    still = draw(np.repeat(condition(*_nothing(), "neutral", 1.0)[None], 750, 0), list(range(8)))
    moving = still[:, 250:, : INDEX_OF["headX"]].std()
    assert 0.05 < moving < talking[:, 250:, : INDEX_OF["headX"]].std()


def _nothing() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(4, np.float32), np.zeros(2, np.float32)


def test_a_listener_nods_after_the_others_phrases() -> None:
    """Chin going down in the second after a phrase against the middle of one; none unheard."""
    time = np.arange(1500) / 25
    on = time % 4.0 < 2.5

    def pitches(heard: np.ndarray, voice: float) -> np.ndarray:
        rows = []
        for seed in range(8):
            behaviour = Behaviour(25, seed)
            body = np.zeros(CHANNELS, np.float32)
            drives = [Drive(voice, 0.0, 0.0, float(h)) for h in heard]
            face = np.stack([behaviour.step(d, body) for d in drives])
            rows.append(face[:, INDEX["headPitch"]] / DEGREE)
        return np.stack(rows)

    heard = np.where(on, 0.8, 0.0)
    down = np.diff(pitches(heard, 0.0), axis=1, prepend=0).clip(min=0)
    phase = time % 4.0
    after = down[:, (phase > 2.65) & (phase < 3.6)].mean()
    within = down[:, (phase > 0.9) & (phase < 2.5)].mean()
    assert after > 3.0 * within, (after, within)
    unheard = np.diff(pitches(np.zeros(1500), 0.0), axis=1, prepend=0).clip(min=0)
    talking = np.diff(pitches(heard, 1.0), axis=1, prepend=0).clip(min=0)
    assert after > 5.0 * max(unheard.mean(), talking.mean())


def stream(
    pcm: np.ndarray, cut: list[int], heard: np.ndarray | None = None, **options: object
) -> np.ndarray:
    made = MotionStream(LIPS, flow=FLOW, **options)  # type: ignore[arg-type]
    pieces = [
        made.push(pcm[a:b], None if heard is None else heard[a:b])
        for a, b in pairwise([0, *cut, len(pcm)])
    ]
    return np.concatenate(pieces)


@pytest.mark.parametrize(("fps", "ahead"), [(25, 80), (30, 0), (60, 120)])
def test_chunked_equals_whole_with_both_sides(fps: int, ahead: int) -> None:
    rng = np.random.default_rng(3)
    pcm, heard = speech_like(2.0, 1), speech_like(2.0, 2)
    whole = stream(pcm, [], heard, fps=fps, look_ahead_ms=ahead, seed=5)
    cut = sorted(int(c) for c in rng.integers(0, len(pcm), 25))
    pieces = stream(pcm, cut, heard, fps=fps, look_ahead_ms=ahead, seed=5)
    assert whole.shape == pieces.shape and len(whole) >= int((2.0 - ahead / 1000) * fps) - 1
    assert np.allclose(whole, pieces, atol=2e-5)


def test_no_second_sound_is_the_same_as_a_silent_one() -> None:
    pcm = speech_like(1.5, 1)
    silent = stream(pcm, [], np.zeros_like(pcm), seed=2)
    assert np.array_equal(stream(pcm, [], None, seed=2), silent)


def by_the_front_end(pcm: np.ndarray) -> np.ndarray:
    """What a listener says of a whole recording, without any short cut."""
    front = FrontEnd()
    features = front.step(pcm[None], front.init_state(1))[0]
    loud = loudness_of(features[:, MELS] * 4.0 - 6.0)
    return np.stack([loud, (features[:, MELS + 1] + 1.0) / 2.0 * (loud > 0.15)], axis=1)


def test_silence_of_the_other_side_is_short_cut_exactly() -> None:
    """Nothing said, and zeros, between two sounds give what the front end says of zeros."""
    sound, still = speech_like(0.6, 3), np.zeros(9600, np.float32)
    for silence in (None, still):
        listener, got = Listener(), []
        for piece in (silence, sound, silence, silence, sound):
            listener.push(piece, 9600)
            got.append(listener.hops())
        full = by_the_front_end(np.concatenate([still, sound, still, still, sound]))
        np.testing.assert_allclose(np.concatenate(got), full, atol=1e-6)


def test_long_silence_in_any_pieces_is_short_cut_exactly() -> None:
    """Beyond the moment at which the level of the other side has sunk to its floor."""
    sound = speech_like(0.5, 4)
    listener = Listener()
    for size in (333, 640, 1, 79026, 16000):
        listener.push(None, size)
        assert not listener.hops().any()
    listener.push(sound, len(sound))
    full = by_the_front_end(np.concatenate([np.zeros(96000, np.float32), sound]))
    np.testing.assert_allclose(listener.hops(), full[600:], atol=1e-6)


def test_both_sides_must_be_of_one_length() -> None:
    made = MotionStream(LIPS, flow=FLOW)
    with pytest.raises(ValueError, match="same number of samples"):
        made.push(np.zeros(640, np.float32), np.zeros(320, np.float32))


def test_moods_and_styles_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="mood must be one of"):
        MotionStream(LIPS, mood="angry")
    with pytest.raises(ValueError, match="style must be between"):
        MotionStream(LIPS, style=3.0)


def test_a_barge_in_does_not_throw_the_head() -> None:
    made = MotionStream(LIPS, flow=FLOW, mood="lively", style=2.0)
    before = made.push(speech_like(3.0, 4))[-1]
    made.reset()
    after = made.push(np.zeros(16000, np.float32))[0]
    for name in ("headYaw", "headPitch", "headRoll"):
        assert abs(after[INDEX[name]] - before[INDEX[name]]) < 1.5 * DEGREE


def test_eyes_stay_with_the_partner_who_speaks() -> None:
    """Share of frames with the line of sight on the viewer: listening, nobody, talking."""

    def share(drive: Drive) -> float:
        on = 0
        for seed in range(3):
            behaviour = Behaviour(25, seed)
            for _ in range(1500):
                face = behaviour.step(drive, np.zeros(CHANNELS, np.float32))
                yaw = face[INDEX["gazeYaw"]] + face[INDEX["headYaw"]]
                pitch = face[INDEX["gazePitch"]] + face[INDEX["headPitch"]]
                on += bool(np.hypot(yaw, pitch) < 3.0 * DEGREE)
        return on / 4500

    listening, talking = share(Drive(heard=0.8)), share(Drive(1.0, 0.7, 0.2))
    assert listening > 0.9 and listening > talking + 0.08, (listening, talking)


def test_eyes_that_are_away_come_back_when_the_other_begins() -> None:
    for seed in range(6):
        behaviour = Behaviour(25, seed)
        for _ in range(2000):
            behaviour.step(Drive(1.0, 0.7, 0.2))
            if behaviour.looks_away:
                break
        assert behaviour.looks_away
        for _ in range(14):
            behaviour.step(Drive(heard=0.8))
        assert not behaviour.looks_away


@pytest.mark.parametrize("fps", [25, 30])
def test_what_is_kept_does_not_grow(fps: int) -> None:
    made = MotionStream(LIPS, flow=FLOW, fps=fps)
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 8000, 40)
    counts[-1] += -counts.sum() % 16_000  # so that whole seconds come again and again
    rounds = []
    for _ in range(4):
        sizes = []
        for count in map(int, counts):
            made.push(noise(count / 16000)[:count], np.zeros(count, np.float32))
            sizes.append(kept(made))
        rounds.append(sizes)
    assert rounds[1] == rounds[2] == rounds[3]


@pytest.mark.parametrize("ahead", [0, 80])
def test_the_mouth_opens_within_two_frames_of_the_voice(ahead: int) -> None:
    """Media time: what is shown at the moment of the onset, whatever the delay."""
    late = []
    for start in (8000, 8160, 8333):
        pcm = np.zeros(24000, np.float32)
        pcm[start : start + 8000] = vowel(0.5, AH)
        opened = aperture(stream(pcm, [], look_ahead_ms=ahead))
        assert opened[: start // 640 - 3].max() <= 0.04
        late.append(int(np.argmax(opened > 0.06)) - start // 640)
    assert max(late) <= 2, late


def test_graph_path_is_beside_the_lips() -> None:
    assert Path(FLOW_GRAPH).parent == MOTION_GRAPH.parent
    assert 6 + len(MOODS) + 1 == CONDITIONS
