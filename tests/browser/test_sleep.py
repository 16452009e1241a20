"""Laptops sleep, servers stall, calls reach their longest time: the page comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page

from tests.browser.helpers.driving import frames_shown, go_live, live, until, wait_for
from tests.browser.helpers.serving import FakeServing, Serving

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
# Longer than the eight seconds after which the server gives up on a client; 90 and 20 by hand.
VIEWER_SLEEPS_S = float(os.environ.get("VISAVIS_TEST_VIEWER_SLEEPS_S", "11"))
SERVER_SLEEPS_S = float(os.environ.get("VISAVIS_TEST_SERVER_SLEEPS_S", "9"))
BACK_S = 10.0


@contextmanager
def asleep(processes: list[psutil.Process]) -> Iterator[None]:
    """Stop processes, as a lid that is shut does."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def chromiums() -> list[psutil.Process]:
    """Return the browser of this test, which Playwright's driver has started."""
    own = psutil.Process().children(recursive=True)
    return [process for process in own if "chrom" in process.name().lower()]


@pytest.mark.timeout(240)
def test_a_viewer_that_slept_is_live_again(light_server: Serving, open_page: OpenPage) -> None:
    page = open_page(light_server.url + f"#avatar={32 * 'a'}")
    go_live(page)
    (before,) = light_server.sessions()
    with asleep(chromiums()):
        wait_for(lambda: not light_server.sessions(), "its place is given back", 12)
        time.sleep(max(0.0, VIEWER_SLEEPS_S - 8))
    woke = time.monotonic()
    until(page, "document.getElementById('screen').dataset.state !== 'live'", BACK_S)
    live(page, BACK_S)
    frames_shown(page, 10, BACK_S)
    assert time.monotonic() - woke < 2 * BACK_S
    (after,) = light_server.sessions()
    assert after["pc_id"] != before["pc_id"]
    wait_for(lambda: abs(float(str(light_server.sessions()[0]["av_skew_ms"] or 0))) < 20, "no skew")


@pytest.mark.timeout(240)
def test_a_server_that_slept_is_live_again(light_server: Serving, open_page: OpenPage) -> None:
    page = open_page(light_server.url + f"#avatar={32 * 'a'}")
    go_live(page)
    process = psutil.Process(light_server.process.pid)  # type: ignore[union-attr]
    with asleep([process, *process.children(recursive=True)]):
        time.sleep(SERVER_SLEEPS_S)
    frames_shown(page, 10, 2 * BACK_S)
    live(page, BACK_S)
    wait_for(lambda: len(light_server.sessions()) == 1, "one place is held", 15)


@pytest.mark.timeout(240)
def test_a_call_that_reached_its_longest_time_goes_on(tmp_path: Path, open_page: OpenPage) -> None:
    """The screen at the reception, for which 0 means never."""
    serving = FakeServing(tmp_path / "data", tmp_path / "log", VISAVIS_LIMITS_SESSION_MAX_S="4")
    serving.start()
    try:
        page = open_page(serving.url + f"#avatar={32 * 'a'}")
        go_live(page)
        first = serving.sessions()[0]["pc_id"]
        wait_for(
            lambda: (
                [s["pc_id"] for s in serving.sessions() if s["state"] == "live"]
                not in ([], [first])
            ),
            "another session",
            30,
        )
        live(page)
        frames_shown(page, 5)
    finally:
        serving.stop()
