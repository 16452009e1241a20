"""Recordings of single sessions: asked for by who speaks, fetched and erased by the owner."""

from __future__ import annotations

import asyncio
import io
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fakes.fake_guest import Guest
from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer
from tests.unit.streamer.rooms.test_recovered_recordings import cut_off
from visavis.streamer.rooms.recording import recording as recordings_module
from visavis.streamer.trust.marks import provenance

TOKEN = "a token of the server"


async def speaking(live: Live) -> Viewer:
    viewer = Viewer(live.http, FakeMicrophone(beeps(60)))
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) >= 3)
    return viewer


def films(live: Live) -> list[Path]:
    return sorted((live.avatars.folder / "recordings").glob("*/*.mp4"))


async def test_who_speaks_records_themselves(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await speaking(live)
        assert (await live.http.get("/api/recordings")).json() == {"recordings": []}
        await viewer.send(type="record", on=True)
        await viewer.until(lambda: viewer.of("recorded") and viewer.of("recorded")[-1]["bytes"])
        (take,) = (await live.http.get("/api/recordings")).json()["recordings"]
        url = f"/api/recordings/{take['id']}"
        refused = await live.http.delete(url)
        assert refused.status_code == 409 and "Stop the recording" in refused.json()["error"]
        await viewer.until(lambda: viewer.of("recorded")[-1]["seconds"] > 2)
        await viewer.send(type="record", on=False)
        await viewer.until(lambda: viewer.of("recording")[-1]["stage"] == "off")
        (take,) = (await live.http.get("/api/recordings")).json()["recordings"]
        assert take["seconds"] > 2 and take["room"] == "" and viewer.pc_id not in str(take)
        (file,) = take["files"]
        answer = await live.http.get(f"{url}/{file['file']}")
        path = live.avatars.folder / "fetched.mp4"
        path.write_bytes(answer.content)
        with av.open(str(path)) as film:
            pictures = [float(frame.time) for frame in film.decode(video=0)]
        with av.open(str(path)) as film:
            peaks = [float(np.abs(block.to_ndarray()).max()) for block in film.decode(audio=0)]
        assert len(pictures) > 20 and min(np.diff(pictures)) > 0, "the picture is in it"
        assert max(peaks) > 0.05, "the voice is in it"
        assert (await live.http.delete(url)).status_code == 204
        assert (await live.http.get(f"{url}/{file['file']}")).status_code == 404
        assert not films(live)
        await viewer.close()


async def test_hanging_up_finishes_the_file(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = await speaking(live)
        await viewer.send(type="record", on=True)
        await viewer.until(lambda: viewer.of("recorded") and viewer.of("recorded")[-1]["bytes"])
        await live.http.delete(f"/api/sessions/{viewer.pc_id}")
        await viewer.close()
        (take,) = (await live.http.get("/api/recordings")).json()["recordings"]
        assert take["seconds"] > 0
        assert (await live.http.delete(f"/api/recordings/{take['id']}")).status_code == 204


async def test_a_disk_that_does_not_take_it_is_one_sentence(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_server() as live:
        viewer = await speaking(live)
        (live.avatars.folder / "recordings").write_bytes(b"no folder")
        await viewer.send(type="record", on=True)
        await viewer.until(lambda: viewer.of("error"))
        assert "the disk does not take it" in viewer.of("error")[-1]["message"]
        (live.avatars.folder / "recordings").unlink()
        monkeypatch.setattr(recordings_module, "_LEAST_FREE", 1 << 62)
        await viewer.send(type="record", on=True)
        await viewer.until(lambda: any("nearly full" in m["message"] for m in viewer.of("error")))
        await viewer.until(lambda: viewer.of("recording")[-1]["stage"] == "off")
        count = len(viewer.frames)
        await viewer.until(lambda: len(viewer.frames) > count + 5)
        await viewer.close()


async def test_in_a_call_nobody_records_alone(start_server: StartServer) -> None:
    async with start_server(avatars=("anna", "zoe")) as live:
        guests = [
            Guest(live.http, FakeMicrophone(np.zeros(1, np.int16)), name=name, avatar=avatar)
            for name, avatar in (("Ada", "anna"), ("Ben", "zoe"))
        ]
        for guest in guests:
            await guest.join()
        ada, ben = guests
        await ada.send(type="record", on=True)
        await ben.until(lambda: ben.of("recording"))
        assert ben.of("recording")[-1]["waiting_for"] == [ben.id]
        assert not films(live)
        await asyncio.gather(*(guest.close() for guest in guests))


async def test_recordings_are_the_owners(start_server: StartServer) -> None:
    none = f"/api/recordings/{32 * 'a'}"
    async with start_server(token=TOKEN) as live:
        for method, path in (
            ("GET", "/api/recordings"),
            ("GET", f"{none}/01.mp4"),
            ("DELETE", none),
        ):
            assert (await live.http.request(method, path)).status_code == 401
        owner = {"authorization": f"Bearer {TOKEN}"}
        for path in ("/01.mp4", "/recording.json", "/..%2f..%2frooms.key"):
            assert (await live.http.get(none + path, headers=owner)).status_code == 404
        assert (await live.http.delete(none, headers=owner)).status_code == 404


async def test_what_a_killed_server_left_is_finished_by_the_next(
    start_server: StartServer, tmp_path: Path
) -> None:
    left = await cut_off(tmp_path / "elsewhere" / "data")
    shutil.copytree(left.folder.parent, tmp_path / "recordings")
    async with start_server() as live:
        async with asyncio.timeout(20):
            while True:
                (take,) = (await live.http.get("/api/recordings")).json()["recordings"]
                if take["problem"]:
                    break
                await asyncio.sleep(0.05)
        assert take["id"] == left.id and take["seconds"] >= 2.9
        assert take["files"][0]["signed"] is provenance.available()
        url = f"/api/recordings/{take['id']}"
        answer = await live.http.get(f"{url}/{take['files'][0]['file']}")
        with av.open(io.BytesIO(answer.content)) as film:
            assert len(list(film.decode(video=0))) >= 70
        assert (await live.http.delete(url)).status_code == 204
