"""Who may ask, for what, and how much: the guard in front of the routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.fake_avatars import FakeAvatars
from visavis.streamer.config import Config, LimitsConfig, ServerConfig
from visavis.streamer.errors import BadRequest
from visavis.streamer.http.app import create_app

PAGE = "https://embedder.example"


def client(folder: Path, **server: Any) -> httpx.AsyncClient:
    config = Config(data_dir=folder, server=ServerConfig(**server), limits=LimitsConfig())
    app = create_app(config, avatars=FakeAvatars(folder, "anna"))  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.org"])
def test_no_open_door_without_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadRequest, match="token"):
        client(tmp_path, host=host)
    client(tmp_path, host=host, token="secret")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "10.0.0.9"])
async def test_own_host_names(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/api/avatars", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""]
)
async def test_rebound_host_names_are_refused(http: httpx.AsyncClient, host: str) -> None:
    response = await http.get("/api/avatars", headers={"host": host})
    assert response.status_code == 403 and response.json()["error"]


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
        other = await http.options("/api/offer", headers={"origin": "https://other.example"})
        assert other.status_code == 403 and "access-control-allow-origin" not in other.headers
        answer = await http.delete("/api/avatars/nobody", headers={"origin": PAGE})
        assert answer.status_code == 404
        assert answer.headers["access-control-allow-origin"] == PAGE


async def test_the_token_guards_everything_but_the_page(tmp_path: Path) -> None:
    async with client(tmp_path, host="0.0.0.0", token="secret") as http:
        for path in ("/api/avatars", "/api/sessions", "/metrics", "/openapi.json"):
            assert (await http.get(path)).status_code == 401
            wrong = await http.get(path, headers={"authorization": "Bearer secret2"})
            assert wrong.status_code == 401
            right = await http.get(path, headers={"authorization": "Bearer secret"})
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
        ({"name": "", "consent": "true"}, "name"),
        ({"name": "x" * 81, "consent": "true"}, "name"),
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
    large = {"photo": ("a.jpg", b"x" * 10_000_001)}
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


async def test_openapi_describes_every_body(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    offer = paths["/api/offer"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert offer["required"] == ["sdp", "type"]
    assert "candidates" in str(paths["/api/offer"]["patch"]["requestBody"])
    photo = paths["/api/avatars"]["post"]["requestBody"]["content"]
    assert "consent" in photo["multipart/form-data"]["schema"]["properties"]
    assert {"get", "delete"} <= paths["/api/avatars/{avatar_id}"].keys()
