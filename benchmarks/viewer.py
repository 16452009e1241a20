"""A viewer without a browser: connects, speaks from an array, times what comes back.

It does not decode: on one machine with the server, decoding would measure the viewers. A picture
has come when the RTP packet with its marker bit has; its media time is the RTP timestamp.
"""

from __future__ import annotations

import asyncio
import fractions
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError
from visavis.streamer.webrtc.connection import MediaConnection, tap_receiver
from visavis.streamer.webrtc.ice.sockets import Binding

_RATE, _BLOCK = 48_000, 960
_KEPT = 500_000  # arrivals of one kind: more than five hours of pictures
_WRAP = 2**32
_ASK_AGAIN_S = 2.0


class Refused(BenchmarkError):
    """The server is full or overloaded; it may take a session later."""


class SpeakingTrack(MediaStreamTrack):
    """Plays an array for ever at its own pace, 20 ms at a time.

    Args:
        samples: mono float32 at 48 kHz in [-1, 1].
    """

    kind = "audio"

    def __init__(self, samples: NDArray[np.float32]) -> None:
        super().__init__()
        self._pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
        self._sent = 0
        self._began: float | None = None

    async def recv(self) -> av.AudioFrame:
        """Return the next 20 ms when they are due."""
        loop = asyncio.get_running_loop()
        self._began = loop.time() if self._began is None else self._began
        await asyncio.sleep(max(0.0, self._began + self._sent / _RATE - loop.time()))
        places = (self._sent + np.arange(_BLOCK)) % len(self._pcm)
        frame = av.AudioFrame.from_ndarray(self._pcm[places][None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = _RATE, self._sent
        frame.time_base = fractions.Fraction(1, _RATE)
        self._sent += _BLOCK
        return frame


class Arrivals:
    """When the packets of one kind came.

    Args:
        clock_rate: of the RTP timestamps.
        marked: only packets with the marker bit count: the last of a picture.
    """

    def __init__(self, clock_rate: int, *, marked: bool) -> None:
        self.wall: deque[float] = deque(maxlen=_KEPT)
        self.media: deque[float] = deque(maxlen=_KEPT)
        self._rate, self._marked = clock_rate, marked
        self._last: int | None = None
        self._extended = 0

    def take(self, packet: RtpPacket) -> bool:
        """Note a packet; return whether it counted."""
        if self._marked and not packet.marker:
            return False
        last = packet.timestamp if self._last is None else self._last
        # RTP timestamps wrap at 32 bits and may step back a little.
        step = (packet.timestamp - last + _WRAP // 2) % _WRAP - _WRAP // 2
        self._last, self._extended = packet.timestamp, self._extended + step
        self.wall.append(time.monotonic())
        self.media.append(self._extended / self._rate)
        return True


@dataclass
class Viewer:
    """One call to a server.

    Attributes:
        url: the server.
        avatar: id of the avatar.
        voice: mono float32 at 48 kHz.
        size: of the picture asked for.
        pictures: arrivals of whole pictures.
        sounds: arrivals of sound packets.
        first_frame_s: seconds from the start of ``connect`` to the first picture.
    """

    url: str
    avatar: str
    voice: NDArray[np.float32]
    size: int = 512
    pictures: Arrivals = field(default_factory=lambda: Arrivals(90_000, marked=True))
    sounds: Arrivals = field(default_factory=lambda: Arrivals(48_000, marked=False))
    first_frame_s: float = 0.0
    pc_id: str = ""
    _peer: RTCPeerConnection | None = None

    async def connect(self, timeout_s: float = 20) -> None:
        """Connect and return when the first picture is there.

        Raises:
            Refused: the server takes no session now.
            BenchmarkError: anything else is wrong, or no picture came in time.
        """
        began = time.monotonic()
        first = asyncio.Event()
        peer = self._peer = MediaConnection(Binding())
        sound = peer.addTransceiver(SpeakingTrack(self.voice), direction="sendrecv")
        picture = peer.addTransceiver("video", direction="recvonly")
        tap_receiver(sound.receiver, self.sounds.take)
        tap_receiver(picture.receiver, lambda packet: self._picture(packet, first))
        await peer.setLocalDescription(await peer.createOffer())
        body = await self._post(peer, timeout_s)
        self.pc_id = str(body.get("pc_id", ""))
        await peer.setRemoteDescription(RTCSessionDescription(body["sdp"], body["type"]))
        try:
            await asyncio.wait_for(first.wait(), timeout_s)
        except TimeoutError as error:
            raise BenchmarkError(f"No picture came within {timeout_s} s.") from error
        self.first_frame_s = time.monotonic() - began

    async def _post(self, peer: RTCPeerConnection, timeout_s: float) -> dict[str, Any]:
        offer = peer.localDescription
        wishes = {"avatar_id": self.avatar, "size": self.size}
        try:
            async with httpx.AsyncClient(timeout=timeout_s) as http:
                answer = await http.post(
                    f"{self.url}/api/offer",
                    json={"sdp": offer.sdp, "type": offer.type, "request_data": wishes},
                )
        except httpx.HTTPError as error:
            raise BenchmarkError(f"The server at {self.url} cannot be reached.") from error
        body: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            refused = Refused if answer.status_code == 503 else BenchmarkError
            raise refused(str(body.get("error", answer.text)))
        return body

    async def connect_when_free(self, limit_s: float = 60, timeout_s: float = 20) -> int:
        """Connect, asking again while the server is full; return how often it refused.

        Raises:
            Refused: it still refuses after the limit.
            BenchmarkError: as for :meth:`connect`.
        """
        deadline, refusals = time.monotonic() + limit_s, 0
        while True:
            try:
                await self.connect(timeout_s)
                return refusals
            except Refused:
                await self.close()
                if time.monotonic() > deadline:
                    raise
            refusals += 1
            await asyncio.sleep(_ASK_AGAIN_S)

    def _picture(self, packet: RtpPacket, first: asyncio.Event) -> None:
        if self.pictures.take(packet):
            first.set()

    async def close(self) -> None:
        """Hang up."""
        if self._peer is not None:
            await self._peer.close()
