"""``visavis bench agent``: a sentence in one message to its first picture, a clear to still lips.

A real server with a real avatar. The way back is either raw pictures in shared memory or WebRTC,
decoded by aiortc; there the server burns media time into the picture, so that what is timed is the
frame that holds the first sample of speech, not one that looks as if it did.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from aiortc import RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from visavis.benchmarks.common import (
    BenchmarkError,
    astronaut_jpeg,
    enrol,
    guarded,
    percentiles,
    running_server,
)
from visavis.benchmarks.latency.sound import synthetic_speech
from visavis.benchmarks.reporting import add_report_options, check_report_options, report
from visavis.benchmarks.viewer import SpeakingTrack
from visavis.streamer.integrations.agent import AgentEvent, AvatarClient, AvatarFrame
from visavis.streamer.webrtc.connection import MediaConnection
from visavis.streamer.webrtc.ice.sockets import Binding
from visavis.streamer.worker.probe import BLOCKS

RATE = 24_000
FPS = 25
_SENTENCE_S = 10.0
_TALK_S = 1.5  # before it is cleared
_REST_S = 1.4  # after it
_MOUTH = (slice(11, 16), slice(6, 14))  # twentieths of the picture: rows, columns
_MOVES = 1.6  # times what the mouth's place changes by at rest, from frame to frame


@dataclass(frozen=True)
class Picture:
    """One picture as it came: when, of what media time in seconds, and the mouth's place."""

    at: float
    media_s: float
    mouth: NDArray[np.float32]


@dataclass
class Figures:
    """What was measured, in ms; positions in ms of sound."""

    first: list[float] = field(default_factory=list)
    still: list[float] = field(default_factory=list)
    position: list[float] = field(default_factory=list)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench agent", description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--size", type=int, default=512, choices=(256, 384, 512))
    parser.add_argument("--look-ahead-ms", type=int, default=40)
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    settings = {"MEDIA_SIZE": str(args.size), "MEDIA_LOOK_AHEAD_MS": str(args.look_ahead_ms)}
    with running_server(**settings) as server:
        avatar, _ = enrol(server.url, astronaut_jpeg())
        _speech()
        raw = asyncio.run(_raw(server.url, avatar, args.times))
        web = asyncio.run(_web(server.url, avatar, args.times))
    result = {
        "benchmark": "agent",
        "settings": {"size": args.size, "look_ahead_ms": args.look_ahead_ms, "fps": FPS},
        "raw": _table(raw),
        "webrtc": _table(web),
    }
    report(args, result)
    return 0


@functools.cache
def _speech() -> NDArray[np.int16]:
    voice = synthetic_speech(_SENTENCE_S)[::2]
    return (voice * 0.5 * 32_767 / np.abs(voice).max()).astype(np.int16)


def _table(figures: Figures) -> dict[str, Any]:
    return {
        "append_to_first_picture_ms": percentiles(figures.first),
        "clear_to_still_lips_ms": percentiles(figures.still),
        "position_error_ms": percentiles(figures.position),
    }


async def _raw(url: str, avatar: str, times: int) -> Figures:
    figures = Figures()
    async with AvatarClient(url, avatar=avatar, raw=True, rate=RATE) as client:
        pictures: deque[Picture] = deque(maxlen=200)
        spans: deque[tuple[float, int, int]] = deque(maxlen=20_000)
        events: asyncio.Queue[AgentEvent] = asyncio.Queue()

        async def look() -> None:
            async for item in client.media():
                if isinstance(item, AgentEvent):
                    events.put_nowait(item)
                    continue
                _keep(pictures, item)
                for span in item.spans:
                    spans.append((item.media_time, span.segment, span.count))

        looking = asyncio.create_task(look())
        for number in range(times):
            await asyncio.sleep(1.0 + 0.0137 * number)  # another place in a frame each time
            await _once(client, pictures, events, figures)
            given = sum(count for _, segment, count in spans if segment == number) / 48_000
            figures.position[-1] = 1e3 * abs(figures.position[-1] - given)
        looking.cancel()
    return figures


def _keep(pictures: deque[Picture], frame: AvatarFrame) -> None:
    height = frame.picture.shape[0] * 2 // 3
    media_s = frame.number / FPS
    pictures.append(Picture(time.monotonic(), media_s, _mouth(frame.picture[:height])))


