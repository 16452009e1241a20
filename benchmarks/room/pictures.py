"""Pictures of a call for the README: two people with real avatars, on a desk and on a phone.

``python -m visavis.benchmarks.room.pictures docs/images``. The photos are in the public domain and
come with scikit-image (Eileen Collins, NASA) and matplotlib (Grace Hopper, US Navy).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np

from visavis.benchmarks.common import (
    CHROMIUM_ARGS,
    Server,
    astronaut_jpeg,
    enrol,
    find_chromium,
    running_server,
)
from visavis.benchmarks.latency.sound import RATE, synthetic_speech, write_wav

_PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
_DESK = {"viewport": {"width": 1120, "height": 700}}
_MOST_BYTES = 300_000
_TALK = (("Eileen", "Can you hear me? Your avatar nods."), ("Grace", "Loud and clear."))


def hopper_jpeg() -> bytes:
    """Return the public-domain portrait of Grace Hopper that matplotlib ships."""
    from matplotlib import cbook

    path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return Path(str(path)).read_bytes()


async def take(server: Server, folder: Path) -> None:
    """Make every picture."""
    for photo in (astronaut_jpeg(), hopper_jpeg()):
        await asyncio.to_thread(enrol, server.url, photo)
    for scheme in ("light", "dark"):
        async with _call(server, f"tea-{scheme}", scheme) as (desk, phone):
            await desk.click("#open-chat")
            for page, (_, words) in zip((phone, desk), _TALK, strict=True):
                if page is phone:
                    await page.click("#open-chat")
                await page.fill("#message", words)
                await page.keyboard.press("Enter")
            await phone.click("#open-chat")
            await asyncio.sleep(6.0)  # until somebody is in the middle of a word
            await _shot(desk, folder / f"call-{scheme}.png")
            await _shot(phone, folder / f"call-phone-{scheme}.png")
            for page in (phone, desk):
                await page.click("#leave")


@contextlib.asynccontextmanager
async def _call(server: Server, room: str, scheme: str) -> AsyncIterator[tuple[Any, Any]]:
    """Two people in one call, a turn each."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        pages, browsers = [], []
        with tempfile.TemporaryDirectory() as scratch:
            for n, (name, shape) in enumerate((("Grace", _DESK), ("Eileen", _PHONE))):
                voice = Path(scratch) / f"{n}.wav"
                turn = synthetic_speech(4, seed=n)
                rest = np.zeros(4 * RATE, np.float32)
                write_wav(voice, np.concatenate([turn, rest] if n else [rest, turn]))
                flags = [*CHROMIUM_ARGS, f"--use-file-for-fake-audio-capture={voice}"]
                browser = await playwright.chromium.launch(
                    executable_path=find_chromium(), args=flags
                )
                browsers.append(browser)
                page = await browser.new_page(color_scheme=scheme, **shape)
                await page.goto(f"{server.url}/call/{room}")
                await page.wait_for_selector("#join:enabled")
                await page.fill("#who", name)
                await page.locator("#faces li").nth(n).locator("button").click()
                await page.click("#join")
                pages.append(page)
            for page in pages:
                await page.wait_for_selector(".tile.seen >> nth=1")
            yield pages[0], pages[1]
            for browser in browsers:
                await browser.close()


async def _shot(page: Any, path: Path) -> None:
    """Write what the page shows."""
    save(await page.screenshot(), path)


def save(png: bytes, path: Path) -> None:
    """Write a picture with as many colours as the file may have bytes for."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    for colours in (256, 128, 64):
        picture.quantize(colours, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
        if path.stat().st_size <= _MOST_BYTES:
            return


if __name__ == "__main__":
    with running_server(MEDIA_SIZE="256", LIMITS_MAX_SESSIONS="4") as running:
        asyncio.run(take(running, Path(sys.argv[1])))
