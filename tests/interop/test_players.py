"""Players in Chromium, on a page of another origin: two from npm, and plain WebRTC."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urljoin

import pytest
from playwright.async_api import Page, async_playwright

from tests.browser.helpers.driving import FLAGS, NAMES
from tests.integration.clients.test_renegotiation import seeing
from tests.integration.conftest import StartServer

pytestmark = pytest.mark.browser


@asynccontextmanager
async def page_of(address: str) -> AsyncIterator[Page]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    async with async_playwright() as playwright:
        if path is None and not playwright.chromium.executable_path:
            pytest.skip("Chromium is not installed")
        flags = [*FLAGS, "--use-fake-ui-for-media-stream"]
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        try:
            page = await browser.new_page()
            await page.goto(address)
            yield page
        finally:
            await browser.close()


async def test_whip_whep_package(start_server: StartServer, player_page: str) -> None:
    """The package whip-whep, from another origin: its WHIP publishes, its WHEP watches."""
    async with start_server(allowed_origins=(player_page,)) as live, page_of(player_page) as page:
        made = await page.evaluate("(a) => whipWhep.publish(a, '')", f"{live.url}/api/whip")
        assert made["state"] == "connected", made
        session = live.services.sessions.describe()[0]
        assert made["resource"] == f"{live.url}/api/whip/{session['pc_id']}"
        address = f"{live.url}/api/whep/{session['view_id']}"
        seen = await page.evaluate("(a) => whipWhep.watch(a)", address)
        assert seen["seen"] >= 30
        assert urljoin(address, seen["resource"]).startswith(f"{live.url}/api/whep/")
        assert not live.services.sessions.viewers, "it hung up by DELETE"
        await page.evaluate("whipWhep.stop()")
        assert live.services.admission.held == 0


async def test_eyevinn_player(start_server: StartServer, player_page: str) -> None:
    """It offers the picture first."""
    async with start_server(allowed_origins=(player_page,)) as live, page_of(player_page) as page:
        viewer = await seeing(live)
        seen = await page.evaluate(
            "(a) => eyevinn.watch(a)", f"{live.url}/api/whep/{viewer.view_id}"
        )
        assert seen["seen"] >= 30, seen
        await viewer.close()


ORDERS = (  # and whether data comes first, whatever the order of the calls
    (("audio", "video", "application"), False),
    (("video", "audio", "application"), False),
    (("application", "audio", "video"), True),
    (("application", "video", "audio"), True),
)


async def test_every_order_that_chromium_offers(
    start_server: StartServer, player_page: str
) -> None:
    async with start_server(allowed_origins=(player_page,)) as live, page_of(player_page) as page:
        for order, always in ORDERS:
            wanted = {"order": list(order), "always": always}
            seen = await page.evaluate("(a) => plain(...a)", [f"{live.url}/", wanted])
            assert seen.get("state") == "connected" and seen["seen"] >= 5, (wanted, seen)
            assert seen["ponged"], "the data channel works"
            assert seen["kinds"] == list(order)
        async with asyncio.timeout(15):
            while live.services.admission.held:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.mark.timed
async def test_chromium_restarts_ice_and_adds_sections_in_place(
    start_server: StartServer, player_page: str
) -> None:
    async with start_server(allowed_origins=(player_page,)) as live, page_of(player_page) as page:
        seen = await page.evaluate("(a) => renegotiate(a)", f"{live.url}/")
        assert len(set(seen["ids"])) == 1 and seen["moved"], seen
        assert (seen["state"], seen["channel"]) == ("connected", "open")
        assert seen["frames"] > 60 and seen["longest"] < 0.2, seen


@pytest.mark.parametrize("bundle", [True, False])
async def test_whep_by_plain_webrtc(
    start_server: StartServer, player_page: str, bundle: bool
) -> None:
    async with start_server(allowed_origins=(player_page,)) as live, page_of(player_page) as page:
        viewer = await seeing(live)
        for kinds in (["audio", "video"], ["video", "audio"], ["video"]):
            wanted = {"order": kinds, "view": viewer.view_id, "bundle": bundle}
            seen = await page.evaluate("(a) => plain(...a)", [f"{live.url}/", wanted])
            assert seen.get("state") == "connected" and seen["seen"] >= 5, (wanted, seen)
            assert seen["bundled"] is bundle
        await viewer.close()
