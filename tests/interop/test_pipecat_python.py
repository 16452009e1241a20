"""The real ``pipecat-ai`` in an environment of its own, against a live server."""

from __future__ import annotations

import asyncio
import json
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.conftest import StartServer
from tests.interop.conftest import CLIENTS
from tests.interop.venv import Environment, environment

PACKAGES = ("pipecat-ai==1.14.0", "websockets==17.4")
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "pipecat_bot.py"
TOKEN = "correct horse battery"
pytestmark = pytest.mark.timeout(500)  # the first run installs a hundred packages


@pytest.fixture(scope="module")
def pipecat(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environment("pipecat-python", PACKAGES, tmp_path_factory.mktemp("links"))


async def run(where: Environment, *command: str, limit_s: float = 90, **more: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(where.python),
        *command,
        env={**where.variables, **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), limit_s)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0 and out, errors.decode()[-3000:]
    return out.decode()


async def test_a_sentence_an_interruption_and_the_end(
    start_server: StartServer, pipecat: Environment
) -> None:
    async with start_server() as live:
        script = str(CLIENTS / "pipecat_service.py")
        seen: dict[str, Any] = json.loads(
            (await run(pipecat, script, live.url, "anna")).splitlines()[-1]
        )
        print(seen)
        assert not seen["errors"] and seen["size"] == [256, 256]
        assert seen["pictures"] >= 25 and seen["agree"] > 0.9, "pictures follow their own sound"
        assert seen["position"] == pytest.approx(1.0, abs=1e-3)
        assert seen["passed_on"] == 0, "the voice comes out once: with the picture"
        assert 0.5 < seen["cut_at"] < 5 and seen["loud_after"] == 0
        assert seen["last_level"] < 100, "the mouth is closed again"
        assert seen["end_position"] == pytest.approx(0.5, abs=1e-3), "the end waits for the speech"
        async with asyncio.timeout(10):
            while len(live.services.sessions):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_an_avatar_that_cannot_be_had_is_an_error_frame(
    start_server: StartServer, pipecat: Environment
) -> None:
    async with start_server() as live:
        script = str(CLIENTS / "pipecat_service.py")
        seen = json.loads((await run(pipecat, script, live.url, "nobody")).splitlines()[-1])
        assert "There is no such avatar." in seen["errors"][0]


def speech(path: Path) -> tuple[float, float]:
    """Return seconds of sound, and of it what is loud."""
    with wave.open(str(path), "rb") as file:
        rate = file.getframerate()
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    blocks = np.abs(sound[: len(sound) // 480 * 480].reshape(-1, 480)).max(axis=1)
    return len(sound) / rate, float((blocks > 1000).mean() * len(sound) / rate)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
async def test_the_example_bot(
    start_server: StartServer, pipecat: Environment, tmp_path: Path
) -> None:
    async with start_server(token=TOKEN) as live:
        words = "Good morning. I am an avatar."
        command = (str(EXAMPLE), "--url", live.url, "--say", words, "--out", str(tmp_path / "talk"))
        said = await run(pipecat, *command, VISAVIS_TOKEN=TOKEN)
        assert "pictures" in said
        whole, loud = speech(tmp_path / "talk.wav")
        assert whole > 1.5 and loud > 1.0 and (tmp_path / "talk.png").stat().st_size > 500
