"""HTTPS by the server's own authority, and what does not speak it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import Live

StartServer = Callable[..., AbstractAsyncContextManager[Live]]


def trusting(folder: Path) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=str(folder / "tls" / "authority.crt"))
    return httpx.AsyncClient(verify=context, timeout=10)


async def test_pages_come_over_https(start_server: StartServer, tmp_path: Path) -> None:
    async with start_server(tls_self_signed=True) as live, trusting(tmp_path) as http:
        for host in ("127.0.0.1", "localhost"):
            origin = f"https://{host}:{live.port}"
            assert (await http.get(f"{origin}/")).status_code == 200
            deleted = await http.delete(f"{origin}/api/avatars/anna", headers={"origin": origin})
            assert deleted.status_code == (204 if host == "127.0.0.1" else 404)
        ours = await http.get(f"https://127.0.0.1:{live.port}/visavis-ca.crt")
        assert ours.content == (tmp_path / "tls" / "authority.crt").read_bytes()
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await live.http.get(f"https://127.0.0.1:{live.port}/")


async def test_a_request_may_come_along_with_the_end_of_the_handshake(
    start_server: StartServer, tmp_path: Path
) -> None:
    """TLS 1.3 clients send both in one packet; the request is there before uvicorn is."""
    async with start_server(tls_self_signed=True) as live:
        context = ssl.create_default_context(cafile=str(tmp_path / "tls" / "authority.crt"))
        for _ in range(20):
            heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = context.wrap_bio(heard, said, server_hostname="localhost")
            reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            writer.write(said.read())
            while True:
                heard.write(await asyncio.wait_for(reader.read(65_536), 10))
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.do_handshake()
                    break
            client.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            writer.write(said.read())  # Finished and the request
            answer = b""
            while b"HTTP/1.1 200" not in answer:
                heard.write(await asyncio.wait_for(reader.read(65_536), 10))
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer += client.read(65_536)
            writer.close()


async def test_without_tls_there_is_no_authority(start_server: StartServer) -> None:
    async with start_server() as live:
        answer = await live.http.get("/visavis-ca.crt")
        assert (answer.status_code, answer.json()["code"]) == (404, "no-authority")


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", bytes(2000)]
)
async def test_what_speaks_no_tls_is_dropped(
    start_server: StartServer, tmp_path: Path, sent: bytes
) -> None:
    async with (
        start_server(tls_self_signed=True, header_timeout_s=0.5, max_connections=8) as live,
        trusting(tmp_path) as http,
    ):
        opened = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
            writer.write(sent)
            opened.append((reader, writer))
        assert (await http.get(f"https://127.0.0.1:{live.port}/")).status_code == 200
        for reader, writer in opened:
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    while await reader.read(1000):
                        pass
            writer.close()
