"""Pipecat's JavaScript client, played message by message: it gets ready, mutes and is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np

from tests.browser.helpers.speech import RATE, synthetic
from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer

TONE = beeps(30, every_s=30, length_s=30)


def client(live: Live, sound: np.ndarray, **options: Any) -> Viewer:
    return Viewer(live.http, FakeMicrophone(sound), channel="chat", **options)


async def say(viewer: Viewer, kind: str, **data: Any) -> None:
    await viewer.send(label="rtvi-ai", type=kind, id=kind, data=data)


async def told(viewer: Viewer, kind: str, limit_s: float = 10) -> dict[str, Any]:
    await viewer.until(lambda: viewer.of(kind), limit_s)
    return viewer.of(kind)[0]


async def ready(viewer: Viewer) -> None:
    await viewer.connect()
    await say(viewer, "client-ready", version="2.1.0")
    answer = await told(viewer, "bot-ready")
    assert answer["id"] == "client-ready" and answer["data"]["version"] == "2.2.0"


async def mute(viewer: Viewer, enabled: bool) -> None:
    status = {"type": "trackStatus", "receiver_index": 0, "enabled": enabled}
    await viewer.send(type="signalling", message=status)


async def test_ready_mute_commands_and_the_end(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = client(live, TONE)
        await ready(viewer)
        await viewer.until(lambda: viewer.sounds and viewer.sounds[-1].peak > 3000)
        await mute(viewer, False)
        await viewer.until(lambda: viewer.sounds[-1].peak < 100)
        await mute(viewer, True)
        await viewer.until(lambda: viewer.sounds[-1].peak > 3000)
        await say(viewer, "client-message", t="avatar", d={"id": "nobody"})
        refused = await told(viewer, "error-response")
        assert refused["data"]["error"] == "There is no such avatar."
        live.avatars.add("bert")
        await say(viewer, "client-message", t="avatar", d={"id": "bert"})
        await told(viewer, "server-response")
        await viewer.until(lambda: len(viewer.of("server-message")) == 2)
        states = [m["data"]["state"] for m in viewer.of("server-message")]
        assert states == ["loading", "ready"]
        viewer.control.send("no json")
        assert (await told(viewer, "error"))["data"]["fatal"] is False
        await say(viewer, "disconnect-bot")
        left = await told(viewer, "signalling")
        assert left["message"] == {"type": "peerLeft"}
        assert len(viewer.of("error")) == 1, "who hangs up is not told why"
        async with asyncio.timeout(10):
            while live.services.admission.held:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await viewer.close()


async def test_pings_are_life_and_silence_ends_with_a_reason(start_server: StartServer) -> None:
    async with start_server(limits={"idle_timeout_s": 2.0}) as live:
        viewer = client(live, beeps(30))
        await ready(viewer)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 5:
            viewer.control.send(f"ping: {loop.time() * 1000:.0f}")
            await asyncio.sleep(0.5)
        assert not viewer.of("signalling"), "it lives for as long as it pings"
        await viewer.until(lambda: viewer.of("signalling"), 10)
        assert viewer.of("error")[0]["data"] == {
            "error": "The viewer has gone silent.",
            "message": "The viewer has gone silent.",
            "fatal": False,
            "code": "idle",
        }
        await viewer.close()


async def test_who_speaks_is_told(start_server: StartServer) -> None:
    async with start_server() as live:
        said = synthetic()
        said = (0.5 * 32_767 * said / np.abs(said).max()).astype(np.int16)
        quiet = np.zeros(2 * RATE, np.int16)
        viewer = client(live, np.concatenate([quiet, said, quiet]))
        await ready(viewer)
        await told(viewer, "bot-stopped-speaking", 30)
        kinds = [m["type"] for m in viewer.messages if m["type"].endswith("speaking")]
        assert kinds.index("user-started-speaking") < kinds.index("bot-started-speaking")
        assert kinds.index("user-stopped-speaking") < kinds.index("bot-stopped-speaking")
        await viewer.close()


async def test_start_and_then_connect(start_server: StartServer) -> None:
    async with start_server(("anna", "bert")) as live:
        started = (await live.http.post("/start", json={"body": {"avatar_id": "anna"}})).json()
        assert started["iceConfig"]["iceServers"] == []
        path = f"/sessions/{started['sessionId']}/api/offer"
        viewer = client(live, TONE, path=path)
        await ready(viewer)
        await viewer.until(lambda: len(viewer.frames) > 5)
        (listed,) = (await live.http.get("/api/sessions")).json()["sessions"]
        assert listed["avatar_id"] == "anna" and listed["pc_id"] == viewer.pc_id
        body = {"pc_id": viewer.pc_id, "candidates": [{"candidate": "", "sdpMid": "0"}]}
        assert (await live.http.patch(path, json=body)).status_code == 200
        await viewer.close()


async def test_starts_that_cannot_be_used(start_server: StartServer) -> None:
    async with start_server() as live:
        assert (await live.http.post("/start")).status_code == 200, "Pipecat may send no body"
        odd = await live.http.post("/start", json={"createDailyRoom": False, "body": {}})
        assert odd.status_code == 200, "what others need of it is none of ours"
        wrong = await live.http.post("/start", json={"body": {"size": "huge"}})
        assert wrong.status_code == 400 and wrong.json()["error"].endswith(".")
        viewer = client(live, TONE, path="/sessions/nothing/api/offer")
        response = await viewer.offer()
        assert response.status_code == 404
        assert response.json()["error"] == "Nothing was started under this id; ask /start again."
        first = (await live.http.post("/start")).json()["sessionId"]
        for _ in range(256):
            live.http.cookies.clear()
            await live.http.post("/start", content=json.dumps({}), headers={
                "content-type": "application/json"})  # fmt: skip
        gone = client(live, TONE, path=f"/sessions/{first}/api/offer")
        assert (await gone.offer()).status_code == 404, "the oldest is forgotten"
        await asyncio.gather(viewer.close(), gone.close())
