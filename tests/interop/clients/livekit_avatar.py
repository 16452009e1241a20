"""The real ``livekit-agents`` around our generator: in process, or by a worker; stand-in rooms."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.io import PlaybackFinishedEvent
from livekit_rooms import Room

from visavis.streamer.integrations.livekit import AvatarSession, VisavisGenerator
from visavis.streamer.integrations.livekit_worker import Worker

RATE = 24_000
AGENT = "the agent"


def tone(seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return (12_000 * np.sin(2 * np.pi * 300 * t)).astype(np.int16)


async def say(output: Any, seconds: float) -> None:
    """As an agent's voice does: much faster than it is spoken."""
    pcm = tone(seconds)
    for at in range(0, len(pcm), RATE // 10):
        part = pcm[at : at + RATE // 10]
        await output.capture_frame(rtc.AudioFrame(part.tobytes(), RATE, 1, len(part)))
    output.flush()


class Watched:
    """What the generator yields, by the way of the runner."""

    def __init__(self) -> None:
        self.spoken = 0
        self.pictures = 0
        self.loud_pictures = 0
        iterate = VisavisGenerator.__aiter__
        watched = self

        async def tapped(generator: VisavisGenerator) -> Any:
            async for frame in iterate(generator):
                watched.see(frame)
                yield frame

        VisavisGenerator.__aiter__ = tapped  # type: ignore[method-assign]

    def see(self, frame: Any) -> None:
        if isinstance(frame, rtc.AudioFrame):
            self.spoken += frame.samples_per_channel
        elif isinstance(frame, rtc.VideoFrame):
            self.pictures += 1
            picture = np.frombuffer(frame.data, np.uint8)[: frame.width * frame.height]
            self.loud_pictures += picture.reshape(frame.height, -1)[120:136, 120:136].mean() > 140


async def scenario(output: Any, watched: Watched) -> dict[str, Any]:
    finished: list[PlaybackFinishedEvent] = []
    started: list[float] = []
    output.on("playback_finished", finished.append)
    output.on("playback_started", lambda event: started.append(time.monotonic()))
    began = time.monotonic()
    await say(output, 1.0)
    async with asyncio.timeout(20):
        first = await output.wait_for_playout()
    seen: dict[str, Any] = {
        "started_ms": round(1e3 * (started[0] - began)),
        "first": [first.playback_position, first.interrupted],
        "spoken": watched.spoken / 48_000,
        "loud_pictures": int(watched.loud_pictures),
    }
    await say(output, 10.0)
    async with asyncio.timeout(20):
        while len(started) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(1.0)
    before = watched.spoken
    cut = time.monotonic()
    output.clear_buffer()
    async with asyncio.timeout(10):
        second = await output.wait_for_playout()
    seen["cut_ms"] = round(1e3 * (time.monotonic() - cut))
    seen["second"] = [second.playback_position, second.interrupted]
    seen["given"] = (before - 48_000) / 48_000
    quiet = watched.spoken
    loud = watched.loud_pictures
    await asyncio.sleep(1.0)
    seen["spoken_after"] = (watched.spoken - quiet) / 48_000
    seen["loud_after"] = int(watched.loud_pictures - loud)
    await say(output, 0.5)
    async with asyncio.timeout(20):
        third = await output.wait_for_playout()
    seen["third"] = [third.playback_position, third.interrupted]
    seen["pictures"] = watched.pictures
    seen["events"] = len(finished)
    return seen


async def here(url: str) -> dict[str, Any]:
    room = Room(AGENT)
    session: AgentSession[Any] = AgentSession()
    avatar = AvatarSession(url, avatar="anna", size=256)
    watched = Watched()
    await avatar.start(session, room)  # type: ignore[arg-type]
    seen = await scenario(session.output.audio, watched)
    seen["tracks"] = len(room.local_participant.track_publications)
    seen["identity"] = avatar.avatar_identity
    await avatar.aclose()
    return seen


async def there(url: str) -> dict[str, Any]:
    room = Room(AGENT)
    joined: list[tuple[str, str]] = []
    rooms: list[Room] = []

    async def connect(address: str, token: str) -> Room:
        if token == "expired":
            raise RuntimeError("invalid token: it has expired")
        joined.append((address, token))
        rooms.append(Room("visavis-avatar"))
        if len(rooms) == 1:
            rooms[0].meet(room)
        return rooms[-1]

    worker = Worker(url, "", connect)  # type: ignore[arg-type]
    runner = web.AppRunner(worker.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    session: AgentSession[Any] = AgentSession()
    avatar = AvatarSession(worker=f"http://127.0.0.1:{port}", avatar="anna", size=256)
    watched = Watched()
    keys = {"livekit_api_key": "key", "livekit_api_secret": "a secret of thirty-two characters"}
    await avatar.start(session, room, livekit_url="wss://livekit.example", **keys)  # type: ignore[arg-type]
    seen = await scenario(session.output.audio, watched)
    seen["joined"] = joined[0][0]
    seen["tracks"] = len(rooms[0].local_participant.track_publications)
    seen["identity"] = avatar.avatar_identity
    refused = {}
    async with aiohttp.ClientSession() as http:
        for name, body in {
            "nothing": {},
            "odd": {"livekit_url": 3, "livekit_token": "t", "sender": "s"},
            "expired": {"livekit_url": "w", "livekit_token": "expired", "sender": AGENT},
            "unknown": {
                "livekit_url": "w", "livekit_token": "t", "sender": AGENT, "avatar": "nobody"
            },
        }.items():  # fmt: skip
            async with http.post(f"http://127.0.0.1:{port}/avatars", json=body) as answer:
                refused[name] = [answer.status, (await answer.json())["error"]]
    seen["refused"] = refused
    await room.disconnect()
    async with asyncio.timeout(10):
        while worker.count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await runner.cleanup()
    return seen


async def main(mode: str, url: str) -> None:
    seen = await {"here": here, "there": there}[mode](url)
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
