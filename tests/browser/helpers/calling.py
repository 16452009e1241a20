"""Several people in one call: a Chromium each, as each has a microphone of their own."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Playwright

from tests.browser.helpers.driving import launch, until, wait_for
from tests.browser.helpers.speech import RATE, write_wav
from visavis.models.appearance.tracker.provider import open_tracker

_OWN_TILE_S = 5.0  # a busy page lays it out a moment after it names who is there
# Between what is seen and what is heard, frame callbacks against Web Audio: where picture and sound
# that belong together are further apart than this, they are not together.
LAGS_S = np.arange(-0.3, 0.31, 0.02)
INNER_LIPS, FOREHEAD_CHIN = (13, 14), (10, 152)  # in MediaPipe's numbering

_GRAB = """(id) => {
  const video = document.querySelector(`.tile[data-id="${id}"] video`);
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.convertToBlob({ type: "image/png" }).then((blob) => blob.arrayBuffer())
    .then((data) => btoa(
      Array.from(new Uint8Array(data), (byte) => String.fromCharCode(byte)).join("")));
}"""

# A part of every tile's picture by its frames, and every tile's sound, on one clock. The sound is
# looked at more often than pictures come: a tab that is short of processor shows them late.
_WATCH = """([boxes, side, seconds]) => {
  const sound = new AudioContext();
  const end = performance.now() + seconds * 1000;
  const watched = Object.entries(boxes).map(([id, box]) => {
    const video = document.querySelector(`.tile[data-id="${id}"] video`);
    const canvas = new OffscreenCanvas(side, side);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const analyser = new AnalyserNode(sound, { fftSize: 2048 });
    const tracks = video.srcObject.getAudioTracks();
    if (tracks.length) sound.createMediaStreamSource(new MediaStream(tracks)).connect(analyser);
    const heard = new Float32Array(analyser.fftSize);
    const [shown, pictures, levels] = [[], [], []];
    const listen = setInterval(() => {
      analyser.getFloatTimeDomainData(heard);
      const level = Math.sqrt(heard.reduce((sum, x) => sum + x * x, 0) / heard.length);
      levels.push([performance.timeOrigin + performance.now(), level]);
    }, 20);
    const luma = () => {
      context.drawImage(video, ...box, 0, 0, side, side);
      const { data } = context.getImageData(0, 0, side, side);
      let text = "";
      for (let i = 0; i < data.length; i += 4)
        text += String.fromCharCode((77 * data[i] + 150 * data[i + 1] + 29 * data[i + 2]) >> 8);
      return btoa(text);
    };
    return new Promise((resolve) => {
      const done = () => (clearInterval(listen), resolve([id, { shown, pictures, levels }]));
      const look = (now) => {
        shown.push(performance.timeOrigin + now);
        pictures.push(luma());
        if (performance.now() < end) video.requestVideoFrameCallback(look);
      };
      video.requestVideoFrameCallback(look);
      setTimeout(done, seconds * 1000 + 500);
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
        own = (
            "[...document.querySelectorAll('.tile')].find((t) => t.querySelector('video').muted)"
            "?.dataset.id ?? ''"
        )
        with contextlib.suppress(AssertionError):  # who only listens has no tile
            until(page, own, _OWN_TILE_S)
        self.id = page.evaluate(own)

    def sees(self, *others: Caller | StandIn, timeout_s: float = 30.0) -> None:
        """Wait until one's own picture and these people's are on screen."""
        for other in others:
            until(
                self.page, f"document.querySelector('.tile.seen[data-id=\"{other.id}\"]') !== null",
                timeout_s,
            )  # fmt: skip

    def tile(self, other: Caller | StandIn) -> Any:
        """Return the locator of somebody's tile."""
        return self.page.locator(f'.tile[data-id="{other.id}"]')

    def captions(self) -> list[str]:
        """Return what was said to a screen reader."""
        return self.page.locator("#captions p").all_inner_texts()


class StandIn:
    """Somebody without a browser: speaks, takes everybody's packets, and decodes nothing.

    In a process of its own, as a third Chromium that decodes and paints leaves two cores no room
    for the server that all this is about.

    Args:
        url: the server.
        room: the call's name in its address.
        name: what they are called.
    """

    def __init__(self, url: str, room: str, name: str) -> None:
        command = [sys.executable, "-P", "-m", "visavis.benchmarks.room.guests"]
        self.name, self.id = name, ""
        self._process = subprocess.Popen(
            [*command, url, room, "2", "256"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *about: object) -> None:
        try:
            self._do("quit")
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.communicate()

    def join(self, avatar: str, voice: Path) -> None:
        """Join with a face and a voice, and wait for everybody's pictures."""
        self.id = self._do("come", name=self.name, avatar=avatar, turn=0, voice=str(voice))["id"]

    def _do(self, what: str, **details: object) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        assert answer is not None and "error" not in answer, answer.get("error")
        return answer


Somebody = Caller | StandIn
Box = tuple[float, float, float, float]  # x, y, width and height in a picture


@dataclass(frozen=True)
class Signal:
    """Something over time.

    Attributes:
        seconds: ``(n,)`` UNIX time.
        values: ``(n,)`` what it was then.
    """

    seconds: NDArray[np.float64]
    values: NDArray[np.float64]

    def at(self, grid: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return it at other times."""
        return np.interp(grid, self.seconds, self.values)


@dataclass(frozen=True)
class Watched:
    """One tile over some seconds.

    Attributes:
        seconds: ``(n,)`` UNIX time of each picture.
        pictures: ``(n, side, side)`` uint8 luma of the box that was watched.
        level: root mean square of that tile's sound, full scale 1.
    """

    seconds: NDArray[np.float64]
    pictures: NDArray[np.uint8]
    level: Signal

    @property
    def fps(self) -> float:
        """Frames per second, over the whole."""
        return float((len(self.seconds) - 1) / (self.seconds[-1] - self.seconds[0]))

    def brightness(self) -> Signal:
        """Return how bright the pictures are: what the drawn people of a light server say."""
        return Signal(self.seconds, self.pictures.mean(axis=(1, 2), dtype=np.float64))

    def openness(self) -> Signal:
        """Return how far the mouth is open, in shares of the face's height.

        Measured in the face itself: a listener turns to whoever speaks, which changes a box that is
        fixed in the picture more than any mouth does.
        """
        tracker = open_tracker()
        found = []
        try:
            for at, picture in zip(self.seconds, self.pictures, strict=True):
                face = tracker.track(np.repeat(picture[..., None], 3, axis=2))
                if face is not None:
                    points = face.points[:, :2]
                    gap, tall = (
                        float(np.hypot(*(points[a] - points[b])))
                        for a, b in (INNER_LIPS, FOREHEAD_CHIN)
                    )
                    found.append((at, gap / tall))
        finally:
            tracker.close()
        assert len(found) > 0.8 * len(self.seconds), "there is a face in the pictures"
        table = np.array(found)
        return Signal(table[:, 0], table[:, 1])


def face_box(page: Page, who: str) -> Box:
    """Find the face in somebody's tile with some room about it, in pixels of a square.

    A tile that has just been given another stream may be black for a moment.
    """
    tracker = open_tracker()
    try:
        (face,) = wait_for(lambda: tracker.detect(grab(page, who)), "a face in the tile")
    finally:
        tracker.close()
    x0, y0, x1, y1 = face.box
    side = 1.5 * max(x1 - x0, y1 - y0)
    return (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, side


def grab(page: Page, who: str) -> NDArray[np.uint8]:
    """Return the picture in somebody's tile, (H, W, 3) RGB."""
    import io

    from PIL import Image

    data = base64.b64decode(page.evaluate(_GRAB, who))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def start_watching(caller: Caller, boxes: dict[str, Box], side: int, seconds: float) -> None:
    """Begin to watch a box of tiles, by participant, scaled to ``side`` pixels."""
    caller.page.evaluate(
        f"(a) => {{ window.watched = undefined;"
        f" ({_WATCH})(a).then((r) => (window.watched = r)); }}",
        [boxes, side, seconds],
    )


def watched(caller: Caller, timeout_s: float) -> dict[str, Watched]:
    """Return what :func:`start_watching` saw."""
    until(caller.page, "window.watched !== undefined", timeout_s)
    seen = {}
    for who, rows in caller.page.evaluate("window.watched").items():
        data = [np.frombuffer(base64.b64decode(text), np.uint8) for text in rows["pictures"]]
        side = round(len(data[0]) ** 0.5)
        levels = np.array(rows["levels"], float)
        seen[who] = Watched(
            np.array(rows["shown"], float) / 1000,
            np.stack(data).reshape(-1, side, side),
            Signal(levels[:, 0] / 1000, levels[:, 1]),
        )
    return seen


def all_watch(
    people: Sequence[Caller],
    everybody: Sequence[Somebody],
    box: Callable[[Caller, Somebody], Box],
    side: int,
    seconds: float,
) -> dict[str, dict[str, Watched]]:
    """Have people watch everybody at the same time; what each saw, by id and id."""
    for person in people:
        start_watching(person, {o.id: box(person, o) for o in everybody}, side, seconds)
    return {person.id: watched(person, seconds + 30) for person in people}


def follows(moves: Signal, sound: Signal) -> tuple[float, float]:
    """Return how well movement follows sound (-1 to 1) at the best lag, and that lag.

    The lag is positive where the movement is seen before the sound is heard.
    """
    grid = np.arange(
        max(moves.seconds[0], sound.seconds[0]) + 0.5,
        min(moves.seconds[-1], sound.seconds[-1]) - 0.5,
        0.02,
    )
    smooth = np.ones(9) / 9  # 0.18 s: syllables, not pitch
    moved = np.convolve(moves.at(grid), smooth, mode="same")
    heard = Signal(sound.seconds, np.convolve(sound.values, smooth, mode="same"))
    return max((float(np.corrcoef(moved, heard.at(grid + lag))[0, 1]), lag) for lag in LAGS_S)


def write_voices(folder: Path, count: int) -> list[Path]:
    """Write one microphone each, about ten seconds long: words at a rhythm that is nobody else's.

    Browsers begin their files whenever they open them, so turns would fall together.
    """
    whole = folder / "all.wav"
    write_wav(whole)
    with wave.open(str(whole)) as file:
        voice = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
    voice = voice[: int(np.flatnonzero(np.abs(voice) > 300)[-1])]
    paths = []
    for n in range(count):
        rng = np.random.default_rng(n)
        parts: list[NDArray[np.float64]] = []
        while sum(map(len, parts)) < 10 * RATE:
            length = int(rng.uniform(0.5, 0.9) * RATE)
            start = int(rng.uniform(0, len(voice) - length))
            fade = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / 480)
            parts += [np.zeros(int(rng.uniform(0.3, 1.2) * RATE)), voice[start:][:length] * fade]
        path = folder / f"voice-{n}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.concatenate(parts).astype("<i2").tobytes())
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
