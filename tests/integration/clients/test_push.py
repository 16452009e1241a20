"""A session pushed to WHIP endpoints: our own, and one made of stock aiortc."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from aiortc import RTCPeerConnection, RTCSessionDescription
from fastapi import FastAPI, Request, Response

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from visavis.streamer.errors import BadRequest, Forbidden
from visavis.streamer.webrtc.whip import check_target

TOKEN = "another-token-of-16"


class Sfu:
    """A WHIP endpoint of stock aiortc, behind a redirection, with a token."""

    def __init__(self) -> None:
        self.url = ""
        self.app = FastAPI()
        self.peers: list[RTCPeerConnection] = []
        self.came = {"audio": 0, "video": 0}
        self.deleted = 0
        self.app.post("/whip")(self._moved)
        self.app.post("/far/whip")(self._publish)
        self.app.delete("/far/resource/{number}")(self._delete)

    async def _moved(self) -> Response:
        return Response(status_code=307, headers={"location": "far/whip"})

    async def _publish(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(status_code=401)
        peer = RTCPeerConnection()
        self.peers.append(peer)

        @peer.on("track")
        def track(track: Any) -> None:
            async def count() -> None:
                while True:
                    await track.recv()
                    self.came[track.kind] += 1

            peer.counting = [*getattr(peer, "counting", []), asyncio.ensure_future(count())]  # type: ignore[attr-defined]

        sdp = (await request.body()).decode()
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        headers = {"location": f"resource/{len(self.peers)}", "content-type": "application/sdp"}
        return Response(peer.localDescription.sdp, 201, headers)

    async def _delete(self, number: int) -> Response:
        self.deleted += 1
        return Response(status_code=200)

    async def hang_up(self) -> None:
        """Close every connection, as a server that is restarted does."""
        for peer in self.peers:
            for task in getattr(peer, "counting", []):
                task.cancel()
            await peer.close()


@asynccontextmanager
async def an_sfu() -> AsyncIterator[Sfu]:
    sfu = Sfu()
    server = uvicorn.Server(uvicorn.Config(sfu.app, port=0, log_level="warning", loop="asyncio"))
    sock = server.config.bind_socket()
    running = asyncio.ensure_future(server.serve([sock]))
    sfu.url = f"http://127.0.0.1:{sock.getsockname()[1]}/whip"
    try:
        yield sfu
    finally:
        await sfu.hang_up()
        server.should_exit = True
        await running


async def spoken(live: Live) -> Viewer:
    viewer = Viewer(live.http, FakeMicrophone(beeps(90)), avatar="anna")
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) > 5)
    return viewer


async def pushed(live: Live, viewer: Viewer, state: str, limit_s: float = 20) -> dict[str, Any]:
    """Wait until the session's push is so; return it."""
    async with asyncio.timeout(limit_s):
        while True:
            found = (await live.http.get(f"/api/sessions/{viewer.pc_id}/push")).json()["pushes"]
            if found and found[0]["state"] == state:
                return dict(found[0])
            await asyncio.sleep(0.05)


async def test_push_to_our_own_whip(start_server: StartServer) -> None:
    async with start_server(avatars=("anna", "zoe")) as live:
        viewer = await spoken(live)
        target = {"url": f"{live.url}/api/whip?avatar=zoe"}
        made = await live.http.post(f"/api/sessions/{viewer.pc_id}/push", json=target)
        assert made.status_code == 201
        await pushed(live, viewer, "live")
        (other,) = [s for s in live.services.sessions.describe() if s["avatar_id"] == "zoe"]
        watcher = Viewer(live.http, None, request={"watch": other["view_id"]})
        await watcher.connect()
        await watcher.until(lambda: watcher.sounds and watcher.sounds[-1].peak > 3000, 15)
        await viewer.close()  # who is pushed hangs up: so does the push, and what it made
        async with asyncio.timeout(20):
            while live.services.admission.held:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await watcher.close()


async def test_push_to_an_sfu_that_moves_and_hangs_up(start_server: StartServer) -> None:
    async with start_server() as live, an_sfu() as sfu:
        viewer = await spoken(live)
        address = f"/api/sessions/{viewer.pc_id}/push"
        made = await live.http.post(address, json={"url": sfu.url, "token": "wrong"})
        refused = await pushed(live, viewer, "waiting")
        assert refused["problem"] == "The WHIP endpoint answered with 401."
        await live.http.delete(f"{address}/{made.json()['id']}")
        made = await live.http.post(address, json={"url": sfu.url, "token": TOKEN})
        assert "token" not in made.json()
        async with asyncio.timeout(20):
            while min(sfu.came.values()) < 30:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await sfu.hang_up()
        lost = await pushed(live, viewer, "waiting", 30)
        assert lost["problem"] == "The WHIP endpoint has hung up."
        before = dict(sfu.came)
        await pushed(live, viewer, "live")
        async with asyncio.timeout(20):
            while sfu.came["video"] < before["video"] + 20:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        count = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > count + 10)
        await live.http.delete(f"{address}/{made.json()['id']}")
        assert sfu.deleted >= 1
        assert (await live.http.get(address)).json() == {"pushes": []}
        await viewer.close()


async def test_push_by_command(start_server: StartServer) -> None:
    async with start_server() as live, an_sfu() as sfu:
        viewer = await spoken(live)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "visavis.streamer", "push", "--whip", sfu.url),
            *("--token", TOKEN, "--server", live.url, "--seconds", "5"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors
        assert out.decode().split() == ["connecting", "live"]
        assert min(sfu.came.values()) > 10 and sfu.deleted == 1
        await viewer.close()


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://sfu.example/whip", 403),
        ("http://192.0.2.7/whip", 403),
        ("http://127.0.0.1.sfu.example/whip", 403),
        ("ftp://127.0.0.1/whip", 400),
        ("http://user:word@127.0.0.1/whip", 400),
        ("http://[::1", 400),
        ("nonsense", 400),
        ("", 400),
    ],
)
async def test_where_may_not_be_pushed(start_server: StartServer, url: str, status: int) -> None:
    async with start_server() as live:
        viewer = await spoken(live)
        response = await live.http.post(
            f"/api/sessions/{viewer.pc_id}/push", json={"url": url, "token": "x"}
        )
        assert response.status_code == status and response.json()["error"].endswith(".")
        response = await live.http.post(f"/api/sessions/{viewer.view_id}/push", json={"url": url})
        assert response.status_code == 404, "who may watch may not push"
        await viewer.close()


def test_what_the_settings_allow() -> None:
    allowed = ("https://sfu.example/rooms/", "https://sfu.example:8443")
    for url in ("https://sfu.example/rooms/a", "https://sfu.example:8443/x", "http://[::1]:9/w"):
        check_target(url, allowed)
    for url in (
        "https://sfu.example/other",
        "https://sfu.example/roomsandmore",
        "http://sfu.example/rooms/a",
        "https://sfu.example.evil/rooms/",
    ):
        with pytest.raises(Forbidden):
            check_target(url, allowed)
    with pytest.raises(BadRequest):
        check_target("https://", allowed)
