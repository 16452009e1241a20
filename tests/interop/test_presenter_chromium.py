"""A browser in a meeting: Chromium finds the virtual microphone and hears the avatar in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Playwright, sync_playwright

from tests.browser.helpers.driving import FLAGS, find_chromium, until
from tests.interop.sound_server import (
    Clicks,
    SoundServer,
    missing,
    sound_server,
    wait_for,
)
from tests.interop.test_presenter_sound import BURST, OURS

if name := missing("pulseaudio", "pactl", "pacat"):
    pytest.skip(f"{name} is not installed: apt-get install pulseaudio", allow_module_level=True)

LISTEN = """async () => {
  await navigator.mediaDevices.getUserMedia({ audio: true });
  const devices = await navigator.mediaDevices.enumerateDevices();
  const ours = (d) => d.kind === "audioinput" && d.label.includes("VisavisMicrophone");
  const found = devices.find(ours);
  window.labels = devices.map((d) => d.label);
  if (!found) return false;
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { deviceId: { exact: found.deviceId }, ...plain },
  });
  const context = new AudioContext();
  const meter = context.createAnalyser();
  meter.fftSize = 2048;
  context.createMediaStreamSource(stream).connect(meter);
  const samples = new Float32Array(meter.fftSize);
  window.loudest = 0;
  window.quietest = 1;
  setInterval(() => {
    meter.getFloatTimeDomainData(samples);
    const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    window.loudest = Math.max(window.loudest, peak);
    window.quietest = Math.min(window.quietest, peak);
  }, 20);
  return true;
}"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    with sound_server(tmp_path) as running:
        yield running


@pytest.fixture
def page_address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "index.html").write_text("<!doctype html><title>A meeting</title>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}/"
    http.shutdown()
    http.server_close()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.mark.browser
def test_chromium_hears_the_avatar(
    server: SoundServer, playwright: Playwright, page_address: str, tmp_path: Path
) -> None:
    chromium = find_chromium(playwright)
    if chromium is None:
        pytest.skip("no Chromium found: install chromium or run playwright install chromium")
    bundle = tmp_path / "anna.vav"
    bundle.write_bytes(b"")
    process = server.run(
        "tests.fakes.processes.present_process", "--bundle", str(bundle), "--seconds", "25"
    )
    wait_for(lambda: OURS in server.sources(), "the virtual microphone")
    clicks = Clicks(server, BURST)
    flags = [flag for flag in FLAGS if "fake-device" not in flag]
    browser = playwright.chromium.launch(
        executable_path=chromium,
        args=[*flags, "--use-fake-ui-for-media-stream"],
        env={k: str(v) for k, v in server.environment.items()},
    )
    try:
        page = browser.new_page()
        page.goto(page_address)
        assert page.evaluate(LISTEN), page.evaluate("window.labels")
        until(page, "window.loudest > 0.3", 15)
        assert page.evaluate("window.quietest") < 0.01, "between the bursts there is silence"
    finally:
        browser.close()
        clicks.stop()
    process.terminate()
    process.communicate(timeout=20)
