"""What makes a call pleasant: tones, a floating picture, one's own face, words while one waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import png
from tests.browser.helpers.calling import Caller, open_caller
from tests.browser.helpers.driving import until
from tests.browser.helpers.serving import FakeServing, Serving

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]

# Every tone that is started, by its frequency in Hz.
_TONES = """(() => {
  window.tones = [];
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...when) {
    window.tones.push(Math.round(this.frequency.value));
    return start.apply(this, when);
  };
})()"""
JOINED, LEFT = [523, 784], [784, 523]


def a_call(browser: Browser, server: Serving, room: str, *names: str) -> list[Caller]:
    """Two people with faces, in a page each of one browser."""
    people = []
    for name in names:
        person = open_caller(browser, name)
        person.page.add_init_script(_TONES)
        person.open(f"{server.url}call/{room}")
        person.join(face=0)
        people.append(person)
    for person in people:
        person.sees(*people)
    return people


def leave(*people: Caller) -> None:
    for person in people:
        person.page.click("#leave")
        expect(person.page.locator("#view-over")).to_be_visible()
        assert person.complaints == []


def test_tones_say_who_comes_and_goes_unless_switched_off(
    light_server: Serving, browser: Browser
) -> None:
    ada, ben = a_call(browser, light_server, "tones", "Ada", "Ben")
    until(ada.page, "window.tones.length === 2")
    assert ada.page.evaluate("window.tones") == JOINED
    assert ben.page.evaluate("window.tones") == [], "nobody rings for themselves"
    ben.page.click("#leave")
    until(ada.page, "window.tones.length === 4")
    assert ada.page.evaluate("window.tones")[2:] == LEFT

    ada.page.click("#more")
    ada.page.uncheck("#sounds-on")
    ada.page.get_by_role("button", name="Done").click()
    ben.page.click("#rejoin")
    until(ben.page, "!document.getElementById('join').disabled")
    ben.join(face=0)
    ada.sees(ben)
    assert len(ada.page.evaluate("window.tones")) == 4
    leave(ada, ben)


def test_the_speakers_picture_floats(light_server: Serving, browser: Browser) -> None:
    ada, ben = a_call(browser, light_server, "floats", "Ada", "Ben")
    floating = "document.pictureInPictureElement?.closest('.tile')?.dataset.id ?? ''"
    if not ada.page.evaluate("document.pictureInPictureEnabled"):
        ada.page.click("#more")
        expect(ada.page.locator("#pip")).to_be_hidden()
        ada.page.get_by_role("button", name="Done").click()
        leave(ada, ben)
        pytest.skip("this Chromium floats no pictures")
    for shows in (ben.id, ""):  # the same button ends it
        ada.page.click("#more")
        ada.page.click("#pip")
        until(ada.page, f"({floating}) === '{shows}'")
    ada.page.click("#more")
    ada.page.click("#pip")
    until(ada.page, f"({floating}) === '{ben.id}'")
    leave(ada)
    assert ada.page.evaluate(floating) == "", "it goes with the call"
    leave(ben)


def test_a_face_made_on_the_way_in_can_go_again(
    server: Serving, portrait: np.ndarray, browser: Browser
) -> None:
    """By who made it, in this browser, without the server's token."""
    ada = open_caller(browser, "Ada")
    ada.open(f"{server.url}call/erases")
    page = ada.page
    before = {avatar["id"] for avatar in httpx.get(server.url + "api/avatars").json()["avatars"]}
    assert page.locator(".face-erase").count() == 0, "what others made stays"
    page.fill("#who", "Ada")
    page.get_by_role("button", name="New", exact=True).click()
    photo = {"name": "me.png", "mimeType": "image/png", "buffer": png(portrait)}
    page.set_input_files("#making-photo", photo)
    page.check("#making-consent")
    page.get_by_role("button", name="Make it").click()
    erase = page.get_by_role("button", name="Erase Ada")
    expect(erase).to_be_visible(timeout=90_000)
    after = {avatar["id"] for avatar in httpx.get(server.url + "api/avatars").json()["avatars"]}
    assert len(after - before) == 1
    page.reload()
    erase.click()
    dialog = page.get_by_role("dialog", name="Erase Ada?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(erase).to_be_focused()
    erase.click()
    dialog.get_by_role("button", name="Erase", exact=True).click()
    expect(erase).to_have_count(0)
    now = {avatar["id"] for avatar in httpx.get(server.url + "api/avatars").json()["avatars"]}
    assert now == before
    assert ada.complaints == []


def test_who_was_removed_stays_out_in_this_browser(light_server: Serving, browser: Browser) -> None:
    ada, ben = a_call(browser, light_server, "removes", "Ada", "Ben")
    ada.page.click("#open-people")
    ada.page.get_by_role("button", name="Remove Ben").click()
    ada.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(ben.page.locator("#over-words")).to_contain_text("removed you")
    for name in ("Ben", "Benedict"):
        again = ben.page.context.new_page()
        again.goto(f"{light_server.url}call/removes")
        until(again, "!document.getElementById('join').disabled")
        again.fill("#who", name)
        again.click("#join")
        expect(again.locator("#lobby-problem")).to_contain_text("The host has removed")
        again.close()
    ada.sees(ada)
    leave(ada)


# ---------------------------------------------------------------------- waiting, and consent

# Every sentence that stood where pictures should be, and what a screen reader was told.
KEEP_WORDS = """() => {
  window.kept = [];
  const keep = () => {
    const shown = document.querySelectorAll("#join-wait:not([hidden]) #join-wait-words,"
      + "#room-wait:not([hidden]), .tile-state:not([hidden])");
    const words = [...shown].map((element) => element.textContent);
    words.push(document.getElementById("announcer").textContent);
    for (const said of words) if (said && !window.kept.includes(said)) window.kept.push(said);
  };
  new MutationObserver(keep).observe(document.body,
    { subtree: true, childList: true, characterData: true, attributes: true });
}"""


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[Serving]:
    """A server that holds one face at a time."""
    serving = FakeServing(tmp_path / "data", tmp_path / "log", VISAVIS_LIMITS_MAX_SESSIONS="1")
    serving.start()
    yield serving
    serving.stop()


def test_who_waits_is_told_holds_no_seat_and_comes_in_by_itself(
    small_server: Serving, browser: Browser
) -> None:
    ada, ben = open_caller(browser, "Ada"), open_caller(browser, "Ben")
    ada.open(small_server.url + "call/small")
    ada.page.evaluate(KEEP_WORDS)
    ada.join()
    ada.sees(ada)
    kept = ada.page.evaluate("window.kept")
    for words in ("Joining", "connects you", "You are in the call. Waiting", "for your picture"):
        assert any(words in said for said in kept), (words, kept)
    until(ada.page, "document.querySelector('#captions').innerText.includes('are here')", 20)

    ben.open(small_server.url + "call/small")
    ben.page.fill("#who", "Ben")
    ben.page.click("#join")
    expect(ben.page.locator("#join-wait-words")).to_contain_text("You come in by yourself")
    expect(ben.page.locator("#announcer")).to_contain_text("You come in by yourself")
    expect(ben.page.locator("#join-wait-count")).to_contain_text("Trying again")
    people = httpx.get(small_server.url + "api/rooms/small").json()["people"]
    assert people == ["Ada"] and ada.page.locator(".tile").count() == 1
    assert not any("Ben" in line for line in ada.captions()), "nobody hears of who is not in"

    ben.page.click("#join-cancel")
    expect(ben.page.locator("#join-wait")).to_be_hidden()
    expect(ben.page.locator("#join")).to_be_focused()
    ben.page.click("#join")
    expect(ben.page.locator("#join-wait-count")).to_contain_text("Trying again")
    ada.page.click("#leave")
    expect(ben.page.locator("#view-room")).to_be_visible(timeout=20_000)
    until(ben.page, "document.querySelector('.tile.seen') !== null", 20)


def test_a_face_without_consent_says_so_and_gets_one(
    small_server: Serving, open_page: OpenPage
) -> None:
    refused = httpx.delete(f"{small_server.url}api/avatars/{32 * 'b'}/consent")
    assert refused.status_code == 200
    lobby = open_page(small_server.url + "call/faces")
    until(lobby, "!document.getElementById('join').disabled", 20)
    face = lobby.locator("#faces [data-id^=bbbb]")
    expect(face).to_contain_text("No consent")
    expect(face).to_have_attribute("aria-disabled", "true")
    face.focus()
    lobby.keyboard.press("Enter")
    expect(lobby.locator("#lobby-problem")).to_contain_text("Mirrored cannot be worn")
    expect(face).to_have_attribute("aria-pressed", "false")

    page = open_page(small_server.url + "#avatar=" + 32 * "b")
    expect(page.locator("#choose-problem")).to_contain_text("cannot be used now")
    card = page.locator(".card.refused")
    expect(card.locator(".card-note")).to_contain_text("withdrawn")
    assert card.locator("a").get_attribute("href") is None
    card.get_by_role("button", name="Give consent for Mirrored").click()
    dialog = page.get_by_role("dialog", name="Give consent")
    dialog.get_by_role("button", name="Give consent").click()
    expect(page.locator("#consenting-problem")).to_contain_text("Without this agreement")
    page.check("#consenting-agree")
    dialog.get_by_role("button", name="Give consent").click()
    expect(page.get_by_role("link", name="Mirrored")).to_be_focused()
    expect(page.locator(".card.refused")).to_have_count(0)
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_gutter_beside_a_dialog_is_as_dark_as_its_backdrop(
    small_server: Serving, open_page: OpenPage, scheme: str
) -> None:
    page = open_page(small_server.url, color_scheme=scheme)
    expect(page.locator(".card").first).to_be_visible()
    root = "getComputedStyle(document.documentElement)"
    free = page.evaluate(f"{root}.backgroundColor")
    page.evaluate("document.getElementById('confirm').showModal()")
    assert page.evaluate(f"{root}.backgroundColor") != free
    assert page.evaluate(f"{root}.overflowY") == "hidden"
