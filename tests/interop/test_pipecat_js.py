"""The real ``@pipecat-ai/client-js`` in Chromium: ``connect()`` resolves, and it is told things."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from tests.browser.helpers.driving import FLAGS, NAMES
from tests.browser.helpers.speech import write_wav
from tests.integration.conftest import Live, StartServer, start_server
from tests.interop.npm import bundle, installed

__all__ = ["start_server"]
pytestmark = [pytest.mark.browser]
PACKAGES = {
    "@pipecat-ai/client-js": "1.13.1",
    "@pipecat-ai/small-webrtc-transport": "1.10.8",
    "esbuild": "0.28.2",
}
SCRIPT = """
import { PipecatClient } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";

const events = (window.events = []);
const note = (name) => (data) => events.push([name, data ?? null]);
const names = ["BotReady", "BotDisconnected", "UserStartedSpeaking", "UserStoppedSpeaking",
  "BotStartedSpeaking", "BotStoppedSpeaking", "Error", "Disconnected"];
const client = (window.client = new PipecatClient({
  transport: new SmallWebRTCTransport({ mediaManager: new WavMediaManager() }),
  enableMic: true,
  enableCam: false,
  callbacks: {
    ...Object.fromEntries(names.map((name) => ["on" + name, note(name)])),
    onTrackStarted: (track, participant) => {
      if (track.kind === "video" && !participant?.local) {
        document.querySelector("video").srcObject = new MediaStream([track]);
      }
    },
  },
}));
window.timed = async (begin) => {
  const began = performance.now();
  const ready = await begin();
  return { ready, ms: performance.now() - began };
};
"""
PAGE = "<!doctype html><title>bot</title><video autoplay muted playsinline></video>"


@pytest.fixture(scope="module")
def script() -> str:
    return bundle(installed("pipecat", PACKAGES), SCRIPT)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    write_wav(path)
    yield path


@asynccontextmanager
async def opened(live: Live, script: str, voice: Path) -> AsyncIterator[Page]:
    """A page of the server's own origin with Pipecat's client in it."""
    async with async_playwright() as playwright:
        path = next(filter(None, map(shutil.which, NAMES)), playwright.chromium.executable_path)
        if not shutil.which(path):
            pytest.skip("no Chromium found: install chromium or run playwright install chromium")
        flags = [*FLAGS, "--use-fake-ui-for-media-stream"]
        flags.append(f"--use-file-for-fake-audio-capture={voice}")
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        page = await browser.new_page()
        safe = script.replace("</script", "<\\/script")
        html = f"{PAGE}<script>{safe}</script>"
        await page.route("**/bot", lambda r: r.fulfill(body=html, content_type="text/html"))
        await page.goto(f"{live.url}/bot")
        yield page
        await browser.close()


async def until(page: Page, condition: str, limit_s: float = 40) -> Any:
    async with asyncio.timeout(limit_s):
        while not (value := await page.evaluate(condition)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return value


def happened(name: str) -> str:
    return f"events.some((e) => e[0] === '{name}')"


async def test_connect_resolves_and_the_client_is_told(
    start_server: StartServer, script: str, voice: Path
) -> None:
    async with start_server() as live, opened(live, script, voice) as page:
        connect = "timed(() => client.connect({ webrtcUrl: '/api/offer' }))"
        result = await asyncio.wait_for(page.evaluate(connect), 60)
        assert result["ready"]["version"] == "2.2.0"
        assert result["ready"]["about"]["library"] == "visavis"
        await until(page, "document.querySelector('video').videoWidth === 256")
        for name in ("UserStartedSpeaking", "BotStartedSpeaking", "BotStoppedSpeaking"):
            await until(page, happened(name))
        refused = "client.sendClientRequest('dance').catch((e) => e.data?.error ?? String(e))"
        assert "asks for one of" in str(await page.evaluate(refused))
        asked = await page.evaluate("client.sendClientRequest('interrupt')")
        assert asked == {"status": "success"}
        (session,) = live.services.sessions
        await page.evaluate("client.enableMic(false)")
        async with asyncio.timeout(10):
            while not session._sound.path.muted:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await page.evaluate("client.disconnectBot()")
        await until(page, happened("BotDisconnected"))
        print(f"connect() resolved in {result['ms']:.0f} ms")


async def test_start_bot_and_connect(start_server: StartServer, script: str, voice: Path) -> None:
    async with start_server(("anna", "bert")) as live, opened(live, script, voice) as page:
        begin = """timed(() => client.startBotAndConnect({
            endpoint: new URL('/start', location.href).href,
            requestData: { body: { avatar_id: 'anna' } } }))"""
        result = await asyncio.wait_for(page.evaluate(begin), 60)
        assert result["ready"]["version"] == "2.2.0"
        (listed,) = live.services.sessions.describe()
        assert listed["avatar_id"] == "anna"
        await live.services.sessions.end(listed["pc_id"], "The server says so.", cause="test")
        await until(page, happened("BotDisconnected"))
        said = await until(page, "events.find((e) => e[0] === 'Error')?.[1]")
        assert said["data"]["message"] == "The server says so."
