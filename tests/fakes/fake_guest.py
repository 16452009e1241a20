"""Somebody in a call, played by aiortc: a seat, a microphone, the others' pictures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiortc import MediaStreamTrack

from tests.fakes.fake_microphone import Heard, Seen, Viewer


@dataclass
class Guest(Viewer):
    """Joins a room with a bearer: an invitation, the server's token, or nothing."""

    room: str = "tea"
    name: str = "Ada"
    part: str = "avatar"
    bearer: str = ""
    seat: str = ""
    id: str = ""
    reserve: int = 2  # pairs of sections offered for the others at once
    voices: dict[MediaStreamTrack, list[Heard]] = field(default_factory=dict)
    _sections: bool = False

    def headers(self, bearer: str = "") -> dict[str, str]:
        bearer = bearer or self.seat or self.bearer
        return {"authorization": f"Bearer {bearer}"} if bearer else {}

    async def post(self, path: str, bearer: str = "", **body: Any) -> httpx.Response:
        url = f"/api/rooms/{self.room}{path}"
        return await self.http.post(url, json=body, headers=self.headers(bearer))

    async def enter(self, **more: Any) -> httpx.Response:
        """Take a seat, or the one back."""
        body = {"name": self.name, "part": self.part, "seat": self.seat, **more}
        answer = await self.post("/people", self.bearer or self.seat, **body)
        if answer.status_code == 201:
            self.id, self.seat = answer.json()["id"], answer.json()["seat"]
        return answer

    async def join(self) -> None:
        """Enter, connect, and see one's own picture if there is one."""
        assert (await self.enter()).status_code == 201
        await self.connect()
        await self.until(lambda: self.of("room"))
        if self.microphone is not None:
            await self.until(lambda: len(self.frames) >= 2)

    async def offer(self) -> httpx.Response:
        if self.microphone is not None:
            self.pc.addTransceiver(self.microphone, direction="sendonly")
            self.pc.addTransceiver("video", direction="recvonly")
        self.add_sections(self.reserve, self.reserve)
        return await self._send_offer()

    def add_sections(self, audio: int, video: int) -> None:
        for kind, count in (("audio", audio), ("video", video)):
            for _ in range(count):
                self.pc.addTransceiver(kind, direction="recvonly")

    async def _send_offer(self, **more: Any) -> httpx.Response:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        wishes = {"avatar_id": self.avatar} if self.avatar else {}
        sdp = self.alter(self.pc.localDescription.sdp)
        return await self.post("/offer", sdp=sdp, type="offer", **wishes, **self.request, **more)

    async def add_missing(self) -> None:
        """Add the sections that the server last said it misses."""
        missing = self.of("streams")[-1]["missing"]
        self.add_sections(missing["audio"], missing["video"])
        await self.renegotiate()

    def stream(self, who: str) -> dict[str, Any]:
        """Return where somebody is shown; empty if nowhere."""
        streams = self.of("streams")[-1]["streams"] if self.of("streams") else []
        return next((stream for stream in streams if stream["id"] == who), {})

    def pictures(self, who: str) -> list[Seen]:
        """Return what was seen of somebody in the section that is theirs now."""
        mid = self.stream(who).get("video")
        for transceiver in self.pc.getTransceivers():
            if mid is not None and transceiver.mid == mid:
                track = transceiver.receiver.track
                own = track is self._first
                return self.frames if own else self.others.get(track, [])
        return []

    def people(self) -> dict[str, dict[str, Any]]:
        """Return everybody in the room, by all that was told."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.messages:
            if message["type"] == "room":
                found = {person["id"]: dict(person) for person in message["people"]}
            elif message["type"] in ("join", "person"):
                found[message["person"]["id"]] = dict(message["person"])
            elif message["type"] == "leave":
                found.pop(message["id"], None)
            elif message["type"] == "speaking" and message["id"] in found:
                found[message["id"]]["speaking"] = message["on"]
        return found

    async def leave(self) -> None:
        """Leave for good."""
        url = f"/api/rooms/{self.room}/people/me"
        answer = await self.http.delete(url, headers=self.headers())
        assert answer.status_code == 204, answer.text

    async def nothing_more(self, seconds: float) -> None:
        """Let some time pass in which something must not happen."""
        await asyncio.sleep(seconds)
