"""Clients outside a browser: Node's two, GStreamer, ffmpeg, aiortc as its documentation has it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import httpx
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole, MediaPlayer

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from tests.interop.conftest import CLIENTS, run

TOKEN = "a-token-of-16-bytes"


async def nobody_is_left(live: Live) -> None:
    async with asyncio.timeout(12):
        while live.services.admission.held:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("codec", "first"), [("H264", "video"), ("VP8", "audio")])
async def test_werift(start_server: StartServer, node: str, codec: str, first: str) -> None:
    async with start_server() as live:
        seen = await run(node, CLIENTS / "node_werift.mjs", f"{live.url}/", codec, first)
        assert seen["video"] > 30 and seen["audio"] > 30 and seen["pong"], seen
        assert seen["codec"] == codec
        await nobody_is_left(live)


async def test_libwebrtc_in_node(start_server: StartServer, node: str) -> None:
    async with start_server() as live:
        seen = await run(node, CLIENTS / "node_wrtc.cjs", f"{live.url}/")
        assert seen["video"] > 30 and seen["audio"] > 30 and seen["pong"], seen
        assert (seen["width"], seen["state"]) == (256, "connected")
        await nobody_is_left(live)


@pytest.mark.parametrize("bundle", ["max-bundle", "none"])
async def test_gstreamer(start_server: StartServer, gstreamer_python: str, bundle: str) -> None:
    """Its certificate is RSA, its bundle policy is the user's."""
    async with start_server() as live:
        client = CLIENTS / "gstreamer.py"
        seen = await run(gstreamer_python, client, f"{live.url}/api/offer", bundle, "offer")
        assert seen["video"] > 20 and seen["audio"] > 20 and not seen["error"], seen
        assert seen["codec"] == "H264"


async def test_gstreamer_watches_by_whep(start_server: StartServer, gstreamer_python: str) -> None:
    async with start_server() as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(60)))
        await viewer.connect()
        address = f"{live.url}/api/whep/{viewer.view_id}"
        client = CLIENTS / "gstreamer.py"
        seen = await run(gstreamer_python, client, address, "max-bundle", "whep")
        assert seen["video"] > 20 and seen["audio"] > 20 and not seen["error"], seen
        await viewer.close()


async def test_ffmpeg_speaks_by_whip(start_server: StartServer, ffmpeg: str) -> None:
    """One POST, no candidates, passive, a token; the picture of its talk goes out by WHEP."""
    async with start_server(token=TOKEN) as live:
        live.http.headers["authorization"] = f"Bearer {TOKEN}"
        process = await asyncio.create_subprocess_exec(
            *(ffmpeg, "-loglevel", "warning", "-re", "-f", "lavfi"),
            *("-i", "sine=frequency=300:sample_rate=48000:duration=6"),
            *("-c:a", "libopus", "-ar", "48000", "-ac", "2"),
            *("-f", "whip", "-authorization", TOKEN, f"{live.url}/api/whip?avatar=anna"),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(15):
            while not live.services.sessions.describe():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        view = live.services.sessions.describe()[0]["view_id"]
        viewer = Viewer(live.http, None, request={"watch": view})
        await viewer.connect()
        await viewer.until(lambda: len(viewer.frames) > 25)
        await viewer.until(lambda: viewer.sounds and viewer.sounds[-1].peak > 1000)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, errors.decode()
        await nobody_is_left(live)
        await viewer.close()


async def test_aiortc_as_documented(start_server: StartServer, ffmpeg: str, tmp_path: Path) -> None:
    """Nothing of ours in the client: a file by MediaPlayer, what comes by MediaBlackhole."""
    sound = tmp_path / "sound.wav"
    tone = ("-f", "lavfi", "-i", "sine=frequency=300:duration=8", str(sound))
    await asyncio.to_thread(
        subprocess.run, [ffmpeg, "-loglevel", "error", *tone], check=True, timeout=30
    )
    async with start_server() as live, httpx.AsyncClient() as http:
        pc = RTCPeerConnection()
        player, hole = MediaPlayer(str(sound)), MediaBlackhole()
        came: dict[str, asyncio.Event] = {"audio": asyncio.Event(), "video": asyncio.Event()}

        @pc.on("track")
        def track(track: object) -> None:
            came[track.kind].set()  # type: ignore[attr-defined]
            hole.addTrack(track)  # type: ignore[arg-type]

        pc.addTransceiver("video", direction="recvonly")
        pc.addTrack(player.audio)
        await pc.setLocalDescription(await pc.createOffer())
        offer = {"sdp": pc.localDescription.sdp, "type": pc.localDescription.type}
        response = await http.post(f"{live.url}/offer", content=json.dumps(offer), headers=JSON)
        answer = response.json()
        await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        await hole.start()
        for event in came.values():
            await asyncio.wait_for(event.wait(), 10)
        async with asyncio.timeout(15):
            while not (figures := live.services.sessions.describe()[0])["sent"] > 40:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert figures["state"] == "live" and pc.connectionState == "connected"
        await hole.stop()
        await pc.close()
        await nobody_is_left(live)


JSON = {"content-type": "application/json"}
