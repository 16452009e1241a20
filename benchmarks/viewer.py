"""A viewer without a browser: connects, speaks from an array, counts what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import time
from dataclasses import dataclass, field

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from benchmarks.common import BenchmarkError

_RATE, _BLOCK = 48_000, 960


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


@dataclass
class Viewer:
    """One call to a server.

    Attributes:
        url: the server.
        avatar: id of the avatar.
        voice: mono float32 at 48 kHz.
        frame_times: monotonic seconds at which pictures came.
        first_frame_s: seconds from the start of ``connect`` to the first picture.
    """

    url: str
    avatar: str
    voice: NDArray[np.float32]
    frame_times: list[float] = field(default_factory=list)
    first_frame_s: float = 0.0
    _peer: RTCPeerConnection | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def connect(self, timeout_s: float = 20) -> None:
        """Connect and return when the first picture is there.

        Raises:
            BenchmarkError: the server refused or no picture came in time.
        """
        began = time.monotonic()
        first = asyncio.Event()
        peer = self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTransceiver(SpeakingTrack(self.voice), direction="sendrecv")
        peer.addTransceiver("video", direction="recvonly")

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            self._tasks.append(asyncio.ensure_future(self._drain(track, first)))

        await peer.setLocalDescription(await peer.createOffer())
        async with httpx.AsyncClient(timeout=timeout_s) as http:
            answer = await http.post(
                f"{self.url}/api/offer",
                json={
                    "sdp": peer.localDescription.sdp,
                    "type": peer.localDescription.type,
                    "request_data": {"avatar_id": self.avatar},
                },
            )
        if answer.status_code != 200:
            raise BenchmarkError(answer.json().get("error", answer.text))
        body = answer.json()
        await peer.setRemoteDescription(RTCSessionDescription(body["sdp"], body["type"]))
        try:
            await asyncio.wait_for(first.wait(), timeout_s)
        except TimeoutError as error:
            raise BenchmarkError(f"No picture came within {timeout_s} s.") from error
        self.first_frame_s = time.monotonic() - began

    async def close(self) -> None:
        """Hang up."""
        if self._peer is not None:
            await self._peer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self, track: MediaStreamTrack, first: asyncio.Event) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                if track.kind == "video":
                    self.frame_times.append(time.monotonic())
                    first.set()
