"""The audit log: whatever is changed in it is noticed."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from visavis.streamer.trust.audit import GENESIS, AuditError, AuditLog, verify


def filled(path: Path, entries: int = 3) -> AuditLog:
    log = AuditLog(path, now=lambda: "2026-01-02T03:04:05.000+00:00")
    for i in range(entries):
        log.record("enrol", f"{i:032x}", statement_sha256="ab" * 32, size=512)
    return log


def test_entries_follow_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert filled(path).record("erase", "0" * 32).n == 4
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [e["n"] for e in entries] == [1, 2, 3, 4]
    assert entries[0]["prev"] == GENESIS and entries[3]["prev"] == entries[2]["hash"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert verify(path) == 4
    assert AuditLog(path).record("erase", "1" * 32).n == 5  # another process goes on
    assert verify(path) == 5


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    filled(path, 2)
    whole = path.read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << (0, 3, 5, 7)[place % 4]
        path.write_bytes(bytes(data))
        with pytest.raises(AuditError):
            verify(path)
    path.write_bytes(whole)
    assert verify(path) == 2


def test_removed_swapped_and_cut_entries_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    filled(path)
    a, b, c = path.read_bytes().splitlines(keepends=True)
    for changed in (b + c, a + c, a + c + b, a + b + c + c, a + b + c[:-9], a + b"\n" + b + c):
        path.write_bytes(changed)
        with pytest.raises(AuditError):
            verify(path)


def test_a_torn_entry_never_was_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = filled(path)
    path.write_bytes(path.read_bytes() + b'{"n":4,"time":"20')
    with pytest.raises(AuditError, match="middle"):
        verify(path)
    assert log.record("erase", "0" * 32).n == 4
    assert verify(path) == 4


def test_a_broken_log_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = filled(path)
    path.write_bytes(path.read_bytes().replace(b'"n":3', b'"n":9'))
    with pytest.raises(AuditError, match="last entry"):
        log.record("erase", "0" * 32)
    with pytest.raises(AuditError, match="cannot be read"):
        verify(tmp_path / "absent.jsonl")


def _write_many(path: str) -> None:
    for i in range(25):
        AuditLog(Path(path)).record("session-start", f"{i:032x}")


def test_several_processes_share_a_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(str(path),)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert verify(path) == 75


def test_a_long_log_is_set_aside_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for n in range(1, 31):
        assert AuditLog(path, longest=2000).record("erase", f"{n:032x}").n == n
    parts = sorted(p.name for p in tmp_path.iterdir())
    assert len(parts) > 2 and "audit-000001.jsonl" in parts
    assert all((tmp_path / part).stat().st_size < 2400 for part in parts)
    assert verify(path) == 30
    second = tmp_path / "audit-000002.jsonl"
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(AuditError, match="does not follow on"):
        verify(path)
    second.write_bytes(kept.replace(b"erase", b"enrol", 1))
    with pytest.raises(AuditError, match="hash"):
        verify(path)


def _fill_slowly(path: Path) -> None:
    for n in range(40):
        AuditLog(path, longest=1500).record("erase", f"{n:032x}")


def test_processes_that_set_a_log_aside_together_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill_slowly, args=(path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert verify(path) == 120


def test_a_full_disk_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    log = filled(path)
    whole = path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    with pytest.raises(OSError, match="No space"):
        log.record("erase", "0" * 32)
    monkeypatch.undo()
    assert path.read_bytes() == whole
    assert log.record("erase", "0" * 32).n == 4 and verify(path) == 4


def test_a_disk_that_cannot_set_a_log_aside_loses_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of the rotation: the log grows on, and is set aside later."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, longest=1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    assert [log.record("enrol", "0" * 32).n for _ in range(3)] == [1, 2, 3]
    assert verify(path) == 3 and not list(tmp_path.glob("audit-*.jsonl"))
    monkeypatch.undo()
    log.record("enrol", "0" * 32)
    assert verify(path) == 4 and len(list(tmp_path.glob("audit-*.jsonl"))) == 1


def test_the_command_verifies_and_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from visavis.streamer.cli.main import app

    log = AuditLog(tmp_path / "audit.jsonl", longest=600)  # set aside in the middle
    for number in range(8):
        log.record("session-start", f"{number % 2}" * 32, session=f"s{number}")

    def run(*words: str) -> tuple[int, str]:
        said = CliRunner().invoke(app, ["audit", *words, "--data", str(tmp_path)])
        return said.exit_code, said.output

    code, output = run("verify")
    assert code == 0 and "8 entries" in output and log.record("x", "y").prev in output
    code, output = run("show", "1" * 32)
    assert output.count("session-start") == 4 and "session=s3" in output
    code, output = run("show", "s3", "--json")
    assert code == 0 and output.count('"hash"') == 1
    files = sorted(tmp_path.glob("audit-*.jsonl"))
    whole = files[0].read_bytes()
    files[0].write_bytes(whole.replace(b"s0", b"s9"))
    assert run("verify")[0] != 0 and run("nonsense")[0] != 0
