"""``visavis bench push``: what it costs to push a live session to a WHIP endpoint.

A server with one live session pushes it to an endpoint in this process, which takes packets and
decodes nothing. Stretches without a push and with several follow in turn; what the server's
processes use more in the latter, over the number of pushes, is what one costs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import psutil
import uvicorn
from aiortc import RTCSessionDescription
from aiortc.rtp import RtpPacket
from fastapi import FastAPI, Request, Response

from visavis.benchmarks.common import (
    BenchmarkError,
    Server,
    astronaut_jpeg,
    enrol,
    guarded,
    running_server,
)
from visavis.benchmarks.latency.sound import synthetic_speech
from visavis.benchmarks.reporting import add_report_options, check_report_options, report
from visavis.benchmarks.viewer import Viewer
from visavis.streamer.webrtc.connection import MediaConnection, tap_receiver
from visavis.streamer.webrtc.ice.sockets import Binding

_SETTLE_S = 3.0
_WITHIN_S = 20.0
_MOST = 4  # that a session is pushed to at once
_AROUND_RTP = 12 + 10 + 8 + 20  # bytes: RTP header, SRTP tag, UDP, IPv4


class Endpoint:
    """A WHIP endpoint that takes packets and counts their bytes as they are on the wire."""

    def __init__(self) -> None:
        self.bytes = 0
        self._peers: list[MediaConnection] = []
        self.app = FastAPI()
        self.app.post("/whip")(self._publish)
        self.app.delete("/whip/{number}")(self._delete)

    async def _publish(self, request: Request) -> Response:
        peer = MediaConnection(Binding())
        self._peers.append(peer)
        offer = RTCSessionDescription((await request.body()).decode(), "offer")
        await peer.setRemoteDescription(offer)
        for transceiver in peer.getTransceivers():
            tap_receiver(transceiver.receiver, self._take)
        await peer.setLocalDescription(await peer.createAnswer())
        headers = {"location": f"/whip/{len(self._peers)}", "content-type": "application/sdp"}
        return Response(peer.localDescription.sdp, 201, headers)

    async def _delete(self, number: int) -> Response:
        await self._peers[number - 1].close()
        return Response(status_code=200)

    def _take(self, packet: RtpPacket) -> None:
        self.bytes += len(packet.payload) + _AROUND_RTP

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port; yields the address to push to."""
        config = uvicorn.Config(self.app, port=0, log_level="warning", loop="asyncio")
        server = uvicorn.Server(config)
        sock = config.bind_socket()
        running = asyncio.ensure_future(server.serve([sock]))
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}/whip"
        finally:
            for peer in self._peers:
                await peer.close()
            server.should_exit = True
            await running


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench push", description=__doc__)
    parser.add_argument("--pushes", type=int, default=4, help="at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of each stretch")
    parser.add_argument("--size", type=int, default=256, choices=(256, 384, 512))
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    if not (1 <= args.pushes <= _MOST and 1 <= args.rounds <= 50 and 2 <= args.seconds <= 600):
        raise BenchmarkError(f"Take 1 to {_MOST} pushes, 1 to 50 rounds and 2 to 600 seconds each.")
    with running_server(MEDIA_SIZE=str(args.size)) as server:
        avatar, _ = enrol(server.url, astronaut_jpeg())
        rounds = asyncio.run(_measure(server, avatar, args))
    cost = [row["percent_of_a_core"] for row in rounds]
    sent = [row["mbit_s"] for row in rounds]
    result = {
        "benchmark": "push",
        "settings": {"size": args.size, "pushes": args.pushes, "seconds": args.seconds},
        "one_push": {
            "percent_of_a_core": round(float(np.median(cost)), 2),
            "least": round(min(cost), 2),
            "most": round(max(cost), 2),
            "mbit_s": round(float(np.median(sent)), 3),
        },
        "rounds": rounds,
    }
    report(args, result)
    return 0


async def _measure(server: Server, avatar: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    endpoint, rounds = Endpoint(), list[dict[str, Any]]()
    viewer = Viewer(server.url, avatar, synthetic_speech(5), args.size)
    async with endpoint.serving() as address, httpx.AsyncClient(timeout=15) as http:
        await viewer.connect()
        try:
            pushes = f"{server.url}/api/sessions/{viewer.pc_id}/push"
            for _ in range(args.rounds):
                await asyncio.sleep(_SETTLE_S)
                without, _ = await _stretch(server, endpoint, args.seconds)
                made = await _start(http, pushes, address, args.pushes)
                await asyncio.sleep(_SETTLE_S)
                with_all, sent = await _stretch(server, endpoint, args.seconds)
                listed = (await http.get(f"{server.url}/api/sessions")).json()
                for one in made:
                    await http.delete(f"{pushes}/{one}")
                rounds.append(
                    {
                        "percent_of_a_core": round(100 * (with_all - without) / args.pushes, 2),
                        "mbit_s": round(8e-6 * sent / args.pushes, 3),
                        "effort": str(listed.get("effort", "FULL")),
                        "without_percent": round(100 * without, 1),
                        "with_percent": round(100 * with_all, 1),
                    }
                )
        finally:
            await viewer.close()
    return rounds


async def _start(http: httpx.AsyncClient, pushes: str, address: str, count: int) -> list[str]:
    """Start pushes and return their ids when all are live."""
    made = []
    for _ in range(count):
        answer = await http.post(pushes, json={"url": address})
        if answer.status_code != 201:
            raise BenchmarkError(f"The server does not push: {answer.text}")
        made.append(str(answer.json()["id"]))
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        states = [p["state"] for p in (await http.get(pushes)).json()["pushes"]]
        if states == ["live"] * count:
            return made
        await asyncio.sleep(0.1)
    raise BenchmarkError("The pushes did not go live.")


async def _stretch(server: Server, endpoint: Endpoint, seconds: float) -> tuple[float, float]:
    """Return cores that the server's processes used, and bytes a second that came."""
    used, came, began = _cpu_s(server), endpoint.bytes, time.monotonic()
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    return (_cpu_s(server) - used) / passed, (endpoint.bytes - came) / passed


def _cpu_s(server: Server) -> float:
    edge = psutil.Process(server.pid)
    return sum(sum(p.cpu_times()[:2]) for p in (edge, *edge.children(recursive=True)))


if __name__ == "__main__":
    raise SystemExit(main())
