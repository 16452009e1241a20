"""The doctor: right on this machine, and right about what is broken on purpose."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from visavis.models.appearance.photo.photo import sanitise
from visavis.models.appearance.portrait import synthetic_portrait
from visavis.models.appearance.tracker.provider import open_tracker
from visavis.streamer import cpu
from visavis.streamer.avatars.sandbox import MEASURES
from visavis.streamer.commands import doctor, reach
from visavis.streamer.config import Config, EngineConfig, IceConfig, ServerConfig
from visavis.streamer.trust.audit import AuditLog


def config_at(path: Path, port: int = 0) -> Config:
    return Config(data_dir=path, server=ServerConfig(port=port))


def test_everything_needed_works_here(tmp_path: Path) -> None:
    checks = {c.name: c for c in doctor.run_checks(config_at(tmp_path / "data"))}
    assert [c for c in checks.values() if c.verdict == "fail"] == []
    expected = {"Python", "engine cpu", "model face", "model motion", "codec H264", "codec VP8"}
    assert expected | {"codec Opus", "face tracker", "speed", "network", "port"} <= set(checks)
    assert "ms a frame" in checks["speed"].detail
    for check in checks.values():
        assert check.detail.endswith(".") and (check.verdict == "ok" or check.advice)


def test_a_changed_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    for path in doctor.WEIGHTS.glob("*/manifest.json"):
        shutil.copytree(path.parent, weights / path.parent.name)
    monkeypatch.setattr(doctor, "WEIGHTS", weights)
    assert {c.verdict for c in doctor.models()} == {"ok"}
    manifest = json.loads((weights / "motion" / "manifest.json").read_text())
    graph = weights / "motion" / manifest["file"]
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(bytes(data))
    verdicts = {c.name: c.verdict for c in doctor.models()}
    assert verdicts["model motion"] == "fail" and verdicts["model face"] == "ok"
    graph.unlink()
    assert "missing" in next(c.detail for c in doctor.models() if c.name == "model motion")
    shutil.rmtree(weights)
    assert [c.verdict for c in doctor.models()] == ["fail"]


def test_every_file_of_a_model_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(doctor.WEIGHTS / "motion", tmp_path / "motion")
    monkeypatch.setattr(doctor, "WEIGHTS", tmp_path)
    flow = tmp_path / "motion" / "flow.onnx"
    flow.write_bytes(flow.read_bytes()[:-1] + b"?")
    (check,) = doctor.models()
    assert check.verdict == "fail" and "flow.onnx" in check.detail


def test_a_log_that_was_tampered_with_is_found(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    assert [c.name for c in doctor.data_folder(config)] == ["data folder"]
    log = AuditLog(tmp_path / "audit.jsonl")
    for event in ("enrolled", "started", "ended"):
        log.record(event, "anna")
    last = list(doctor.data_folder(config))[-1]
    assert (last.name, last.verdict) == ("audit log", "ok") and "3 entries" in last.detail
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    last = list(doctor.data_folder(config))[-1]
    assert last.verdict == "fail" and "entry 1" in last.detail and last.advice


def test_a_taken_port_and_a_foreign_address_are_told_apart(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (check,) = doctor.port(config_at(tmp_path, taken.getsockname()[1]))
    assert check.verdict == "warn" and "taken" in check.detail
    server = ServerConfig(host="203.0.113.9", port=0)
    foreign = config_at(tmp_path).model_copy(update={"server": server})
    (check,) = doctor.port(foreign)
    assert check.verdict == "fail" and "refused" in check.detail


def test_a_data_folder_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (check,) = doctor.data_folder(config_at(tmp_path / "file"))
    assert check.verdict == "fail" and "--data" in check.advice


def test_an_engine_that_is_asked_for_and_missing_fails(tmp_path: Path) -> None:
    engine = EngineConfig(engine="tensorrt")
    wanted = config_at(tmp_path).model_copy(update={"engine": engine})
    verdicts = {c.name: c.verdict for c in doctor.engines(wanted)}
    assert verdicts["engine tensorrt"] == verdicts["engine in use"] == "fail"


def test_one_broken_check_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oops")

    for name in ("engines", "_enrolment"):
        monkeypatch.setattr(doctor, name, lambda config: iter(()))
    monkeypatch.setattr(doctor, "_codecs", broken)
    checks = {c.name: c for c in doctor.run_checks(config_at(tmp_path))}
    assert checks["codecs"].verdict == "fail" and "oops" in checks["codecs"].detail
    assert checks["Python"].verdict == "ok" and "port" in checks


def test_what_the_kernel_refuses_is_said() -> None:
    held = ("limits", "dies-with-parent", "network-namespace", "files", "syscalls")
    assert doctor.isolation(held).verdict == "ok"
    partial = doctor.isolation(held[:3])
    assert partial.verdict == "warn"
    assert "no files" in partial.detail and "no network" not in partial.detail


def test_the_drawn_person_has_one_face_of_a_useful_size() -> None:
    tracker = open_tracker()
    (face,) = tracker.detect(sanitise(synthetic_portrait()))
    tracker.close()
    assert face.width > 200 and face.score > 0.8


@pytest.mark.parametrize(
    ("server", "verdict", "words", "advice"),
    [
        ({}, "ok", "Only this machine", "--tls-self-signed"),
        ({"allowed_origins": ["https://a.example"]}, "ok", "https://a.example", ""),
        ({"host": "0.0.0.0"}, "warn", "no microphone", "--tls-self-signed"),
        ({"host": "192.0.2.9"}, "warn", "http://192.0.2.9:8080", "--tls-self-signed"),
        ({"host": "::", "tls_self_signed": True}, "ok", "once it trusts", "visavis certificate"),
        ({"host": "0.0.0.0", "tls_cert": "a", "tls_key": "b"}, "ok", "can call at https", ""),
    ],
)
def test_what_a_phone_can_do_is_said(
    server: dict[str, object],
    verdict: str,
    words: str,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reach, "reachable_addresses", lambda: ["192.0.2.2", "2001:db8::2"])
    config = Config(server=ServerConfig(**server))  # type: ignore[arg-type]
    (check,) = reach.other_devices(config)
    assert (check.verdict, words in check.detail, advice in check.advice) == (verdict, True, True)


def test_what_a_browser_is_offered_is_said() -> None:
    ice = IceConfig(advertise=("203.0.113.7",), udp_port_min=50000, udp_port_max=50100)
    (check,) = reach.offered(Config(ice=ice), ["127.0.0.1", "192.0.2.2"])
    assert "192.0.2.2, 203.0.113.7, UDP ports 50000-50100" in check.detail
    (check,) = reach.offered(Config(server=ServerConfig(host="0.0.0.0")), ["127.0.0.1"])
    assert check.verdict == "warn"
    (check,) = reach.offered(Config(), [])
    assert check.verdict == "fail"


def test_the_sandbox_names_what_does_not_hold() -> None:
    assert doctor.isolation(MEASURES).verdict == "ok"
    check = doctor.isolation(("limits", "dies-with-parent", "files"))
    assert check.verdict == "warn"
    assert "no network" in check.detail and "no other system calls" in check.detail
    assert "no files" not in check.detail and "photo_sandbox" in check.advice


@pytest.mark.parametrize(
    ("flags", "verdict"), [("sse4_2 avx avx2 fma", "ok"), ("sse2 ssse3 cx16", "warn")]
)
def test_a_processor_without_what_is_needed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, verdict: str
) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text(f"flags : {flags}\n")
    lacking = cpu.missing(described, "x86_64")
    monkeypatch.setattr(cpu, "missing", lambda: lacking)
    (check,) = doctor.processor()
    assert check.verdict == verdict
    if verdict == "warn":
        assert "AVX2" in check.detail and "host" in check.advice


@pytest.mark.parametrize(
    ("system", "verdicts"), [("Linux", []), ("Darwin", ["warn"]), ("Windows", ["fail"])]
)
def test_a_system_that_lacks_something_is_said(
    monkeypatch: pytest.MonkeyPatch, system: str, verdicts: list[str]
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    assert [check.verdict for check in doctor.system()] == verdicts
