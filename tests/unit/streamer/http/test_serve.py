"""How uvicorn is told to serve: on which event loop, and whose word about a client it takes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.fakes.fake_avatars import FakeAvatars
from visavis.streamer.config import Config, ServerConfig
from visavis.streamer.http.app import create_app
from visavis.streamer.http.serve import uvicorn_config


def served(folder: Path, **server: Any) -> Any:
    config = Config(data_dir=folder, server=ServerConfig(**server))
    app = create_app(config, avatars=FakeAvatars(folder, "anna"))  # type: ignore[arg-type]
    return uvicorn_config(app, config)


def test_the_event_loop_is_asyncios_whatever_else_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``fastapi[standard]`` and Pipecat bring uvloop, under which ICE breaks."""
    uvloop = ModuleType("uvloop")

    def broken() -> None:
        raise AssertionError("uvloop is used")

    uvloop.new_event_loop = broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uvloop", uvloop)
    factory = served(tmp_path).get_loop_factory()
    assert factory is not None
    loop = factory()
    loop.close()
    assert isinstance(loop, asyncio.SelectorEventLoop)


@pytest.mark.parametrize(
    ("trusted", "client", "scheme"),
    [
        (None, "127.0.0.1", "https"),
        (None, "172.18.0.3", "http"),
        (("172.16.0.0/12",), "172.18.0.3", "https"),  # a proxy in another container
        (("172.16.0.0/12",), "127.0.0.1", "http"),
        ((), "127.0.0.1", "http"),
    ],
)
async def test_only_a_trusted_proxy_says_how_the_client_came(
    trusted: tuple[str, ...] | None, client: str, scheme: str, tmp_path: Path
) -> None:
    server = {} if trusted is None else {"trusted_proxies": trusted}
    config = served(tmp_path, **server)
    seen: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope)

    whole: Any = app
    if config.proxy_headers:
        whole = ProxyHeadersMiddleware(app, config.forwarded_allow_ips)  # type: ignore[arg-type]
    headers = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"198.51.100.9")]
    scope = {"type": "http", "scheme": "http", "client": (client, 1), "headers": headers}
    await whole(scope, None, None)
    assert seen[0]["scheme"] == scheme
    assert seen[0]["client"][0] == ("198.51.100.9" if scheme == "https" else client)
