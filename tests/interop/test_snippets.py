"""Every snippet of docs/clients.md is run, with the addresses, tokens and ids of a test."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
import textwrap
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from tests.integration.test_agent import tone, watching
from tests.interop.conftest import CLIENTS
from tests.interop.npm import bundle, installed
from tests.interop.test_livekit_python import PACKAGES as LIVEKIT
from tests.interop.test_pipecat_js import PACKAGES as PIPECAT_JS
from tests.interop.test_pipecat_js import opened, until
from tests.interop.test_pipecat_python import PACKAGES as PIPECAT
from tests.interop.test_pipecat_python import run
from tests.interop.venv import environment

ROOT = Path(__file__).resolve().parents[2]
HOME = "http://127.0.0.1:8080"
TOKEN = "a-token-of-16-bytes"
pytestmark = pytest.mark.timeout(500)
PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")
SNIPPETS = dict(re.findall(r"^```(\w+ [\w-]+)\n(.*?)^```$", PAGE, re.M | re.S))


def test_every_snippet_has_a_test() -> None:
    assert PAGE.count("\n```") == 2 * len(SNIPPETS), "each has a language and a name of its own"
    assert set(SNIPPETS) == {
        *("html page", "js pipecat", "sh whip", "sh push", "sh gstreamer", "sh worker"),
        *("python agent", "python raw", "python pipecat", "python livekit"),
    }


def snippet(name: str, live: Live, **words: str) -> str:
    text = SNIPPETS[name].replace(HOME, live.url)
    for old, new in {"ID": "anna", **words}.items():
        text = re.sub(rf"\b{old}\b", lambda _, new=new: new, text)
    return text


def command(text: str) -> list[str]:
    return shlex.split(text.replace("\\\n", " "))


def function(text: str) -> str:
    return "async def snippet():\n" + textwrap.indent(text, "    ")


async def call(text: str, **names: Any) -> None:
    scope: dict[str, Any] = dict(names)
    exec(compile(function(text), "docs/clients.md", "exec"), scope)
    begun: Callable[[], Awaitable[None]] = scope["snippet"]
    async with asyncio.timeout(30):
        await begun()


async def started(*words: str, **more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *words,
        env={**os.environ, **more},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process, limit_s: float = 40) -> str:
    try:
        out, errors = await asyncio.wait_for(process.communicate(), limit_s)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()[-2000:]
    return out.decode()


async def test_agent(start_server: StartServer, capsys: pytest.CaptureFixture[str]) -> None:
    async with start_server() as live:
        viewer = await watching(live)
        await call(snippet("python agent", live), pc_id=viewer.pc_id, pcm=tone(0.5))
        assert float(capsys.readouterr().out.split()[-1]) == pytest.approx(0.5, abs=1e-3)
        await viewer.close()


class Enough(Exception):
    """As many frames as a test needs."""


async def test_raw(start_server: StartServer) -> None:
    shown: list[np.ndarray] = []
    played: list[np.ndarray] = []

    def play(sound: np.ndarray) -> None:
        played.append(sound)
        if len(played) == 20:
            raise Enough

    async with start_server() as live:
        with pytest.raises(Enough):
            text = snippet("python raw", live)
            await call(text, pcm=tone(0.5), show=shown.append, play=play)
    assert shown[-1].shape == (384, 256) and np.abs(np.concatenate(played)).max() > 5000


async def test_whip(start_server: StartServer, ffmpeg: str, tmp_path: Path) -> None:
    sound = tmp_path / "talk.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(tone(6.0).tobytes())
    async with start_server(token=TOKEN) as live:
        live.http.headers["authorization"] = f"Bearer {TOKEN}"
        words = command(snippet("sh whip", live, TOKEN=TOKEN))
        assert words[0] == "ffmpeg"
        words = [ffmpeg, *(str(sound) if word == "talk.wav" else word for word in words[1:])]
        process = await started(*words)
        async with asyncio.timeout(20):
            while not live.services.sessions.describe():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        view = live.services.sessions.describe()[0]["view_id"]
        viewer = Viewer(live.http, None, request={"watch": view})
        await viewer.connect()
        await viewer.until(lambda: viewer.sounds and viewer.sounds[-1].peak > 1000, 20)
        await ended(process)
        await viewer.close()


async def test_push(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(60)))
        await viewer.connect()
        text = snippet("sh push", live).replace(
            "http://127.0.0.1:8081/whip", f"{live.url}/api/whip"
        )
        words = command(text)
        assert words[0] == "visavis"
        module = (sys.executable, "-m", "visavis.streamer")
        process = await started(*module, *words[1:], "--server", live.url)
        async with asyncio.timeout(30):
            while len(live.services.sessions.describe()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await ended(process)
        await viewer.close()


async def test_gstreamer(start_server: StartServer, gstreamer_python: str) -> None:
    async with start_server() as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(60)))
        await viewer.connect()
        words = command(snippet("sh gstreamer", live, VIEW_ID=viewer.view_id))
        assert words[0] == "python3"
        seen = json.loads(await ended(await started(gstreamer_python, *words[1:])))
        assert seen["video"] > 20 and seen["audio"] > 20 and not seen["error"], seen
        await viewer.close()


@pytest.mark.browser
async def test_page(start_server: StartServer, tmp_path: Path) -> None:
    from tests.browser.helpers.speech import write_wav

    voice = tmp_path / "voice.wav"
    write_wav(voice)
    async with start_server() as live, opened(live, "", voice) as page:
        html = f"<!doctype html>{snippet('html page', live)}"
        await page.route("**/mine", lambda r: r.fulfill(body=html, content_type="text/html"))
        await page.goto(f"{live.url}/mine")
        await page.locator("visavis-avatar").get_by_role("button", name="Go live").click()
        condition = "document.querySelector('visavis-avatar').call?.stats.firstFrameMs > 0"
        await until(page, condition)


@pytest.mark.browser
async def test_pipecat_in_a_page(start_server: StartServer, tmp_path: Path) -> None:
    from tests.browser.helpers.speech import write_wav

    voice = tmp_path / "voice.wav"
    write_wav(voice)
    async with start_server() as live:
        script = bundle(installed("pipecat", PIPECAT_JS), snippet("js pipecat", live))
        async with opened(live, script, voice) as page:
            await until(page, "document.querySelector('video').videoWidth === 256")


async def test_pipecat(
    start_server: StartServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = environment("pipecat-python", PIPECAT, tmp_path_factory.mktemp("links"))
    script = tmp_path / "bot.py"
    async with start_server() as live:
        text = snippet("python pipecat", live)
        script.write_text(
            "from types import SimpleNamespace\n"
            "from pipecat.pipeline.pipeline import Pipeline\n"
            "from pipecat.processors.frame_processor import FrameProcessor as P\n"
            "stt, llm, tts = P(), P(), P()\n"
            "transport = SimpleNamespace(input=P, output=P)\n"
            f"{text}\nprint(len(pipeline.processors))\n"
        )
        assert int((await run(where, str(script))).splitlines()[-1]) >= 6


async def test_livekit(
    start_server: StartServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = environment("livekit-python", LIVEKIT, tmp_path_factory.mktemp("links"))
    script = tmp_path / "agent.py"
    async with start_server() as live:
        text = function(snippet("python livekit", live) + "return avatar\n")
        script.write_text(
            f"import asyncio, sys\nsys.path.insert(0, {str(CLIENTS)!r})\n"
            "from types import SimpleNamespace\n"
            "from livekit.agents import AgentSession\nfrom livekit_rooms import Room\n"
            f"{text}\n"
            "async def main():\n"
            "    global session, ctx\n"
            "    session, ctx = AgentSession(), SimpleNamespace(room=Room('the agent'))\n"
            "    avatar = await snippet()\n"
            "    print(type(session.output.audio).__name__)\n"
            "    await avatar.aclose()\n"
            "asyncio.run(main())\n"
        )
        assert (await run(where, str(script))).split()[-1] == "QueueAudioOutput"


async def test_worker(
    start_server: StartServer, unused_tcp_port: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = environment("livekit-python", LIVEKIT, tmp_path_factory.mktemp("links"))
    async with start_server() as live:
        words = command(snippet("sh worker", live).replace("8090", str(unused_tcp_port)))
        assert words[0] == "visavis"
        process = await asyncio.create_subprocess_exec(
            *(str(where.python), "-m", "visavis.streamer", *words[1:]),
            env=where.variables,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            said = await asyncio.wait_for(process.stdout.readline(), 60)
            assert str(unused_tcp_port) in said.decode()
            async with httpx.AsyncClient() as http:
                answer = await http.post(f"http://127.0.0.1:{unused_tcp_port}/avatars", json={})
            assert answer.status_code == 400
            assert answer.json()["error"] == "An avatar needs livekit_url."
        finally:
            process.terminate()
            await process.wait()
