"""What began with a token ends when it is taken back: sessions, and whoever watches by it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.fakes.processes.fake_server import put_avatar
from tests.integration.clients.test_whip import HttpClient
from tests.integration.conftest import Live, StartServer
from tests.integration.test_erasing import causes
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import BadRequest
from visavis.streamer.integrations.agent import AvatarClient

SERVER_TOKEN = "the server's own, 32 characters."


async def test_a_token_s_session_lives_as_long_as_the_token(
    start_server: StartServer, tmp_path: Path
) -> None:
    ada, bob = (put_avatar(tmp_path, letter, letter, "#777777").id for letter in "ab")
    store = AvatarStore(tmp_path, LimitsConfig(), 256)
    async with start_server(store=store, token=SERVER_TOKEN) as server:
        text, record = store.tokens.create("speak", 600, avatar=ada, single=True)
        server.http.headers["authorization"] = f"Bearer {text}"
        viewer = Viewer(server.http, FakeMicrophone(beeps(30)))  # names no avatar: it is Ada
        await viewer.connect()
        await viewer.until(lambda: len(viewer.frames) > 5)
        (session,) = server.services.sessions
        assert session.avatar.id == ada
        viewer.control.send(f'{{"type": "avatar", "id": "{bob}"}}')
        await viewer.until(lambda: viewer.of("error"), 3.0)
        assert "another avatar" in viewer.of("error")[0]["message"]
        again = Viewer(server.http, FakeMicrophone(beeps(5)), avatar=ada)
        refused = await again.offer()
        assert (refused.status_code, refused.json()["code"]) == (401, "token-used")
        AvatarStore(tmp_path, LimitsConfig(), 256).tokens.revoke(record.id)  # another process
        await viewer.until(lambda: viewer.of("ended"), 3.0)
        assert causes(viewer) == ["token"]
        await viewer.close()
        await again.close()


async def watching(live: Live, address: str, token: str = "", **request: Any) -> Viewer:
    """Watch with a stock player at an address, or as the page does."""
    http = httpx.AsyncClient(base_url=live.url, timeout=10)
    if token:
        http.headers["authorization"] = f"Bearer {token}"
    viewer: Viewer
    if address:
        viewer = HttpClient(http)
        viewer.address = address
    else:
        viewer = Viewer(http, None, request=request)
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) > 5)
    return viewer


async def put_out(viewer: Viewer, within_s: float) -> None:
    """Wait until the server has hung up."""
    async with asyncio.timeout(within_s):
        while viewer.pc.connectionState != "closed":  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.02)


async def test_who_watches_by_a_token_is_put_out_with_it(
    start_server: StartServer, tmp_path: Path
) -> None:
    put_avatar(tmp_path, "a", "Ada", "#777777")
    store = AvatarStore(tmp_path, LimitsConfig(), 256)
    async with start_server(store=store, token=SERVER_TOKEN) as live:
        owner = {"authorization": f"Bearer {SERVER_TOKEN}"}
        live.http.headers.update(owner)
        speaker = Viewer(live.http, FakeMicrophone(beeps(60)))
        await speaker.connect()
        await speaker.until(lambda: len(speaker.frames) > 5)
        await live.http.post("/api/rooms", json={"title": "tea"})
        whep = f"/api/whep/{speaker.view_id}"
        text, record = store.tokens.create("watch", 600)
        soon, _ = store.tokens.create("watch", 5)
        theirs = [
            await watching(live, whep, text),
            await watching(live, "", text, watch=speaker.view_id),
        ]
        expiring = await watching(live, whep, soon)
        free = await watching(live, whep)
        assert live.services.sessions.viewers == 4
        AvatarStore(tmp_path, LimitsConfig(), 256).tokens.revoke(record.id)  # another process
        began = time.monotonic()
        for viewer in theirs:
            await put_out(viewer, 3.0)
        print(f"revoked to put out: {time.monotonic() - began:.2f} s")
        assert theirs[1].of("ended") == [
            {"type": "ended", "reason": "This token has been taken back.", "cause": "token"}
        ]
        await put_out(expiring, 8.0)
        seen = [len(viewer.frames) for viewer in (*theirs, expiring)]
        before = len(free.frames)
        await free.until(lambda: len(free.frames) > before + 25)
        assert [len(viewer.frames) for viewer in (*theirs, expiring)] == seen, "no frame follows"
        assert live.services.sessions.viewers == 1, "who needed no token, and the session, go on"
        for old in (text, soon):
            again = await theirs[0].http.post(
                whep, content="v=0", headers={"authorization": f"Bearer {old}"}
            )
            assert again.status_code == 401
        await asyncio.gather(*(v.close() for v in (*theirs, expiring, free, speaker)))
        await asyncio.gather(*(v.http.aclose() for v in (*theirs, expiring, free)))


async def test_a_program_that_speaks_by_a_token_is_put_out_with_it(
    start_server: StartServer, tmp_path: Path
) -> None:
    ada, bob = (put_avatar(tmp_path, letter, letter, "#777777").id for letter in "ab")
    store = AvatarStore(tmp_path, LimitsConfig(), 256)
    async with start_server(store=store, token=SERVER_TOKEN) as live:
        live.http.headers["authorization"] = f"Bearer {SERVER_TOKEN}"
        viewer = Viewer(live.http, FakeMicrophone(beeps(60)), avatar=ada)
        await viewer.connect()
        await viewer.until(lambda: len(viewer.frames) > 5)
        other, _ = store.tokens.create("speak", 600, avatar=bob)
        with pytest.raises(BadRequest, match="another avatar"):
            async with AvatarClient(live.url, session=viewer.pc_id, token=other):
                pass
        text, record = store.tokens.create("speak", 600, avatar=ada)
        async with AvatarClient(live.url, session=viewer.pc_id, token=text) as agent:
            store.tokens.revoke(record.id)
            told = await agent.until("ended", limit_s=3)
            assert told.details["reason"] == "This token has been taken back."
        before = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > before + 10)
        assert not viewer.of("ended"), "the session is another's"
        await viewer.close()
