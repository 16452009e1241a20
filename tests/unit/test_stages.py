"""What counts as a red run: a fault in every try, an unexpected skip, a stage that does not end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import stages

FLAKY = """
import pathlib
def test_flaky():
    tries = pathlib.Path(__file__).with_suffix(".tries")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    assert len(tries.read_text()) > {failures}, "not yet"
"""
SKIPS = """
import pytest
def test_skips():
    pytest.skip("no browser")
"""


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "live").mkdir()
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine" / "test_fine.py").write_text(
        "import pytest\ndef test_fine(): pass\n@pytest.mark.timed\ndef test_timed(): pass\n"
    )
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = -p tests.strict_skips -p pytest_rerunfailures -p pytest_cov.plugin\n"
        "markers =\n  slow: s\n  timed: t\n"
    )
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    monkeypatch.setattr(stages, "KEPT", tmp_path / "build" / "tests")
    monkeypatch.setattr(stages, "COVERED", ())
    monkeypatch.setattr(stages, "BOTH", ())
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # seconds for each stage
    monkeypatch.setattr(stages, "COMPUTING", ("fine/test_fine.py",))
    monkeypatch.setattr(stages, "LIVE", ("live", "fine"))
    monkeypatch.setattr(stages, "measured", lambda: 0)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    return tmp_path / "live"


def test_a_fault_that_passes_alone_is_named_and_does_not_fail_the_run(
    live: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (live / "test_flaky.py").write_text(FLAKY.format(failures=2))
    assert stages.main(["--no-unexpected-skips"]) == 0
    said = capfd.readouterr().out
    end = said[said.index("== what failed at first") :]
    assert "test_flaky: AssertionError: not yet" in end and "once more" not in end


def test_a_fault_in_every_try_fails_the_run(live: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (live / "test_flaky.py").write_text(FLAKY.format(failures=4))
    assert stages.main([]) == 1
    assert "once more: live.test_flaky::test_flaky" in capfd.readouterr().out


def test_a_skip_is_not_made_good_by_a_fault_that_is(
    live: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (live / "test_flaky.py").write_text(FLAKY.format(failures=2))
    (live / "test_skips.py").write_text(SKIPS)
    assert stages.main(["--no-unexpected-skips"]) == 1
    assert "test_skips: skipped: no browser" in capfd.readouterr().out.split("== what failed")[1]


def test_a_stage_that_does_not_end_fails_the_run(live: Path) -> None:
    (live / "test_ends.py").write_text("import os\ndef test_ends(): os._exit(1)\n")
    assert stages.main([]) == 1
