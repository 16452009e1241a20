"""Signing in and the detector over HTTP: who is asked, what is said, and that nothing is kept."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.processes.fake_server import put_avatar
from tests.unit.streamer.trust.test_tokens import SERVER_TOKEN, bearer
from tests.unit.streamer.trust.test_verdict import film
from visavis.streamer.avatars.detector import verifying
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import Config, LimitsConfig, ServerConfig, TrustConfig
from visavis.streamer.http.app import create_app
from visavis.streamer.trust.marks.deployment import payload_for, watermark_key
from visavis.streamer.trust.marks.mark import Marking
from visavis.streamer.trust.marks.verdict import verify_file
from visavis.streamer.trust.wall import WallTime

BASE = "http://127.0.0.1:8080"


def app_at(folder: Path, **trust: Any) -> Any:
    config = Config(
        data_dir=folder,
        server=ServerConfig(token=SERVER_TOKEN),
        limits=LimitsConfig(verify_bytes=1_000_000),
        trust=TrustConfig(**trust),
    )
    put_avatar(folder, "a", "Ada", "#777777")
    return create_app(config, avatars=AvatarStore(folder, config.limits, 256))


@pytest.fixture
def app(tmp_path: Path) -> Any:
    return app_at(tmp_path)


@pytest.fixture
async def http(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as opened:
        yield opened


async def me(http: httpx.AsyncClient, text: str) -> tuple[int, str]:
    answer = await http.get("/api/me", headers=bearer(text))
    said = answer.json()
    return answer.status_code, said.get("scope") or said["code"]


async def test_every_token_says_what_it_opens_or_why_it_does_not(
    app: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = app.state.services.avatars.tokens
    made = {scope: office.create(scope, 60) for scope in ("watch", "speak", "enrol", "administer")}
    for scope, (text, _) in made.items():
        assert await me(http, text) == (200, scope)
    assert await me(http, SERVER_TOKEN) == (200, "administer")
    assert (await http.get("/api/me", headers=bearer(SERVER_TOKEN))).json()["asks"] is True
    text, record = made["speak"]
    assert (await http.get("/api/me")).status_code == 401
    assert await me(http, "wrong") == (401, "token")
    assert await me(http, text[:-1] + ("0" if text[-1] != "0" else "1")) == (401, "token")
    single, used = office.create("speak", 60, single=True)
    assert await me(http, single) == (200, "speak"), "asking uses nothing up"
    office.use_up(used.caller)
    assert await me(http, single) == (401, "token-used")
    office.revoke(record.id)
    assert await me(http, text) == (401, "token-revoked")
    late = WallTime.seconds
    monkeypatch.setattr(WallTime, "seconds", lambda self: late(self) + 61)
    assert await me(http, made["watch"][0]) == (401, "token-expired")


async def test_nobody_is_asked_on_localhost(tmp_path: Path) -> None:
    put_avatar(tmp_path, "a", "Ada", "#777777")
    app = create_app(Config(data_dir=tmp_path), avatars=AvatarStore(tmp_path, LimitsConfig(), 256))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
        assert (await http.get("/api/me")).json()["asks"] is False


@pytest.mark.parametrize("page", ["/login", "/verify"])
async def test_the_pages_need_no_token_and_set_no_cookie(
    http: httpx.AsyncClient, page: str
) -> None:
    answer = await http.get(page)
    assert answer.status_code == 200 and "set-cookie" not in answer.headers
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert "<script type=" in answer.text and "<script>" not in answer.text


async def test_another_site_can_do_nothing_with_a_browser_that_is_signed_in(
    http: httpx.AsyncClient,
) -> None:
    """A token travels in a header only, which no other page can set; cookies count for nothing."""
    cookies = {"cookie": f"token={SERVER_TOKEN}; authorization=Bearer {SERVER_TOKEN}"}
    assert (await http.get("/api/me", headers=cookies)).status_code == 401
    assert (await http.get(f"/api/me?token={SERVER_TOKEN}")).status_code == 401
    foreign = {**bearer(SERVER_TOKEN), "origin": "https://evil.example"}
    for method, path in (("POST", "/api/verify"), ("DELETE", f"/api/avatars/{'a' * 32}")):
        answer = await http.request(method, path, headers=foreign)
        assert (answer.status_code, answer.json()["code"]) == (403, "origin")
    asked = await http.options("/api/me", headers={"origin": "https://evil.example"})
    assert asked.status_code == 403
    assert "access-control-allow-origin" not in asked.headers


# ---------------------------------------------------------------- the detector


LIES = (
    b'{"found": {"made_here": "x", "watermark": "zz", "deployment": "a", "session": [], '
    b'"score": {}, "chance": 0, "label": 0, "manifest": 3, "words": "w"}}'
)


def copies(folder: Path, data: bytes) -> list[str]:
    """Names of the files below a folder that hold the middle of some data."""
    piece = data[len(data) // 2 :][:64]
    return [p.name for p in folder.rglob("*") if p.is_file() and piece in p.read_bytes()]


def left_over() -> set[str]:
    return {entry.name for entry in Path(tempfile.gettempdir()).glob("visavis-verify-*")}


async def send(http: httpx.AsyncClient, data: bytes, text: str = SERVER_TOKEN) -> httpx.Response:
    return await http.post("/api/verify", content=data, headers=bearer(text))


async def test_it_says_what_the_command_says_and_keeps_nothing(
    app: Any, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    key = watermark_key(tmp_path)
    marked = Marking(payload=payload_for(tmp_path, "a session"))
    for marking in (marked, Marking(False)):
        path = film(tmp_path / "video.mp4", marking)
        data = path.read_bytes()
        before = left_over()
        answer = await send(http, data)
        assert answer.status_code == 200, answer.text
        expected = verify_file(path, key, tmp_path).describe()
        assert answer.json()["words"] == expected["words"]
        assert answer.json() == {k: v for k, v in expected.items() if k != "file"}
        assert answer.json()["marked"] is (marking is marked)
        assert left_over() == before
        assert copies(tmp_path, data) == [path.name]
    watcher, _ = app.state.services.avatars.tokens.create("watch", 60)
    assert (await send(http, b"", watcher)).json()["error"] == "The file is empty."
    assert (await http.post("/api/verify", content=b"x")).status_code == 401


async def test_what_is_no_video_is_one_sentence(http: httpx.AsyncClient, tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(b"RIFF" + bytes(400))
    for data in (b"no video", b"\x00\x00\x00\x18ftypmp42" + bytes(200), sound.read_bytes()):
        answer = await send(http, data)
        assert (answer.status_code, answer.json()["code"]) == (422, "no-video")
        assert answer.json()["error"].count(".") == 1 and "/proc" not in answer.text
    large = await send(http, bytes(1_000_001))
    assert (large.status_code, large.json()["code"]) == (413, "too-large")
    assert large.json()["error"] == (
        "This video is larger than 1 MB, the most that is looked at here; "
        "the command visavis verify has no such limit."
    )
    elsewhere = await http.post(
        "/api/offer", content=bytes(2_000_000), headers=bearer(SERVER_TOKEN)
    )
    assert elsewhere.json()["error"].startswith("What was sent is larger than 1")


async def test_one_at_a_time_and_not_for_ever(
    app: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = app.state.services.detector
    async with detector.turn():
        busy = await send(http, b"x")
    assert (busy.status_code, busy.json()["code"]) == (503, "detector-busy")
    assert int(busy.headers["retry-after"]) > 0
    monkeypatch.setattr(verifying, "_WITHIN_S", 0.01)
    slow = await send(http, b"x")
    assert (slow.status_code, slow.json()["code"]) == (422, "too-long")


PROBE = """
import json, socket, subprocess, sys
from pathlib import Path
from visavis.streamer.avatars.sandbox import ProcessLimits, confine
job, secrets = json.loads(sys.argv[1]), sys.argv[2:]
limits = ProcessLimits(**job["limits"])
readable, writable = [Path(p) for p in job["readable"]], [Path(job["folder"])]
held = confine(limits, readable=readable, writable=writable)
def tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"
said = {Path(p).name: tried(lambda: open(p, "rb").read()) for p in secrets}
said["network"] = tried(lambda: socket.create_connection(("127.0.0.1", 9), 1))
said["program"] = tried(lambda: subprocess.run(["/bin/true"]))
print(json.dumps([list(held), said]))
"""


def secrets_of(data: Path) -> list[Path]:
    return [*data.glob("trust/*.key"), *data.glob("avatars/*/record.json")]


async def test_who_takes_the_child_over_that_reads_a_video_gets_no_key_and_no_way_out(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watermark_key(tmp_path)
    secrets = secrets_of(tmp_path)
    assert len(secrets) >= 3
    real, asked = asyncio.create_subprocess_exec, []

    async def seen(*command: str, **more: Any) -> Any:
        asked.append((command, more))
        return await real(*command, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", seen)
    monkeypatch.setenv("VISAVIS_TOKEN", SERVER_TOKEN)
    assert (await send(http, b"no video")).status_code == 422
    [(command, more)] = asked
    job = json.loads(command[-1])
    assert SERVER_TOKEN not in str(more["env"])
    os.mkdir(job["folder"])
    probe = await real(
        sys.executable, "-P", "-B", "-c", PROBE, command[-1], *map(str, secrets),
        stdout=asyncio.subprocess.PIPE, env=more["env"], cwd=job["folder"],
    )  # fmt: skip
    out, _ = await asyncio.wait_for(probe.communicate(), 60)
    shutil.rmtree(job["folder"], ignore_errors=True)
    held, said = json.loads(out)
    if not {"files", "network-namespace", "syscalls"} <= set(held):
        pytest.skip(f"this kernel grants {', '.join(held)} only")
    assert "done" not in said.values(), said


async def test_no_token_is_ever_in_the_log(
    app: Any, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    text, _ = app.state.services.avatars.tokens.create("watch", 60)
    wrong = "a wrong one, which may be somebody's right one elsewhere"
    for token in (SERVER_TOKEN, text, wrong, f"{text[:-1]}x"):
        for _ in range(11):
            await http.get("/api/me", headers=bearer(token))
    assert "wrong tokens" in caplog.text, "it is read at all"
    for token in (SERVER_TOKEN, text, wrong):
        assert token not in caplog.text and token[-16:] not in caplog.text


async def test_the_server_s_token_is_compared_in_constant_time(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, compared = hmac.compare_digest, []

    def compare(one: Any, other: Any) -> bool:
        compared.append({one, other})
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for path in ("/api/me", "/api/rooms/tea"):
        await http.get(path, headers=bearer("wrong"))
    assert compared.count({b"wrong", SERVER_TOKEN.encode()}) == 2


@pytest.mark.parametrize(
    "said", [b"", b"[]", b'{"found": {}}', b'{"found": {"file": 1}}', b"\xff", LIES]
)
async def test_a_child_that_was_taken_over_says_nothing_that_is_believed(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    real = asyncio.create_subprocess_exec

    async def other(*_: Any, **more: Any) -> Any:
        return await real("printf", "%b", "".join(f"\\0{b:03o}" for b in said), **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", other)
    answer = await send(http, b"x" * 9)
    assert (answer.status_code, answer.json()["code"]) == (503, "detector-off")


async def test_it_can_be_open_to_the_public(tmp_path: Path) -> None:
    app = app_at(tmp_path, open_detector=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
        assert (await http.post("/api/verify", content=b"x")).json()["code"] == "no-video"
        assert (await http.get("/api/avatars")).status_code == 401
