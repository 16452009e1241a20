"""An echo on plain aiortc: the sound comes back, and a bright mouth opens while it is loud.

This is what one gets by following aiortc's documentation, with none of what Vis-à-vis changes:
aiortc's jitter buffers, encoders, pacing (30 fps) and sender reports. There is no avatar, no model
and no look-ahead either, so it shows what transport alone costs. It takes JSON at ``/offer``, and
``application/sdp`` at ``/whip`` and ``/whep`` (one session at a time, the picture of the latter
belongs to the sound of the former).

Run: ``python -m visavis.benchmarks.stock.server [--port 0] [--size 512]``; prints its address.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys

import av
import numpy as np
import uvicorn
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.contrib.media import MediaRelay
from aiortc.mediastreams import MediaStreamError
from fastapi import FastAPI, Request, Response

_LOUD = 3000  # of int16; the words peak at twice this


class MouthTrack(VideoStreamTrack):
    """Grey, with a white ellipse while the newest sound is loud."""

    def __init__(self, size: int) -> None:
        super().__init__()
        across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
        mouth = (across / 0.3) ** 2 + ((down - 0.4) / 0.15) ** 2 < 1
        self._pictures = [np.full((size, size, 3), 60, np.uint8) for _ in range(2)]
        self._pictures[1][mouth] = 240
        self.loud = False

    async def recv(self) -> av.VideoFrame:
        """Return the picture of now."""
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame.from_ndarray(self._pictures[self.loud], format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Room:
    """What one viewer sends, for whoever receives it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.relay = MediaRelay()
        self.sound: MediaStreamTrack | None = None
        self.mouth = MouthTrack(size)

    async def listen(self, track: MediaStreamTrack) -> None:
        """Open the mouth by the sound until it ends."""
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                self.mouth.loud = bool(np.abs(frame.to_ndarray()).max() > _LOUD)


class Server:
    """Answers offers; who sends sound opens the mouth that everybody after sees.

    Args:
        size: of the picture in pixels.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._room = Room(size)
        self._peers: dict[str, RTCPeerConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, sdp: str, *, sends: bool, receives: bool) -> tuple[str, str]:
        """Return the connection's name and the answer's SDP."""
        if sends:
            self._room = Room(self._size)
        room = self._room
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            if track.kind == "audio" and sends:
                room.sound = track
                task = asyncio.ensure_future(room.listen(room.relay.subscribe(track)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                if receives:
                    peer.addTrack(room.relay.subscribe(track))

        @peer.on("connectionstatechange")
        async def on_change() -> None:
            if peer.connectionState in ("failed", "closed"):
                await peer.close()

        await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        if receives:
            peer.addTrack(room.mouth)
            if not sends and room.sound is not None:
                peer.addTrack(room.relay.subscribe(room.sound))
        await peer.setLocalDescription(await peer.createAnswer())
        name = str(len(self._peers))
        self._peers[name] = peer
        return name, peer.localDescription.sdp

    async def hang_up(self, name: str) -> None:
        """Close a connection, if it is there."""
        if name in self._peers:
            await self._peers[name].close()


def make_app(size: int) -> FastAPI:
    """Return the server."""
    app, server = FastAPI(), Server(size)

    @app.post("/offer")
    async def offer(request: Request) -> dict[str, str]:
        body = await request.json()
        _, sdp = await server.answer(body["sdp"], sends=True, receives=True)
        return {"sdp": sdp, "type": "answer"}

    @app.post("/whip")
    async def whip(request: Request) -> Response:
        sdp = (await request.body()).decode()
        return created(*await server.answer(sdp, sends=True, receives=False))

    @app.post("/whep")
    async def whep(request: Request) -> Response:
        sdp = (await request.body()).decode()
        return created(*await server.answer(sdp, sends=False, receives=True))

    def created(name: str, sdp: str) -> Response:
        headers = {"location": f"/resource/{name}"}
        return Response(sdp, 201, headers=headers, media_type="application/sdp")

    @app.delete("/resource/{name}")
    async def hang_up(name: str) -> Response:
        await server.hang_up(name)
        return Response(status_code=200)

    return app


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--size", type=int, default=512)
    args = parser.parse_args(argv)
    listener = socket.create_server(("127.0.0.1", args.port))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(make_app(args.size), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
