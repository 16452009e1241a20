"""Several people in one call: a Chromium each, as each has a microphone of their own."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Playwright

from tests.browser.helpers.driving import launch, until
from tests.browser.helpers.recording import ACROSS, DOWN
from tests.browser.helpers.speech import RATE, write_wav

LAGS_S = np.arange(
    -0.6, 0.6, 0.04
)  # between what is seen and what is heard, rVFC against Web Audio

_GRAB = """(id) => {
  const video = document.querySelector(`.tile[data-id="${id}"] video`);
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.convertToBlob({ type: "image/png" }).then((blob) => blob.arrayBuffer())
    .then((data) => btoa(
      Array.from(new Uint8Array(data), (byte) => String.fromCharCode(byte)).join("")));
}"""

# Every tile's mouth by its frames, and every tile's sound, on one clock.
_WATCH = """([boxes, across, down, seconds]) => {
  const sound = new AudioContext();
  const end = performance.now() + seconds * 1000;
  const watched = Object.entries(boxes).map(([id, box]) => {
    const video = document.querySelector(`.tile[data-id="${id}"] video`);
    const canvas = new OffscreenCanvas(across, down);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const analyser = new AnalyserNode(sound, { fftSize: 2048 });
    const tracks = video.srcObject.getAudioTracks();
    if (tracks.length) sound.createMediaStreamSource(new MediaStream(tracks)).connect(analyser);
    const heard = new Float32Array(analyser.fftSize);
    const rows = [];
    return new Promise((resolve) => {
      const look = (now, frame) => {
        context.drawImage(video, ...box, 0, 0, across, down);
        const { data } = context.getImageData(0, 0, across, down);
        const luma = [];
        for (let i = 0; i < data.length; i += 4)
          luma.push(Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]));
        analyser.getFloatTimeDomainData(heard);
        const level = Math.sqrt(heard.reduce((sum, x) => sum + x * x, 0) / heard.length);
        rows.push([performance.timeOrigin + now, level, ...luma]);
        if (performance.now() < end) video.requestVideoFrameCallback(look);
        else resolve([id, rows]);
      };
      video.requestVideoFrameCallback(look);
      setTimeout(() => resolve([id, rows]), seconds * 1000 + 1000);
    });
  });
  return Promise.all(watched).then((all) => sound.close().then(() => Object.fromEntries(all)));
}"""


@dataclass
class Caller:
    """One person with their browser.

    Attributes:
        name: what they are called.
        page: where they are.
        id: of the participant, once joined.
    """

    name: str
    page: Page
    id: str = ""
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        """Go to a call's lobby and wait until it is ready."""
        self.page.goto(url)
        until(self.page, "!document.getElementById('join').disabled", 20)

    def join(self, *, face: int | None = None, timeout_s: float = 40.0) -> None:
        """Fill in the lobby, join, and wait for the room."""
        page = self.page
        page.fill("#who", self.name)
        faces = "document.querySelectorAll('#faces button').length > 1"
        if face is not None:
            until(page, faces, 20)
            page.locator("#faces li").nth(face).locator("button").click()
        page.click("#join")
        ready = "document.querySelector('#view-room:not([hidden])') !== null"
        try:
            until(page, f"{ready} && document.querySelector('#people .person') !== null", timeout_s)
        except AssertionError as error:
            raise AssertionError(
                f"not in: {page.locator('#lobby-problem').inner_text()}"
            ) from error
        own = page.evaluate(
            "[...document.querySelectorAll('.tile')].find((t) => t.querySelector('video').muted)"
            "?.dataset.id ?? ''"
        )
        self.id = own

    def sees(self, *others: Caller, timeout_s: float = 30.0) -> None:
        """Wait until one's own picture and these people's are on screen."""
        for other in others:
            until(
                self.page, f"document.querySelector('.tile.seen[data-id=\"{other.id}\"]') !== null",
                timeout_s,
            )  # fmt: skip

    def tile(self, other: Caller) -> Any:
        """Return the locator of somebody's tile."""
        return self.page.locator(f'.tile[data-id="{other.id}"]')

    def captions(self) -> list[str]:
        """Return what was said to a screen reader."""
        return self.page.locator("#captions p").all_inner_texts()


