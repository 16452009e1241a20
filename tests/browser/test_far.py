"""Pages far from the server: Chromium behind a firewall that lets no UDP through, and TURN."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, Playwright

from tests.browser.helpers.driving import FLAGS, until, wait_for
from tests.browser.helpers.serving import FakeServing
from tests.browser.test_client import START
from tests.fakes.networks.far import PORT, RB, SECRET, TOKEN, TURN, Far, behind_nat, far_networks
from tests.fakes.networks.namespaces import NO_UDP

pytestmark = pytest.mark.browser
SERVERS = "turn:127.0.0.1:9,stun:127.0.0.1:9"
# Keep what every connection is made with.
SPY = """
window.configurations = [];
const Real = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Real {
  constructor(configuration) {
    super(configuration);
    window.configurations.push(configuration);
  }
};
"""


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    with far_networks(tmp_path) as made:
        yield made


def opens(page: Page, url: str) -> bool:
    try:
        page.goto(url)
    except Error as error:
        assert "ERR_CONNECTION_REFUSED" in str(error), error
        return False
    return True


def test_a_page_without_udp_goes_live_by_turn(
    far: Far, playwright: Playwright, chromium: str, voice: Path
) -> None:
    behind_nat(far, symmetric=True, both=False)
    far.net.nft("ra", NO_UDP)
    far.turn()
    servers = f"ice.servers=turn:{TURN}?transport=tcp"
    far.serve("rb", f"server.host={RB}", "ice.relay=false", servers, f"ice.secret={SECRET}")
    url = f"http://{RB}:{PORT}/"
    inside = far.folder / "chromium-inside"
    inside.write_text(f'#!/bin/sh\nexec {shlex.join(far.net.command("a", chromium))} "$@"\n')
    inside.chmod(0o755)
    flags = [
        *FLAGS,
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={voice}",
        f"--unsafely-treat-insecure-origin-as-secure={url.rstrip('/')}",
    ]
    browser = playwright.chromium.launch(executable_path=str(inside), args=flags)
    try:
        page = browser.new_page()
        signed_in = f"{url}#token={TOKEN}"  # without one the page goes to where it is asked for
        wait_for(
            lambda: opens(page, signed_in), "a server that listens once its worker is there", 40
        )
        assert page.evaluate(START, {"token": TOKEN}) is None
        until(page, "call.stats.firstFrameMs > 0", 20)
        until(page, "call.stats.server !== null", 20)  # the control channel came through as well
        page.evaluate("call.stop()")
    finally:
        browser.close()


@pytest.fixture
def told_server(tmp_path: Path) -> Iterator[FakeServing]:
    """A server that tells of servers nobody can reach, which harms no call that needs none."""
    settings = {
        "VISAVIS_ICE_SERVERS": SERVERS,
        "VISAVIS_ICE_SECRET": "a-secret",
        "VISAVIS_ICE_RELAY": "false",
    }
    serving = FakeServing(tmp_path / "data", tmp_path / "log", **settings)
    serving.start()
    yield serving
    serving.stop()


def test_every_page_takes_the_servers_that_it_is_told(
    told_server: FakeServing, open_page: Callable[..., Page]
) -> None:
    def spied(url: str) -> Page:
        page = open_page("about:blank")
        page.add_init_script(SPY)
        page.goto(url)
        return page

    call = spied(told_server.url + "#new")
    assert call.evaluate(START, {"canvas": {"canvas": "512x512", "stage": "far"}}) is None
    stage = spied(f"{told_server.url}stage/far")
    room = spied(f"{told_server.url}call/far")
    until(room, "!document.getElementById('join').disabled")
    room.fill("#who", "Ada")
    room.click("#join")
    for page in (call, stage, room):
        until(page, "window.configurations.length > 0")
        (stun, turn) = page.evaluate("configurations.at(-1).iceServers")
        assert stun == {"urls": ["stun:127.0.0.1:9"]}
        assert turn["urls"] == ["turn:127.0.0.1:9"] and turn["credential"]
        assert turn["username"].endswith(":visavis")
