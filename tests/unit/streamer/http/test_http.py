"""Who may ask, for what, and how much: the guard in front of the routes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI

from tests.fakes.fake_avatars import FakeAvatars
from visavis.models.appearance.photo.errors import Code
from visavis.streamer.avatars.record import STATEMENT_LENGTH
from visavis.streamer.config import Config, LimitsConfig, ServerConfig
from visavis.streamer.errors import BadRequest
from visavis.streamer.http.app import create_app
from visavis.web import STATIC_DIR

PAGE = "https://embedder.example"
TOKEN = "correct horse battery"
FROM_THE_ROOT = re.compile(
    r"""(?:href|src|action)=["']/|url\(["']?/|(?:fetch|URL|import)\(["'`]/|from ["']/"""
    r"""|["'`]/(?:api|static)/"""
)


def http_app(folder: Path, **server: Any) -> FastAPI:
    config = Config(data_dir=folder, server=ServerConfig(**server), limits=LimitsConfig())
    return create_app(config, avatars=FakeAvatars(folder, "anna"))  # type: ignore[arg-type]


def client(folder: Path, **server: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(http_app(folder, **server), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.org"])
def test_no_open_door_without_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadRequest, match="token"):
        client(tmp_path, host=host)
    client(tmp_path, host=host, token=TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "10.0.0.9"])
async def test_own_host_names(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/api/avatars", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""]
)
async def test_rebound_host_names_are_refused(http: httpx.AsyncClient, host: str) -> None:
    response = await http.get("/api/avatars", headers={"host": host})
    assert response.status_code == 403 and response.json()["code"] == "host"


@pytest.mark.parametrize("host", ["[", "[::1", "]", "[x]"])
async def test_a_host_that_cannot_be_read(http: httpx.AsyncClient, host: str) -> None:
    response = await http.get("/api/avatars", headers={"host": host})
    assert response.status_code in (400, 403) and response.json()["code"] == "host"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),
        ({"origin": "http://127.0.0.1:8080"}, 404),
        ({"origin": "http://127.0.0.1:8081"}, 403),
        ({"origin": "https://127.0.0.1:8080"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 404),
    ],
)
async def test_writing_needs_the_same_origin(
    http: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    assert (await http.delete("/api/avatars/nobody", headers=headers)).status_code == status


async def test_a_named_origin_may_embed(tmp_path: Path) -> None:
    async with client(tmp_path, allowed_origins=(PAGE,)) as http:
        preflight = await http.options("/api/offer", headers={"origin": PAGE})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert "access-control-allow-credentials" not in preflight.headers
        allowed = preflight.headers["access-control-allow-headers"]
        assert {"authorization", "content-type", "if-match"} <= set(allowed.split(", "))
        other = await http.options("/api/offer", headers={"origin": "https://other.example"})
        assert other.status_code == 403 and "access-control-allow-origin" not in other.headers
        answer = await http.delete("/api/avatars/nobody", headers={"origin": PAGE})
        assert answer.status_code == 404
        assert answer.headers["access-control-allow-origin"] == PAGE
        seen = set(answer.headers["access-control-expose-headers"].split(", "))
        assert {"location", "link", "etag", "retry-after"} <= seen
        # A refusal has to be readable too, or the page cannot tell why.
        missing = await http.get("/api/avatars/nobody", headers={"origin": PAGE})
        assert missing.headers["access-control-allow-origin"] == PAGE


async def test_the_token_guards_everything_but_the_page(tmp_path: Path) -> None:
    async with client(tmp_path, host="0.0.0.0", token=TOKEN) as http:
        for path in ("/api/avatars", "/api/sessions", "/metrics", "/openapi.json"):
            assert (await http.get(path)).status_code == 401
            wrong = await http.get(path, headers={"authorization": f"Bearer {TOKEN}2"})
            assert wrong.status_code == 401
            right = await http.get(path, headers={"authorization": f"Bearer {TOKEN}"})
            assert right.status_code == 200
        assert (await http.get("/")).status_code == 200
        assert (await http.post("/api/offer", json={})).status_code == 401


async def test_bodies_are_refused_before_they_are_read(http: httpx.AsyncClient) -> None:
    huge = await http.post("/api/offer", content=b"", headers={"content-length": "999999999"})
    assert huge.status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield b"x" * 65_536

    for path in ("/api/offer", "/api/avatars", "/api/sessions/x"):
        response = await http.post(path, content=endless())
        assert response.status_code in (400, 405, 413), path
    bad = await http.post("/api/offer", content=b"", headers={"content-length": "-1"})
    assert bad.status_code == 400


@pytest.mark.parametrize(
    "path", ["/", "/api/avatars", "/nothing", "/client.js", "/static/index.html"]
)
async def test_security_headers_are_everywhere(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path)).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_no_page_that_loads_from_elsewhere(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 404


async def test_interface_description(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert {"/api/offer", "/api/avatars", "/api/avatars/{avatar_id}", "/api/sessions"} <= set(paths)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"name": "A", "consent": "false"}, "agreed"),
        ({"name": "A"}, "agreed"),
        ({"name": "", "consent": "true"}, "name must be text of 1 to 80 characters"),
        ({"name": " ", "consent": "true"}, "name must be text of 1 to 80 characters"),
        ({"name": "x" * 81, "consent": "true"}, "name must be text of 1 to 80 characters"),
        ({"consent": "true"}, "The field name is missing."),
        ({"name": "A", "consent": "true", "statement": "x" * 4001}, "statement"),
    ],
)
async def test_enrolment_needs_name_and_consent(
    http: httpx.AsyncClient, fields: dict[str, str], word: str
) -> None:
    response = await http.post("/api/avatars", data=fields, files={"photo": ("a.jpg", b"x")})
    assert response.status_code == 400 and word in response.json()["error"]


async def test_enrolment_needs_a_photo(http: httpx.AsyncClient) -> None:
    fields = {"name": "A", "consent": "true"}
    for request in ({"data": fields}, {"content": b"x"}, {"json": {}}):
        response = await http.post("/api/avatars", **request)  # type: ignore[arg-type]
        assert response.status_code == 400, response.text
        assert "photo" in response.json()["error"] or "form" in response.json()["error"]
    large = {"photo": ("a.jpg", b"x" * 40_000_001)}
    assert (await http.post("/api/avatars", data=fields, files=large)).status_code == 413


async def test_enrolment_and_erasure(http: httpx.AsyncClient) -> None:
    fields, files = {"name": "zoe", "consent": "true"}, {"photo": ("a.jpg", b"x")}
    assert (await http.post("/api/avatars", data=fields, files=files)).status_code == 202
    made = await http.post("/api/avatars?wait=true", data=fields, files=files)
    assert made.status_code == 201 and made.json()["id"] == "zoe"
    assert "consent" not in made.json()
    assert (await http.get("/api/avatars/zoe/preview.jpg")).headers["content-type"] == "image/jpeg"
    assert (await http.delete("/api/avatars/zoe")).status_code == 204
    assert (await http.get("/api/avatars/zoe")).status_code == 404


async def test_health_before_the_worker_is_up(http: httpx.AsyncClient) -> None:
    response = await http.get("/healthz")
    assert response.status_code == 503 and response.json()["status"] == "starting"


@pytest.mark.parametrize(
    "path", ["/api/avatars/..%2f..%2fetc", "/static/../server.py", "/static/%2e%2e/x"]
)
async def test_no_way_out_of_the_folders(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code in (400, 403, 404)


async def test_metrics_are_exposed(http: httpx.AsyncClient) -> None:
    await http.get("/nothing")
    text = (await http.get("/metrics")).text
    assert 'visavis_refusals_total{status="404"} 1.0' in text
    assert "visavis_capacity 1.0" in text


@pytest.mark.parametrize("kept", [True, False], ids=["proxy keeps it", "proxy takes it off"])
async def test_below_a_prefix(tmp_path: Path, kept: bool) -> None:
    prefix = "/avatars" if kept else ""
    async with client(tmp_path, root_path="/avatars", token=TOKEN) as http:
        for path in ("/", "/client.js", "/static/app/main.js"):
            assert (await http.get(f"{prefix}{path}")).status_code == 200, path
        for path in ("/api/avatars", "/metrics", "/openapi.json", "/x"):
            assert (await http.get(f"{prefix}{path}")).status_code == 401, path
        right = {"authorization": f"Bearer {TOKEN}"}
        assert (await http.get(f"{prefix}/api/avatars", headers=right)).status_code == 200
        described = (await http.get(f"{prefix}/openapi.json", headers=right)).json()
        assert described["servers"] == [{"url": "/avatars"}]
        bare = await http.get("/avatars")
        assert (bare.status_code, bare.headers["location"]) == (308, "/avatars/")


async def test_the_page_names_nothing_from_the_root(http: httpx.AsyncClient) -> None:
    """A path prefix works only as long as every address in the pages is relative."""
    for path in sorted(STATIC_DIR.rglob("*")):
        if path.suffix in (".html", ".js", ".css", ".svg"):
            text = path.read_text("utf-8")
            found = FROM_THE_ROOT.findall(text)
            assert not found, f"{path.name}: {found}"


async def test_websockets_pass_the_same_guard(tmp_path: Path) -> None:
    """There is no such route yet, so only what is refused before one can be told apart."""
    app = http_app(tmp_path, token=TOKEN)
    right = (b"authorization", f"Bearer {TOKEN}".encode())
    for headers, words in (
        ([(b"host", b"evil.example"), right], "host name"),
        ([(b"host", b"127.0.0.1"), (b"origin", b"http://evil.example"), right], "web pages"),
        ([(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1")], "token"),
        ([(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1"), right], ""),
    ):
        scope = {"type": "websocket", "path": "/api/none", "headers": headers, "query_string": b""}
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: dict[str, Any], sent: list[dict[str, Any]] = sent) -> None:
            sent.append(message)

        await app(scope, receive, send)  # type: ignore[arg-type]
        assert sent[0]["type"] == "websocket.close" and words in sent[0].get("reason", "")


async def test_openapi_describes_every_body(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()
    paths, schemas = described["paths"], described["components"]["schemas"]
    assert schemas["Offer"]["required"] == ["sdp", "type"]
    options = schemas["SessionOptions"]["properties"]
    assert options["size"]["anyOf"][0]["enum"] == [256, 384, 512]
    assert (options["style"]["minimum"], options["style"]["maximum"]) == (0, 2)
    assert "Candidates" in str(paths["/api/offer"]["patch"]["requestBody"])
    photo = paths["/api/avatars"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert photo["schema"]["properties"]["statement"]["maxLength"] == STATEMENT_LENGTH
    assert photo["schema"]["required"] == ["photo", "name", "consent"]
    assert {"get", "delete"} <= paths["/api/avatars/{avatar_id}"].keys()


async def test_openapi_describes_every_answer(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()
    assert set(described["components"]["schemas"]["ErrorAnswer"]["required"]) == {"code", "error"}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            assert {"4XX", "5XX"} <= answers.keys() and "422" not in answers, (path, method)
            for status, answer in answers.items():
                empty = status == "204"
                assert empty or answer.get("content"), f"{method} {path} {status} says nothing"


async def test_error_answers_have_a_code(http: httpx.AsyncClient) -> None:
    sdp = {"sdp": "v=0", "type": "offer"}
    for method, path, body, status, code in (
        ("GET", "/nothing", None, 404, "not-found"),
        ("PUT", "/api/avatars", None, 405, "method-not-allowed"),
        ("GET", "/api/avatars/nobody", None, 404, "unknown-avatar"),
        ("DELETE", "/api/sessions/nobody", None, 404, "unknown-session"),
        ("POST", "/api/offer", sdp, 400, "bad-request"),
        ("POST", "/api/avatars", {}, 400, "no-photo"),
        ("GET", "/api/sessions/x/trace?seconds=0", None, 400, "bad-request"),
    ):
        answer = await http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (b"{", "application/json", 400, "The body is not valid JSON."),
        (b"[" * 100_000, "application/json", 400, "."),
        (b'"\\ud800"', "application/json", 400, "The body must be a JSON object."),
        (b"\xff\xfe{", "application/json", 400, "."),
        (b"", "application/json", 400, "The body must be a JSON object."),
        (b"[]", "application/json", 400, "The body must be a JSON object."),
        (b"{}", "text/plain", 415, "The body must be JSON, sent as application/json."),
        (b"{}", "", 415, "The body must be JSON, sent as application/json."),
        (b"{}", "application/json", 400, "The field sdp is missing."),
        (b'{"sdp": "\\ud800", "type": "offer"}', "application/json", 400, "The offer is not"),
        (b'{"sdp": 1, "type": "offer"}', "application/json", 400, "The field sdp must be text."),
        (b'{"sdp": "", "type": "x"}', "application/json", 400, "The field type must be offer."),
        (
            b'{"sdp": "", "type": "offer", "request_data": []}',
            "application/json",
            400,
            "The field request_data must be an object.",
        ),
    ],
)
async def test_bodies_that_are_no_offer(
    http: httpx.AsyncClient, content: bytes, kind: str, status: int, words: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = await http.post("/api/offer", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["/", "/client.js", "/healthz", "/api/avatars", "/static/logo.svg"]
)
async def test_head_is_get_without_the_body(http: httpx.AsyncClient, path: str) -> None:
    got, head = await http.get(path), await http.head(path)
    assert head.status_code == got.status_code and head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_a_photo_never_touches_the_disk(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The multipart parser spools; neither 40 MB in one part nor in a wrong one may get there."""

    def spooled(self: object) -> None:
        raise AssertionError("a part of the form went to the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", spooled)
    fields = {"name": "A", "consent": "true"}
    for name, size, status in (("photo", 40_000_000, 202), ("other", 40_000_000, 400)):
        files = {name: ("a.jpg", b"x" * size)}
        answer = await http.post("/api/avatars", data=fields, files=files)
        assert answer.status_code == status, answer.text


