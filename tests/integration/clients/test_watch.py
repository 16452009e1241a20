"""Many viewers of one session: one encoding, a keyframe for who joins, nobody slowed by another."""

from __future__ import annotations

import asyncio

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from visavis.streamer.worker.protocol import Packet


async def seeing(live: Live, **request: object) -> Viewer:
    viewer = Viewer(live.http, FakeMicrophone(beeps(60)), request=dict(request))
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) >= 5)
    return viewer


async def test_any_number_of_viewers_cost_one_encoding(start_server: StartServer) -> None:
    async with start_server() as live:
        packets: list[Packet] = []
        observe = live.services.supervisor._observe

        def count(packet: Packet) -> None:
            packets.append(packet)
            observe(packet)

        live.services.supervisor._observe = count  # type: ignore[method-assign]
        first = await seeing(live)
        watchers = [await seeing(live, watch=first.view_id) for _ in range(3)]
        assert live.services.admission.held == 1, "watching takes no place"
        listed = (await live.http.get("/api/sessions")).json()["sessions"]
        assert [s["watchers"] for s in listed] == [3]
        made, seen = len(packets), [len(w.frames) for w in watchers]
        await watchers[0].until(lambda: len(watchers[0].frames) >= seen[0] + 50)
        assert len(packets) - made < 65, "one packet of the worker for a picture of each viewer"
        for watcher, before in zip(watchers, seen, strict=True):
            await watcher.until(lambda w=watcher, n=before: len(w.frames) >= n + 40)
            await watcher.until(lambda w=watcher: any(s.peak > 3000 for s in w.sounds))
        keyframes = sum(p.keyframe for p in packets)
        assert 1 <= keyframes <= 8, "one for each that joined, not one for each that asked"
        await watchers[0].close()
        await live.http.delete(f"/api/sessions/{watchers[1].pc_id}")
        await watchers[2].until(lambda: len(watchers[2].frames) >= seen[2] + 60)
        await first.close()
        await watchers[2].until(lambda: watchers[2].of("ended"), 15)
        assert "over" in watchers[2].of("ended")[0]["reason"]
        async with asyncio.timeout(10):
            while live.services.sessions.viewers:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.gather(*(w.close() for w in watchers))


async def test_what_cannot_be_watched_is_said(start_server: StartServer) -> None:
    async with start_server() as live:
        nobody = Viewer(live.http, None, request={"watch": "nobody"})
        response = await nobody.offer()
        assert response.status_code == 404
        assert response.json()["error"] == "There is no such session to watch."
        first = Viewer(live.http, FakeMicrophone(beeps(30)), video_codec="H264")
        await first.connect()
        await first.until(lambda: len(first.frames) >= 5)
        other = Viewer(live.http, None, video_codec="VP8", request={"watch": first.view_id})
        response = await other.offer()
        assert response.status_code == 400
        assert not live.services.sessions.viewers
        await asyncio.gather(first.close(), nobody.close(), other.close())


async def test_a_session_chooses_its_look_ahead(start_server: StartServer) -> None:
    async with start_server() as live:
        quick, careful = await seeing(live, look_ahead_ms=0), await seeing(live)
        refused = Viewer(live.http, None, request={"look_ahead_ms": 60})
        assert (await refused.offer()).status_code == 400
        await quick.until(lambda: quick.of("stats"))
        listed = (await live.http.get("/api/sessions")).json()["sessions"]
        ahead = {s["pc_id"]: s["look_ahead_ms"] for s in listed}
        assert ahead == {quick.pc_id: 0, careful.pc_id: 40}
        delay = {s["pc_id"]: s["delay_ms"] for s in listed}
        assert delay[quick.pc_id] < delay[careful.pc_id]
        assert all(s["mouth_to_lip_ms"]["p50"] is not None for s in listed)
        await asyncio.gather(quick.close(), careful.close(), refused.close())


async def test_a_trace_of_a_live_session(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await seeing(live)
        address = f"/api/sessions/{viewer.pc_id}/trace"
        first = asyncio.ensure_future(live.http.get(address, params={"seconds": 2}))
        await viewer.until(lambda: live.services.sessions.session(viewer.pc_id)._figures.tracer)
        assert (await live.http.get(address)).status_code == 409
        assert (await live.http.get(address, params={"seconds": 600})).status_code == 400
        events = (await first).json()["traceEvents"]
        shown = [e for e in events if e["ph"] == "X" and e["cat"] == "frame"]
        frames = {e["args"]["frame"] for e in shown}
        assert 20 <= len(frames) <= 60
        for stage in ("mic in", "motion", "draw", "encode", "sent"):
            assert sum(e["name"] == stage for e in shown) == len(frames)
        text = (await live.http.get("/metrics")).text
        for stage in ("decode", "mic_in", "models", "draw", "send"):
            assert f'visavis_frame_age_ms_count{{stage="{stage}"}}' in text
        await viewer.close()
