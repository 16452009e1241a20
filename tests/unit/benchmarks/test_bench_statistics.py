"""Intervals, comparison, tables, stages: what figures are turned into."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visavis.benchmarks import speed, stages
from visavis.benchmarks.common import (
    FAILED,
    BenchmarkError,
    compact_json,
    guarded,
    percentiles,
    read_result,
)
from visavis.benchmarks.figures import compare, report
from visavis.benchmarks.figures.intervals import ratio_interval, slope_interval
from visavis.benchmarks.figures.tables import figures, table
from visavis.benchmarks.latency import versus
from visavis.benchmarks.reporting import check_writable
from visavis.benchmarks.scale import main as scale


def test_interval_of_the_ratio_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = sum(
        not ratio_interval(*rng.normal(150, 12, (2, 60)), seed=k).excludes(1) for k in range(120)
    )
    assert 0.85 < hits / 120 < 1.0


def test_interval_is_wider_when_neighbours_resemble_each_other() -> None:
    rng = np.random.default_rng(2)
    alone = rng.normal(150, 10, 400)
    wandering = np.repeat(rng.normal(150, 10, 50), 8)
    found = [ratio_interval(alone, other) for other in (alone[::-1], wandering)]
    widths = [i.high - i.low for i in found]
    assert widths[1] > 1.5 * widths[0]


def test_ratio_tells_a_difference_from_noise() -> None:
    rng = np.random.default_rng(3)
    a, b, c = rng.normal(200, 15, 80), rng.normal(200, 15, 80), rng.normal(140, 15, 80)
    assert not ratio_interval(a, b).excludes(1.0)
    found = ratio_interval(a, c)
    assert found.excludes(1.0) and found.low < 0.7 < found.high
    assert ratio_interval([1, 2], a) is None  # too few
    assert ratio_interval(rng.normal(0, 5, 50), a) is None  # of both signs: no ratio


def test_slope_and_its_interval() -> None:
    rng = np.random.default_rng(4)
    hours = np.linspace(0, 0.5, 600)
    flat = slope_interval(hours, rng.normal(0, 3, 600))
    drifting = slope_interval(hours, 40 * hours + rng.normal(0, 3, 600))
    assert not flat.excludes(0.0)
    assert drifting.excludes(0.0) and drifting.low < 40 < drifting.high
    assert slope_interval([1, 2, 3], [1, 2, 3]) is None


def result(p50: float, seed: int = 0, **settings: object) -> dict:
    readings = [round(v, 1) for v in np.random.default_rng(seed).normal(p50, 10, 60)]
    return {
        "machine": {"cpu": "X", "cores": 2},
        "benchmark": "latency",
        "settings": settings,
        "mouth_to_lip_ms": percentiles(readings),
        "samples": {"mouth_to_lip_ms": readings},
    }


def test_comparison_names_ratio_samples_and_noise() -> None:
    text = compare.compare(result(200), result(140, 1, server="B"), "stock", "ours")
    assert "0.7" in text and "60, 60" in text and "differs" in text and "server None / B" in text
    assert "within noise" in compare.compare(result(200), result(201, 5))


def test_comparison_of_results_without_readings_says_so() -> None:
    bare = result(200)
    del bare["samples"]
    assert "readings not kept" in compare.compare(bare, result(140))
    with pytest.raises(BenchmarkError, match="no figure in common"):
        compare.compare({"machine": {}}, result(1))


def test_comparison_of_nonsense_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    assert compare.main([str(path), str(path)]) == FAILED
    path.write_text("[1, 2]")
    assert compare.main([str(path), str(path)]) == FAILED
    path.write_text("nonsense")
    with pytest.raises(BenchmarkError, match="not JSON"):
        read_result(path)
    assert "Traceback" not in capsys.readouterr().err


def test_json_keeps_lists_of_numbers_on_a_line_and_says_the_same() -> None:
    value = {"a": [1, -2.5, None, 1e-7], "b": [{"c": [3]}], "d": [], "e": ["x", "1, 2"]}
    text = compact_json(value)
    assert json.loads(text) == value
    assert "[1, -2.5, null, 1e-07]" in text


def test_table_of_a_result_leaves_out_what_was_not_measured() -> None:
    measured = {**result(150), "barge_in_ms": percentiles([])}
    text = table(measured)
    assert "microphone to lip" in text and "barge-in" not in text
    assert list(figures(measured)) == ["mouth_to_lip_ms", "barge_in_ms"]


def test_report_leaves_out_rows_whose_keys_are_missing() -> None:
    text = report.table({"latency": {"mouth_to_lip_ms": percentiles([150.0] * 5)}})
    assert "mouth to lip" in text and "microphone to sound" not in text


def test_report_reads_the_committed_results() -> None:
    folder = Path(report.__file__).parents[1] / "results"
    found = {p.stem: json.loads(p.read_text("utf-8")) for p in folder.glob("*.json")}
    assert report.table(found).count("\n") >= 10


METRICS = """# TYPE visavis_frame_age_ms histogram
visavis_frame_age_ms_bucket{le="5.0",stage="draw"} 0.0
visavis_frame_age_ms_bucket{le="10.0",stage="draw"} 50.0
visavis_frame_age_ms_bucket{le="20.0",stage="draw"} 100.0
visavis_frame_age_ms_bucket{le="+Inf",stage="draw"} 100.0
visavis_frame_age_ms_count{stage="draw"} 100.0
other_seconds_bucket{le="1.0",stage="draw"} 7.0
"""


def test_one_figure_is_read_and_nothing_of_another_page() -> None:
    page = "# TYPE visavis_asyncio_tasks gauge\nvisavis_asyncio_tasks 41.0\n"
    assert stages.value(page, "visavis_asyncio_tasks") == 41.0
    assert stages.value(page, "visavis_sessions") is None
    assert stages.value("<html>no page of metrics", "visavis_asyncio_tasks") is None


def test_stages_are_read_from_histograms_and_interpolated() -> None:
    parsed = stages.parse(METRICS)
    assert list(parsed) == ["draw"]
    found = stages.between({}, parsed)["draw"]
    assert found == {"p50": 10.0, "p95": 19.0, "p99": 19.8, "n": 100}
    assert stages.between(parsed, parsed) == {}
    assert stages.parse("<html>nonsense") == {}


def test_stages_of_the_viewer_come_from_the_growth_of_totals() -> None:
    first = {"video.totalDecodeTime": 1.0, "video.framesDecoded": 100}
    last = {"video.totalDecodeTime": 1.5, "video.framesDecoded": 350}
    assert stages.viewer([first, last]) == {"video_decode": 2.0}
    assert stages.viewer([first]) == {}


def test_a_failed_measurement_is_one_sentence_and_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> int:
        raise BenchmarkError("It cannot be.")

    assert guarded(fail) == FAILED
    assert capsys.readouterr().err == "visavis bench: It cannot be.\n"


def test_machine_speed_is_about_the_same_a_moment_later() -> None:
    """An index that could not tell a machine from one ten times slower would be none."""
    first, second = speed.machine_speed(15), speed.machine_speed(15)
    assert 0.1 < second["index"] / first["index"] < 10
    assert speed.between(first, first)["index"] == pytest.approx(first["index"], abs=0.002)


def test_machine_speed_halves_when_everything_takes_twice_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speed, "_median_ms", lambda work, repeats: 1.0)
    monkeypatch.setattr(speed, "REFERENCE_MS", dict.fromkeys(speed.REFERENCE_MS, 0.5))
    assert speed.machine_speed()["index"] == 0.5


def test_two_results_name_the_speed_of_their_machines() -> None:
    one = {"a_ms": {"p50": 2.0, "p95": 3.0, "p99": 3.0, "n": 9}, "machine_speed": {"index": 1.0}}
    text = compare.compare(one, {**one, "machine_speed": {"index": 0.5}})
    assert "Machine speed 1.00 and 0.50" in text and "2.00 is the machine's" in text
    assert "machine speed 0.50" in table({**one, "machine_speed": {"index": 0.5}})


def test_two_servers_alternate_and_neither_always_begins() -> None:
    assert versus.order(4) == [(0, 1), (1, 0), (0, 1), (1, 0)]


def test_rounds_are_added_up() -> None:
    def part(values: list[float], shown: int, late: float) -> dict[str, Any]:
        frames = {"shown": shown, "expected": 100, "late_percent": late}
        return {"samples": {"mouth_to_lip_ms": values}, "frames": frames, "method": {}}

    both = versus.together([part([1.0, 2.0], 100, 0.0), part([3.0], 50, 3.0)])
    assert both["mouth_to_lip_ms"]["p50"] == 2.0 and both["mouth_to_lip_ms"]["n"] == 3
    assert both["frames"]["missing_percent"] == 25.0
    assert both["frames"]["late_percent"] == 1.0


def test_folders_on_the_way_are_made_with_the_result_and_not_before(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "newer" / "result.json")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["folder", "file/result.json", "file/below/result.json"])
def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BenchmarkError, match=r"is a f(older|ile)"):
        check_writable(tmp_path / name)


def test_a_folder_that_is_not_ours_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere, so the system's answer is played.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(BenchmarkError, match="cannot be written to"):
        check_writable(tmp_path / "new" / "result.json")


def test_a_simulation_that_could_not_be_kept_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[object] = []
    monkeypatch.setattr(scale, "read_measured", begun.append)
    assert scale.main(["--json", str(tmp_path)]) == FAILED
    assert not begun and "is a folder; name a file in it" in capsys.readouterr().err
