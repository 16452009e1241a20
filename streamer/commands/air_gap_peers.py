"""Who calls in the proof of the air gap: a viewer, a stage page, and two people in one call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin

_PICTURES: Final = 25  # until it counts as a call
_CALL_S: Final = 60.0  # everything is traced, and slow
_LINKS: Final = re.compile(r'(?:href|src)="([^"#:]+)["#]')  # of a page
_IMPORTS: Final = re.compile(r'(?:from|import) "([./][^"]+)"')  # of a module
_MOST_PARTS: Final = 200
Answer = Callable[[str], Awaitable[str]]


@dataclass
class Seen:
    """What one peer has seen.

    Attributes:
        pictures: by the order of its sections.
        changed: told of every picture.
    """

    pictures: dict[int, int] = field(default_factory=dict[int, int])
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def enough(self, sections: int) -> None:
        """Wait until so many sections show a picture that moves.

        Raises:
            TimeoutError: they do not.
        """

        def shown() -> bool:
            return sum(count >= _PICTURES for count in self.pictures.values()) >= sections

        async with asyncio.timeout(_CALL_S), self.changed:
            await self.changed.wait_for(shown)


@contextlib.asynccontextmanager
async def connected(answer: Answer, *, speaks: bool, pictures: int) -> AsyncGenerator[Seen]:
    """Be a peer for as long as the context lasts.

    Args:
        answer: takes an offer's SDP and returns the answer's.
        speaks: with a microphone; only listening otherwise.
        pictures: sections for pictures.
    """
    from aiortc import RTCSessionDescription
    from aiortc.mediastreams import AudioStreamTrack

    from visavis.streamer.webrtc.connection import MediaConnection
    from visavis.streamer.webrtc.ice.sockets import Binding

    peer = MediaConnection(Binding(loopback_only=True))  # loopback is all there is
    seen, tasks = Seen(), set[asyncio.Task[None]]()

    async def watch(track: Any, number: int) -> None:
        while True:
            await track.recv()
            if track.kind == "video":
                async with seen.changed:
                    seen.pictures[number] = seen.pictures.get(number, 0) + 1
                    seen.changed.notify_all()

    @peer.on("track")
    def follow(track: Any) -> None:
        tasks.add(asyncio.create_task(watch(track, len(tasks))))

    peer.createDataChannel("control")
    peer.addTransceiver(AudioStreamTrack() if speaks else "audio")
    for _ in range(pictures):
        peer.addTransceiver("video", direction="recvonly")
    try:
        await peer.setLocalDescription(await peer.createOffer())
        told = await answer(peer.localDescription.sdp)
        await peer.setRemoteDescription(RTCSessionDescription(told, "answer"))
        yield seen
    finally:
        await peer.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Server:
    """A running server, asked as pages ask it.

    Args:
        address: where it said that it is.
    """

    def __init__(self, address: str) -> None:
        self._address = f"{address}/"

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[str]:
        """Call until pictures have come; the context's value is the view id."""
        given: dict[str, Any] = {}

        async def answer(sdp: str) -> str:
            given.update(await self._post("api/offer", {"sdp": sdp, "type": "offer"}))
            return str(given["sdp"])

        async with connected(answer, speaks=True, pictures=1) as seen:
            await seen.enough(1)
            yield str(given["view_id"])

    async def stage(self, view_id: str) -> None:
        """Open the stage page with all its parts, and watch what it shows."""
        await self._page(f"stage/{view_id}")
        await self._fetch(f"api/views/{view_id}")

        async def answer(sdp: str) -> str:
            kind = {"content-type": "application/sdp"}
            return (await self._fetch(f"api/whep/{view_id}", sdp.encode(), kind)).decode()

        async with connected(answer, speaks=False, pictures=1) as seen:
            await seen.enough(1)

    async def room(self) -> None:
        """Open the page of a call, and have two people in it who see each other."""
        name = str((await self._post("api/rooms", {"title": "Air gap"}))["name"])
        await self._page(f"call/{name}")
        async with contextlib.AsyncExitStack() as stack:
            people = [
                await stack.enter_async_context(self._guest(name, who)) for who in ("Ada", "Ben")
            ]
            for seen in people:
                await seen.enough(2)  # oneself and the other

    def _guest(self, room: str, name: str) -> contextlib.AbstractAsyncContextManager[Seen]:
        async def answer(sdp: str) -> str:
            entry = {"name": name, "part": "avatar", "agrees": True}
            seat = (await self._post(f"api/rooms/{room}/people", entry))["seat"]
            bearer = {"authorization": f"Bearer {seat}"}
            offer = {"sdp": sdp, "type": "offer", "size": 256}
            return str((await self._post(f"api/rooms/{room}/offer", offer, bearer))["sdp"])

        return connected(answer, speaks=True, pictures=2)

    async def _page(self, path: str) -> None:
        """Fetch a page and, from one to the next, everything that it loads."""
        waiting, known = [urljoin(self._address, path)], set[str]()
        while waiting and len(known) < _MOST_PARTS:
            url = waiting.pop()
            if url in known:
                continue
            known.add(url)
            text = (await self._fetch(url)).decode("utf-8", "replace")
            found = _IMPORTS if url.endswith(".js") else _LINKS
            if not url.endswith((".svg", ".png", ".css")):
                waiting += [urljoin(url, part) for part in found.findall(text)]

    async def _post(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        kind = {"content-type": "application/json", **(headers or {})}
        told: dict[str, Any] = json.loads(await self._fetch(path, json.dumps(body).encode(), kind))
        return told

    async def _fetch(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        request = urllib.request.Request(urljoin(self._address, path), body, headers or {})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ask() -> bytes:
            try:
                with opener.open(request, timeout=30) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                raise RuntimeError(f"{path} was answered with {error.code}") from error

        return await asyncio.to_thread(ask)