def _mouth(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = luma.shape[0] // 20
    rows, columns = (slice(s.start * step, s.stop * step) for s in _MOUTH)
    return luma[rows, columns].astype(np.float32)


async def _once(
    client: AvatarClient,
    pictures: deque[Picture],
    events: asyncio.Queue[AgentEvent],
    figures: Figures,
) -> None:
    """A sentence, and its end in mid-word; positions are still to be compared."""
    pcm = _speech()
    began = time.monotonic()
    await client.append(pcm)
    started = await _event(events, "started")
    await asyncio.sleep(_TALK_S)
    speaks_from = started.media_time
    first = next(
        (p for p in pictures if p.at > began and p.media_s + 1 / FPS > speaks_from + 1e-4), None
    )
    if first is None:
        raise BenchmarkError("No picture of the speech came.")
    figures.first.append(1e3 * (first.at - began))
    cleared = time.monotonic()
    await client.clear()
    cut = await _event(events, "interrupted")
    await asyncio.sleep(_REST_S)
    figures.position.append(cut.playback_position)
    still = _still_after(list(pictures), cleared)
    if still is not None:
        figures.still.append(still)


async def _event(events: asyncio.Queue[AgentEvent], wanted: str) -> AgentEvent:
    async with asyncio.timeout(10):
        while True:
            event = await events.get()
            if event.type == wanted:
                return event
            if event.type in ("error", "ended"):
                raise BenchmarkError(f"The server says: {event.details}")


def _still_after(pictures: list[Picture], cleared: float) -> float | None:
    """Return the ms until the mouth's place changes no more than it does at rest.

    None where it did not change more than that while it spoke: then stillness says nothing.
    """
    changes = [
        (later.at, float(np.abs(later.mouth - sooner.mouth).mean()))
        for sooner, later in itertools.pairwise(pictures)
    ]
    rest = [change for at, change in changes if at > cleared + 0.7]
    if not rest:
        raise BenchmarkError("No pictures came after the clear.")
    most = _MOVES * max(float(np.percentile(rest, 90)), 0.05)
    if not any(change > most for at, change in changes if cleared - 0.7 < at < cleared):
        return None
    moving = [at for at, change in changes if cleared < at < cleared + 0.7 and change > most]
    return 1e3 * (max(moving, default=cleared) - cleared)


async def _web(url: str, avatar: str, times: int) -> Figures:
    figures = Figures()
    pictures: deque[Picture] = deque(maxlen=200)
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        connection, pc_id = await _watch(http, avatar, lambda p: pictures.append(p))
        events: asyncio.Queue[AgentEvent] = asyncio.Queue()
        async with AvatarClient(url, session=pc_id, rate=RATE) as client:

            async def listen() -> None:
                async for event in client:
                    events.put_nowait(event)

            listening = asyncio.create_task(listen())
            for number in range(times):
                await asyncio.sleep(1.0 + 0.0137 * number)
                await _once(client, pictures, events, figures)
            figures.position.clear()  # what was given can be counted in raw pictures only
            listening.cancel()
        await connection.close()
    return figures


async def _watch(
    http: httpx.AsyncClient, avatar: str, came: Callable[[Picture], None]
) -> tuple[MediaConnection, str]:
    """Begin a session and decode its picture."""
    connection = MediaConnection(Binding())
    connection.addTrack(SpeakingTrack(np.zeros(48_000, np.float32)))
    connection.addTransceiver("video", direction="recvonly")
    tasks: set[asyncio.Task[None]] = set()

    async def look(track: Any) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:  # hung up
                return
            luma = frame.to_ndarray(format="gray")
            came(Picture(time.monotonic(), _media_s(luma), _mouth(luma)))

    @connection.on("track")
    def track(track: Any) -> None:
        if track.kind == "video":
            tasks.add(asyncio.ensure_future(look(track)))

    await connection.setLocalDescription(await connection.createOffer())
    wishes = {"avatar_id": avatar, "probe": True}
    body = {"sdp": connection.localDescription.sdp, "type": "offer", "request_data": wishes}
    answer = (await http.post("/api/offer", json=body)).raise_for_status().json()
    await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    return connection, str(answer["pc_id"])


def _media_s(luma: NDArray[np.uint8]) -> float:
    """Read the media time that is burnt into a picture's first strip."""
    size = luma.shape[1] // BLOCKS
    middle = luma[size // 2, size // 2 :: size][:BLOCKS]
    return int("".join("1" if value > 127 else "0" for value in middle), 2) / 1000


if __name__ == "__main__":
    raise SystemExit(main())