async def test_an_upload_that_breaks_off_is_quiet(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/avatars",
        "query_string": b"",
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"content-type", b"multipart/form-data; boundary=x"),
            (b"content-length", b"1000"),
        ],
    }
    parts = [
        {"type": "http.request", "body": b"--x\r\n", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return parts.pop(0)

    async def send(message: dict[str, Any]) -> None:
        pass

    await http._transport.app(scope, receive, send)  # type: ignore[attr-defined]
    assert not caplog.records


def test_every_code_is_listed() -> None:
    root = Path(__file__).resolve().parents[4]
    page = (root / "docs" / "api.md").read_text("utf-8")
    text = "".join(path.read_text("utf-8") for path in (root / "streamer").rglob("*.py"))
    codes = set(re.findall(r'\bcode="([a-z-]+)"', text))
    codes |= set(re.findall(r'usual_code = "([a-z-]+)"', text))
    codes |= set(get_args(Code)) - {"refused"}
    unlisted = sorted(code for code in codes if f"`{code}`" not in page)
    assert len(codes) > 30 and not unlisted


async def test_a_browser_gets_a_page_where_there_is_none(http: httpx.AsyncClient) -> None:
    answer = await http.get("/nothing/at/all", headers={"accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is nothing at this address." in answer.text and 'href="/"' in answer.text
    program = await http.get("/nothing/at/all", headers={"accept": "*/*"})
    assert program.json()["code"] == "not-found"


async def test_a_page_that_is_not_here_is_a_page_and_an_answer_that_is_not_here_is_none(
    tmp_path: Path,
) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with client(tmp_path, root_path="/avatars") as http:
        for path in ("/avatars/visavis-ca.crt", "/avatars/nothing", "/avatars/static/nothing.css"):
            page = await http.get(path, headers=browser)
            assert page.status_code == 404 and "<h1>" in page.text, path
            assert 'href="/avatars/"' in page.text and "<script" not in page.text
            assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
            assert (await http.get(path, headers={"accept": "application/json"})).json()["code"]
        answer = await http.get("/avatars/api/avatars/nobody", headers=browser)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-avatar")
        assert (await http.post("/avatars/nothing", headers=browser)).json()["code"] == "not-found"


@pytest.mark.parametrize("seconds", ["x", "1e999999", "", "9" * 30])
async def test_a_wrong_parameter_is_told_in_our_words(
    http: httpx.AsyncClient, seconds: str
) -> None:
    answer = await http.get(f"/api/sessions/x/trace?seconds={seconds}")
    assert answer.status_code == 400
    assert "pars" not in answer.json()["error"] and "string" not in answer.json()["error"]


async def test_a_browser_is_told_on_a_page_that_a_token_is_needed(tmp_path: Path) -> None:
    async with client(tmp_path, token="a-token-of-sixteen") as http:
        page = await http.get("/nothing", headers={"accept": "text/html"})
        assert page.status_code == 401 and 'href="/login"' in page.text
        assert (await http.get("/api/avatars", headers={"accept": "*/*"})).json()["code"] == "token"
