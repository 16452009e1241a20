"""``visavis bench whip``: ffmpeg publishes by WHIP, a viewer watches by WHEP; the first picture.

Time runs from the publisher's POST to the first picture that the viewer has decoded. The POST goes
through a relay here, which notes when it came and learns from the answer's ``Link`` where to watch.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import httpx
from aiortc import RTCSessionDescription

from visavis.benchmarks.common import (
    BenchmarkError,
    astronaut_jpeg,
    enrol,
    guarded,
    percentiles,
    running_server,
)
from visavis.benchmarks.reporting import add_report_options, check_report_options, report
from visavis.streamer.webrtc.connection import MediaConnection
from visavis.streamer.webrtc.ice.sockets import Binding

_WITHIN_S = 15.0
_SPEECH_S = 20
_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection")


@dataclass
class Relay:
    """Passes HTTP on to a server, a request a connection.

    Attributes:
        url: of the server.
        posted: when a publisher's POST came, and where its session can be watched.
    """

    url: str
    posted: asyncio.Queue[tuple[float, str]] = field(default_factory=asyncio.Queue)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            began = time.monotonic()
            line, *fields = head.decode().split("\r\n")
            method, path, _ = line.split(" ")
            headers = dict(f.split(": ", 1) for f in fields if ": " in f)
            body = await reader.readexactly(int(headers.get("Content-Length", 0)))
            sent = {k: v for k, v in headers.items() if k.lower() not in (*_HOP_BY_HOP, "host")}
            async with httpx.AsyncClient(timeout=20) as http:
                answer = await http.request(method, self.url + path, content=body, headers=sent)
            kept = [(k, v) for k, v in answer.headers.items() if k not in _HOP_BY_HOP]
            lines = [f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"]
            lines += [f"{name}: {value}" for name, value in kept]
            lines += [f"content-length: {len(answer.content)}", "connection: close", "", ""]
            writer.write("\r\n".join(lines).encode() + answer.content)
            await writer.drain()
            if method == "POST" and answer.status_code == 201:
                link = answer.links["alternate"]["url"]
                self.posted.put_nowait((began, urljoin(self.url + path, link)))
        writer.close()


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench whip", description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--size", type=int, default=512, choices=(256, 384, 512))
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    ffmpeg = _ffmpeg()
    with running_server(MEDIA_SIZE=str(args.size)) as server:
        avatar, _ = enrol(server.url, astronaut_jpeg())
        found = asyncio.run(_measure(server.url, avatar, ffmpeg, args.times))
    result = {
        "benchmark": "whip",
        "settings": {"size": args.size, "publisher": "ffmpeg", "viewer": "aiortc"},
        "post_to_first_picture_ms": percentiles(found),
    }
    report(args, result)
    return 0


def _ffmpeg() -> str:
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as error:
        raise BenchmarkError(
            "An ffmpeg with the whip muxer: pip install imageio-ffmpeg."
        ) from error
    return str(imageio_ffmpeg.get_ffmpeg_exe())


async def _measure(url: str, avatar: str, ffmpeg: str, times: int) -> list[float]:
    relay = Relay(url)
    listening = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    found = []
    async with listening:
        for _ in range(times):
            found.append(await _once(relay, port, avatar, ffmpeg))
            await asyncio.sleep(1.0)
    return found


async def _once(relay: Relay, port: int, avatar: str, ffmpeg: str) -> float:
    process = await asyncio.create_subprocess_exec(
        *(ffmpeg, "-loglevel", "error", "-re", "-f", "lavfi"),
        *("-i", f"sine=frequency=300:sample_rate=48000:duration={_SPEECH_S}"),
        *("-c:a", "libopus", "-ar", "48000", "-ac", "2"),
        *("-f", "whip", f"http://127.0.0.1:{port}/api/whip?avatar={avatar}"),
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            began, where = await relay.posted.get()
            seen = await _first_picture(where)
    except TimeoutError as error:
        raise BenchmarkError("No picture came.") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
    return 1e3 * (seen - began)


async def _first_picture(where: str) -> float:
    """Watch by WHEP; return when the first picture was decoded."""
    connection = MediaConnection(Binding())
    first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    tasks: set[asyncio.Task[None]] = set()

    async def look(track: Any) -> None:
        await track.recv()
        if track.kind == "video" and not first.done():
            first.set_result(time.monotonic())

    @connection.on("track")
    def track(track: Any) -> None:
        tasks.add(asyncio.ensure_future(look(track)))

    for kind in ("audio", "video"):
        connection.addTransceiver(kind, direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    headers = {"content-type": "application/sdp"}
    try:
        async with httpx.AsyncClient(timeout=10) as http:
            offer = connection.localDescription.sdp
            answer = (await http.post(where, content=offer, headers=headers)).raise_for_status()
            sdp = re.sub(r"\r?\n", "\r\n", answer.text)
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            seen = await first
            await http.delete(urljoin(where, answer.headers["location"]))
    finally:
        await connection.close()
    return seen


if __name__ == "__main__":
    raise SystemExit(main())
