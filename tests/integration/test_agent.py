"""A program speaks in a session: sentences at once, positions, barge-in, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.fakes.fake_microphone import FakeMicrophone, Viewer
from tests.integration.conftest import Live, StartServer
from visavis.streamer.errors import BadRequest
from visavis.streamer.integrations.agent import AvatarClient

RATE = 24_000
TOKEN = "correct horse battery"
FRAME_S = 0.04
DARK = 40 + sum(b"anna") % 60  # of the fake picture while nobody speaks
LOUD = 60


def tone(seconds: float, rate: int = RATE) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return (12_000 * np.sin(2 * np.pi * 300 * t)).astype(np.int16)


def swelling(seconds: float) -> np.ndarray:
    """A square wave whose level says how many seconds have passed: 2000 and 2500 a second."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (np.where(t * 300 % 1 < 0.5, 1, -1) * (2000 + 2500 * t)).astype(np.int16)


async def watching(live: Live) -> Viewer:
    viewer = Viewer(live.http, FakeMicrophone(np.zeros(48_000, np.int16)))
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) > 10)
    return viewer


def agent(live: Live, viewer: Viewer, **options: Any) -> AvatarClient:
    return AvatarClient(live.url, session=viewer.pc_id, rate=RATE, **options)


async def test_a_sentence_at_once_is_spoken_in_real_time(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await watching(live)
        async with agent(live, viewer) as avatar:
            before = len(viewer.frames)
            began = time.monotonic()
            await avatar.append(tone(3.0))
            await avatar.text("Hello.")
            await avatar.flush()
            started = await avatar.until("started", limit_s=10)
            assert started.segment == 0 and started.playback_position == 0
            await viewer.until(lambda: viewer.frames[-1].level > DARK + LOUD)
            first = next(f.at for f in viewer.frames[before:] if f.level > DARK + LOUD)
            print(f"append to first picture of speech: {1e3 * (first - began):.0f} ms")
            finished = await avatar.until("finished", limit_s=20)
            assert finished.playback_position == pytest.approx(3.0, abs=1e-3)
            # Longer only by what this process stood still, which is filled with silence.
            assert finished.media_time - started.media_time > 3.0 - FRAME_S
            await viewer.until(lambda: viewer.of("caption"))
            assert viewer.of("caption")[0]["text"] == "Hello."
        await viewer.close()


async def test_clear_is_silence_at_once_and_the_position_is_right(
    start_server: StartServer,
) -> None:
    async with start_server() as live:
        viewer = await watching(live)
        (session,) = live.services.sessions
        last = 0.0  # loudness of the last block of sound that was sent, which says its own time
        release = session._sound.release._read

        def read(position: int, count: int) -> np.ndarray:
            nonlocal last
            samples = release(position, count)
            level = float(np.median(np.abs(samples)))
            last = level if level > 1500 else last
            return samples

        session._sound.release._read = read
        async with agent(live, viewer) as avatar:
            await avatar.append(swelling(10.0))
            await avatar.until("started", limit_s=10)
            await viewer.until(lambda: viewer.sounds[-1].peak > 3000)
            await asyncio.sleep(1.0)
            await avatar.clear()
            cut = await avatar.until("interrupted", limit_s=10)
            await viewer.until(lambda: viewer.sounds[-1].peak < 300)
            await viewer.until(lambda: viewer.frames[-1].level < DARK + LOUD)
            spoken_s = (last - 2000) / 2500
            print(f"position {cut.playback_position:.3f} s, sent {spoken_s:.3f} s")
            assert abs(cut.playback_position - spoken_s) < FRAME_S
            await avatar.append(tone(0.5))
            await avatar.flush()
            again = await avatar.until("finished", limit_s=10)
            assert again.segment == 1 and again.playback_position == pytest.approx(0.5, abs=1e-3)
        await viewer.close()


async def test_the_viewer_interrupts_the_agent_too(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await watching(live)
        async with agent(live, viewer) as avatar:
            await avatar.append(tone(10.0))
            await avatar.until("started", limit_s=10)
            await viewer.send(type="interrupt")
            cut = await avatar.until("interrupted", limit_s=10)
            assert 0 <= cut.playback_position < 5
        await viewer.close()


async def test_the_microphone_speaks_again_when_the_agent_has_left(
    start_server: StartServer,
) -> None:
    async with start_server() as live:
        voice = (12_000 * np.sin(np.arange(48_000 * 60) / 20)).astype(np.int16)
        viewer = Viewer(live.http, FakeMicrophone(voice))
        await viewer.connect()
        await viewer.until(lambda: viewer.sounds and viewer.sounds[-1].peak > 3000)
        async with agent(live, viewer):
            await viewer.until(lambda: viewer.sounds[-1].peak < 300)
            with pytest.raises(BadRequest, match="Another agent"):
                async with agent(live, viewer):
                    pass
        await viewer.until(lambda: viewer.sounds[-1].peak > 3000)
        await viewer.close()


async def test_what_is_refused_costs_nothing_else(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await watching(live)
        address = f"{live.url.replace('http', 'ws')}/api/agent"
        for query, words in [
            ("session=nobody", "There is no such session."),
            ("", "There is no such session."),
            (f"session={viewer.pc_id}&rate=4", "rate"),
            (f"session={viewer.pc_id}&rate=ten", "rate"),
        ]:
            async with connect(f"{address}?{query}", proxy=None) as socket:
                answer = json.loads(await socket.recv())
                assert answer["type"] == "error" and words in answer["message"]
        async with connect(f"{address}?session={viewer.pc_id}", proxy=None) as socket:
            assert json.loads(await socket.recv())["type"] == "ready"
            await socket.send(b"odd")
            assert "even" in json.loads(await socket.recv())["message"]
            too_much = np.zeros(61 * 8000, "<i2").tobytes()
            audio = base64.b64encode(too_much).decode()
            await socket.send(json.dumps({"type": "append", "audio": audio, "rate": 8000}))
            assert json.loads(await socket.recv())["code"] == "too-far-ahead"
            spoken = base64.b64encode(tone(0.2, 16_000).tobytes()).decode()
            await socket.send(json.dumps({"type": "append", "audio": spoken, "rate": 16_000}))
            await socket.send('{"type": "flush"}')
            assert json.loads(await socket.recv())["type"] == "started"
            assert json.loads(await socket.recv())["type"] == "finished"
            for _ in range(60):
                await socket.send("junk")
            told = []
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    told.append(json.loads(await socket.recv()))
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
            assert told[-1]["message"] == "Too many messages could not be used."
        frames = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > frames + 10)
        await viewer.close()


async def test_the_agent_is_told_when_the_session_ends(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await watching(live)
        async with agent(live, viewer) as avatar:
            await live.http.delete(f"/api/sessions/{viewer.pc_id}")
            ended = await avatar.until("ended", limit_s=10)
            assert ended.details["reason"] == "The viewer hung up."
        await viewer.close()


async def test_a_token_is_asked_for(start_server: StartServer) -> None:
    async with start_server(token=TOKEN) as live:
        live.http.headers["authorization"] = f"Bearer {TOKEN}"
        viewer = await watching(live)
        with pytest.raises(BadRequest, match="lets no agent in"):
            async with agent(live, viewer, token="wrong"):
                pass
        async with agent(live, viewer, token=TOKEN):
            pass
        await viewer.close()


async def test_an_agent_may_stay_longer_than_a_header_may_take(start_server: StartServer) -> None:
    """The clock that ends connections which send nothing once ran on under the socket."""
    async with start_server(header_timeout_s=1) as live:
        viewer = await watching(live)
        async with agent(live, viewer) as avatar:
            frames = len(viewer.frames)
            await viewer.until(lambda: len(viewer.frames) > frames + 50)
            await avatar.append(tone(0.2))
            await avatar.flush()
            await avatar.until("finished", limit_s=10)
        await viewer.close()
