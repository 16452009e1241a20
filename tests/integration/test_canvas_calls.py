"""A call on a canvas: asked for in the offer, described and named for who watches."""

from __future__ import annotations

from tests.fakes.fake_microphone import Viewer
from tests.integration.clients.test_watch import seeing
from tests.integration.conftest import StartServer


async def test_a_call_on_a_canvas_and_its_stage(start_server: StartServer) -> None:
    wish = {"canvas": "512x512", "background": "transparent", "stage": "studio-1"}
    async with start_server() as live:
        assert (await live.http.get("/api/views/studio-1")).status_code == 404
        first = await seeing(live, **wish)
        view = (await live.http.get("/api/views/studio-1")).json()
        size = {"width": 512, "height": 512}
        assert view == {"live": True, "transparent": True, "iceServers": [], **size}
        assert (await live.http.get(f"/api/views/{first.view_id}")).json() == view
        watcher = await seeing(live, watch="studio-1")
        assert watcher.frames[-1].size == (1024, 512), "colour and opacity side by side"
        second = await seeing(live, **wish)
        await first.close()
        assert (await live.http.get("/api/views/studio-1")).json()["live"], "the newest has it"
        await second.close()
        await watcher.close()
        assert (await live.http.get("/api/views/studio-1")).status_code == 404
        page = await live.http.get("/stage/anything")
        assert page.status_code == 200 and "AI avatar" in page.text


WRONG: tuple[tuple[dict[str, object], str], ...] = (
    ({"canvas": "640x480"}, "canvas"),
    ({"canvas": "512x512", "framing": "feet"}, "framing"),
    ({"canvas": "512x512", "background": "/etc/hostname"}, "background"),
    ({"canvas": "512x512", "background": "~/me.png"}, "background"),
    ({"stage": "no spaces, please"}, "stage"),
    ({"canvas": 7}, "canvas"),
)


async def test_wishes_that_cannot_be_granted(start_server: StartServer) -> None:
    async with start_server() as live:
        for wish, says in WRONG:
            viewer = Viewer(live.http, None, request=wish)
            response = await viewer.offer()
            assert response.status_code == 400 and says in response.json()["error"], wish
            await viewer.close()


async def test_a_stage_is_a_page_for_everybody_and_a_picture_for_who_has_the_token(
    start_server: StartServer,
) -> None:
    token = "a-long-token-for-this-test"
    async with start_server(token=token) as live:
        assert (await live.http.get("/stage/studio-1")).status_code == 200
        assert (await live.http.get("/api/views/studio-1")).status_code == 401
        known = {"authorization": f"Bearer {token}"}
        answer = await live.http.get("/api/views/studio-1", headers=known)
        assert answer.status_code == 404
