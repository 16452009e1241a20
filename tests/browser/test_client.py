"""``client.js`` as another page embeds it: errors as sentences, the element, no outside server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.helpers.driving import until, wait_for
from tests.browser.helpers.serving import Serving
from visavis.models.coefficients import COEFFICIENTS, COUNT
from visavis.streamer.session.channels.motion_channel import MotionFrame, decode, encode

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]

START = """async (options) => {
  const { AvatarCall } = await import("/client.js");
  const video = document.body.appendChild(document.createElement("video"));
  const told = (window.told = { states: [], errors: [] });
  const call = (window.call = new AvatarCall({
    ...options, video,
    onstate: (state, detail) => told.states.push({ state, ...detail }),
    onerror: ({ code, message }) => told.errors.push({ code, message }),
  }));
  try { await call.start(); return null } catch ({ code, message, retryAfterS }) {
    return { code, message, retryAfterS };
  }
}"""


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (
            404,
            '{"code": "unknown-avatar", "error": "There is no such avatar."}',
            "unknown-avatar",
            "There is no such avatar.",
        ),
        (404, '{"code": "no-avatar", "error": "Make one first."}', "no-avatar", "Make one first."),
        (404, "<html>a proxy's page</html>", "unknown-avatar", "does not exist any more"),
        (403, '{"code": "origin", "error": "Not from there: token."}', "origin", "Not from there"),
        (400, '["no object"]', "server", "error 400"),
        (500, '{"code": "internal", "error": "It broke."}', "server", "It broke."),
        (422, '{"code": "avatar-damaged", "error": "It is broken."}', "refused", "It is broken."),
        (401, '{"error": "This server asks for an access token."}', "token", "access token"),
        (500, "<html>a proxy's page</html>", "server", "error 500"),
        (0, "", "unreachable", "cannot be reached"),
    ],
)
def test_every_answer_becomes_a_sentence(
    server: Serving, open_page: OpenPage, status: int, body: str, code: str, words: str
) -> None:
    page = open_page(server.url + "#new")
    page.route(
        "**/api/offer",
        lambda route: route.fulfill(status=status, body=body) if status else route.abort(),
    )
    error = page.evaluate(START, {})
    assert error["code"] == code
    assert words in error["message"]
    assert page.evaluate("[call.state, call.active, told.errors.length]") == ["failed", False, 1]


def test_full_server_counts_down_and_stop_ends_the_wait(
    server: Serving, open_page: OpenPage
) -> None:
    page = open_page(server.url + "#new")
    full = '{"code": "restarting", "error": "All places are taken."}'
    headers = {"Retry-After": "7"}
    page.route("**/api/offer", lambda route: route.fulfill(status=503, body=full, headers=headers))
    page.evaluate(f"(argument) => {{ ({START})(argument) }}", {})
    counted = "told.states.filter(({ retryInS }) => retryInS).map(({ retryInS }) => retryInS)"
    wait_for(lambda: page.evaluate(f"window.told && {counted}.length >= 2"), "it counts down")
    assert page.evaluate(counted)[:2] == [7, 6]
    page.evaluate("call.stop()")
    assert page.evaluate("[call.state, call.active]") == ["idle", False]
    assert page.evaluate("told.errors") == []


def test_a_browser_without_any_signal_goes_live(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage
) -> None:
    """Safari has ``AbortSignal.any`` since 17.4 only."""
    page = open_page(server.url + "#new")
    page.evaluate("delete AbortSignal.any")
    assert page.evaluate("AbortSignal.any === undefined")
    assert page.evaluate(START, {"avatarId": avatars[0]}) is None
    until(page, "call.stats.firstFrameMs > 0")
    page.evaluate("call.stop()")
    wait_for(lambda: not server.sessions(), "the server is told of the end")


def test_no_ice_server_and_no_request_elsewhere(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage
) -> None:
    page = open_page(server.url + "#new")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        """() => {
          window.configurations = [];
          const Real = window.RTCPeerConnection;
          window.RTCPeerConnection = class extends Real {
            constructor(configuration) {
              super(configuration);
              window.configurations.push(configuration);
            }
          };
        }"""
    )
    assert page.evaluate(START, {"avatarId": avatars[0]}) is None
    assert page.evaluate("call.state") == "live"
    until(page, "call.stats.firstFrameMs > 0")
    until(page, "call.stats.soundHeldMs > 0 && call.stats.server?.sound_lead_ms >= 50")
    assert page.evaluate("configurations.map(({ iceServers }) => iceServers.length)") == [0]
    assert asked and all(url.startswith(server.url) for url in asked)
    page.evaluate("call.stop()")
    wait_for(lambda: not server.sessions(), "the server is told of the end")


def test_own_stream_is_left_running(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage
) -> None:
    page = open_page(server.url + "#new")
    page.evaluate(
        """async (avatarId) => {
          const { AvatarCall } = await import("/client.js");
          const video = document.body.appendChild(document.createElement("video"));
          window.own = await navigator.mediaDevices.getUserMedia({ audio: true });
          window.call = new AvatarCall({ avatarId, video });
          await window.call.start(window.own);
          window.call.stop();
        }""",
        avatars[0],
    )
    assert page.evaluate("own.getAudioTracks()[0].readyState") == "live"


def test_custom_element(server: Serving, avatars: tuple[str, str], open_page: OpenPage) -> None:
    page = open_page(server.url + "#new")
    page.evaluate(
        """async (avatar) => {
          await import("/client.js");
          window.states = [];
          const element = document.createElement("visavis-avatar");
          element.setAttribute("avatar", avatar);
          const keep = ({ detail }) => window.states.push(detail.state);
          element.addEventListener("visavis-state", keep);
          document.body.prepend(element);
        }""",
        avatars[0],
    )
    element = page.locator("visavis-avatar")
    expect(element.get_by_text("AI avatar", exact=True)).to_be_visible()
    element.get_by_role("button", name="Go live").click()
    wait_for(lambda: "live" in page.evaluate("states"), "the element goes live", 30)
    until(page, "document.querySelector('visavis-avatar').call.stats.firstFrameMs > 0")
    element.get_by_role("button", name="Stop").click()
    assert page.evaluate("states.at(-1)") == "idle"
    assert page.complaints == []


class Elsewhere(BaseHTTPRequestHandler):
    """Another site, whose one page embeds the avatar."""

    html = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 204)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        if self.path == "/":
            self.wfile.write(self.html)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[HTTPServer]:
    site = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    yield site
    site.shutdown()
    site.server_close()
    thread.join()


def test_embedded_in_a_page_of_another_origin(
    elsewhere: HTTPServer,
    second_server: Callable[..., Serving],
    avatars: tuple[str, str],
    open_page: OpenPage,
) -> None:
    origin = f"http://localhost:{elsewhere.server_port}"
    serving = second_server(VISAVIS_SERVER_ALLOWED_ORIGINS=origin)
    Elsewhere.html = f"""<!doctype html><title>Another site</title>
      <script type="module" src="{serving.url}client.js"></script>
      <visavis-avatar avatar="{avatars[0]}" src="{serving.url}"></visavis-avatar>""".encode()
    page = open_page(origin)
    page.locator("visavis-avatar").get_by_role("button", name="Go live").click()
    until(page, "document.querySelector('visavis-avatar').call.stats.firstFrameMs > 0", 60)
    assert page.complaints == []


def test_motion_messages_are_read_as_the_server_writes_them(
    server: Serving, open_page: OpenPage
) -> None:
    values = np.linspace(-1.0, 1.0, COUNT).astype(np.float32)
    data = encode(MotionFrame(250, 25.0, values, dropped=2))
    page = open_page(server.url + "#new")
    got = page.evaluate(
        """async (bytes) => {
          const { decodeMotion, MOTION_NAMES } = await import("/client.js");
          let refused = "";
          const short = new Uint8Array(bytes.slice(0, 30)).buffer;
          try { decodeMotion(short) } catch ({ message }) { refused = message }
          const { values, ...rest } = decodeMotion(new Uint8Array(bytes).buffer);
          return { ...rest, values: [...values], names: [...MOTION_NAMES], refused };
        }""",
        list(data),
    )
    assert (got["frame"], got["fps"], got["mediaTime"], got["dropped"]) == (250, 25, 10, 2)
    assert tuple(got["names"]) == COEFFICIENTS
    np.testing.assert_allclose(got["values"], decode(data).values)
    assert "motion message" in got["refused"]
