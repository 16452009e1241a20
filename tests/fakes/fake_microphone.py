"""A microphone that plays samples, paced by the real clock, and a viewer that watches."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.rtp import RtcpSrPacket
from aiortc.sdp import SessionDescription
from numpy.typing import NDArray

from visavis.streamer.webrtc.connection import MediaConnection
from visavis.streamer.webrtc.ice.sockets import Binding

RATE = 48_000


def beeps(seconds: float, every_s: float = 1.0, length_s: float = 0.12) -> NDArray[np.int16]:
    """Silence with a tone at the start of every second."""
    t = np.arange(int(seconds * RATE)) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * t) * ((t % every_s) < length_s)
    return (tone * 32_767).astype(np.int16)


class FakeMicrophone(MediaStreamTrack):
    """Plays mono or stereo int16 samples in 20 ms frames, then silence."""

    kind = "audio"

    def __init__(self, samples: NDArray[np.int16], channels: int = 1) -> None:
        super().__init__()
        self._samples = samples
        self._layout = "mono" if channels == 1 else "stereo"
        self._channels = channels
        self._position = 0
        self._start: float | None = None
        self.sending = True

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if self._start is None:
            self._start = time.monotonic()
        while True:
            due = self._start + (self._position + 960) / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            block = np.zeros(960, np.int16)
            part = self._samples[self._position : self._position + 960]
            block[: len(part)] = part
            self._position += 960
            if self.sending:
                break
        interleaved = np.repeat(block, self._channels)[None, :]
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=self._layout)
        frame.sample_rate = RATE
        frame.pts = self._position - 960
        frame.time_base = Fraction(1, RATE)
        return frame


@dataclass
class Seen:
    """One decoded picture: arrival, timestamp in seconds, brightness of its middle, size."""

    at: float
    media_s: float
    level: float
    size: tuple[int, int]


@dataclass
class Heard:
    """One decoded block of sound."""

    at: float
    media_s: float
    peak: float


@dataclass
class Viewer:
    """A browser's part, played by aiortc."""

    http: httpx.AsyncClient
    microphone: MediaStreamTrack | None = None
    also: MediaStreamTrack | None = None  # the other side's sound, in a section of its own
    avatar: str | None = None
    audio_codec: str = "opus"
    video_codec: str | None = None
    picture_first: bool = False  # the order of the offer's sections
    request: dict[str, Any] = field(default_factory=dict)
    alter: Callable[[str], str] = lambda sdp: sdp
    channel: str = "control"
    path: str = "/api/offer"
    understand: Callable[[str], str] = lambda sdp: sdp
    frames: list[Seen] = field(default_factory=list)
    sounds: list[Heard] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    pc_id: str = ""
    view_id: str = ""
    answer: str = ""
    others: dict[MediaStreamTrack, list[Seen]] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    origins: dict[str, int] = field(default_factory=dict)  # first RTP timestamp, by kind
    reports: dict[str, tuple[float, int]] = field(default_factory=dict)  # last (NTP s, RTP)

    def __post_init__(self) -> None:
        self.pc = MediaConnection(
            Binding()
        )  # for machines that have nothing but the loopback device
        self.control = self.pc.createDataChannel(self.channel, ordered=True)
        self.control.on("message", self._message)
        self._tasks: list[asyncio.Task[None]] = []
        self._spied: list[Any] = []
        self._more: dict[str, Any] = {}
        self._first: MediaStreamTrack | None = None
        self.pc.on("track", lambda t: self._tasks.append(asyncio.ensure_future(self._watch(t))))

    async def offer(self) -> httpx.Response:
        """Send the offer and return the server's answer, whatever it is."""
        video = None
        if self.picture_first:
            video = self.pc.addTransceiver("video", direction="recvonly")
        audio = self.pc.addTransceiver(self.microphone or "audio")
        capability = {
            "opus": RTCRtpCodecCapability("audio/opus", 48_000, 2),
            "pcmu": RTCRtpCodecCapability("audio/PCMU", 8000, 1),
            "g722": RTCRtpCodecCapability("audio/G722", 8000, 1),
        }[self.audio_codec]
        audio.setCodecPreferences([capability])
        video = video or self.pc.addTransceiver("video", direction="recvonly")
        if self.also is not None:
            self.pc.addTransceiver(self.also, direction="sendonly")
        if self.video_codec:
            codecs = [
                c
                for c in video.receiver.getCapabilities("video").codecs
                if c.name.upper() == self.video_codec
            ]
            video.setCodecPreferences(codecs)
        return await self._send_offer()

    async def _send_offer(self, **more: Any) -> httpx.Response:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        wishes = {"avatar_id": self.avatar} if self.avatar else {}
        return await self.http.post(
            self.path,
            json={
                "sdp": self.alter(self.pc.localDescription.sdp),
                "type": "offer",
                "request_data": {**wishes, **self.request},
                **self._more,
                **more,
            },
        )

    async def connect(self) -> None:
        await self.accept(await self.offer())

    async def connect_by(
        self, answer: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> None:
        """Connect by something else than HTTP."""
        self.pc.addTransceiver(self.microphone or "audio")
        self.pc.addTransceiver("video", direction="recvonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        body = await answer({"sdp": self.pc.localDescription.sdp, "type": "offer"})
        await self.accept(httpx.Response(200, json=body))

    async def offer_again_as(self, pc_id: str) -> None:
        """Connect as one who has begun before, from a connection that is lost."""
        self._more = {"pc_id": pc_id}
        await self.connect()
        self._more = {}

    async def renegotiate(self) -> dict[str, Any]:
        """Offer again on the same connection."""
        return await self.accept(await self._send_offer(pc_id=self.pc_id))

    async def restart_ice(self) -> None:
        """Offer again with new credentials and sockets, as after a change of network."""
        agents = self.pc.agents
        for agent in agents:
            await agent.prepare()
        await self.renegotiate()
        media = SessionDescription.parse(self.answer).media[0]
        for agent in agents:
            agent.check(media.ice.usernameFragment, media.ice.password)
            for candidate in media.ice_candidates:
                await agent.take_candidate(candidate)

    async def accept(self, response: httpx.Response) -> dict[str, Any]:
        assert response.status_code == 200, response.text
        body = response.json()
        self.pc_id, self.answer = body["pc_id"], body["sdp"]
        self.view_id = body.get("view_id", "")
        for transceiver in self.pc.getTransceivers():
            if transceiver.receiver not in self._spied:
                self._spied.append(transceiver.receiver)
                self._spy(transceiver.kind, transceiver.receiver)
        answer = self.understand(body["sdp"])
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, body["type"]))
        return dict(body)

    def _spy(self, kind: str, receiver: Any) -> None:
        """Note RTP origins and sender reports on their way to aiortc."""
        handle_rtp, handle_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet

        async def rtp(packet: Any, arrival_time_ms: int) -> None:
            self.origins.setdefault(kind, packet.timestamp)
            await handle_rtp(packet, arrival_time_ms)

        async def rtcp(packet: Any) -> None:
            if isinstance(packet, RtcpSrPacket):
                info = packet.sender_info
                self.reports[kind] = (info.ntp_timestamp / 2**32, info.rtp_timestamp)
                self.notify()
            await handle_rtcp(packet)

        receiver._handle_rtp_packet = rtp
        receiver._handle_rtcp_packet = rtcp

    def ntp(self, kind: str, media_s: float) -> float:
        """Return the sender's NTP seconds of a decoded timestamp, by its last report."""
        rate = 90_000 if kind == "video" else 48_000
        ntp, rtp = self.reports[kind]
        ticks = (self.origins[kind] + round(media_s * rate) - rtp) & 0xFFFFFFFF
        return ntp + (ticks - (1 << 32 if ticks >= 1 << 31 else 0)) / rate

    def lose(self, every: int) -> None:
        """Drop every n-th RTP packet that is sent from now on."""
        for agent in self.pc.agents:
            send, count = agent.send, 0

            async def lossy(data: bytes, send: Any = send) -> None:
                nonlocal count
                if 127 < data[0] < 192 and not 191 < data[1] < 224:
                    count += 1
                    if count % every == 0:
                        return
                await send(data)

            agent.send = lossy  # type: ignore[method-assign]
            for transceiver in self.pc.getTransceivers():
                transceiver.sender.transport.transport._send = lossy

    def vanish(self) -> None:
        """Stop answering without a word, as a machine that loses its power."""
        for agent in self.pc.agents:
            agent.abort()

    async def until(self, condition: Callable[[], Any], limit_s: float = 10.0) -> None:
        """Wait until something the viewer sees is so."""
        async with asyncio.timeout(limit_s), self.changed:
            await self.changed.wait_for(condition)

    async def send(self, **message: Any) -> None:
        await self.until(lambda: self.control.readyState == "open")
        self.control.send(json.dumps(message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["type"] == kind]

    async def close(self) -> None:
        await self.pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _message(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self.notify()

    def notify(self) -> None:
        async def tell() -> None:
            async with self.changed:
                self.changed.notify_all()

        self._tasks.append(asyncio.ensure_future(tell()))

    async def _watch(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                media_s = float(frame.pts * frame.time_base)
                if track.kind == "video":
                    luma = frame.to_ndarray()[: frame.height]
                    level = float(luma[frame.height // 2, frame.width // 2])
                    self._first = self._first or track
                    own = track is self._first
                    seen = self.frames if own else self.others.setdefault(track, [])
                    size = (frame.width, frame.height)
                    seen.append(Seen(time.monotonic(), media_s, level, size))
                else:
                    peak = float(np.abs(frame.to_ndarray().astype(np.int32)).max())
                    self.sounds.append(Heard(time.monotonic(), media_s, peak))
                async with self.changed:
                    self.changed.notify_all()
        except MediaStreamError:
            pass
