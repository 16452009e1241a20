"""The product's own page of a call in a real Chromium: how long a person waits, and for what."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from visavis.benchmarks.common import CHROMIUM_ARGS, BenchmarkError, find_chromium, percentiles
from visavis.benchmarks.latency.sound import synthetic_speech, write_wav

_LIMIT_MS = 20_000
_NAME = "At a screen"

# Set before the page's own scripts: when joining was pressed, when tiles come, are seen and go, and
# the longest time that one picture of somebody else stood still, how many connections there were,
# when the latest began and when somebody else was last shown.
_NOTES = """() => {
  const notes = { clicked: 0, seen: {}, gone: {}, gap: 0, peers: 0, began: 0, shown: 0 };
  window.notes = notes;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...settings) {
      super(...settings);
      Object.assign(notes, { peers: notes.peers + 1, began: performance.now() });
    }
  };
  addEventListener("click", ({ target }) => {
    if (target.id !== "join") return;
    Object.assign(notes, { clicked: performance.now(), seen: {}, gap: 0 });
  }, true);
  const watch = (tile) => {
    const video = tile.querySelector("video");
    let last = 0;
    const look = (now) => {
      notes.seen[tile.dataset.id] ??= performance.now();
      if (last && !video.muted) notes.gap = Math.max(notes.gap, now - last);
      last = now;
      if (!video.muted) notes.shown = now;
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
  };
  document.addEventListener("DOMContentLoaded", () => {
    new MutationObserver((changes) => {
      for (const { addedNodes, removedNodes } of changes) {
        for (const tile of addedNodes) watch(tile);
        const now = performance.timeOrigin + performance.now();
        for (const tile of removedNodes) notes.gone[tile.dataset.id] = now;
      }
    }).observe(document.getElementById("tiles"), { childList: true });
  });
}"""


class TooFewCores(BenchmarkError):
    """The server and a browser together want more than this machine has."""


class Screen:
    """Somebody in the call with a browser.

    Args:
        page: of Playwright.
        url: the server.
        room: the call's name in its address.
    """

    def __init__(self, page: Any, url: str, room: str) -> None:
        self._page, self._url, self._room = page, url, room
        self.id = ""

    async def open(self) -> dict[str, float]:
        """Load the lobby; milliseconds until it can be used, and until one can join."""
        await self._page.goto(f"{self._url}/call/{self._room}")
        await self._until("!document.getElementById('join').disabled")
        ready = float(await self._page.evaluate("performance.now()"))
        entry = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        return {"interactive": float(await self._page.evaluate(entry)), "can_join": ready}

    async def join(self, others: int) -> dict[str, float]:
        """Press Join; milliseconds until the first and the last of the others is on screen."""
        await self._page.fill("#who", _NAME)
        await self._page.click("#join")
        await self._until(f"Object.keys(notes.seen).length > {others}")
        self.id = str(await self._page.evaluate(
            "[...document.querySelectorAll('.tile')].find((t) => t.querySelector('video').muted)"
            ".dataset.id"
        ))  # fmt: skip
        notes = await self._page.evaluate("notes")
        since = {who: at - notes["clicked"] for who, at in notes["seen"].items()}
        times = [ms for who, ms in since.items() if who != self.id]
        return {"first": min(times), "all": max(times), "own": since[self.id]}

    async def leave(self) -> None:
        """Press Leave."""
        await self._page.click("#leave")
        await self._until("!document.getElementById('view-over').hidden")

    async def gone_at(self, who: str) -> float:
        """Wait until somebody's tile has gone; UNIX milliseconds."""
        return float(await self._until(f"notes.gone['{who}']"))

    async def back_after_loss(self, lose: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Lose the connection; how long pictures stood still, and whether the id is kept."""
        before = self.id
        peers = int(await self._page.evaluate("notes.gap = 0, notes.peers"))
        await lose()
        # Another connection, on which pictures go on: on a fast machine they hardly stood still.
        await self._until(f"notes.peers > {peers} && notes.shown > notes.began + 300")
        await asyncio.sleep(1.0)
        now = await self._page.evaluate(
            "[...document.querySelectorAll('.tile')].find((t) => t.querySelector('video').muted)"
            ".dataset.id"
        )
        return {"ms": float(await self._page.evaluate("notes.gap")), "same_id": now == before}

    async def _until(self, condition: str) -> Any:
        for _ in range(_LIMIT_MS // 10):
            if value := await self._page.evaluate(condition):
                return value
            await asyncio.sleep(0.01)
        said = "#lobby-problem:not([hidden]) p, #room-problem:not([hidden]) p"
        words = await self._page.locator(said).all_inner_texts()
        if "overloaded" in " ".join(words):
            raise TooFewCores(
                f"The {psutil.cpu_count()} cores of this machine do not bear so many faces and a "
                f"browser that decodes them beside the server: the page was not let in for "
                f"{_LIMIT_MS // 1000} s; ask for fewer --people or use a larger machine."
            )
        told = f"; it says: {' '.join(words)}" if words else "."
        raise BenchmarkError(f"The page waited in vain for {condition}{told}")


@contextlib.asynccontextmanager
async def screen(url: str, room: str) -> Any:
    """Open Chromium with a microphone that speaks; yields a :class:`Screen`."""
    from playwright.async_api import Error, async_playwright

    with tempfile.TemporaryDirectory(prefix="visavis-bench-call-") as folder:
        voice = Path(folder) / "voice.wav"
        write_wav(voice, synthetic_speech(10))
        flags = [*CHROMIUM_ARGS, f"--use-file-for-fake-audio-capture={voice}"]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=find_chromium(), args=flags)
            try:
                page = await browser.new_page(viewport={"width": 1100, "height": 720})
                await page.add_init_script(f"({_NOTES})()")
                yield Screen(page, url, room)
            except Error as error:
                raise BenchmarkError(str(error).split("\n", 1)[0]) from error
            finally:
                with contextlib.suppress(Error):
                    await browser.close()


async def measure(
    url: str,
    room: str,
    others: int,
    times: int,
    go: Callable[[], Awaitable[tuple[str, float]]],
    come: Callable[[], Awaitable[object]],
) -> dict[str, Any]:
    """Measure what somebody waits for whose screen is a real page, with others in the call.

    Args:
        url: the server.
        room: the call's name in its address.
        others: how many are in it.
        times: how often one joins, and somebody else goes.
        go: has one of the others leave; who, and when they asked to, in UNIX milliseconds.
        come: has them come back.
    """
    opened, joined, gone, back = [], [], [], []
    async with screen(url, room) as somebody:
        for n in range(times):
            opened.append(await somebody.open())
            joined.append(await somebody.join(others))
            if n + 1 < times:
                await somebody.leave()
        # Before anybody else comes anew: the newest session is the page's own.
        for _ in range(max(1, times // 2)):
            back.append(await somebody.back_after_loss(lambda: _hang_up(url)))
        for _ in range(times):
            who, at = await go()
            gone.append(await somebody.gone_at(who) - at)
            await come()
        await somebody.leave()
    return {
        "page_interactive_ms": percentiles([o["interactive"] for o in opened]),
        "page_can_join_ms": percentiles([o["can_join"] for o in opened]),
        "click_to_first_picture_ms": percentiles([j["first"] for j in joined]),
        "click_to_all_pictures_ms": percentiles([j["all"] for j in joined]),
        "click_to_own_picture_ms": percentiles([j["own"] for j in joined]),
        "tile_gone_after_leave_ms": percentiles(gone),
        "pictures_stood_still_ms": percentiles([b["ms"] for b in back]),
        "same_id": all(b["same_id"] for b in back),
    }


async def _hang_up(url: str) -> None:
    """End the newest session, the page's, as a server would that has lost it."""
    async with httpx.AsyncClient(timeout=10) as http:
        sessions = (await http.get(f"{url}/api/sessions")).json()["sessions"]
        newest = min(sessions, key=lambda s: s["seconds"])
        await http.delete(f"{url}/api/sessions/{newest['pc_id']}")
