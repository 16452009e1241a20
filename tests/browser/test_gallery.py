"""The gallery: rename, save as a file, take in again; and what to change before a photo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, Playwright, expect

from tests.browser.helpers.driving import go_live, launch, until
from tests.browser.helpers.serving import Serving

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
SIDE = 96  # px of the copy that advice.js looks at

_JUDGE = """([now, last]) => import("/static/app/camera/advice.js").then(({ judge }) =>
  judge(Float32Array.from(now), last && Float32Array.from(last)))"""


def test_rename_in_the_gallery(light_server: Serving, open_page: OpenPage) -> None:
    page = open_page(light_server.url)
    page.get_by_role("button", name="Rename Mirrored").click()
    page.fill("#rename-input", "Marlene")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Marlene")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="Marlene")).to_be_visible()
    page.get_by_role("button", name="Rename Marlene").click()
    page.fill("#rename-input", "Mirrored")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("link", name="Marlene")).to_be_visible()
    page.get_by_role("button", name="Rename Marlene").click()
    page.fill("#rename-input", "Mirrored")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(page.get_by_role("link", name="Mirrored")).to_be_visible()
    assert page.complaints == []


def test_an_avatar_goes_out_as_a_file_and_comes_in_again(
    server: Serving, avatars: tuple[str, str], open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(server.url)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save Eileen as a file").click()
    assert download.value.suggested_filename == "Eileen.vav"
    path = tmp_path / "Eileen.vav"
    download.value.save_as(path)

    page.get_by_role("link", name="New avatar").click()
    page.set_input_files("#file", path)
    expect(page.locator("#unseen-why")).to_contain_text("saved as a file")
    page.fill("#name", "Eileen again")
    page.get_by_role("button", name="Make the avatar").click()
    expect(page.locator("#consent-problem")).to_contain_text("Without this agreement")
    page.check("#consent")
    page.get_by_role("button", name="Make the avatar").click()
    expect(page.locator("#stage-name")).to_have_text("Eileen again", timeout=60_000)
    avatar = page.evaluate("location.hash").removeprefix("#avatar=")
    assert httpx.delete(f"{server.url}api/avatars/{avatar}").status_code == 204


def face(light: float, *, around: float = 140, side: float = 0.0, sharp: float = 20) -> list[float]:
    """Something like a lit face before a wall, as luma."""
    rng = np.random.default_rng(0)
    picture = np.full((SIDE, SIDE), around)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    inside = ((x - 0.5) / 0.26) ** 2 + ((y - 0.45) / 0.35) ** 2 < 1
    lit = light * (1 + side * np.sign(x - 0.5)) + rng.normal(0, sharp, (SIDE, SIDE))
    picture[inside] = lit[inside]
    return [float(value) for value in np.clip(picture, 0, 255).ravel()]


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (face(130), ""),
        (face(30, around=40), "too dark"),
        (face(40, around=220), "from behind"),
        (face(240, sharp=6), "too bright"),
        (face(120, side=0.4), "from one side"),
        (face(130, sharp=0.5), "blurred"),
    ],
)
def test_what_is_wrong_with_the_light_is_said_before_the_photo(
    light_server: Serving, open_page: OpenPage, now: list[float], words: str
) -> None:
    page = open_page(light_server.url)
    said = page.evaluate(_JUDGE, [now, None])
    assert (words in said) if words else said == ""
    if not words:
        moved = [value + 20 for value in now]
        assert "Hold still" in page.evaluate(_JUDGE, [now, moved])


def test_advice_appears_with_the_camera_and_goes_with_it(
    light_server: Serving, open_page: OpenPage
) -> None:
    page = open_page(light_server.url + "#new")
    page.click("#use-camera")
    expect(page.locator("#advice")).not_to_be_empty()
    page.click("#close-camera")
    expect(page.locator("#advice")).to_be_empty()
    assert page.complaints == []


def write_video(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write what a fake camera shows: one picture again and again, as YUV4MPEG2."""
    height, width = picture.shape[:2]
    planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes()
    head = f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(head + 3 * (b"FRAME\n" + planes))


@pytest.mark.parametrize(
    ("middle", "side", "words"),
    [
        ((224, 105), 256, "Close your mouth."),  # she smiles
        ((184, 105), 256, "Move a little to your right."),
        ((224, 105), 130, "Go back a little."),
    ],
)
def test_a_real_face_is_guided_without_the_browsers_help(
    light_server: Serving,
    playwright: Playwright,
    chromium: str,
    portrait: NDArray[np.uint8],
    tmp_path: Path,
    middle: tuple[int, int],
    side: int,
    words: str,
) -> None:
    x, y = middle[0] - side // 2, max(0, middle[1] - round(0.45 * side))
    face = cv2.resize(portrait[y : y + side, x : x + side], (480, 480))
    write_video(tmp_path / "camera.y4m", face)
    camera = f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}"
    running = launch(playwright, chromium, None, "allow", camera)
    try:
        page = running.new_page()
        page.goto(light_server.url + "#new")
        assert page.evaluate("'FaceDetector' in window") is False
        page.click("#use-camera")
        expect(page.locator("#advice")).to_have_text(words, timeout=20_000)
    finally:
        running.close()


def test_a_session_is_recorded_fetched_and_erased(
    light_server: Serving, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(f"{light_server.url}#avatar={32 * 'a'}")
    expect(page.locator("#tape")).to_be_disabled()
    go_live(page)
    page.click("#tape")
    dialog = page.get_by_role("dialog", name="Record yourself?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator("#tape")).to_be_focused()
    page.click("#tape")
    dialog.get_by_role("button", name="I agree").click()
    expect(page.locator("#tape-pill")).to_contain_text("kB")
    until(page, "/0:0[2-9]/.test(document.getElementById('tape-text').textContent)", 15)
    page.get_by_role("button", name="Stop the recording").click()
    expect(page.locator("#tape-pill")).to_be_hidden()
    row = page.locator(".tape-row")
    expect(row).to_have_count(1)
    with page.expect_download() as download:
        row.get_by_role("button", name="Save the recording").click()
    path = tmp_path / "take.mp4"
    download.value.save_as(path)
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) > 30
    page.click("#go-live")  # what was recorded outlives the call
    row.get_by_role("button", name="Erase the recording").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    expect(row).to_have_count(0)
    expect(page.locator("#tapes-list")).to_contain_text("Nothing has been recorded yet")
    assert page.complaints == []


def test_a_file_that_only_looks_like_an_avatar_is_refused(
    server: Serving, open_page: OpenPage
) -> None:
    page = open_page(server.url + "#new")
    bad = {"name": "x.vav", "mimeType": "application/zip", "buffer": b"PK\x03\x04 and no more"}
    page.set_input_files("#file", bad)
    page.fill("#name", "Nobody")
    page.check("#consent")
    page.get_by_role("button", name="Make the avatar").click()
    expect(page.locator("#refused-reason")).to_contain_text("no identity", timeout=60_000)
