"""The instrument itself: what the tracker measures is what was drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visavis.benchmarks.quality import main as quality
from visavis.benchmarks.quality.sheet import Strip, choose, draw
from visavis.benchmarks.quality.video import _View, inner_lip_gap
from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.photo.photo import sanitise
from visavis.models.appearance.photo.tracker import MediaPipeTracker
from visavis.models.appearance.portrait import synthetic_portrait
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.renderer import Renderer


def test_measured_aperture_follows_what_is_drawn() -> None:
    tracker = MediaPipeTracker()
    renderer = Renderer(enrol(sanitise(synthetic_portrait()), tracker=tracker, size=512))
    view, measured, drawn = _View(), [], []
    for jaw in (0.0, 0.08, 0.15, 0.25, 0.35, 0.45):
        values = neutral()
        values[INDEX["jawOpen"]] = jaw
        found = view.look(tracker, renderer.render(values))
        assert found is not None
        measured.append(inner_lip_gap(found))
        drawn.append(renderer.mouth_opening(values))
    tracker.close()
    assert measured[0] < 0.03 and measured == sorted(measured)
    assert np.corrcoef(measured, drawn)[0, 1] > 0.97
    assert 0.5 < (measured[-1] - measured[0]) / (drawn[-1] - drawn[0]) < 1.5


def strip(phones: list[tuple[float, float, str]]) -> Strip:
    crops = [np.full((40, 40, 3), 10 * (i % 25), np.uint8) for i in range(50)]
    pcm = np.sin(np.arange(32_000) / 20).astype(np.float32)
    return Strip("clip", pcm, 16_000, 25, phones, np.linspace(0, 0.2, 50), crops)


def test_the_sheet_shows_the_frame_of_each_phone() -> None:
    sheet = draw([strip([(0.2, 0.28, "M"), (1.0, 1.2, "AA")]), strip([])])
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert sheet[60, 60].tolist() == [60] * 3  # M at 0.24 s: frame 6
    assert sheet[60, 192].tolist() == [20] * 3  # AA at 1.1 s: frame 27


def test_phones_on_the_sheet_come_in_order_with_lips_among_them() -> None:
    phones = [(i * 0.1, i * 0.1 + 0.1, ("AA", "T", "M", "SIL")[i % 4]) for i in range(80)]
    chosen = choose(phones, 6.0)
    assert chosen == sorted(chosen) and len(chosen) == 12
    names = [p[2] for p in chosen]
    assert names.count("M") >= 4 and "AA" in names and "SIL" not in names
    assert all(p[1] <= 6.0 for p in chosen)
    assert choose([], 6.0) == []


def test_the_whole_benchmark_on_a_drawn_person_and_a_hum(tmp_path: Path) -> None:
    from visavis.benchmarks.latency.sound import write_wav

    photo = tmp_path / "photo.png"
    photo.write_bytes(synthetic_portrait())
    t = np.arange(int(1.3 * 48_000)) / 48_000
    write_wav(tmp_path / "hum.wav", 0.2 * np.sin(2 * np.pi * 500 * t) * (t < 1.25))
    labels = {"hum": [[0.0, 0.6, "AA"], [0.6, 0.7, "M"], [0.7, 1.25, "IY"]], "gone": [[0, 2, "AA"]]}
    (tmp_path / "phones.json").write_text(json.dumps(labels))
    out, sheet = tmp_path / "out.json", tmp_path / "sheet.png"
    arguments = ["--photo", str(photo), "--speech", str(tmp_path), "--size", "256"]
    assert quality.main(["video", *arguments, "--json", str(out), "--sheet", str(sheet)]) == 0
    result = json.loads(out.read_text())
    assert (result["clips"], result["lost_frames"]) == (1, 0) and result["frames"] > 60
    assert result["aperture_silence_p95"] < 0.06
    assert (result["closure_fixed"]["bilabials"], result["closure_fixed"]["vowels"]) == (1, 2)
    assert Image.open(io.BytesIO(sheet.read_bytes())).width == 1584


def test_no_speech_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quality.main(["--speech", str(tmp_path)]) == 1
    assert "no phones.json" in capsys.readouterr().err
