"""The page for everybody: names, keyboard, announcements, contrast, and a phone's width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import png
from tests.browser.helpers.axe import violations
from tests.browser.helpers.driving import go_live, state, until, wait_for
from tests.browser.helpers.serving import Serving

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
CONTROLS = ("button", "link", "textbox", "checkbox", "slider", "combobox", "meter", "progressbar")
AA = 4.5  # contrast of text, WCAG 2.2
VIEWS = ("", "#new", "#avatar={0}")


def nameless(page: Page) -> list[str]:
    """Return the roles of controls a screen reader could not name."""
    session = page.context.new_cdp_session(page)
    nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]
    assert len(named) >= 3, "the page has controls"
    return [role for role, name in named if not name]


@pytest.mark.parametrize("view", VIEWS)
def test_every_control_has_a_name(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage, view: str
) -> None:
    page = open_page(server.url + view.format(avatars[0]))
    until(page, "document.querySelector('.view:not([hidden]) h1') !== null")
    assert nameless(page) == []
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True])
def test_axe_finds_nothing_in_the_studio(
    light_server: Serving,
    open_page: OpenPage,
    portrait: np.ndarray,
    scheme: str,
    phone: bool,
) -> None:
    page = open_page(light_server.url, phone, color_scheme=scheme)
    expect(page.locator(".card").first).to_be_visible()
    assert violations(page) == []
    for opens, named in (("Rename Eileen", "Rename"), ("Delete Eileen", "Delete Eileen?")):
        page.get_by_role("button", name=opens).click()
        expect(page.get_by_role("dialog", name=named)).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
    page.goto(light_server.url + "#new")
    page.click("#use-camera")
    expect(page.locator("#advice")).not_to_be_empty()
    assert violations(page) == []
    photo = {"name": "me.png", "mimeType": "image/png", "buffer": png(portrait)}
    page.set_input_files("#file", photo)
    page.get_by_role("button", name="Make the avatar").click()
    assert violations(page) == []
    page.goto(f"{light_server.url}#avatar={32 * 'a'}")
    go_live(page)
    page.locator("#tapes summary").click()
    page.locator(".numbers summary").click()
    assert violations(page) == []
    page.click("#tape")
    expect(page.get_by_role("dialog", name="Record yourself?")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.click("#go-live")
    assert page.complaints == []


def test_dialogs_and_consent_have_names(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage, portrait: np.ndarray
) -> None:
    page = open_page(server.url + "#new")
    photo = {"name": "me.png", "mimeType": "image/png", "buffer": png(portrait)}
    page.set_input_files("#file", photo)
    expect(page.get_by_role("heading", name="Whose face is this?")).to_be_focused()
    assert nameless(page) == []
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
    assert nameless(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Settings")).to_be_focused()


def test_keyboard_reaches_everything_and_states_are_announced(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage
) -> None:
    page = open_page(f"{server.url}#avatar={avatars[0]}")
    until(page, "document.querySelector('#switcher button') !== null")
    page.evaluate(KEEP_ANNOUNCEMENTS)
    reached = []
    while "go-live" not in reached:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        assert len(reached) < 12, f"Tab reaches {reached} but not Go live"
    page.keyboard.press("Enter")
    wait_for(lambda: "Live" in page.evaluate("window.announced"), "Live is announced", 30)
    page.keyboard.press("Space")  # on the button: stop, once
    wait_for(lambda: "The call has ended." in page.evaluate("window.announced"), "so is the end")
    assert state(page) == "idle"


def test_space_and_shortcuts_can_be_switched_off(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage
) -> None:
    page = open_page(f"{server.url}#avatar={avatars[0]}")
    until(page, "document.querySelector('#switcher button') !== null")
    page.keyboard.press("m")
    expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Keyboard shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")


KEEP_ANNOUNCEMENTS = """() => {
  window.announced = [];
  const region = document.getElementById("announcer");
  const keep = () => window.announced.push(region.textContent);
  const all = { childList: true, characterData: true, subtree: true };
  new MutationObserver(keep).observe(region, all);
}"""


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_needs_no_sideways_scrolling(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage, view: str
) -> None:
    page = open_page(server.url + view.format(avatars[0]), phone=True)
    until(page, "document.querySelector('.view:not([hidden]) h1') !== null")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(SMALL_TARGETS)
    assert small == [], f"too small for a finger: {small}"


SMALL_TARGETS = """() => [...document.querySelectorAll("button, a, input, select, summary")]
  .filter((element) => element.checkVisibility() && !element.closest(".visually-hidden, dialog"))
  .filter((element) => !element.matches(".visually-hidden, .skip"))
  .map((element) => [element.id || element.textContent.trim(), element.getBoundingClientRect()])
  .filter(([, box]) => box.width < 43.5 || box.height < 43.5)
  .map(([name, box]) => `${name} ${box.width} x ${box.height}`)"""


def test_go_live_is_in_reach_on_a_phone(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage
) -> None:
    page = open_page(f"{server.url}#avatar={avatars[0]}", phone=True)
    label = page.get_by_text("AI avatar", exact=True)
    expect(label).to_be_visible()
    go_live(page)
    box = page.locator("#go-live").bounding_box()
    assert box is not None and box["y"] + box["height"] <= 844
    expect(label).to_be_hidden()  # the live picture carries its own: one label, not two


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(server: Serving, open_page: OpenPage, scheme: str) -> None:
    page = open_page(server.url + "#new", color_scheme=scheme)
    pairs = [
        ("--ink", "--bg"),
        ("--muted", "--bg"),
        ("--muted", "--surface"),
        ("--on-accent", "--accent"),
        ("--danger", "--bg"),
        ("--ink", "--danger-wash"),
        ("--ink", "--accent-wash"),
        ("--on-danger", "--danger"),
    ]
    value = "(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
    for text, ground in pairs:
        ratio = contrast(page.evaluate(value, text), page.evaluate(value, ground))
        assert ratio >= AA, f"{text} on {ground} in {scheme}: {ratio:.2f}"
    edge = contrast(page.evaluate(value, "--edge"), page.evaluate(value, "--bg"))
    assert edge >= 3, f"outlines of controls in {scheme}: {edge:.2f}"


def contrast(one: str, other: str) -> float:
    """Return the contrast of two #rrggbb colours as WCAG 2.2 defines it."""
    a, b = sorted((luminance(one), luminance(other)))
    return (b + 0.05) / (a + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
