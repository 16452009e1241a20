"""One server, one fake voice and a Chromium for the tests of the page."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.browser.helpers.driving import find_chromium, launch
from tests.browser.helpers.serving import FakeServing, Serving
from tests.browser.helpers.speech import write_wav


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    write_wav(path)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("server")
    serving = Serving(folder / "data", folder / "log")
    serving.start()
    yield serving
    serving.stop()


@pytest.fixture(scope="session")
def light_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that draws nothing to speak of, with two avatars."""
    folder = tmp_path_factory.mktemp("light-server")
    serving = FakeServing(folder / "data", folder / "log", VISAVIS_LIMITS_MAX_SESSIONS="8")
    serving.start()
    yield serving
    serving.stop()


@pytest.fixture(scope="session")
def avatars(server: Serving, portrait: np.ndarray) -> tuple[str, str]:
    """Two avatars, the second one the mirror image of the first."""
    first = server.enrol(png(portrait), "Eileen")
    return first, server.enrol(png(portrait[:, ::-1]), "Mirrored")


@pytest.fixture
def second_server(
    server: Serving, avatars: tuple[str, str], tmp_path: Path
) -> Iterator[Callable[..., Serving]]:
    """Make another server on the same avatars, with settings of its own."""
    running: list[Serving] = []

    def make(**settings: str) -> Serving:
        serving = Serving(server.data, tmp_path / "second-server.log", **settings)
        running.append(serving)
        serving.start()
        return serving

    yield make
    for serving in running:
        serving.stop()


# Playwright keeps an event loop in the main thread for as long as it runs; it ends with each module
# so that the asynchronous tests elsewhere have the thread to themselves.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> str:
    path = find_chromium(playwright)
    if path is None:
        pytest.skip("no Chromium found: install chromium or run playwright install chromium")
    return path


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium: str, voice: Path) -> Iterator[Browser]:
    running = launch(playwright, chromium, voice, "allow")
    yield running
    running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages in contexts of their own; their errors are collected in ``page.complaints``."""
    contexts = []

    def make(url: str, phone: bool = False, **options: object) -> Page:
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
        touch = {"has_touch": True, "is_mobile": True} if phone else {}
        context = browser.new_context(viewport=size, **touch, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(url)
        return page

    yield make
    for context in contexts:
        context.close()
