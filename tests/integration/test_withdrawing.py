"""A withdrawn consent ends what is live within a second, by whatever process it is withdrawn."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.fakes.processes.fake_server import put_avatar
from tests.integration.conftest import StartServer
from tests.integration.test_erasing import causes, live_viewer
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import LimitsConfig
from visavis.streamer.trust.consent import Terms


async def test_withdrawing_ends_the_session_and_nobody_can_begin(
    start_server: StartServer, tmp_path: Path
) -> None:
    ids = [put_avatar(tmp_path, letter, letter, "#777777").id for letter in "ab"]
    store = AvatarStore(tmp_path, LimitsConfig(), 256)
    async with start_server(store=store) as server:
        first, second = [await live_viewer(server, avatar) for avatar in ids]
        shown = (await server.http.get(f"/api/avatars/{ids[0]}/consent")).json()
        assert shown["withdrawn"] == "" and "call" in shown["purposes"] and shown["text"]
        assert (await server.http.get("/api/avatars/nobody/consent")).status_code == 404
        began = time.monotonic()
        answer = await server.http.delete(f"/api/avatars/{ids[0]}/consent")
        assert answer.status_code == 200 and answer.json()["withdrawn"]
        await first.until(lambda: first.of("ended"), 3.0)
        here_s = time.monotonic() - began
        beside = AvatarStore(tmp_path, LimitsConfig(), 256)  # as the command line does
        began = time.monotonic()
        await beside.withdraw(ids[1])
        await second.until(lambda: second.of("ended"), 3.0)
        elsewhere_s = time.monotonic() - began
        assert causes(first) == causes(second) == ["consent"]
        assert "withdrawn" in first.of("ended")[0]["reason"]
        await asyncio.sleep(0.3)  # what was under way when it was said
        frames = len(first.frames), len(second.frames)
        await asyncio.sleep(0.5)
        assert (len(first.frames), len(second.frames)) == frames, "no frame follows"
        print(f"withdrawn to ended: {here_s:.2f} s here, {elsewhere_s:.2f} s from elsewhere")
        refused = await server.http.post(
            "/api/offer", json={"sdp": first.pc.localDescription.sdp, "type": "offer",
                                "request_data": {"avatar_id": ids[0]}},
        )  # fmt: skip
        assert refused.status_code == 403 and refused.json()["code"] == "consent-withdrawn"
        await first.close()
        await second.close()


async def test_who_agrees_no_longer_to_recordings_is_recorded_no_longer(
    start_server: StartServer, tmp_path: Path
) -> None:
    ada = put_avatar(tmp_path, "a", "Ada", "#777777").id
    store = AvatarStore(tmp_path, LimitsConfig(), 256)
    async with start_server(store=store) as server:
        viewer = await live_viewer(server, ada)
        await viewer.send(type="record", on=True)
        await viewer.until(lambda: viewer.of("recorded"))
        beside = AvatarStore(tmp_path, LimitsConfig(), 256)
        beside.consents.give(beside.get(ada), Terms(purposes=("call",)))
        await viewer.until(lambda: viewer.of("error"), 3.0)
        assert viewer.of("error")[0]["code"] == "recording-stopped"
        assert "does not cover recording" in viewer.of("error")[0]["message"]
        await viewer.until(lambda: viewer.of("recording")[-1]["stage"] == "off")
        frames = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > frames + 10)
        await viewer.close()
