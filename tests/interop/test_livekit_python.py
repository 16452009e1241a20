"""The real ``livekit-agents`` in an environment of its own; no LiveKit server can be had here.

Its own ``AvatarRunner``, audio outputs and sources run against stand-in rooms.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.integration.conftest import StartServer
from tests.interop.conftest import CLIENTS
from tests.interop.test_pipecat_python import run
from tests.interop.venv import Environment, environment

PACKAGES = ("livekit-agents==1.8.9", "websockets==17.4")
FRAME_S = 0.04
pytestmark = pytest.mark.timeout(500)  # the first run installs a hundred packages


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environment("livekit-python", PACKAGES, tmp_path_factory.mktemp("links"))


@pytest.mark.parametrize("mode", ["here", "there"])
async def test_an_agent_s_voice_is_spoken_and_interrupted(
    start_server: StartServer, livekit: Environment, mode: str
) -> None:
    """In the agent's process, and by a worker in another participant's place."""
    async with start_server() as live:
        script = str(CLIENTS / "livekit_avatar.py")
        seen: dict[str, Any] = json.loads(
            (await run(livekit, script, mode, live.url)).splitlines()[-1]
        )
        print(seen)
        position, interrupted = seen["first"]
        assert position == pytest.approx(1.0, abs=1e-3) and not interrupted
        assert seen["spoken"] == pytest.approx(1.0, abs=1e-3) and seen["loud_pictures"] >= 20
        position, interrupted = seen["second"]
        assert interrupted and 0.5 < position < 5
        assert abs(position - seen["given"]) <= 2 * FRAME_S, "what had been given when it was cut"
        assert seen["spoken_after"] == 0 and seen["loud_after"] <= 2
        assert seen["third"] == [pytest.approx(0.5, abs=1e-3), False]
        assert seen["tracks"] == 2 and seen["events"] == 3
        assert seen["identity"] == ("the agent" if mode == "here" else "visavis-avatar")
        if mode == "there":
            assert seen["joined"] == "wss://livekit.example"
            assert seen["refused"]["nothing"] == [400, "An avatar needs livekit_url."]
            assert seen["refused"]["odd"] == [400, "livekit_url must be text."]
            expired = "The room cannot be joined: invalid token: it has expired."
            assert seen["refused"]["expired"] == [502, expired]
            assert "no such avatar" in seen["refused"]["unknown"][1]
        async with asyncio.timeout(10):
            while len(live.services.sessions):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
