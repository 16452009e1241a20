"""What goes wrong stays small: refusals, crashes, vanished viewers, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time

import psutil
import pytest
from aiortc import RTCPeerConnection

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from visavis.streamer.webrtc.rtp.rtcp import PLAYOUT_DELAY_URI


async def seeing(live: Live, avatar: str | None = None) -> Viewer:
    viewer = Viewer(live.http, FakeMicrophone(beeps(30)), avatar=avatar)
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) >= 5)
    return viewer


async def until(condition: object, limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_at_capacity_the_refusal_says_so(start_server: StartServer) -> None:
    async with start_server(limits={"max_sessions": 1}) as live:
        first = await seeing(live)
        second = Viewer(live.http, FakeMicrophone(beeps(1)))
        response = await second.offer()
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert response.json()["error"] == "The server is full: it holds 1 session at a time."
        await second.close()
        await first.close()
        await until(lambda: live.services.admission.held == 0)
        third = await seeing(live)
        await third.close()


@pytest.mark.timed
async def test_a_killed_worker_is_replaced_within_two_seconds(start_server: StartServer) -> None:
    async with start_server() as live:
        one, two = await asyncio.gather(seeing(live), seeing(live))
        await until(lambda: live.services.supervisor.has_standby, 20)
        killed_at = time.monotonic()
        os.kill(live.services.supervisor.pids[0], signal.SIGKILL)
        for viewer in (one, two):
            await viewer.until(
                lambda v=viewer: [m["state"] for m in v.of("worker")] == ["lost", "recovered"], 4
            )
            count = len(viewer.frames)
            await viewer.until(lambda v=viewer, n=count: len(v.frames) > n)
        assert time.monotonic() - killed_at < 2.0
        assert live.services.supervisor.restarts == 1
        for viewer in (one, two):
            count = len(viewer.frames)
            await viewer.until(lambda v=viewer, n=count: len(v.frames) > n + 20)
            media = [f.media_s for f in viewer.frames]
            assert media == sorted(media)
            await viewer.close()


async def test_a_hung_worker_is_replaced(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visavis.streamer.worker.edge.supervisor.SILENT_S", 0.8)
    async with start_server() as live:
        viewer = await seeing(live)
        await until(lambda: live.services.supervisor.has_standby, 20)
        os.kill(live.services.supervisor.pids[0], signal.SIGSTOP)
        await viewer.until(
            lambda: [m["state"] for m in viewer.of("worker")] == ["lost", "recovered"], 6
        )
        count = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > count + 10)
        await viewer.close()


async def test_models_that_raise_end_their_own_session_only(start_server: StartServer) -> None:
    async with start_server(avatars=("anna", "raising")) as live:
        good = await seeing(live, "anna")
        bad = Viewer(live.http, FakeMicrophone(beeps(20)), avatar="raising")
        await bad.connect()
        await bad.until(lambda: bad.of("ended"), 15)
        assert bad.of("ended")[0]["reason"] == "The avatar stopped working; start again."
        count = len(good.frames)
        await good.until(lambda: len(good.frames) > count + 20)
        assert live.services.supervisor.restarts == 0
        assert not good.of("worker")
        await asyncio.gather(good.close(), bad.close())


async def test_a_broken_bundle_is_said(start_server: StartServer) -> None:
    async with start_server(avatars=("broken",)) as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(5)))
        await viewer.connect()
        await viewer.until(lambda: viewer.of("ended"))
        assert "make it again" in viewer.of("ended")[0]["reason"]
        await until(lambda: live.services.admission.held == 0)
        await viewer.close()


async def test_a_slow_avatar_is_late_but_never_later_than_the_ring(
    start_server: StartServer,
) -> None:
    async with start_server(avatars=("slow",)) as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(30)))
        await viewer.connect()
        await viewer.until(lambda: len(viewer.of("stats")) >= 4, 12)
        figures = viewer.of("stats")[-1]
        assert figures["repeated"] > 10 and figures["dropped"] > 10
        assert figures["fps"] > 20, "ticks go on with repeated pictures"
        assert figures["mouth_to_lip_ms"]["p95"] < 40 + 80 + 120 + 120
        await viewer.close()


async def test_a_viewer_that_vanishes_gives_its_place_back(start_server: StartServer) -> None:
    async with start_server(limits={"idle_timeout_s": 1.5}) as live:
        viewer = await seeing(live)
        await viewer.send(type="ping", t=1)
        viewer.vanish()
        await until(lambda: live.services.admission.held == 0, 12)
        again = await seeing(live)
        await again.close()
        await viewer.close()


async def test_an_answer_nobody_takes_is_given_up(start_server: StartServer) -> None:
    async with start_server(limits={"connect_timeout_s": 1.0}) as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(1)))
        assert (await viewer.offer()).status_code == 200
        assert live.services.admission.held == 1
        await until(lambda: live.services.admission.held == 0, 8)
        await viewer.close()


@pytest.mark.parametrize(
    ("alter", "sentence"),
    [
        (lambda sdp: "garbage", "read"),
        (lambda sdp: "", "read"),
        (lambda sdp: sdp.replace("m=audio", "m=video"), "audio"),
        (lambda sdp: sdp.replace("m=video", "m=audio"), "video"),
        (lambda sdp: sdp.replace("opus/48000/2", "speex/16000"), "audio codec"),
        (lambda sdp: sdp.replace("a=ice-pwd", "a=x-pwd"), "ICE"),
        (lambda sdp: sdp.replace("a=fingerprint", "a=x"), "fingerprint"),
        (lambda sdp: sdp + "a=x:" + "y" * 70_000 + "\r\n", "64 KB"),
    ],
)
async def test_offers_that_cannot_be_served(
    start_server: StartServer, alter: object, sentence: str
) -> None:
    async with start_server() as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(1)), alter=alter)  # type: ignore[arg-type]
        began = time.monotonic()
        response = await viewer.offer()
        assert response.status_code in (400, 413), response.text
        assert sentence in response.json()["error"]
        assert time.monotonic() - began < 2
        assert live.services.admission.held == 0
        await viewer.close()


async def test_offers_of_other_shapes(start_server: StartServer) -> None:
    async with start_server() as live:
        for body in (
            b"",
            b"{",
            b"[]",
            b'{"sdp":1,"type":"offer"}',
            b'{"sdp":"v=0","type":"answer"}',
        ):
            headers = {"content-type": "application/json"}
            response = await live.http.post("/api/offer", content=body, headers=headers)
            assert response.status_code == 400 and response.json()["error"].endswith(".")
        viewer = Viewer(live.http, FakeMicrophone(beeps(1)), avatar="nobody")
        response = await viewer.offer()
        assert response.status_code == 404
        await viewer.close()
        for body in ({"pc_id": "x", "candidates": []}, {"candidates": 3}, []):
            response = await live.http.patch("/api/offer", json=body)
            assert response.status_code in (400, 404)


async def test_answer_carries_playout_delay_and_late_candidates(start_server: StartServer) -> None:
    async with start_server() as live:

        def alter(sdp: str) -> str:
            lines = [ln for ln in sdp.splitlines() if not ln.startswith("a=candidate")]
            at = next(i for i, ln in enumerate(lines) if ln.startswith("m=video"))
            lines.insert(at + 2, f"a=extmap:12 {PLAYOUT_DELAY_URI}")
            return "\r\n".join(lines) + "\r\n"

        viewer = Viewer(live.http, FakeMicrophone(beeps(5)), alter=alter)
        await viewer.connect()
        assert f"a=extmap:12 {PLAYOUT_DELAY_URI}" in viewer.answer
        await viewer.until(lambda: viewer.frames)  # our checks come first, its address is learnt
        candidates = [{"candidate": "candidate:1 1 udp 1 8.8.8.8 9 typ host", "sdpMid": "0"}]
        body = {"pc_id": viewer.pc_id, "candidates": candidates}
        assert (await live.http.patch("/api/offer", json=body)).json() == {"status": "success"}
        # What computers with many adapters name: most of it is of no use, and no fault either.
        named = [f"candidate:{n} 1 udp 1 10.0.{n % 9}.{n} 9 typ host" for n in range(1, 60)]
        body["candidates"] = [{"candidate": text, "sdpMid": "0"} for text in named * 2]
        body["candidates"] += candidates * 50 + [{}]
        assert (await live.http.patch("/api/offer", json=body)).status_code == 200
        session = live.services.sessions.session(viewer.pc_id)
        assert len(session.agents[0].remote_candidates) <= 22, "cut, not refused"
        await viewer.close()


async def test_strangers_datagrams_are_dropped(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await seeing(live)
        session = next(iter(live.services.sessions))
        agent = session.agents[0]
        before = agent._queue.qsize()
        for protocol in agent._carrying._protocols:
            for first in (0x16, 0x80, 0xFF):
                for _ in range(700):
                    protocol.datagram_received(bytes([first]) * 100, ("198.51.100.7", 4444))
        assert agent._queue.qsize() <= before + 5
        count = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > count + 10)
        await viewer.close()


async def test_twenty_connects_leave_nothing_behind(start_server: StartServer) -> None:
    async with start_server() as live:
        me = psutil.Process()

        async def once() -> None:
            viewer = await seeing(live)
            await viewer.close()
            await until(lambda: live.services.admission.held == 0)

        for _ in range(3):
            await once()
        await until(lambda: live.services.supervisor.has_standby, 20)

        async def footprint() -> tuple[int, int, int, int]:
            gc.collect()  # the viewers' own leftovers; the server is measured without it elsewhere
            worker = psutil.Process(live.services.supervisor.pids[0])
            peers = sum(isinstance(o, RTCPeerConnection) for o in gc.get_objects())
            return me.num_fds(), me.num_threads(), worker.num_threads(), peers

        before = await footprint()
        tasks = len(asyncio.all_tasks())
        for _ in range(20):
            await once()
        await until(lambda: len(asyncio.all_tasks()) <= tasks + 2)
        after = await footprint()
        assert after[0] <= before[0] + 2, "file descriptors"
        assert after[1] <= before[1] + 1, "threads here, of the libraries too"
        assert after[2] <= before[2] + 1, "threads in the worker"
        assert after[3] <= before[3] + 2, "peer connections"
