"""Whatever goes wrong is said in a sentence, with a way on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Playwright, expect

from tests.browser.conftest import png
from tests.browser.helpers.driving import go_live, launch, notice, state, until, wait_for
from tests.browser.helpers.serving import Serving

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
TOKEN = "one two three four"


def test_refused_microphone(
    server: Serving, avatars: tuple[str, str], playwright: Playwright, chromium: str
) -> None:
    refusing = launch(playwright, chromium, None, "deny")
    page = refusing.new_page()
    page.goto(f"{server.url}#avatar={avatars[0]}")
    page.click("#go-live")
    wait_for(lambda: "microphone is blocked" in notice(page), "the sentence")
    assert state(page) == "failed"
    expect(page.get_by_role("button", name="Go live")).to_be_enabled()
    refusing.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [("NotFoundError", "No microphone was found"), ("NotReadableError", "could not be opened")],
)
def test_no_microphone(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage, name: str, words: str
) -> None:
    page = open_page(f"{server.url}#avatar={avatars[0]}")
    page.evaluate(
        "(name) => { navigator.mediaDevices.getUserMedia = () => "
        "Promise.reject(new DOMException('', name)) }",
        name,
    )
    page.click("#go-live")
    wait_for(lambda: words in notice(page), words)
    assert state(page) == "failed"


def test_insecure_page(server: Serving, avatars: tuple[str, str], open_page: OpenPage) -> None:
    page = open_page(f"{server.url}#avatar={avatars[0]}")
    page.evaluate("() => Object.defineProperty(window, 'isSecureContext', { value: false })")
    page.click("#go-live")
    wait_for(lambda: "https" in notice(page), "the sentence")


def test_server_full_waits_and_goes_on_by_itself(
    second_server: Callable[..., Serving], avatars: tuple[str, str], open_page: OpenPage
) -> None:
    serving = second_server(VISAVIS_LIMITS_MAX_SESSIONS="1")
    first = open_page(f"{serving.url}#avatar={avatars[0]}")
    go_live(first)
    second = open_page(f"{serving.url}#avatar={avatars[0]}")
    second.click("#go-live")
    wait_for(lambda: state(second) == "waiting", "the second one waits")
    assert "trying again in" in second.locator("#state-text").inner_text()
    assert "by itself" in notice(second)

    first.click("#go-live")  # stop
    wait_for(lambda: state(second) == "live", "the freed place is taken", 40)
    expect(second.locator("#stage-problem")).to_be_hidden()


@pytest.mark.parametrize(
    ("kind", "words", "tip"),
    [
        ("grey", "face", "evenly lit"),
        ("two", "one", "one person"),
        ("text", "not a picture", ""),
        ("large", "not a picture", ""),
    ],
)
def test_bad_photo_says_why_and_lets_one_try_another(
    server: Serving, open_page: OpenPage, portrait: np.ndarray, kind: str, words: str, tip: str
) -> None:
    photos = {
        "grey": lambda: png(np.full((600, 600, 3), 120, np.uint8)),
        "two": lambda: png(np.concatenate([portrait[:300, 100:350]] * 2, axis=1)),
        "text": lambda: b"certainly not a picture",
        "large": lambda: bytes(10_000_001),
    }
    page = open_page(server.url + "#new")
    photo = {"name": "photo.png", "mimeType": "image/png", "buffer": photos[kind]()}
    page.set_input_files("#file", photo)
    if kind in ("text", "large"):  # never leaves the browser
        expect(page.locator("#photo-problem")).to_contain_text(words)
        assert page.locator("#panel-photo").is_visible()
        return
    page.fill("#name", "Nobody")
    page.check("#consent")
    page.get_by_role("button", name="Make the avatar").click()
    expect(page.locator("#refused-reason")).to_contain_text(words, timeout=60_000)
    expect(page.locator("#refused-tip")).to_contain_text(tip)
    page.get_by_role("button", name="Try another photo").click()
    expect(page.locator("#panel-photo")).to_be_visible()


def test_consent_is_asked_for(server: Serving, open_page: OpenPage, portrait: np.ndarray) -> None:
    page = open_page(server.url + "#new")
    photo = {"name": "photo.png", "mimeType": "image/png", "buffer": png(portrait)}
    page.set_input_files("#file", photo)
    page.get_by_role("button", name="Make the avatar").click()
    expect(page.locator("#name-problem")).to_have_text("Give the avatar a name.")
    expect(page.locator("#consent-problem")).to_contain_text("Without this agreement")
    assert page.evaluate("document.activeElement.id") == "name"


def test_camera_photo(server: Serving, open_page: OpenPage) -> None:
    page = open_page(server.url + "#new")
    page.click("#use-camera")
    page.click("#take-photo")
    expect(page.locator("#panel-consent")).to_be_visible()
    painted = (
        "document.getElementById('photo').getContext('2d').getImageData(360, 360, 1, 1).data[3]"
    )
    assert page.evaluate(painted) == 255
    assert page.evaluate("document.getElementById('camera').srcObject") is None


def test_token_is_asked_for(
    second_server: Callable[..., Serving], avatars: tuple[str, str], open_page: OpenPage
) -> None:
    serving = second_server(VISAVIS_TOKEN=TOKEN)
    page = open_page(serving.url)
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Eileen").click()
    go_live(page)

    with_link = open_page(f"{serving.url}#token={TOKEN.replace(' ', '%20')}")
    expect(with_link.get_by_role("link", name="Eileen")).to_be_visible()
    assert "token" not in with_link.evaluate("location.href")


def test_unknown_avatar(server: Serving, avatars: tuple[str, str], open_page: OpenPage) -> None:
    page = open_page(f"{server.url}#avatar={'0' * 32}")
    expect(page.locator("#choose-problem")).to_contain_text("does not exist any more")
    page.goto(f"{server.url}#avatar={avatars[0]}")
    expect(page.locator("#stage-name")).to_have_text("Eileen")


def test_server_gone(server: Serving, open_page: OpenPage) -> None:
    page = open_page(server.url + "#new")
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("link", name="Avatars", exact=True).click()
    expect(page.locator("#choose-problem")).to_contain_text("cannot be reached")
    page.unroute("**/api/**")
    page.click("#choose-retry")
    expect(page.locator("#choose-problem")).to_be_hidden()


def test_delete_asks_first(server: Serving, portrait: np.ndarray, open_page: OpenPage) -> None:
    avatar = server.enrol(png(portrait), "Short-lived")
    page = open_page(server.url)
    remove = page.get_by_role("button", name="Delete Short-lived")
    remove.click()
    page.locator("#confirm").get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("link", name="Short-lived")).to_be_visible()
    remove.click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("link", name="Short-lived")).to_have_count(0)
    assert not Path(server.data / "avatars" / avatar).exists()
    until(page, "document.getElementById('announcer').textContent.includes('deleted')")
