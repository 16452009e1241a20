"""Connections that send nothing, or too slowly, cost nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import Live
from visavis.streamer.http.routes.services import UPLOADS

ROOT = Path(__file__).resolve().parents[3]
StartServer = Callable[..., AbstractAsyncContextManager[Live]]
IDLE, SLOW = 80, 600
Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def serve_with(tmp_path: Path) -> Iterator[Callable[..., tuple[int, Path]]]:
    """Start servers in processes of their own; returns the port and the file of the log."""
    running: list[subprocess.Popen[str]] = []

    def start(descriptors: int, *settings: str) -> tuple[int, Path]:
        log = tmp_path / "log"
        command = [sys.executable, "-m", "tests.fakes.processes.bounded_server", str(tmp_path)]
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*command, str(descriptors), *settings],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        running.append(process)
        assert process.stdout is not None
        port = int(process.stdout.readline() or "0")
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).is_success:
                    return port, log
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    yield start
    for process in running:
        process.terminate()
        process.wait(20)


@contextlib.asynccontextmanager
async def peers(port: int, count: int, first: bytes = b"") -> AsyncIterator[list[Peer]]:
    """Open connections and send the same few bytes on each."""
    opened: list[Peer] = []
    try:
        for _ in range(count):
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            opened.append((reader, writer))
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def answered(port: int) -> None:
    """The page comes, within a limit that only a stalled server misses."""
    async with httpx.AsyncClient(timeout=5) as http:
        response = await http.get(f"http://127.0.0.1:{port}/")
        assert response.status_code == 200


async def test_few_descriptors_and_many_idle_connections(
    serve_with: Callable[..., tuple[int, Path]],
) -> None:
    port, log = await asyncio.to_thread(serve_with, 64)
    async with peers(port, IDLE):
        for _ in range(5):
            await answered(port)
    assert log.stat().st_size < 20_000, log.read_text()[:2000]


async def test_hundreds_of_slow_headers_are_ended_and_hold_up_nobody(
    serve_with: Callable[..., tuple[int, Path]],
) -> None:
    port, log = await asyncio.to_thread(serve_with, 4096, "server.header_timeout_s=2")
    async with peers(port, SLOW, b"GET / HTTP/1.1\r\nHost: 127") as slow:
        await answered(port)

        async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    writer.write(b".")
                    await writer.drain()
                    ended = await asyncio.wait_for(_read(reader), 0.2)
                    if ended:
                        return
            return

        async def _read(reader: asyncio.StreamReader) -> bool:
            return await reader.read(1) == b""

        async def to_the_end(peer: Peer) -> None:
            while True:
                try:
                    return await trickle(*peer)
                except TimeoutError:
                    continue

        async with asyncio.timeout(20):
            await asyncio.gather(*(to_the_end(peer) for peer in slow))
        await answered(port)
    assert log.stat().st_size < 20_000, log.read_text()[:2000]


@pytest.mark.parametrize(
    "before", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], ids=["first", "second"]
)
@pytest.mark.parametrize("sent", [b"GET", b"\r\n", b""], ids=["part", "empty line", "nothing"])
async def test_a_header_has_its_time(start_server: StartServer, before: bytes, sent: bytes) -> None:
    async with start_server(header_timeout_s=0.5, keep_alive_s=1) as live:
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
        writer.write(before)
        if before:
            assert b"HTTP/1.1" in await asyncio.wait_for(reader.read(100), 5)
        writer.write(sent)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                while await reader.read(1000):
                    pass
        writer.close()


@pytest.mark.parametrize(
    ("path", "kind", "begun"),
    [
        ("offer", "application/json", b"{"),
        ("avatars", "multipart/form-data; boundary=x", b"--x\r\n"),
    ],
)
async def test_a_body_has_its_time(
    start_server: StartServer, path: str, kind: str, begun: bytes
) -> None:
    async with start_server(body_timeout_s=0.5) as live:
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
        head = f"POST /api/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n"
        writer.write(f"{head}Content-Type: {kind}\r\n\r\n".encode() + begun)
        async with asyncio.timeout(10):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408") and b'"too-slow"' in answer, answer
        writer.close()
        assert (await live.http.get("/api/avatars")).status_code == 200


async def test_the_connection_that_owes_a_request_longest_makes_room(
    start_server: StartServer,
) -> None:
    async with start_server(max_connections=8) as live, peers(live.port, 8) as opened:
        await answered(live.port)
        reader, _ = opened[0]
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read(1) == b""
        assert not opened[-1][0].at_eof()


async def test_only_so_many_photos_come_in_at_a_time(start_server: StartServer) -> None:
    head = (
        b"POST /api/avatars HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    fields, files = {"name": "zoe", "consent": "true"}, {"photo": ("a.jpg", b"x")}
    async with start_server() as live:
        async with peers(live.port, UPLOADS, head):
            async with asyncio.timeout(10):
                while not live.services.uploads.locked():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            answer = await live.http.post("/api/avatars", data=fields, files=files)
            assert (answer.status_code, answer.json()["code"]) == (503, "enrolment-full")
            assert "retry-after" in answer.headers
        async with asyncio.timeout(10):  # those that broke off make room
            while live.services.uploads.locked():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await live.http.post("/api/avatars", data=fields, files=files)).status_code == 202


async def test_uploads_that_break_off_leave_no_traceback(
    serve_with: Callable[..., tuple[int, Path]],
) -> None:
    port, log = await asyncio.to_thread(serve_with, 4096)
    head = (
        b"POST /api/avatars HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    async with peers(port, 200, head):
        await answered(port)
    await answered(port)
    assert "Traceback" not in log.read_text()
