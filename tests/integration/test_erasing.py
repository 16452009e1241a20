"""An erased face is nobody's within a second, by whatever process and at whatever moment."""

from __future__ import annotations

import asyncio

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.integration.conftest import Live, StartServer


async def live_viewer(server: Live, avatar: str) -> Viewer:
    viewer = Viewer(server.http, FakeMicrophone(beeps(30)), avatar=avatar)
    await viewer.connect()
    await viewer.until(lambda: len(viewer.frames) > 5)
    return viewer


def causes(viewer: Viewer) -> list[str]:
    return [message["cause"] for message in viewer.of("ended")]


async def test_what_another_process_erases_ends_here(start_server: StartServer) -> None:
    async with start_server(avatars=("anna", "berta")) as server:
        anna, berta = await live_viewer(server, "anna"), await live_viewer(server, "berta")
        server.avatars.erase("anna")  # as ``visavis avatars erase`` beside a running server does
        await anna.until(lambda: anna.of("ended"), 3.0)
        assert causes(anna) == ["deleted"] and causes(berta) == []
        await anna.close()
        await berta.close()


async def test_a_switch_in_flight_does_not_outlive_the_erasure(start_server: StartServer) -> None:
    """The session shows anna, but is about to show berta, who is erased."""
    async with start_server(avatars=("anna", "berta")) as server:
        viewer = await live_viewer(server, "anna")
        (session,) = server.services.sessions
        session._appearance.switch({"id": "berta"})
        assert session.shows() == {"anna", "berta"}
        response = await server.http.delete("/api/avatars/berta")
        assert response.status_code == 204
        await viewer.until(lambda: viewer.of("ended"), 3.0)
        assert causes(viewer) == ["deleted"]
        await viewer.close()


async def test_an_offer_during_the_erasure_cannot_begin(start_server: StartServer) -> None:
    async with start_server(avatars=("anna",)) as server:
        first = await live_viewer(server, "anna")
        late = Viewer(server.http, FakeMicrophone(beeps(5)), avatar="anna")
        erased, answer = await asyncio.gather(server.http.delete("/api/avatars/anna"), late.offer())
        assert erased.status_code == 204
        await first.until(lambda: first.of("ended"), 3.0)
        async with asyncio.timeout(3):  # whether it came before or after: nobody stays
            while len(server.services.sessions):  # noqa: ASYNC110  nothing else tells
                await asyncio.sleep(0.05)
        assert answer.status_code in (200, 404)
        await first.close()
        await late.close()
