"""A program takes an avatar's pictures and sound uncompressed, without any viewer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect

from tests.integration.conftest import Live, StartServer
from tests.integration.test_agent import DARK, RATE, TOKEN, swelling, tone, watching
from visavis.streamer.errors import BadRequest
from visavis.streamer.integrations.agent import AgentEvent, AvatarClient, AvatarFrame

MODEL_GAIN = 4 * 150  # of the fake picture: brightness over loudness
SPOKEN = 48_000 // RATE  # samples that come for one that was appended


def own(live: Live, **options: object) -> AvatarClient:
    return AvatarClient(live.url, avatar="anna", raw=True, size=256, rate=RATE, **options)  # type: ignore[arg-type]


def is_there(ready: dict[str, Any]) -> bool:
    return Path(ready["pictures"]["path"]).exists()


def level(frame: AvatarFrame) -> float:
    """Brightness of the middle, as RGB."""
    return (float(frame.picture[120:136, 120:136].mean()) - 16) * 255 / 219


async def test_every_picture_comes_with_its_own_sound(start_server: StartServer) -> None:
    async with start_server() as live, own(live) as avatar:
        assert (avatar.width, avatar.height, avatar.fps) == (256, 256, 25)
        frames: list[AvatarFrame] = []
        events: list[tuple[int, AgentEvent]] = []
        await avatar.append(tone(2.0))
        await avatar.flush()
        async with asyncio.timeout(20):
            async for item in avatar.media():
                if isinstance(item, AvatarFrame):
                    frames.append(item)
                else:
                    events.append((len(frames), item))
                    if item.type == "finished":
                        break
        assert [e.type for _, e in events] == ["ready", "started", "finished"]
        ends = [round(f.media_time * 48_000) + len(f.sound) for f in frames]
        starts = [round(f.media_time * 48_000) for f in frames]
        assert starts[1:] == ends[:-1], "no sample is missing or comes twice"
        spoken = sum(span.count for f in frames for span in f.spans)
        assert abs(spoken - SPOKEN * 2 * RATE) <= 16, "all that was appended, and the filter's end"
        assert frames[-1].spans, "finished comes right after the last frame of its segment"
        for frame in frames[3:]:  # the first picture of a session may be late on a busy machine
            loud = np.sqrt(np.mean((frame.sound / 32_768.0) ** 2))
            if frame.is_new and len(frame.sound) == 1920 and frame.spans:
                assert level(frame) == pytest.approx(DARK + min(1, loud * 4) * 150, abs=12)


async def test_a_clear_tells_exactly_what_was_given(start_server: StartServer) -> None:
    async with start_server() as live, own(live) as avatar:
        await avatar.append(swelling(10.0))
        given = after = 0
        async with asyncio.timeout(20):
            async for item in avatar.media():
                if isinstance(item, AvatarFrame):
                    given += sum(span.count for span in item.spans)
                    if given > 48_000:
                        await avatar.clear()
                        break
            async for item in avatar.media():
                if isinstance(item, AgentEvent) and item.type == "interrupted":
                    assert item.playback_position == pytest.approx(given / 48_000, abs=1e-3)
                    break
                if isinstance(item, AvatarFrame):
                    given += sum(span.count for span in item.spans)
            quiet: list[float] = []
            async for item in avatar.media():
                if isinstance(item, AvatarFrame):
                    after += sum(span.count for span in item.spans)
                    quiet.append(level(item))
                    if len(quiet) == 10:
                        break
            assert not after and max(quiet[1:]) < DARK + 12, quiet
            await avatar.append(tone(0.5))
            await avatar.flush()
            event = await avatar.until("finished")
            assert event.segment == 1


async def test_a_slow_reader_costs_only_itself(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await watching(live)
        address = f"{live.url.replace('http', 'ws')}/api/agent?avatar=anna&raw=1&size=256"
        async with connect(address, proxy=None, max_queue=1) as slow, own(live) as quick:
            ready = json.loads(await slow.recv())
            assert is_there(ready)
            seen = len(viewer.frames)
            frames = []
            async for frame in quick.frames():
                frames.append(frame.number)
                if len(frames) == 75:
                    break
            assert quick.lost == 0 and frames[-1] - frames[0] < 90
            assert len(viewer.frames) - seen > 50
        await viewer.close()
        async with asyncio.timeout(10):
            while len(live.services.sessions):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not is_there(ready), "nothing of it stays"


async def test_an_agent_of_a_watched_session_may_look_too(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await watching(live)
        async with AvatarClient(live.url, session=viewer.pc_id, raw=True, rate=RATE) as avatar:
            await avatar.append(tone(1.0))
            await avatar.flush()
            spoken = 0
            async with asyncio.timeout(20):
                async for item in avatar.media():
                    if isinstance(item, AvatarFrame):
                        spoken += sum(span.count for span in item.spans)
                    elif item.type == "finished":
                        break
            assert abs(spoken - 48_000) <= 16
        seen = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > seen + 5)
        await viewer.close()


async def test_what_is_refused_is_one_sentence(start_server: StartServer) -> None:
    async with start_server(token=TOKEN) as live:
        with pytest.raises(BadRequest, match="lets no agent in"):
            async with own(live, token="an old one that has expired"):
                pass
        for avatar, size, mood, words in [
            ("nobody", 0, "neutral", "no such avatar"),
            ("anna", 300, "neutral", "256, 384, 512"),
            ("anna", 0, "sour", "mood"),
        ]:
            with pytest.raises(BadRequest, match=words):
                async with AvatarClient(
                    live.url, avatar=avatar, raw=True, size=size, mood=mood, token=TOKEN
                ):
                    pass
        assert not len(live.services.sessions) and not live.services.admission.held
        async with own(live, token=TOKEN) as avatar:
            answer = await live.http.post(
                f"/api/whep/{live.services.sessions.describe()[0]['view_id']}",
                content="v=0",
                headers={"content-type": "application/sdp", "authorization": f"Bearer {TOKEN}"},
            )
            assert answer.status_code in (400, 409)
            await live.http.delete(
                f"/api/sessions/{avatar.session}", headers={"authorization": f"Bearer {TOKEN}"}
            )
            ended = await avatar.until("ended", limit_s=10)
            assert ended.details["reason"] == "The viewer hung up."
    with pytest.raises(BadRequest, match="raw=True"):
        AvatarClient("http://127.0.0.1:1")
