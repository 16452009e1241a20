"""Signing in and out, and checking a video, as a person does it: phone, desktop, light, dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.helpers.axe import violations
from tests.browser.helpers.serving import FakeServing
from tests.unit.streamer.trust.test_verdict import film
from visavis.streamer.trust.marks.deployment import payload_for
from visavis.streamer.trust.marks.mark import Marking

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
TOKEN = "a token of this server"
MOST_VIDEO = 4_000_000


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeServing]:
    folder = tmp_path_factory.mktemp("guarded-server")
    settings = {"VISAVIS_TOKEN": TOKEN, "VISAVIS_LIMITS_VERIFY_BYTES": str(MOST_VIDEO)}
    serving = FakeServing(folder / "data", folder / "log", **settings)
    serving.start()
    yield serving
    serving.stop()


def test_every_page_asks_goes_on_and_lets_one_sign_out(
    guarded: FakeServing, open_page: OpenPage
) -> None:
    page = open_page(f"{guarded.url}#avatar={32 * 'a'}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_have_text("This token is not one of this server's.")
    page.get_by_label("Token").fill("vv1.0123456789abcdef." + 48 * "0")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_have_text("This token is not one of this server's.")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#stage-name")).to_be_visible()
    assert page.url.endswith(f"/#avatar={32 * 'a'}"), "where it was wanted to go"
    assert page.context.cookies() == []
    page.goto(f"{guarded.url}call/")
    expect(page.get_by_role("heading", name="Start a call")).to_be_visible()
    page.get_by_label("Name of the call").fill("Tea")
    page.get_by_role("button", name="Open the call").click()
    expect(page.get_by_label("Your name")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    assert page.evaluate("Object.keys(sessionStorage).join() + Object.keys(localStorage).join()") \
        .count("token") == 0  # fmt: skip
    page.goto(guarded.url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_token_that_holds_no_more_leads_to_where_it_is_said(
    guarded: FakeServing, open_page: OpenPage
) -> None:
    """A call's link with one was a dead end, and an invisible letter was blamed on the network."""
    page = open_page(f"{guarded.url}call/tea#token=old")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#problem")).to_have_text("This token is not one of this server's.")
    page.get_by_label("Token").fill("a\u200btoken")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_have_text("This token is not one of this server's.")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your name")).to_be_visible()
    assert page.url.endswith("/call/tea")


def test_who_types_faster_than_the_page_looks_around_is_heard(
    guarded: FakeServing, open_page: OpenPage
) -> None:
    page = open_page(f"{guarded.url}healthz")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route) if not held else route.continue_()

    page.route("**/api/me", hold)
    page.goto(f"{guarded.url}login")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#avatars .card").first).to_be_visible()


def test_a_link_with_a_token_opens_any_page_and_another_s_address_none(
    guarded: FakeServing, open_page: OpenPage
) -> None:
    page = open_page(f"{guarded.url}verify#token={TOKEN.replace(' ', '%20')}")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert "token" not in page.url
    for to in ("https://evil.example/", "//evil.example/", "javascript:alert(1)", "%5C%5Cevil"):
        page.goto(f"{guarded.url}login?to={to}")
        expect(page.locator("#avatars .card").first).to_be_visible()
        assert page.url == guarded.url


@pytest.mark.parametrize("phone", [False, True])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_video_is_checked_and_axe_finds_nothing(
    guarded: FakeServing, open_page: OpenPage, tmp_path: Path, phone: bool, scheme: str
) -> None:
    page = open_page(f"{guarded.url}login", phone, color_scheme=scheme)
    expect(page.get_by_label("Token")).to_be_focused()
    assert violations(page) == []
    page.goto(f"{guarded.url}verify#token={TOKEN.replace(' ', '%20')}")
    payload = payload_for(guarded.data, "a session")
    marked = film(tmp_path / "marked.mp4", Marking(payload=payload))
    page.set_input_files("#file", marked)
    expect(page.locator("#verdict-title")).to_have_text("Made by a machine", timeout=60_000)
    expect(page.locator("#verdict-words")).to_contain_text("the watermark of this server")
    assert violations(page) == []
    page.set_input_files("#file", {"name": "x.mp4", "mimeType": "video/mp4", "buffer": b"no"})
    expect(page.locator("#problem")).to_contain_text("cannot be read as a video", timeout=60_000)
    expect(page.locator("#verdict")).to_be_hidden()
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide
    expected = ("401", "422")  # what /login finds out without a token, and what is no video
    assert all(any(code in said for code in expected) for said in page.complaints)


def test_a_video_that_is_too_large_is_said_to_be(
    guarded: FakeServing, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(f"{guarded.url}verify#token={TOKEN.replace(' ', '%20')}")
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(10 * MOST_VIDEO))
    page.set_input_files("#file", large)
    expect(page.locator("#problem")).to_have_text(
        "This video is larger than 4 MB, the most that is looked at here; "
        "the command visavis verify has no such limit."
    )
    expect(page.locator("#drop-words")).to_have_text("Drop a video here")


def test_who_guesses_is_told_in_words_to_wait_and_who_knows_the_token_comes_in(
    guarded: FakeServing, open_page: OpenPage
) -> None:
    page = open_page(f"{guarded.url}login")
    for number in range(12):
        page.get_by_label("Token").fill(f"a guess, number {number}")
        page.keyboard.press("Enter")
        expect(page.locator("#problem")).not_to_be_empty()
        if page.get_by_role("button", name="Continue").is_disabled():
            break
    said = "Too many wrong tokens came from your address; try again in"
    expect(page.locator("#problem")).to_contain_text(said)
    page.get_by_label("Token").fill("another")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text(said)
    assert violations(page) == []
    page.goto(f"{guarded.url}login")  # this machine itself is never kept out
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#avatars .card").first).to_be_visible()
