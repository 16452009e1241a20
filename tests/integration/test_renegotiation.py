"""Offers on a connection that is there: sections come and go, ICE restarts, nothing is lost."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.fakes.fake_microphone import FakeMicrophone, Seen, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from visavis.streamer.session.session import Session

GAP_S = 0.2


async def seeing(live: Live, avatar: str | None = None, **options: object) -> Viewer:
    viewer = Viewer(live.http, FakeMicrophone(beeps(60)), avatar=avatar, **options)  # type: ignore[arg-type]
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) >= 10)
    return viewer


def session_of(live: Live, viewer: Viewer) -> Session:
    return live.services.sessions._get(viewer.pc_id)


def longest_gap(frames: list[Seen]) -> float:
    return float(np.diff([frame.media_s for frame in frames]).max())


async def test_ice_restarts_in_place(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await seeing(live)
        watcher = await seeing(live, request={"watch": viewer.view_id})
        session, slot = session_of(live, viewer), session_of(live, viewer)._slot
        before, pc_id, pairs = len(viewer.frames), viewer.pc_id, session.etag
        for again in range(2):
            await viewer.restart_ice()
            agent = session._connection.agents[0]
            await viewer.until(lambda a=agent: a._checking is None)
            await viewer.send(type="ping", t=again)
            await viewer.until(lambda n=again: len(viewer.of("pong")) == n + 1)
            count = len(viewer.frames)
            await viewer.until(lambda n=count: len(viewer.frames) > n + 30)
        assert viewer.pc_id == pc_id and session.etag != pairs
        assert session_of(live, viewer) is session and session._slot is slot
        assert live.services.admission.held == 1
        assert longest_gap(viewer.frames[before:]) < GAP_S
        assert not viewer.of("ended") and not watcher.of("ended")
        count = len(watcher.frames)
        await watcher.until(lambda: len(watcher.frames) > count + 10)
        assert len(session._connection.agents[0].sockets) <= 2, "the old sockets are closed"
        await asyncio.gather(viewer.close(), watcher.close())


async def test_a_restart_that_comes_to_nothing_changes_nothing(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await seeing(live)
        sdp = viewer.pc.localDescription.sdp
        old = next(ln for ln in sdp.splitlines() if ln.startswith("a=ice-ufrag:"))
        body = {"sdp": sdp.replace(old, "a=ice-ufrag:zzzz"), "type": "offer", "pc_id": viewer.pc_id}
        for _ in range(5):
            assert (await live.http.post("/api/offer", json=body)).json()["pc_id"] == viewer.pc_id
        count = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > count + 40)
        assert longest_gap(viewer.frames[count:]) < GAP_S
        assert len(session_of(live, viewer)._connection.agents[0].sockets) <= 4
        await viewer.close()


async def test_others_are_shown_in_sections_that_were_added(start_server: StartServer) -> None:
    async with start_server(avatars=("anna", "zoe", "mia")) as live:
        anna, zoe, mia = await asyncio.gather(
            *(seeing(live, name) for name in ("anna", "zoe", "mia"))
        )
        session = session_of(live, anna)
        feeds = {name: session_of(live, v).feed for name, v in (("zoe", zoe), ("mia", mia))}
        session.show(feeds)
        await anna.until(lambda: anna.of("streams"))
        assert anna.of("streams")[-1]["missing"] == {"audio": 2, "video": 2}
        before = len(anna.frames)
        for kind in ("video", "audio"):  # one pair for two people
            anna.pc.addTransceiver(kind, direction="recvonly")
        body = await anna.renegotiate()
        shown = {stream["id"]: stream for stream in body["streams"]}
        assert body["pc_id"] == session.id and shown["zoe"]["video"] and shown["zoe"]["audio"]
        assert shown["mia"] == {"id": "mia", "audio": None, "video": None}
        await anna.until(lambda: anna.of("streams")[-1]["missing"] == {"audio": 1, "video": 1})
        await anna.until(lambda: any(len(seen) > 30 for seen in anna.others.values()))
        # Zoe goes: her sections are Mia's without another offer, and time does not jump.
        sections = (shown["zoe"]["audio"], shown["zoe"]["video"])
        session.show({"mia": feeds["mia"]})
        await anna.until(lambda: anna.of("streams")[-1]["missing"] == {"audio": 0, "video": 0})
        (stream,) = anna.of("streams")[-1]["streams"]
        assert (stream["id"], stream["audio"], stream["video"]) == ("mia", *sections)
        (seen,) = anna.others.values()
        count, level = len(seen), seen[-1].level
        await anna.until(lambda: len(seen) > count + 40)
        assert abs(seen[-1].level - level) > 3, "another face"
        assert np.diff([frame.media_s for frame in seen]).min() > 0
        assert longest_gap(seen) < 1.0
        assert longest_gap(anna.frames[before:]) < GAP_S, "her own picture noticed nothing"
        # Mia hangs up: her sections are free again, and nobody is missing.
        await mia.close()
        await anna.until(lambda: anna.of("streams")[-1]["streams"] == [], 15)
        assert not anna.of("ended")
        await asyncio.gather(anna.close(), zoe.close())


async def test_a_section_that_is_inactive_is_given_away(start_server: StartServer) -> None:
    async with start_server(avatars=("anna", "zoe")) as live:
        anna, zoe = await asyncio.gather(seeing(live, "anna"), seeing(live, "zoe"))
        added = [anna.pc.addTransceiver(kind, direction="recvonly") for kind in ("audio", "video")]
        session_of(live, anna).show({"zoe": session_of(live, zoe).feed})
        await anna.renegotiate()
        await anna.until(lambda: any(len(seen) > 10 for seen in anna.others.values()))
        for transceiver in added:
            transceiver.direction = "inactive"
        body = await anna.renegotiate()
        assert body["streams"] == [{"id": "zoe", "audio": None, "video": None}]
        for transceiver in added:
            transceiver.direction = "recvonly"
        body = await anna.renegotiate()
        assert body["streams"][0]["video"] == added[1].mid
        (seen,) = anna.others.values()
        count = len(seen)
        await anna.until(lambda: len(seen) > count + 10)
        await asyncio.gather(anna.close(), zoe.close())


@pytest.mark.parametrize("picture_first", [False, True])
@pytest.mark.parametrize("bundle", [True, False])
async def test_any_order_bundled_or_not(
    start_server: StartServer, picture_first: bool, bundle: bool
) -> None:
    def alter(sdp: str) -> str:
        lines = sdp.splitlines()
        return "\r\n".join(ln for ln in lines if bundle or not ln.startswith("a=group:")) + "\r\n"

    async with start_server() as live:
        viewer = await seeing(live, picture_first=picture_first, alter=alter)
        assert ("BUNDLE" in viewer.answer) is bundle
        await viewer.send(type="ping", t=1)
        await viewer.until(lambda: viewer.of("pong"))
        watcher = await seeing(
            live, picture_first=picture_first, alter=alter, request={"watch": viewer.view_id}
        )
        await watcher.until(lambda: any(s.peak > 3000 for s in watcher.sounds))
        await asyncio.gather(viewer.close(), watcher.close())


async def test_a_bad_offer_leaves_the_connection_as_it_was(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await seeing(live)
        for damage in ("a=rtpmap", "a=ice-pwd", "a=mid", "m=video"):
            sdp = viewer.pc.localDescription.sdp.replace(damage, "a=x")
            body = {"sdp": sdp, "type": "offer", "pc_id": viewer.pc_id}
            response = await live.http.post("/api/offer", json=body)
            assert response.status_code in (200, 400), damage
        await viewer.renegotiate()
        count = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > count + 20)
        await viewer.close()
