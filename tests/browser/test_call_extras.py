"""What makes a call pleasant: tones, a floating picture, a face of one's own that can go again."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import png
from tests.browser.helpers.calling import Caller, open_caller
from tests.browser.helpers.driving import until
from tests.browser.helpers.serving import Serving

pytestmark = pytest.mark.browser

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
