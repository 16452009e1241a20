"""A stock aiortc client: ``python -m tests.fakes.processes.far_viewer URL TOKEN [AVATAR]``.

It asks the server for its ICE servers as a page does, connects, and prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

import httpx
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

PICTURES = 30
LIMIT_S = 20.0
STARTS_WITHIN_S = 60.0


async def _first(http: httpx.AsyncClient) -> httpx.Response:
    """Ask for the ICE servers as soon as the server listens, which its worker delays."""
    async with asyncio.timeout(STARTS_WITHIN_S):
        while True:
            with contextlib.suppress(httpx.ConnectError):
                return await http.get("/api/ice")
            await asyncio.sleep(0.1)  # nothing tells


async def main(url: str, token: str, avatar: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
        servers = (await _first(http)).raise_for_status().json()["iceServers"]
        asked = [RTCIceServer(**server) for server in servers]
        pc = RTCPeerConnection(RTCConfiguration(iceServers=asked))
        seen: list[float] = []
        enough = asyncio.Event()

        async def watch(track: Any) -> None:
            while True:
                await track.recv()
                if track.kind == "video":
                    seen.append(time.monotonic())
                    if len(seen) >= PICTURES:
                        enough.set()

        tasks: list[asyncio.Task[None]] = []
        pc.on("track", lambda track: tasks.append(asyncio.ensure_future(watch(track))))
        pc.createDataChannel("control")
        pc.addTransceiver(AudioStreamTrack())
        pc.addTransceiver("video", direction="recvonly")
        await pc.setLocalDescription(await pc.createOffer())
        began = time.monotonic()
        wishes = {"avatar_id": avatar} if avatar else {}
        body = {"sdp": pc.localDescription.sdp, "type": "offer", "request_data": wishes}
        answer = (await http.post("/api/offer", json=body)).raise_for_status().json()
        answered = time.monotonic()
        await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), LIMIT_S)
        pairs = [
            pair
            for transceiver in pc.getTransceivers()
            for pair in transceiver.receiver.transport.transport._connection._nominated.values()
        ]
        told = {
            "pictures": len(seen),
            "answer_s": round(answered - began, 3),
            "first_s": round(seen[0] - began, 3) if seen else None,
            "types": sorted({p.local_candidate.type for p in pairs}),
            "offered": sorted({line.split()[7] for line in answer["sdp"].splitlines()
                               if line.startswith("a=candidate")}),
        }  # fmt: skip
        for task in tasks:
            task.cancel()
        await pc.close()
        return told


if __name__ == "__main__":
    arguments = [*sys.argv[1:], ""][:3]
    sys.stdout.write(json.dumps(asyncio.run(main(*arguments))) + "\n")
