"""``visavis bench trust``: goes on where it was broken off, and fits what it says it fits."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path

import numpy as np
import pytest

from tests.unit.streamer.trust.test_watermark import person
from visavis.benchmarks.trust import alarms, table
from visavis.benchmarks.trust.alarms import Score, summary, tail
from visavis.benchmarks.trust.attacks import nothing
from visavis.benchmarks.trust.clips import Wanted
from visavis.benchmarks.trust.table import Cell
from visavis.streamer.media.encoder import to_i420
from visavis.streamer.trust.marks.watermark_detector import LEAST_SCORE

SIZE = 128


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """Two people whose clips are kept already, so that nobody is drawn."""
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    kept = tmp_path / "kept"
    kept.mkdir()
    pictures = np.stack([to_i420(p) for p in person(60, SIZE)])
    for number in range(2):
        np.save(kept / f"{number:03}.npy", pictures)
    return Wanted(tmp_path, tmp_path / "none.wav", 2, 1, SIZE)


def test_a_table_goes_on_where_it_was_broken_off(
    wanted: Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    monkeypatch.setattr(table, "ATTACKS", {"none": nothing})
    late, soon = time.monotonic() - 1, time.monotonic() + 600
    assert not table.measure(wanted, kept, ["raw frames"], 40, late) and not table.cells(kept)
    assert table.measure(wanted, kept, ["raw frames"], 1, soon)
    [first] = table.cells(kept)
    assert first.read and first.wrong < 20 and first.psnr_db > 46  # one tile: flat blocks are lost
    assert table.measure(wanted, kept, ["raw frames"], 40, soon)
    both = table.cells(kept)
    assert both[0] == first and [cell.clip for cell in both] == [0, 1]
    [row] = table.rows(both)
    assert (row["n"], row["read"], row["detection_rate"]) == (2, 2, 1.0)
    assert row["bit_error"]["p50"] < 0.12 and row["least_score"] > LEAST_SCORE


def test_what_is_not_read_counts_against_the_rate_but_has_no_bits() -> None:
    cells = [Cell(n, "file", "none", n > 0, 10.0 * n, 172 if n == 0 else 4, 49.0) for n in range(4)]
    [row] = table.rows(cells)
    assert (row["detection_rate"], row["least_score"]) == (0.75, 0.0)
    assert row["bit_error"]["p99"] == round(4 / 172, 4)


def test_another_payload_than_the_clips_own_is_not_read(
    wanted: Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ATTACKS", {"none": nothing})
    given = iter([bytes(8), bytes([1] * 8)])
    monkeypatch.setattr(table, "payload_of_clip", lambda number: next(given))
    table.measure(wanted, tmp_path / "kept", ["raw frames"], 1, time.monotonic() + 600)
    assert [cell.read for cell in table.cells(tmp_path / "kept")] == [False]


def test_the_tail_is_gumbels_and_its_interval_is_over_videos() -> None:
    rng = np.random.default_rng(2)
    known = [
        Score(f"video {n % 20}", "as it is", float(n), float(rng.gumbel(14.0, 1.5)), False)
        for n in range(800)
    ]
    fitted = tail(known)
    assert fitted is not None
    assert fitted["place"] == pytest.approx(14.0, abs=0.2)
    assert fitted["spread"] == pytest.approx(1.5, abs=0.15)
    true = -math.expm1(-math.exp(-(LEAST_SCORE - 14.0) / 1.5)) * alarms.CHECK
    low, high = fitted["interval_95"]
    assert low < true < high and low < fitted["false_alarm_rate"] < high
    assert tail(known[:4]) is None, "four videos tell nothing of an interval"


def test_real_and_drawn_videos_are_counted_apart(tmp_path: Path) -> None:
    scores = [
        Score("a.mp4", "mirrored", 0.0, 30.0, False),
        Score("drawn person 1", "", 0.0, 9, True),
    ]
    with (tmp_path / "unmarked.jsonl").open("w") as out:
        out.writelines(json.dumps(score.__dict__) + "\n" for score in scores)
    said = summary(alarms.scores(tmp_path))
    assert (said["real"]["above_threshold"], said["real"]["false_alarms"]) == (1, 0)
    assert (said["drawn"]["above_threshold"], said["drawn"]["false_alarms"]) == (0, 1)


def test_what_is_written_of_the_watermark_is_what_was_measured() -> None:
    """The table of docs/trust.md, and README's sum of it, against the recorded figures."""
    root = Path(__file__).resolve().parents[4]
    rows = json.loads((root / "benchmarks/results/trust.json").read_text())["table"]
    measured = {(row["exit"], row["attack"]): row for row in rows}
    text = (root / "docs/trust.md").read_text("utf-8")
    lines = [
        line.strip("| ").split(" | ")
        for line in text.splitlines()
        if " of " in line or "read back;" in line
    ]
    [head] = [line[1:] for line in lines if line[0].startswith("read back; wrong bits")]
    written = {}
    for attack, *cells in (line for line in lines if line[0] in table.ATTACKS):
        for way, cell in zip(head, cells, strict=True):
            written[way, attack] = cell
    assert set(written) == set(measured) and len(written) == len(head) * len(table.ATTACKS)
    for place, cell in written.items():
        row = measured[place]
        wrong = row["bit_error"]
        said = f"{row['read']} of {row['n']}; {100 * wrong['p50']:.1f} / {100 * wrong['p95']:.1f} %"
        assert cell == said, place
    readme = " ".join((root / "README.md").read_text("utf-8").split())
    found = re.search(r"watermark was read back in (\d+) of (\d+) clips[^(]*\(([^)]*)\)", readme)
    assert found is not None
    live = [row for row in rows if row["exit"].startswith("live") or "file" in found[3]]
    assert [int(found[1]), int(found[2])] == [sum(r[k] for r in live) for k in ("read", "n")]
