"""A real server in the test's own event loop, with real worker processes around a fake pipeline."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.fakes.fake_avatars import FakeAvatars
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import Config, LimitsConfig, MediaConfig, RoomsConfig, ServerConfig
from visavis.streamer.http.app import create_app
from visavis.streamer.http.routes.services import Services
from visavis.streamer.http.serve import uvicorn_config

FAKE_WORKER = (sys.executable, "-m", "tests.fakes.processes.fake_worker")


@dataclass
class Live:
    """A running server."""

    services: Services
    http: httpx.AsyncClient
    avatars: FakeAvatars
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


StartServer = Callable[..., AbstractAsyncContextManager[Live]]


@pytest.fixture
def start_server(tmp_path: Path) -> StartServer:
    @contextlib.asynccontextmanager
    async def start(
        avatars: tuple[str, ...] = ("anna",),
        media: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        rooms: dict[str, Any] | None = None,
        store: AvatarStore | None = None,
        **server: Any,
    ) -> AsyncIterator[Live]:
        config = Config(
            data_dir=tmp_path,
            server=ServerConfig(port=0, **server),
            media=MediaConfig(**({"size": 256} | (media or {}))),
            limits=LimitsConfig(**({"max_sessions": 4} | (limits or {}))),
            rooms=RoomsConfig(**(rooms or {})),
        )
        store = store or FakeAvatars(tmp_path, *avatars)  # type: ignore[assignment]
        app = create_app(config, avatars=store, worker_command=FAKE_WORKER)  # type: ignore[arg-type]
        settings = uvicorn_config(app, config)
        web = uvicorn.Server(settings)
        sock = settings.bind_socket()
        running = asyncio.ensure_future(web.serve([sock]))
        async with asyncio.timeout(20):
            while not web.started:
                assert not running.done(), "the server ended"
                await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=10) as http:
            try:
                yield Live(app.state.services, http, store, url)  # type: ignore[arg-type]
            finally:
                web.should_exit = True
                await running

    return start


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