@dataclass(frozen=True)
class Watched:
    """One tile over some seconds.

    Attributes:
        seconds: ``(n,)`` UNIX time of each frame.
        level: ``(n,)`` root mean square of that tile's sound just then.
        mouth: ``(n, DOWN, ACROSS)`` luma of the mouth's box.
    """

    seconds: NDArray[np.float64]
    level: NDArray[np.float64]
    mouth: NDArray[np.float64]

    @property
    def fps(self) -> float:
        """Frames per second, over the whole."""
        return float((len(self.seconds) - 1) / (self.seconds[-1] - self.seconds[0]))

    def openness(self) -> NDArray[np.float64]:
        """Return how far the mouth is from its usual look, frame by frame."""
        usual = np.percentile(self.mouth, 50, axis=0)
        return np.abs(self.mouth - usual).mean(axis=(1, 2))


def grab(page: Page, who: str) -> NDArray[np.uint8]:
    """Return the picture in somebody's tile, (H, W, 3) RGB."""
    import base64
    import io

    from PIL import Image

    data = base64.b64decode(page.evaluate(_GRAB, who))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def start_watching(
    caller: Caller, boxes: dict[str, tuple[float, float, float, float]], seconds: float
) -> None:
    """Begin to watch the mouths of tiles, by participant."""
    caller.page.evaluate(
        f"(a) => {{ window.watched = undefined;"
        f" ({_WATCH})(a).then((r) => (window.watched = r)); }}",
        [boxes, ACROSS, DOWN, seconds],
    )


def watched(caller: Caller, timeout_s: float) -> dict[str, Watched]:
    """Return what :func:`start_watching` saw."""
    until(caller.page, "window.watched !== undefined", timeout_s)
    result = caller.page.evaluate("window.watched")
    seen = {}
    for who, rows in result.items():
        table = np.array(rows, float)
        seen[who] = Watched(table[:, 0] / 1000, table[:, 1], table[:, 2:].reshape(-1, DOWN, ACROSS))
    return seen


def follows(signal: Watched, loudness: Watched) -> float:
    """Return how well one tile's mouth follows one tile's sound, at the best lag: -1 to 1."""
    grid = np.arange(
        max(signal.seconds[0], loudness.seconds[0]) + 0.7,
        min(signal.seconds[-1], loudness.seconds[-1]) - 0.7,
        0.04,
    )
    moves = np.interp(grid, signal.seconds, signal.openness())
    best = -1.0
    for lag in LAGS_S:
        heard = np.interp(grid + lag, loudness.seconds, _smooth(loudness.level))
        best = max(best, float(np.corrcoef(moves, heard)[0, 1]))
    return best


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(values, np.ones(5) / 5, mode="same")


def write_turns(folder: Path, count: int) -> list[Path]:
    """Write one microphone each: all say the same words, one after another, then pause."""
    whole = folder / "all.wav"
    write_wav(whole)
    with wave.open(str(whole)) as file:
        voice = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    voice = voice[: int(np.flatnonzero(np.abs(voice) > 300)[-1]) + RATE // 10][: 3 * RATE]
    turn = len(voice) + RATE // 4
    paths = []
    for n in range(count):
        samples = np.zeros(turn * count, np.int16)
        samples[n * turn : n * turn + len(voice)] = voice
        path = folder / f"turn-{n}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(samples.tobytes())
        paths.append(path)
    return paths


@contextmanager
def callers(
    playwright: Playwright, chromium: str, microphones: list[Path], *names: str
) -> Iterator[list[Caller]]:
    """Open a browser for each of some people."""
    browsers: list[Browser] = []
    people = []
    try:
        for name, microphone in zip(names, microphones, strict=False):
            browser = launch(playwright, chromium, microphone, "allow")
            browsers.append(browser)
            people.append(open_caller(browser, name))
        yield people
    finally:
        for browser in browsers:
            browser.close()


def open_caller(browser: Browser, name: str, **options: Any) -> Caller:
    """Open a page for somebody; its errors are collected."""
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 720}, **options})
    context.grant_permissions(["microphone"])
    page = context.new_page()
    caller = Caller(name, page)
    page.on("console", lambda m: m.type == "error" and caller.complaints.append(m.text))
    page.on("pageerror", lambda error: caller.complaints.append(str(error)))
    return caller
