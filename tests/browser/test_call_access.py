"""The page of a call for everybody: axe-core's rules, names, keyboard, phone and dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.helpers.axe import violations
from tests.browser.helpers.calling import Caller, open_caller
from tests.browser.helpers.driving import until
from tests.browser.helpers.serving import Serving

pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)  # two pages and the server, on two cores perhaps
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def in_a_call(browser: Browser, server: Serving, room: str, **options: object) -> Caller:
    """Somebody who listens: no worker is needed to look at the page."""
    caller = open_caller(browser, "Ada", **options)
    caller.open(f"{server.url}call/{room}")
    caller.page.get_by_role("button", name="Listen only").click()
    caller.join()
    return caller


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(light_server: Serving, browser: Browser, scheme: str) -> None:
    options = {"color_scheme": scheme}
    door = open_caller(browser, "Ada", **options)
    door.page.goto(light_server.url + "call/")
    expect(door.page.locator("#door-title")).to_be_visible()
    assert violations(door.page) == []
    ada = open_caller(browser, "Ada", **options)
    ada.open(light_server.url + "call/axe")
    until(ada.page, "document.querySelectorAll('#faces button').length > 2")
    assert violations(ada.page) == []
    ada.page.get_by_role("button", name="New", exact=True).click()
    assert violations(ada.page) == []
    ada.page.keyboard.press("Escape")
    ada.page.get_by_role("button", name="Listen only").click()
    ada.join()
    for opens in ("open-chat", "open-people"):
        ada.page.click(f"#{opens}")
        assert violations(ada.page) == []
    ada.page.click("#close-drawer")
    for opens, closes in (("more", "Done"), ("alone-invite", "Done")):
        ada.page.click(f"#{opens}")
        assert violations(ada.page) == []
        ada.page.get_by_role("button", name=closes).click()
    ada.page.click("#leave")
    expect(ada.page.locator("#over-title")).to_be_visible()
    assert violations(ada.page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_call_of_two(
    light_server: Serving, browser: Browser, scheme: str
) -> None:
    """With pictures, hands, a recording that is asked for, and on a phone."""
    room = f"{light_server.url}call/axe-{scheme}"
    ada = open_caller(browser, "Ada", color_scheme=scheme)
    ben = open_caller(browser, "Ben", color_scheme=scheme, **PHONE)
    for person in (ada, ben):
        person.open(room)
        person.join(face=0)
    for person in (ada, ben):
        person.sees(ada, ben)
    ben.page.click("#hand")
    expect(ada.tile(ben).locator(".tile-hand")).to_be_visible()
    ada.page.click("#layout")
    for person in (ada, ben):
        assert violations(person.page) == []
    ada.page.click("#more")
    assert violations(ada.page) == []
    ada.page.get_by_role("button", name="Record the call").click()
    dialog = ben.page.get_by_role("dialog", name="Record this call?")
    expect(dialog).to_be_visible()
    assert violations(ben.page) == []
    dialog.get_by_role("button", name="I do not agree").click()
    expect(ada.page.locator("#room-problem")).to_be_visible()
    assert violations(ada.page) == []
    for person in (ada, ben):
        person.page.click("#leave")
        expect(person.page.locator("#view-over")).to_be_visible()


def test_a_phone_shows_everything_without_scrolling_sideways(
    light_server: Serving, browser: Browser
) -> None:
    ada = in_a_call(browser, light_server, "phone", **PHONE)
    page = ada.page
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(wide)
    for control in ("hand", "open-chat", "open-people", "more", "leave"):
        box = page.locator(f"#{control}").bounding_box()
        assert box is not None and box["width"] >= 44 and box["height"] >= 44
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert box["y"] + box["height"] <= 844
    page.click("#open-chat")
    box = page.locator("#message").bounding_box()
    assert box is not None and box["y"] + box["height"] <= 844 - 60
    assert page.evaluate(wide)
    page.click("#open-chat")
    page.click("#leave")


def test_keys_reach_everything_and_can_be_switched_off(
    light_server: Serving, browser: Browser
) -> None:
    ada = in_a_call(browser, light_server, "keys")
    page = ada.page
    reached: list[str] = []
    while "leave" not in reached:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        assert len(reached) < 16, reached
    assert {"hand", "open-chat", "open-people", "layout", "more"} <= set(reached)
    page.keyboard.press("p")
    expect(page.locator("#tab-people")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tab-chat")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    page.keyboard.press("l")
    expect(page.locator("#layout")).to_have_attribute("aria-pressed", "true")
    page.click("#more")
    page.uncheck("#shortcuts-on")
    page.get_by_role("button", name="Done").click()
    page.keyboard.press("p")
    expect(page.locator("#drawer")).to_be_hidden()
    page.click("#more")
    page.check("#shortcuts-on")
    page.get_by_role("button", name="Done").click()
    page.click("#leave")
    assert ada.complaints == []
