"""Somebody in a call without a browser: a seat, a voice, everybody's packets, no decoding.

A picture has come when the packet with its marker bit has, as in :mod:`visavis.benchmarks.viewer`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
from aiortc import RTCRtpTransceiver, RTCSessionDescription
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.viewer import Arrivals, SpeakingTrack
from visavis.streamer.webrtc.connection import MediaConnection, tap_receiver
from visavis.streamer.webrtc.ice.sockets import Binding

_LIMIT_S = 20.0
_PING_S = 2.0


class StandIn:
    """One participant.

    Args:
        http: to the server.
        room: the call's name in its address.
        name: what they are called.
        avatar: id of the face they wear.
        voice: mono float32 at 48 kHz.
        others: how many others they have sections for.
        size: of the pictures.

    Attributes:
        id: of the participant, once in.
        messages: ``(monotonic seconds, message)`` of what the server told.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        room: str,
        name: str,
        avatar: str,
        voice: NDArray[np.float32],
        *,
        others: int,
        size: int = 256,
    ) -> None:
        self.id = ""
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self._http, self._base = http, f"/api/rooms/{room}"
        self._name, self._avatar, self._voice = name, avatar, voice
        self._others, self._size = others, size
        self._seat = ""
        self._news = asyncio.Event()
        self._peer: MediaConnection | None = None
        self._arrivals: dict[RTCRtpTransceiver, Arrivals] = {}
        self._own: RTCRtpTransceiver | None = None
        self._shown: dict[str | None, str] = {}  # who is in which section
        self._pings: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ coming and going

    async def join(self) -> dict[str, float]:
        """Take a seat, or the one back, connect, and wait for the pictures.

        Returns:
            Milliseconds from the first request to one's ``own`` first picture, to the first of
            ``another`` and to the first of ``all`` who are to be seen.

        Raises:
            BenchmarkError: the server says no, or a picture does not come.
        """
        began = time.monotonic()
        body = {"name": self._name, "part": "avatar", "seat": self._seat}
        seat = await self._post("/people", body, self._seat)
        self.id, self._seat = str(seat["id"]), str(seat["seat"])
        await self._connect()
        await self._until(lambda: bool(self._of("room")), "the room's description")
        await self._until(self._sees_all, "everybody's pictures")
        firsts = {who: arrivals.wall[0] for who, arrivals in self.seen().items()}
        own = self._arrivals[self._own].wall[0] if self._own is not None else began
        times = {"own": own, "another": min(firsts.values(), default=own)}
        times["all"] = max(firsts.values(), default=own)
        return {name: 1e3 * (at - began) for name, at in times.items()}

    async def _connect(self) -> None:
        self._arrivals, self._shown, self.messages = {}, {}, []
        peer = self._peer = MediaConnection(Binding())
        control = peer.createDataChannel("control", ordered=True)
        control.on("message", self._told)
        peer.addTransceiver(SpeakingTrack(self._voice), direction="sendonly")
        self._own = self._receive("video")
        for _ in range(self._others):
            self._receive("audio")
            self._receive("video")
        await peer.setLocalDescription(await peer.createOffer())
        offer = {"sdp": peer.localDescription.sdp, "type": "offer"}
        wishes = {"avatar_id": self._avatar, "size": self._size}
        answer = await self._post("/offer", {**offer, **wishes}, self._seat)
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        self._pings = asyncio.create_task(_ping(control))

    def _receive(self, kind: str) -> RTCRtpTransceiver:
        assert self._peer is not None
        transceiver = self._peer.addTransceiver(kind, direction="recvonly")
        video = kind == "video"
        arrivals = Arrivals(90_000 if video else 48_000, marked=video)
        if video:
            self._arrivals[transceiver] = arrivals

        def take(packet: Any) -> None:
            if arrivals.take(packet) and len(arrivals.wall) == 1:
                self._news.set()

        tap_receiver(transceiver.receiver, take)
        return transceiver

    async def leave(self) -> float:
        """Leave for good; return when that was asked for, in monotonic seconds."""
        began = time.monotonic()
        if self._seat:  # else they were refused at the door
            headers = {"authorization": f"Bearer {self._seat}"}
            await self._http.delete(f"{self._base}/people/me", headers=headers)
        self._seat = ""
        await self.close()
        return began

    async def vanish_and_return(self) -> dict[str, Any]:
        """Lose the line without a word and come back; return whether the seat is the same."""
        before = self.id
        if self._peer is not None:
            for agent in self._peer.agents:
                agent.abort()
            await self.close()
        times = await self.join()
        return {"same_id": self.id == before, **times}

    async def close(self) -> None:
        """Let go of the connection."""
        if self._pings is not None:
            self._pings.cancel()
        if self._peer is not None:
            await self._peer.shut()
        self._peer = None

    # ------------------------------------------------------------------ what came

    def seen(self) -> dict[str, Arrivals]:
        """Return the pictures of everybody else that came in the section that is theirs now."""
        mids = {t.mid: arrivals for t, arrivals in self._arrivals.items() if t is not self._own}
        streams = self._of("streams")[-1]["streams"] if self._of("streams") else []
        found = {s["id"]: mids.get(s["video"]) for s in streams}
        return {who: a for who, a in found.items() if a is not None and len(a.wall)}

    def own(self) -> Arrivals:
        """Return the pictures of one's own avatar."""
        assert self._own is not None
        return self._arrivals[self._own]

    def told_at(self, kind: str, who: str, after: float) -> float | None:
        """Return when the server told something about somebody, in monotonic seconds."""
        return next(
            (at for at, m in self.messages if at > after and m["type"] == kind and m["id"] == who),
            None,
        )

    async def hears_of(self, kind: str, who: str, after: float) -> float:
        """Wait until the server tells something about somebody; return when it did.

        Raises:
            BenchmarkError: it does not.
        """
        await self._until(lambda: self.told_at(kind, who, after) is not None, f"word of a {kind}")
        at = self.told_at(kind, who, after)
        assert at is not None
        return at

    async def hears_of_join(self, who: str, after: float) -> float:
        """Wait for the first picture of somebody who has come; return when it came.

        Raises:
            BenchmarkError: it does not come.
        """
        await self._until(lambda: who in self.seen(), "a newcomer's picture")
        return next(at for at in self.seen()[who].wall if at > after)

    def _sees_all(self) -> bool:
        streams = self._of("streams")[-1]["streams"] if self._of("streams") else []
        return bool(len(self.own().wall)) and len(self.seen()) == len(streams)

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [message for _, message in self.messages if message["type"] == kind]

    def _told(self, text: str) -> None:
        message = json.loads(text)
        if message["type"] not in ("stats", "pong", "recorded"):
            self.messages.append((time.monotonic(), message))
            if message["type"] == "streams":
                self._forget_former(message["streams"])
            self._news.set()

    def _forget_former(self, streams: list[dict[str, Any]]) -> None:
        """A section that somebody else is in now has no pictures of theirs yet."""
        shown = {stream["video"]: stream["id"] for stream in streams}
        for transceiver, arrivals in self._arrivals.items():
            who = shown.get(transceiver.mid)
            if transceiver is not self._own and self._shown.get(transceiver.mid) not in (None, who):
                arrivals.wall.clear()
                arrivals.media.clear()
        self._shown = shown

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(_LIMIT_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise BenchmarkError(f"{self._name} waited in vain for {what}.") from None

    async def _post(self, path: str, body: dict[str, Any], bearer: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        answer = await self._http.post(self._base + path, json=body, headers=headers)
        if answer.status_code not in (200, 201):
            raise BenchmarkError(f"{self._name} was refused: {answer.text}")
        found: dict[str, Any] = answer.json()
        return found


async def _ping(control: Any) -> None:
    while True:
        if control.readyState == "open":
            control.send(json.dumps({"type": "ping", "t": 0}))
        await asyncio.sleep(_PING_S)
