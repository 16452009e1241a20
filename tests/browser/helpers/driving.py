"""Chromium and the page: start, wait for what is to happen, read what is shown."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)


def find_chromium(playwright: Playwright) -> str | None:
    """Return a Chromium to run, the one of the system first."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    return own if own and os.path.exists(own) else None


def launch(
    playwright: Playwright, path: str, microphone: Path | None, permission: str, *more: str
) -> Browser:
    """Start Chromium with a wav for a microphone; permission is ``allow`` or ``deny``.

    ``more`` are further flags.
    """
    answer = "--use-fake-ui-for-media-stream" + ("=deny" if permission == "deny" else "")
    flags = [*FLAGS, answer, *more]
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}")
    return playwright.chromium.launch(executable_path=path, args=flags)


def until(page: Page, condition: str, timeout_s: float = 30.0) -> Any:
    """Wait until an expression is true in the page; return its value.

    Playwright's own wait compiles text in the page, which the page's policy rightly forbids.
    """
    return wait_for(lambda: page.evaluate(condition), condition, timeout_s)


def wait_for(look: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """Look until what is seen is true; fail with what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)
    return value


def state(page: Page) -> str:
    """Return the call's state as the page shows it."""
    return str(page.evaluate("document.getElementById('screen').dataset.state"))


def go_live(page: Page, timeout_s: float = 60.0) -> None:
    """Press the button and wait for the first frame."""
    page.click("#go-live")
    live(page, timeout_s)


def live(page: Page, timeout_s: float = 60.0) -> None:
    """Wait until the call is live and its picture is on screen."""
    try:
        until(page, "document.querySelector('#screen[data-state=live].seen') !== null", timeout_s)
    except AssertionError as error:
        words = page.locator("#state-text").inner_text()
        raise AssertionError(f"not live but {words!r}, saying {notice(page)!r}") from error


def frames_shown(page: Page, at_least: int = 10, timeout_s: float = 30.0) -> None:
    """Wait until so many more frames have been shown."""
    count = "document.getElementById('avatar-video').getVideoPlaybackQuality().totalVideoFrames"
    before = page.evaluate(count)
    until(page, f"{count} >= {before + at_least}", timeout_s)


def notice(page: Page) -> str:
    """Return the sentence the stage shows, or nothing."""
    box = page.locator("#stage-problem")
    return box.inner_text().strip() if box.is_visible() else ""
