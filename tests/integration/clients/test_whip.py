"""WHIP in and WHEP out, as RFC 9725 and the WHEP draft have it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from visavis.streamer.webrtc.sdp.fragment import MEDIA_TYPE, Fragment

SDP = {"content-type": "application/sdp"}
TRICKLE = {"content-type": MEDIA_TYPE}
TOKEN = "a-token-of-16-bytes"


class HttpClient(Viewer):
    """A client that speaks WHIP or WHEP.

    Attributes:
        address: where it posts.
        response: what was answered to its offer.
    """

    address: str
    response: httpx.Response
    kinds: tuple[str, ...] = ("audio", "video")

    @classmethod
    def to(cls, live: Live, address: str, **options: Any) -> HttpClient:
        kinds = options.pop("kinds", cls.kinds)
        client = cls(live.http, **options)
        client.address, client.kinds = address, kinds
        return client

    @property
    def resource(self) -> str:
        return urljoin(self.address, self.response.headers["location"])

    @property
    def where_to_watch(self) -> str:
        return urljoin(self.address, self.response.links["alternate"]["url"])

    async def offer(self) -> httpx.Response:
        direction = "sendonly" if self.microphone else "recvonly"
        for kind in self.kinds:
            own = self.microphone if kind == "audio" and self.microphone else kind
            self.pc.addTransceiver(own, direction=direction)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp = self.alter(self.pc.localDescription.sdp)
        self.response = await self.http.post(self.address, content=sdp, headers=SDP)
        if self.response.status_code != 201:
            return self.response
        return httpx.Response(
            200, json={"sdp": self.response.text, "type": "answer", "pc_id": self.resource}
        )


@asynccontextmanager
async def speaking(live: Live, **options: Any) -> AsyncIterator[HttpClient]:
    publisher = HttpClient.to(
        live, "/api/whip", **{"microphone": FakeMicrophone(beeps(60)), **options}
    )
    await publisher.connect()
    try:
        yield publisher
    finally:
        await publisher.close()


@pytest.mark.parametrize("kinds", [("audio",), ("video", "audio"), ("audio", "video")])
async def test_speak_by_whip_and_watch_by_whep(
    start_server: StartServer, kinds: tuple[str, ...]
) -> None:
    async with start_server() as live, speaking(live, kinds=kinds) as publisher:
        headers = publisher.response.headers
        assert headers["content-type"].startswith("application/sdp")
        assert headers["etag"].startswith('"') and headers["accept-patch"] == MEDIA_TYPE
        assert not headers["location"].startswith("/"), "it must hold behind a proxy's prefix"
        viewer = HttpClient.to(live, publisher.where_to_watch)
        await viewer.connect()
        await viewer.until(lambda: len(viewer.frames) > 20)
        dark = min(frame.level for frame in viewer.frames)
        await viewer.until(lambda: viewer.frames[-1].level > dark + 30)
        await viewer.until(lambda: viewer.sounds and viewer.sounds[-1].peak > 3000)
        assert not publisher.frames, "its picture is dropped, and none comes back"
        session = live.services.sessions.describe()[0]
        assert (session["state"], session["watchers"]) == ("live", 1)
        assert (await live.http.delete(publisher.resource)).status_code == 200
        await viewer.until(lambda: viewer.of("ended") or viewer.pc.connectionState == "closed", 15)
        assert live.services.admission.held == 0
        assert (await live.http.delete(publisher.resource)).status_code == 200, "twice is no error"
        await viewer.close()


@pytest.mark.parametrize("kinds", [("audio",), ("video",), ("video", "audio")])
async def test_watch_picture_or_sound_alone(
    start_server: StartServer, kinds: tuple[str, ...]
) -> None:
    async with start_server(limits={"max_viewers": 1}) as live, speaking(live) as publisher:
        viewer = HttpClient.to(live, publisher.where_to_watch, kinds=kinds)
        await viewer.connect()
        for kind, came in (("audio", viewer.sounds), ("video", viewer.frames)):
            if kind in kinds:
                await viewer.until(lambda came=came: len(came) > 10)
            else:
                assert not came
        refused = HttpClient.to(live, publisher.where_to_watch)
        response = await refused.offer()
        assert response.status_code == 503 and "watchers already" in response.json()["error"]
        assert (await live.http.delete(viewer.resource)).status_code == 200
        assert not live.services.sessions.viewers
        await asyncio.gather(viewer.close(), refused.close())


async def test_options_say_what_is_taken(start_server: StartServer) -> None:
    async with start_server(allowed_origins=("https://other.example",)) as live:
        for address in ("/api/whip", "/api/whep/anything"):
            response = await live.http.request("OPTIONS", address)
            assert response.status_code == 204
            assert response.headers["accept-post"] == "application/sdp"
        asked = {"origin": "https://other.example", "access-control-request-method": "POST"}
        response = await live.http.request("OPTIONS", "/api/whip", headers=asked)
        exposed = response.headers["access-control-expose-headers"].lower()
        assert {"location", "link", "etag", "retry-after"} <= set(exposed.split(", "))


async def test_who_comes_too_early_waits(start_server: StartServer) -> None:
    async with start_server() as live:
        publisher = HttpClient.to(live, "/api/whip", microphone=FakeMicrophone(beeps(30)))
        answer = await publisher.offer()  # and does not connect yet
        viewer = HttpClient.to(live, publisher.where_to_watch)
        waiting = asyncio.ensure_future(viewer.connect())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await publisher.accept(answer)
        await waiting
        await viewer.until(lambda: len(viewer.frames) > 5)
        await asyncio.gather(viewer.close(), publisher.close())


async def test_who_waits_in_vain_is_told_when_to_come_again(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visavis.streamer.session.manager._HOLD_S", 0.2)
    async with start_server() as live:
        publisher = HttpClient.to(live, "/api/whip", microphone=FakeMicrophone(beeps(3)))
        await publisher.offer()
        viewer = HttpClient.to(live, publisher.where_to_watch)
        response = await viewer.offer()
        assert response.status_code == 503 and response.headers["retry-after"] == "1"
        await asyncio.gather(viewer.close(), publisher.close())


async def restart(client: HttpClient) -> httpx.Response:
    """Restart ICE as WHIP and WHEP clients do: by a fragment, not by an offer."""
    (agent,) = client.pc.agents
    await agent.prepare()
    named = "".join(f"a=candidate:{c.to_sdp()}\r\n" for c in agent.local_candidates)
    body = f"a=ice-ufrag:{agent.local_username}\r\na=ice-pwd:{agent.local_password}\r\n"
    body += f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{named}"
    response = await client.http.patch(
        client.resource, content=body, headers={**TRICKLE, "if-match": "*"}
    )
    if response.status_code == 200:
        theirs = Fragment.parse(response.text)
        agent.check(theirs.username, theirs.password)
    return response


async def test_ice_restarts_by_patch(start_server: StartServer) -> None:
    async with start_server() as live, speaking(live) as publisher:
        viewer = HttpClient.to(live, publisher.where_to_watch)
        await viewer.connect()
        await viewer.until(lambda: len(viewer.frames) > 10)
        for client in (viewer, publisher):
            etag = client.response.headers["etag"]
            response = await restart(client)
            assert response.status_code == 200
            assert response.headers["content-type"].startswith(MEDIA_TYPE)
            assert response.headers["etag"] != etag
            (agent,) = client.pc.agents
            async with asyncio.timeout(10):
                while agent._checking is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            stale = await client.http.patch(
                client.resource, content="a=mid:0\r\n", headers={**TRICKLE, "if-match": etag}
            )
            assert stale.status_code == 412
            count = len(viewer.frames)
            await viewer.until(lambda n=count: len(viewer.frames) > n + 30)
        steps = [
            b.media_s - a.media_s for a, b in zip(viewer.frames, viewer.frames[1:], strict=False)
        ]
        assert max(steps) < 0.2
        await viewer.close()


async def test_watching_is_not_owning(start_server: StartServer) -> None:
    async with start_server(token=TOKEN) as live:
        live.http.headers["authorization"] = f"Bearer {TOKEN}"
        async with speaking(live) as publisher:
            session = live.services.sessions.describe()[0]
            view = session["view_id"]
            assert view != session["pc_id"] and session["pc_id"] not in publisher.where_to_watch
            del live.http.headers["authorization"]
            viewer = HttpClient.to(live, publisher.where_to_watch)
            await viewer.connect()
            await viewer.until(lambda: len(viewer.frames) > 5)
            for method, address in (
                ("DELETE", f"/api/whep/{view}"),
                ("PATCH", f"/api/whep/{view}"),
            ):
                response = await live.http.request(method, address, headers=TRICKLE)
                assert response.status_code == 404, (method, address)
            for method, address in (
                ("DELETE", f"/api/sessions/{view}"),
                ("GET", f"/api/sessions/{view}/trace"),
                ("GET", "/api/sessions"),
                ("POST", "/api/whip"),
            ):
                response = await live.http.request(method, address)
                assert response.status_code == 401, (method, address)
            live.http.headers["authorization"] = f"Bearer {TOKEN}"
            for method, address in (
                ("DELETE", f"/api/sessions/{view}"),
                ("GET", f"/api/sessions/{view}/trace"),
            ):
                response = await live.http.request(method, address)
                assert response.status_code == 404, "a view id is no control id, token or not"
            body = {"pc_id": view, "candidates": []}
            assert (await live.http.patch("/api/offer", json=body)).status_code == 404
            count = len(viewer.frames)
            await viewer.until(lambda: len(viewer.frames) > count + 5)
            await viewer.close()


@pytest.mark.parametrize(
    ("address", "headers", "change", "status", "word"),
    [
        ("/api/whip", {"content-type": "text/plain"}, lambda s: s, 415, "application/sdp"),
        ("/api/whip", {}, lambda s: s, 415, "application/sdp"),
        ("/api/whip?avatar=nobody", SDP, lambda s: s, 404, "avatar"),
        ("/api/whip?size=300", SDP, lambda s: s, 400, "size"),
        ("/api/whip?mood=sad", SDP, lambda s: s, 400, "mood"),
        ("/api/whip", SDP, lambda s: "", 400, "read"),
        ("/api/whip", SDP, lambda s: s.replace("m=audio", "m=text"), 400, "audio"),
        ("/api/whip", SDP, lambda s: re.sub(r"(?<=map:)(\d+) \w+/", r"\1 speex/", s), 400, "codec"),
        ("/api/whep/nobody", SDP, lambda s: s, 404, "session"),
    ],
)
async def test_what_cannot_be_published_is_said(
    start_server: StartServer, address: str, headers: dict, change: Any, status: int, word: str
) -> None:
    async with start_server() as live:
        client = HttpClient.to(live, address, microphone=FakeMicrophone(beeps(1)))
        client.pc.addTransceiver(client.microphone, direction="sendonly")
        await client.pc.setLocalDescription(await client.pc.createOffer())
        body = change(client.pc.localDescription.sdp)
        response = await live.http.post(address, content=body.encode(), headers=headers)
        assert response.status_code == status
        assert word in response.json()["error"] and response.json()["error"].endswith(".")
        assert live.services.admission.held == 0
        await client.close()


async def test_fragments_that_cannot_be_read(start_server: StartServer) -> None:
    async with start_server() as live, speaking(live) as publisher:
        for body, headers, status in (
            ("a=ice-ufrag:x y\r\n", TRICKLE, 400),
            ("hello", TRICKLE, 400),
            ("a=ice-ufrag:abcd\r\n", TRICKLE, 400),
            ("a=candidate:nonsense\r\n", TRICKLE, 204),
            ("", TRICKLE, 204),
            ("a=mid:0", SDP, 415),
            ("a=mid:0", {**TRICKLE, "if-match": '"other"'}, 412),
        ):
            response = await live.http.patch(publisher.resource, content=body, headers=headers)
            assert response.status_code == status, body
        assert live.services.sessions.describe()[0]["state"] == "live"
