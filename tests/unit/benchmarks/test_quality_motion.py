"""The measures of the motion bench on material whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from tests.unit.models.motion.motion_sounds import AH, RATE, vowel
from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.quality.motion import ablation, life, motion, motion_table, probe, speech
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.coefficients import COUNT, INDEX
from visavis.models.motion.stream import MOTION_GRAPH
from visavis.models.motion.training import evaluate

FPS = 50
WORDS = ("P", "AA", "F", "IY", "M", "UW", "T", "AE", "B", "OW", "V", "IH", "K", "EH")


def labels(count: int, shift: int = 0) -> list[tuple[float, float, str]]:
    return [
        (0.12 * i, 0.12 * (i + 1), WORDS[(i * (1 + shift % 3) + shift) % len(WORDS)])
        for i in range(count)
    ]


def recordings(count: int = 8) -> speech.Recordings:
    """Babble of known phones: the sound only has to be audible where vowels are."""
    out = {}
    for i in range(count):
        said = labels(30, i)
        pcm = np.concatenate([vowel(0.12, AH) for _ in said])
        out[str(i)] = speech.arpabet(pcm, said)
    return out


def moving(seconds: float, hertz: float, degrees: float) -> np.ndarray:
    values = np.zeros((int(seconds * FPS), COUNT), np.float32)
    time = np.arange(len(values)) / FPS
    values[:, INDEX["headPitch"]] = np.radians(degrees) * np.sin(2 * np.pi * hertz * time)
    return values


def test_curves_built_from_phones_score_full_and_silence_none() -> None:
    said = recordings()
    right = motion.figures(said, {n: r.built for n, r in said.items()})
    assert right["closure_recall_5"] == 1.0 and right["labiodental_recall_5"] == 1.0
    assert right["place_auc"] > 0.95
    assert right["aperture_r"] == pytest.approx(1.0, abs=1e-3) and right["aperture_lag_ms"] == 0
    assert right["rounding_d"] > 3 and right["vowels_shut"] == 0
    assert right["viseme_accuracy"] > 0.85
    shut = evaluate.from_channels(np.zeros_like(next(iter(said.values())).built.channels))
    nothing = motion.figures(said, dict.fromkeys(said, shut))
    assert nothing["vowels_shut"] == 1.0 and nothing["viseme_accuracy"] < 0.3
    assert nothing["closure_recall_5"] == pytest.approx(0.05)  # what chance gives


def test_a_mouth_that_comes_late_is_found_late() -> None:
    said = recordings(4)
    late = {
        n: evaluate.from_channels(np.roll(r.built.channels, 6, axis=0)) for n, r in said.items()
    }
    assert motion.figures(said, late)["aperture_lag_ms"] == 60


def test_the_probe_reads_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    said = [probe.visemes(labels(60, i), 720) for i in range(8)]
    clear = [np.eye(len(probe.VISEMES))[v] + rng.normal(0, 0.05, (720, 15)) for v in said]
    noise = [rng.normal(size=(720, 4)) for _ in said]
    assert probe.accuracy(clear, said) > 0.95
    assert probe.accuracy(noise, said) < 0.45  # the commonest viseme, and what chance adds
    assert np.isnan(probe.accuracy([np.zeros((10, 2))], [np.zeros(10, int)]))


def test_the_lips_of_the_shipped_network_beat_loudness_on_held_out_speech() -> None:
    said = speech.language("Italian", 4)
    if not said:
        pytest.skip("no training data: espeak-ng is not installed")
    rows = motion.row(motion.Methods({"network": OnnxEngine(MOTION_GRAPH)}), said)
    assert rows["network"]["viseme_accuracy"] > rows["energy"]["viseme_accuracy"] + 0.15
    assert rows["network"]["place_auc"] > rows["energy"]["place_auc"] + 0.15


def test_head_amplitude_and_spectrum() -> None:
    slow = life.head(moving(60, 0.5, 2.0), FPS)
    assert slow["sigma_pitch"] == pytest.approx(2.0 / np.sqrt(2), rel=0.02)
    assert slow["power_below_2_5_hz"] > 0.99
    assert slow["half_power_hz"] == pytest.approx(0.5, abs=0.13)
    assert life.head(moving(60, 5.0, 2.0), FPS)["power_below_2_5_hz"] < 0.05
    assert life.nods_per_minute(moving(60, 1.0, 1.0), FPS) == pytest.approx(60, abs=3)
    assert life.nods_per_minute(moving(60, 1.0, 0.2), FPS) == 0


def test_blinks_are_counted_and_timed() -> None:
    values = np.zeros((60 * FPS, COUNT), np.float32)
    down, up = np.linspace(0, 1, 6), np.linspace(1, 0, 14)
    for second in range(2, 58, 4):
        at = second * FPS
        values[at : at + 20, INDEX["eyeBlinkLeft"]] = np.concatenate([down, up])
    found = life.blinks(values, FPS)
    assert found["per_minute"] == 14
    assert found["down_ms"] == pytest.approx(100, abs=20)
    assert found["up_ms"] == pytest.approx(240, abs=20)


def test_gaze_held_and_averted() -> None:
    values = np.zeros((80 * FPS, COUNT), np.float32)
    for start in range(0, 80, 4):
        values[(start + 3) * FPS : (start + 4) * FPS, INDEX["gazeYaw"]] = np.radians(8)
    found = life.gaze(values, FPS)
    assert found["hold_s"] == pytest.approx(3.0, abs=0.05)
    assert found["avert_s"] == pytest.approx(1.0, abs=0.05)
    assert found["avert_degrees_p90"] == pytest.approx(8, abs=0.1)
    # A head that turns while the eyes stay on the viewer averts nothing.
    values[:, INDEX["headYaw"]] = -values[:, INDEX["gazeYaw"]]
    assert life.gaze(values, FPS)["averted_share"] == 0


def test_diversity_of_equal_runs_is_none() -> None:
    run = moving(20, 0.7, 2.0)
    run[:, INDEX["headYaw"]] = run[:, INDEX["headPitch"]]
    assert life.diversity([run, run]) == pytest.approx(
        {"head_degrees": 0.0, "head_r": 1.0, "lips": 0.0, "brows": 0.0}
    )
    other = run.copy()
    other[:, INDEX["jawOpen"]] = 0.5
    other[:, INDEX["headPitch"]] *= -1
    apart = life.diversity([run, other])
    assert apart["lips"] == 0.5 and apart["head_degrees"] > 1 and apart["head_r"] < 0.1


def test_onset_and_jerk() -> None:
    pcm = np.concatenate([np.zeros(RATE // 2, np.float32), vowel(0.5, AH)])
    opened = np.zeros(100, np.float32)
    opened[54:] = 0.4
    track = evaluate.Track(opened, None, opened)
    late = evaluate.mouth_onset(track, pcm)
    assert late is not None and 0.0 <= late <= 0.06
    assert evaluate.mouth_onset(track, np.zeros(RATE, np.float32)) is None
    assert evaluate.mouth_onset(evaluate.Track(0 * opened, None, opened), pcm) is None
    smooth = 0.2 * np.sin(2 * np.pi * 3 * np.arange(300) / 30)
    rough = smooth + 0.02 * np.random.default_rng(0).standard_normal(300)
    assert evaluate.jerk(rough, 30) > 1.3 * evaluate.jerk(smooth, 30)
    assert evaluate.jerk(np.zeros(300), 30) == 0
    ramp = np.linspace(0, 1, 1000)
    np.testing.assert_allclose(np.diff(evaluate.resampled(ramp, 30)), 1 / 300, rtol=0.03)


def test_folders_are_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="There is no folder"):
        speech.folder(tmp_path / "none")
    with pytest.raises(BenchmarkError, match="holds no recordings"):
        speech.folder(tmp_path)
    wavfile.write(tmp_path / "a.wav", RATE, vowel(0.5, AH))
    (tmp_path / "phones.json").write_text('{"a": [[0.0, 0.4, "AA"]], "gone": [[0, 1, "B"]]}')
    said = speech.folder(tmp_path)
    assert list(said) == ["a"] and len(said["a"].pcm) == RATE // 2
    (tmp_path / "phones.json").write_text("{")
    with pytest.raises(BenchmarkError, match="is not JSON"):
        speech.folder(tmp_path)
    (tmp_path / "b.wav").write_text("no sound")
    with pytest.raises(BenchmarkError, match="no sound file"):
        speech.read_sound(tmp_path / "b.wav")


def test_a_child_speaks_higher_and_faster() -> None:
    said = speech.arpabet(vowel(1.0, AH, pitch=100), [(0.0, 1.0, "AA")])
    child = speech.faster(said, 1.25)
    assert len(child.pcm) == RATE * 4 // 5 and child.labels[0][1] == pytest.approx(0.8)
    peak = np.argmax(np.abs(np.fft.rfft(child.pcm))[60:110]) + 60  # bins of 1.25 Hz
    assert peak * 1.25 == pytest.approx(125, abs=8)


def test_an_arm_keeps_its_versions_only() -> None:
    shard = {
        "hops": np.array([2, 2, 2, 3, 3, 3, 4]),
        "voice": np.array(["a"] * 3 + ["b"] * 3 + ["negative"]),
        "raw": np.arange(19)[:, None],
        "channels": np.arange(19)[:, None],
        "closure": np.arange(19),
        "phone": np.arange(19),
    }
    clean = ablation.keep(shard, ablation.ARMS[0])
    assert clean["closure"].tolist() == [0, 1, 6, 7, 8, 15, 16, 17, 18]
    assert clean["voice"].tolist() == ["a", "b", "negative"] and clean["hops"].tolist() == [2, 3, 4]
    without = ablation.keep(shard, ablation.ARMS[-1])
    assert without["closure"].tolist() == list(range(15))


def test_tables_of_a_small_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = motion.main(["--quick", "--no-cost", "-o", str(tmp_path / "empty")])
    assert code == 0
    result = json.loads((tmp_path / "empty" / "quality_motion.json").read_text())
    assert result["no_voice"]["silence"]["network"]["max"] < 0.05
    text = capsys.readouterr().out
    assert "white_noise" in text and "Lips" not in text
    rows = {"x": {"network": {"closure_recall_5": 0.9, "aperture_lag_ms": -0.0}}}
    table = motion_table.lips({"rows": rows})
    assert "| x | 0.90 |" in table and "–" in table
    assert motion_table.markdown({}) == ""
    assert motion.main(["--asterisk", str(tmp_path / "none"), "-o", str(tmp_path)]) == 1
