"""Offers on a connection that is there: sections come and go, ICE restarts, nothing is lost."""

from __future__ import annotations

import asyncio
import re
from itertools import permutations

import numpy as np
import pytest

from tests.fakes.fake_microphone import FakeMicrophone, Seen, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from visavis.streamer.session.session import Session
from visavis.streamer.webrtc.sdp.signaling import check_offer

GAP_S = 0.2


async def seeing(live: Live, avatar: str | None = None, **options: object) -> Viewer:
    viewer = Viewer(live.http, FakeMicrophone(beeps(60)), avatar=avatar, **options)  # type: ignore[arg-type]
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) >= 10)
    return viewer


def session_of(live: Live, viewer: Viewer) -> Session:
    return live.services.sessions.session(viewer.pc_id)


def longest_gap(frames: list[Seen]) -> float:
    return float(np.diff([frame.media_s for frame in frames]).max())


@pytest.mark.timed
async def test_ice_restarts_in_place(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await seeing(live)
        watcher = await seeing(live, request={"watch": viewer.view_id})
        session, slot = session_of(live, viewer), session_of(live, viewer)._slot
        before, pc_id, pairs = len(viewer.frames), viewer.pc_id, session.etag
        sockets = len(session.agents[0].sockets)
        for again in range(2):
            await viewer.restart_ice()
            agent = session.agents[0]
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
        assert len(session.agents[0].sockets) <= sockets, "the old ones are closed"
        await asyncio.gather(viewer.close(), watcher.close())


@pytest.mark.timed
async def test_a_restart_that_comes_to_nothing_changes_nothing(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await seeing(live)
        sdp = viewer.pc.localDescription.sdp
        old = next(ln for ln in sdp.splitlines() if ln.startswith("a=ice-ufrag:"))
        sockets = len(session_of(live, viewer).agents[0].sockets)
        body = {"sdp": sdp.replace(old, "a=ice-ufrag:zzzz"), "type": "offer", "pc_id": viewer.pc_id}
        for _ in range(5):
            assert (await live.http.post("/api/offer", json=body)).json()["pc_id"] == viewer.pc_id
        count = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > count + 40)
        assert longest_gap(viewer.frames[count:]) < GAP_S
        assert len(session_of(live, viewer).agents[0].sockets) <= 2 * sockets
        await viewer.close()


@pytest.mark.timed
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


def permuted(sdp: str, order: tuple[int, ...]) -> str:
    """Return a description with its sections, and its bundle, in another order."""
    head, *blocks = re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)
    blocks = [blocks[place] for place in order]
    mids = [re.search(r"^a=mid:(\S+)", block, re.MULTILINE)[1] for block in blocks]  # type: ignore[index]
    return re.sub(r"BUNDLE.*", f"BUNDLE {' '.join(mids)}", head) + "".join(blocks)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_every_order_of_audio_video_and_data(
    start_server: StartServer, order: tuple[int, ...]
) -> None:
    back = tuple(order.index(place) for place in range(3))
    async with start_server() as live:

        def turn(viewer: Viewer) -> Viewer:
            viewer.alter = lambda sdp: permuted(sdp, order)
            viewer.understand = lambda sdp: permuted_sections(sdp, back)
            return viewer

        viewer = turn(Viewer(live.http, FakeMicrophone(beeps(60))))
        await viewer.connect()
        await viewer.send(type="ping", t=1)
        await viewer.until(lambda: viewer.of("pong") and len(viewer.frames) > 5)
        watcher = turn(Viewer(live.http, None, request={"watch": viewer.view_id}))
        await watcher.connect()
        await watcher.until(lambda: len(watcher.frames) > 5)
        await asyncio.gather(viewer.close(), watcher.close())


def permuted_sections(sdp: str, order: tuple[int, ...]) -> str:
    """Return an answer with its sections in the order of the offer that was made."""
    head, *blocks = re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)
    return head + "".join(blocks[place] for place in order)


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


async def test_one_who_starts_over_has_its_own_place_again(start_server: StartServer) -> None:
    async with start_server(limits={"max_sessions": 1}) as live:
        first = await seeing(live)
        waiting = [Viewer(live.http, FakeMicrophone(beeps(1))) for _ in range(3)]

        async def knock(viewer: Viewer) -> set[int]:
            codes = {(await viewer.offer()).status_code}
            body = {"sdp": viewer.pc.localDescription.sdp, "type": "offer"}
            for _ in range(40):
                codes.add((await live.http.post("/api/offer", json=body)).status_code)
            return codes

        knocking = [asyncio.ensure_future(knock(viewer)) for viewer in waiting]
        again = Viewer(live.http, FakeMicrophone(beeps(5)))
        await again.offer_again_as(first.pc_id)
        assert await asyncio.gather(*knocking) == [{503}] * 3
        await again.until(lambda: len(again.frames) > 5)
        assert live.services.admission.held == 1 and again.pc_id != first.pc_id
        await asyncio.gather(*(v.close() for v in (first, again, *waiting)))


async def test_one_who_only_watches_others(start_server: StartServer) -> None:
    """A guest of a room has no session: every section is for others' feeds."""
    async with start_server(avatars=("anna", "zoe")) as live:
        anna, zoe = await asyncio.gather(seeing(live, "anna"), seeing(live, "zoe"))
        guest = Viewer(live.http)
        guest.pc.addTransceiver("video", direction="recvonly")
        made = []

        async def enter(body: dict) -> dict:
            offer = check_offer(body["sdp"], "offer", live.services.config.limits)
            viewer, sdp = await live.services.sessions.add_viewer(offer)
            made.append(viewer)
            return {"sdp": sdp, "type": "answer", "pc_id": viewer.id}

        await guest.connect_by(enter)
        made[0].show({n: session_of(live, v).feed for n, v in (("a", anna), ("z", zoe))})
        assert all(stream.video for stream in made[0].streams)
        assert [bool(stream.audio) for stream in made[0].streams] == [True, False]
        await guest.until(lambda: len(guest.frames) > 20 and len(guest.others) == 1)
        assert (await live.http.delete(f"/api/sessions/{guest.pc_id}")).status_code == 204
        assert made[0].over and live.services.admission.held == 2
        await asyncio.gather(anna.close(), zoe.close(), guest.close())


async def test_a_feed_can_be_tapped(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await seeing(live)
        feed = session_of(live, viewer).feed
        pictures: list[tuple[int, bytes, bool]] = []
        sounds: list[tuple[bytes, int]] = []

        class Good:
            def picture(self, frame: int, data: bytes, keyframe: bool) -> None:
                pictures.append((frame, data, keyframe))

            def sound(self, data: bytes, pts: int) -> None:
                sounds.append((data, pts))

        class Bad(Good):
            def picture(self, frame: int, data: bytes, keyframe: bool) -> None:
                raise OSError("the disk is full")

            def sound(self, data: bytes, pts: int) -> None:
                pass

        good = Good()
        feed.tap(Bad())
        feed.tap(good)
        feed.request_keyframe()
        count = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > count + 25)
        assert len(pictures) > 20 and any(keyframe for *_, keyframe in pictures)
        steps = np.diff([pts for _, pts in sounds])  # a machine that stalls leaves sound out
        assert np.all(steps > 0) and np.all(steps % 480 == 0) and np.median(steps) == 480
        feed.untap(good)
        assert not feed._taps, "the one that failed was taken off"
        await viewer.close()
