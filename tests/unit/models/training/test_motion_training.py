"""What training is made of, without torch: batches, captured takes, the flow's teacher."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.unit.models.motion.motion_sounds import AH, speech_like, vowel
from visavis.models.motion.curves import CHANNEL, CHANNELS, DEFAULT, CurveConfig, build
from visavis.models.motion.features import MELS, RAW
from visavis.models.motion.flow import CONDITIONS, INDEX_OF, MOODS, RATE
from visavis.models.motion.phones import CLASS_INDEX, Phone
from visavis.models.motion.stream import MOTION_GRAPH
from visavis.models.motion.training.batches import (
    Corpus,
    add_noise,
    disturb,
    front_vowels,
    stretch_throats,
    voice_weight,
)
from visavis.models.motion.training.capture import Captured, compare, fit, read_take
from visavis.models.motion.training.corpus import augment
from visavis.models.motion.training.corpus.corpus import make_shard, version
from visavis.models.motion.training.corpus.spoken import CorpusConfig
from visavis.models.motion.training.corpus.voices import Utterance, installed
from visavis.models.motion.training.graph_weights import weights_of
from visavis.models.motion.training.simulate import (
    SpeechBank,
    commands,
    conversations,
    cues,
    episode,
)

needs_voices = pytest.mark.skipif(
    not installed()["flite"], reason="no training data: flite is not installed"
)


def written_shard(folder: Path) -> Path:
    """Write a shard of made-up speech: two voices and a negative, 9 s."""
    rng = np.random.default_rng(0)
    hops = np.array([300, 300, 300])
    loud = np.concatenate([np.tile([-4.0] * 20 + [-9.0] * 10, 20), np.full(300, -9.0)])
    raw = rng.normal(-9, 1, (900, RAW)).astype(np.float32)
    raw[:, MELS], raw[:, MELS + 1] = loud, (loud > -6) * 0.8
    speaking = (loud > -6).astype(np.float32)
    channels = np.zeros((900, len(CHANNELS)), np.float32)
    channels[:, 0] = 0.4 * speaking
    np.savez(
        folder / "shard-0000.npz",
        raw=raw.astype(np.float16),
        channels=channels.astype(np.float16),
        closure=np.zeros(900, np.float16),
        phone=speaking.astype(np.uint8),
        hops=hops,
        voice=np.array(["flite/slt", "espeak/de+f1", "negative"]),
    )
    return folder


def test_crops_follow_the_seed_and_hold_together(tmp_path: Path) -> None:
    data = Corpus(written_shard(tmp_path))
    first, again = (data.batch(np.random.default_rng(3), 6, 120) for _ in range(2))
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    assert first["raw"].shape == (6, 120, RAW)
    said = first["phone"] > 0
    np.testing.assert_array_equal(said, first["channels"][..., 0] > 0.1)
    assert data.hours == pytest.approx(9 / 3600)


def test_voices_of_people_are_heard_more_often() -> None:
    assert voice_weight("flite/slt") > voice_weight("festival/x") > voice_weight("espeak/de")


def test_disturbing_leaves_shape_and_is_finite() -> None:
    raw = np.random.default_rng(0).normal(-8, 3, (8, 50, RAW)).astype(np.float32)
    raw[..., MELS + 1] = 0.5
    kept = raw.copy()
    out = disturb(raw, np.random.default_rng(1), 0.0)
    assert out.shape == raw.shape and np.isfinite(out).all()
    np.testing.assert_array_equal(raw, kept)  # the corpus in memory is not touched
    np.testing.assert_array_equal(out, disturb(raw, np.random.default_rng(1), 0.0))


def test_rounded_vowels_said_in_front_move_the_second_formant_alone() -> None:
    raw = np.full((1, 60, RAW), -12.0, np.float32)
    first, second, third = 9, 27, 54  # bands near 320, 1050 and 3200 Hz
    raw[..., [first, second, third]] = -2.0
    phone = np.full((1, 60), CLASS_INDEX["IY"])
    phone[:, 20:40] = CLASS_INDEX["UW"]
    moved = raw.copy()
    front_vowels(moved, phone, np.random.default_rng(5), share=1.0)
    for band in (first, third):
        np.testing.assert_allclose(moved[..., band], -2.0, atol=0.5)
    tops = moved[0, :, 16:50].argmax(axis=1) + 16
    assert (tops[:16] == second).all() and (tops[44:] == second).all()
    assert (tops[24:36] > second + 1).all() and len(set(tops[24:36])) == 1
    assert np.isfinite(moved).all() and (np.abs(np.diff(tops)) <= 6).all(), "it glides"
    short = raw.copy()
    phone[:, 26:40] = CLASS_INDEX["T"]
    front_vowels(short, phone, np.random.default_rng(5), share=1.0)
    np.testing.assert_array_equal(short, raw, err_msg='"to" is not "two"')
    phone[:, 12:20] = CLASS_INDEX["Y"]
    front_vowels(short, phone, np.random.default_rng(5), share=1.0)
    assert not np.array_equal(short, raw), "but after Y it is"
    untouched = raw.copy()
    front_vowels(untouched, phone, np.random.default_rng(5), share=0.0)
    np.testing.assert_array_equal(untouched, raw)


def test_weights_read_back_from_the_graph_are_the_networks() -> None:
    weights = weights_of(MOTION_GRAPH)
    manifest = json.loads((MOTION_GRAPH.parent / "manifest.json").read_text())
    assert sum(w.size for w in weights.values()) == manifest["parameters"]
    hidden = manifest["network"]["hidden"]
    assert weights["gru1.weight_ih_l0"].shape == (3 * hidden, manifest["network"]["width"])
    assert weights["head.weight"].shape[1] == manifest["network"]["layers"] * hidden


def test_another_graph_is_not_taken_for_the_networks() -> None:
    with pytest.raises(ValueError, match="no motion graph"):
        weights_of(MOTION_GRAPH.parent / "flow.onnx")


def test_a_throat_moves_a_formant_and_noise_fills_the_valleys() -> None:
    raw = np.full((1, 40, RAW), -12.0, np.float32)
    raw[:, :, 40] = -2.0  # one formant
    raw[..., MELS] = -3.0
    moved = raw.copy()
    stretch_throats(moved, np.random.default_rng(5), share=1.0)
    assert moved[0, 0, :MELS].argmax() != 40
    noisy = raw.copy()
    add_noise(noisy, np.array([True]), np.random.default_rng(0))
    assert noisy[0, :, :MELS].min() > -12.0 and noisy[0, :, 40].max() >= -2.0 - 1e-5


@pytest.mark.parametrize("kind", augment.NEGATIVES)
def test_every_kind_of_negative_is_finite_and_of_the_length(kind: str) -> None:
    class Choice(np.random.Generator):
        def choice(self, options, *args, **kwargs):  # type: ignore[no-untyped-def]
            wanted = isinstance(options, list) and "silence" in options
            return kind if wanted else super().choice(options, *args, **kwargs)

    sound = augment.negative(Choice(np.random.PCG64(1)), 1.0)
    assert len(sound) == 16000 and np.isfinite(sound).all()


def test_a_shout_is_brighter_than_a_murmur() -> None:
    sound = vowel(0.6, AH)

    def slope(pcm: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(pcm)) ** 2
        hertz = np.fft.rfftfreq(len(pcm), 1 / 16000)
        return float(np.log(power[hertz > 2000].sum() / power[hertz < 1000].sum()))

    assert slope(augment.strain(sound, 1.0)) > slope(sound) > slope(augment.strain(sound, -1.0))


def test_shouts_open_wider_than_murmurs() -> None:
    phones = (Phone(0.0, 0.2, "SIL"), Phone(0.2, 0.5, "AA"), Phone(0.5, 0.7, "SIL"))
    said = Utterance(vowel(0.7, AH), phones, "test")
    found = {
        version(said, np.random.default_rng(seed), 1, np.zeros(0, np.float32))[2].jaw
        for seed in range(60)
    }
    assert min(found) < 0.8 * DEFAULT.jaw < DEFAULT.jaw < max(found)


def written_take(folder: Path, name: str, lag_frames: int) -> None:
    """Write a take whose jaw follows its sound by so many frames at 30 fps."""
    pcm = speech_like(20.0, 7)
    with av.open(str(folder / f"{name}.flac"), "w") as container:
        stream = container.add_stream("flac", rate=16000)
        stream.layout = "mono"
        block = (pcm * 32767).astype("<i2")[None]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    frames = int(20.0 * 30)
    power = np.sqrt(np.add.reduceat(pcm**2, np.linspace(0, len(pcm) - 1, frames).astype(int)))
    jaw = np.roll(np.convolve(power, np.ones(3) / 3, "same"), lag_frames)
    names = [
        "mouth_stretch_c", "jaw_thrust_c", "mouth_pucker_l", "mouth_pucker_r", "mouth_funnel_dl",
        "mouth_funnel_dr", "mouth_funnel_ul", "mouth_funnel_ur", "mouth_lowerLipDepress_l",
        "mouth_lowerLipDepress_r", "mouth_upperLipRaise_l", "mouth_upperLipRaise_r",
        "mouth_lipStretch_l", "mouth_lipStretch_r", "mouth_lipCornerPull_l",
        "mouth_lipCornerPull_r", "mouth_press_l", "mouth_press_r", "mouth_suck_dl",
        "mouth_suck_dr", "mouth_suck_ul", "mouth_suck_ur", "mouth_chinRaise_u",
    ]  # fmt: skip
    values = np.zeros((frames, len(names)), np.float32)
    values[:, 0] = 0.4 * jaw / jaw.max()
    np.savez(folder / f"{name}_blendshapes.npz", values=values, names=np.array(names), fps=30)


def test_a_take_is_brought_into_step_with_its_sound(tmp_path: Path) -> None:
    written_take(tmp_path, "late", 3)
    written_take(tmp_path, "later", 5)
    late, later = read_take(tmp_path, "late"), read_take(tmp_path, "later")
    assert later.lag_ms - late.lag_ms == pytest.approx(67, abs=15)
    count = min(len(late.channels), len(later.channels)) - 20
    r = np.corrcoef(late.channels[:count, 0], later.channels[:count, 0])[0, 1]
    assert r > 0.9
    crops = Captured(tmp_path, ["late"]).batch(np.random.default_rng(0), 2, 200)
    assert crops["raw"].shape == (2, 200, RAW) and crops["channels"].shape == (2, 200, 14)


def test_a_missing_take_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="take_9_99"):
        read_take(tmp_path, "take_9_99")


def test_the_fit_comes_nearer_to_the_amplitude_of_the_take(tmp_path: Path) -> None:
    written_take(tmp_path, "one", 0)
    take = read_take(tmp_path, "one")
    rng = np.random.default_rng(2)
    names = ("AA", "T", "IY", "S", "AO", "P", "EH", "K")
    edges = np.cumsum(rng.uniform(0.06, 0.2, 140))
    edges = edges[edges < len(take.channels) / 100]
    phones = [Phone(a, b, names[i % len(names)]) for i, (a, b) in enumerate(pairwise(edges))]
    made = CurveConfig(jaw=0.8)
    take.channels[:] = build(phones, len(take.channels), made)[0]
    found = fit([(take, phones)], rounds=1)
    r, ours, theirs = compare([(take, phones)], found)
    _, unfitted, _ = compare([(take, phones)], CurveConfig(jaw=1.0))
    assert r > 0.95
    assert abs(ours["p95"] - theirs["p95"]) < 0.6 * abs(unfitted["p95"] - theirs["p95"])


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> SpeechBank:
    return SpeechBank(written_shard(tmp_path_factory.mktemp("shards")))


def test_an_episode_follows_its_seed(bank: SpeechBank) -> None:
    first, again = (episode(bank, np.random.default_rng(4), 4, 6.0) for _ in range(2))
    np.testing.assert_array_equal(first[1], again[1])
    assert first[0].shape == (4, 150, CONDITIONS)
    assert np.isfinite(first[0]).all() and np.isfinite(first[1]).all()


def test_the_teacher_moves_by_mood_and_style(bank: SpeechBank) -> None:
    own, heard = conversations(bank, np.random.default_rng(1), 16, 20.0)
    found = cues(own, heard)

    def drawn(mood: str, style: float) -> np.ndarray:
        rows = np.full(16, MOODS.index(mood))
        styles = np.full(16, style, np.float32)
        return commands(found, rows, styles, np.random.default_rng(2))

    smile, pitch = INDEX_OF["mouthSmileLeft"], INDEX_OF["headPitch"]
    assert drawn("warm", 1.0)[..., smile].mean() > drawn("neutral", 1.0)[..., smile].mean() + 0.5
    assert drawn("lively", 1.0)[..., pitch].std() > 1.5 * drawn("serious", 1.0)[..., pitch].std()
    assert drawn("neutral", 2.0).std() > 1.5 * drawn("neutral", 1.0).std()


def test_the_teachers_listeners_nod_after_phrases(bank: SpeechBank) -> None:
    heard = np.zeros((24, 500, 2), np.float32)
    on = (np.arange(500) / RATE) % 4.0 < 2.5
    heard[:, on] = (0.8, 0.8)
    found = cues(np.zeros((24, 500, 4), np.float32), heard)
    pitch = commands(found, np.zeros(24, int), np.ones(24, np.float32), np.random.default_rng(0))
    mean = pitch[..., INDEX_OF["headPitch"]].mean(axis=0)
    phase = (np.arange(500) / RATE) % 4.0
    after, within = mean[(phase > 2.6) & (phase < 3.3)], mean[(phase > 1.0) & (phase < 2.4)]
    assert after.mean() > within.mean() + 0.1


@needs_voices
def test_a_shard_holds_speech_and_negatives(tmp_path: Path) -> None:
    config = CorpusConfig(flite=1, festival=0, espeak=0, negatives=3, versions=1)
    make_shard(tmp_path / "shard-0000.npz", 0, 9, config)
    data = Corpus(tmp_path)
    crop = data.batch(np.random.default_rng(0), 4, 100)
    assert set(crop) == {"raw", "channels", "closure", "phone"}
    assert CHANNEL["jawOpen"] == 0
