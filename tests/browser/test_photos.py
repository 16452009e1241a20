"""Photos on their way into the page: chosen, dropped, pasted, taken; what is sent of them."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import png
from tests.browser.helpers.driving import until
from tests.browser.helpers.serving import Serving
from tests.unit.models.appearance.odd_photos import (
    ODD_PHOTOS,
    cut_out,
    exif,
    grown,
    heif,
    portrait,
    saved,
)

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]

# Hands a file over as a person would: what the page gets is a real File in a real DataTransfer.
HAND_OVER = """([way, name, type, text]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  const at = way === "paste" ? document : document.getElementById("view-make");
  const event = way === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  const over = new DragEvent("dragover", { dataTransfer: data, cancelable: true });
  if (way !== "paste") at.dispatchEvent(over);
  at.dispatchEvent(event);
}"""


def hand_over(page: Page, way: str, name: str, kind: str, data: bytes) -> None:
    if way == "choose":
        page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})
    else:
        page.evaluate(HAND_OVER, [way, name, kind, base64.b64encode(data).decode()])


def agree(page: Page, name: str) -> None:
    expect(page.locator("#panel-consent")).to_be_visible(timeout=30_000)
    page.fill("#name", name)
    page.check("#consent")
    page.get_by_role("button", name="Make the avatar").click()


def sent(page: Page) -> bytes:
    """Agree, and catch the photo instead of sending it."""
    caught: list[bytes] = []

    def take(route) -> None:
        if route.request.method == "POST":
            caught.append(route.request.post_data_buffer)
            route.fulfill(status=422, body='{"error": "Caught."}')
        else:
            route.continue_()

    page.route("**/api/avatars", take)
    agree(page, "Caught")
    expect(page.locator("#refused-reason")).to_have_text("Caught.")
    body = caught[0]
    start = body.index(b'name="photo"')
    begin = body.index(b"\r\n\r\n", start) + 4
    boundary = body[: body.index(b"\r\n")]
    return body[begin : body.index(b"\r\n" + boundary, begin)]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def shown(page: Page) -> str:
    return page.evaluate("document.getElementById('frame').dataset.shows")


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_a_48_megapixel_photo_is_sent_at_2048(
    server: Serving, open_page: OpenPage, phone: bool
) -> None:
    data = saved(grown(portrait(), 8000, 6000).rotate(90, expand=True), "JPEG", quality=90,
                 exif=exif(6))  # fmt: skip
    page = open_page(server.url + "#new", phone=phone)
    hand_over(page, "choose", "IMG.jpg", "image/jpeg", data)
    photo = sent(page)
    assert opened(photo).format == "JPEG" and opened(photo).size == (2048, 1536)  # upright
    assert opened(photo).getexif().get(0x0112, 1) == 1 and len(photo) < 3_000_000
    upright = np.asarray(grown(portrait(), 2048, 1536), float)
    assert np.abs(np.asarray(opened(photo), float) - upright).mean() < 6


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
@pytest.mark.parametrize(
    ("name", "kind", "make"),
    [
        ("a.avif", "image/avif", lambda p: saved(p, "AVIF", quality=90)),
        ("a.gif", "image/gif", lambda p: saved(p, "GIF")),
        ("a.bmp", "image/bmp", lambda p: saved(p, "BMP")),
        ("a.jpg", "image/jpeg", lambda p: saved(p, "BMP")),  # a name can say anything
    ],
)
def test_what_the_browser_opens_is_sent_as_jpeg(
    server: Serving,
    open_page: OpenPage,
    way: str,
    name: str,
    kind: str,
    make: Callable[[Image.Image], bytes],
) -> None:
    page = open_page(server.url + "#new")
    hand_over(page, way, name, kind, make(portrait()))
    photo = sent(page)
    assert opened(photo).format == "JPEG" and opened(photo).size == (512, 512)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_small_photo_of_a_known_kind_is_sent_as_it_is(
    server: Serving, open_page: OpenPage, kind: str
) -> None:
    data = saved(portrait(), kind)
    page = open_page(server.url + "#new")
    hand_over(page, "drop", "a", "", data)
    assert sent(page) == data


def test_a_large_cut_out_keeps_its_holes(server: Serving, open_page: OpenPage) -> None:
    page = open_page(server.url + "#new")
    large = cut_out(portrait()).resize((3000, 3000))
    hand_over(page, "choose", "a.png", "image/png", saved(large, "PNG"))
    expect(page.locator("#photo")).to_have_css("background-color", "rgb(255, 255, 255)")
    photo = opened(sent(page))
    assert photo.mode == "RGBA" and photo.size == (2048, 2048)
    assert photo.getpixel((5, 5))[3] == 0


def test_a_panorama_keeps_its_pixels(server: Serving, open_page: OpenPage) -> None:
    page = open_page(server.url + "#new")
    data = ODD_PHOTOS["panorama"](portrait())
    hand_over(page, "drop", "street.jpg", "image/jpeg", data)
    assert sent(page) == data


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_heic_is_seen_before_anybody_agrees(server: Serving, open_page: OpenPage, way: str) -> None:
    """The server opens what the browser cannot; what is looked at is what is sent."""
    page = open_page(server.url + "#new")
    hand_over(page, way, "IMG_1234.HEIC", "", heif(portrait(), quality=90, exif=exif(1)))
    expect(page.locator("#panel-consent")).to_be_visible(timeout=30_000)
    assert shown(page) == "photo"
    seen = page.evaluate(
        "document.getElementById('photo').getContext('2d').getImageData(0, 0, 720, 720)"
        ".data.reduce((sum, value) => sum + value, 0) / (4 * 720 * 720)"
    )
    photo = opened(sent(page))
    assert photo.format == "JPEG" and photo.size == (512, 512)
    truth = np.asarray(portrait(), float)
    assert np.abs(np.asarray(photo, float) - truth).mean() < 4
    assert abs(seen - (3 * truth.mean() + 255) / 4) < 6, "and not a blank canvas"


def test_heic_becomes_an_avatar(server: Serving, open_page: OpenPage) -> None:
    page = open_page(server.url + "#new")
    hand_over(page, "choose", "IMG_1234.HEIC", "", heif(portrait(), quality=90))
    agree(page, "From HEIC")
    expect(page.locator("#stage-name")).to_have_text("From HEIC", timeout=60_000)
    assert not [c for c in page.complaints if "ERR" not in c]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_photo_that_is_cut_off_is_refused_before_consent(
    server: Serving, open_page: OpenPage, kind: str, share: float
) -> None:
    page = open_page(server.url + "#new")
    whole = saved(grown(portrait(), 1200, 1200), kind)
    hand_over(page, "drop", "a", "", whole[: int(len(whole) * share)])
    expect(page.locator("#photo-problem")).to_be_visible()
    expect(page.locator("#photo-problem")).to_contain_text(
        re.compile("incomplete|not a picture|damaged")
    )
    expect(page.locator("#panel-consent")).to_be_hidden()


def test_a_thumbnails_end_is_not_the_photos(server: Serving, open_page: OpenPage) -> None:
    """A camera's JPEG holds a small one, with an end of its own, in its header."""
    small = saved(portrait().resize((160, 160)), "JPEG")
    whole = saved(grown(portrait(), 1200, 1200), "JPEG")
    header = b"\xff\xe1" + (2 + len(small)).to_bytes(2, "big") + small
    with_thumbnail = whole[:2] + header + whole[2:]
    page = open_page(server.url + "#new")
    hand_over(page, "choose", "a.jpg", "image/jpeg", with_thumbnail + b"a film behind it")
    expect(page.locator("#panel-consent")).to_be_visible()
    page = open_page(server.url + "#new")
    hand_over(page, "choose", "a.jpg", "image/jpeg", with_thumbnail[: -len(whole) // 3])
    expect(page.locator("#photo-problem")).to_contain_text("incomplete")


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "Neither this browser nor"),
        ("a.jpg", b"\xff\xd8\xff certainly no picture", "not a picture"),
        ("a.pdf", b"%PDF-1.7", "not a picture"),
        ("a.jpg", b"", "empty"),
    ],
)
def test_what_nobody_can_open_is_refused_before_consent(
    server: Serving, open_page: OpenPage, way: str, name: str, data: bytes, says: str
) -> None:
    page = open_page(server.url + "#new")
    limits = {"formats": ["JPEG", "PNG", "WEBP"], "max_bytes": 1, "max_pixels": 1}
    page.route(
        "**/api/avatars", lambda route: route.fulfill(json={"avatars": [], "photos": limits})
    )
    hand_over(page, way, name, "", data)
    expect(page.locator("#photo-problem")).to_contain_text(says)
    expect(page.locator("#panel-photo")).to_be_visible()
    expect(page.locator("#panel-consent")).to_be_hidden()


def test_a_heic_too_large_for_the_server_is_refused_before_consent(
    server: Serving, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(server.url + "#new")
    photo = tmp_path / "a.heic"
    photo.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40_000_000))
    page.set_input_files("#file", photo)  # as bytes it takes the test 40 s to hand them over
    expect(page.locator("#photo-problem")).to_contain_text("larger than 40 MB")


def test_text_is_pasted_where_it_goes_and_a_link_that_is_dropped_is_no_photo(
    server: Serving, open_page: OpenPage
) -> None:
    page = open_page(server.url + "#new")
    hand_over(page, "choose", "a.png", "image/png", saved(portrait(), "PNG"))
    expect(page.locator("#panel-consent")).to_be_visible()
    page.evaluate("navigator.clipboard?.writeText('x').catch(() => {})")
    page.evaluate(
        """() => { const data = new DataTransfer(); data.setData("text/plain", "Eileen");
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data })) }"""
    )
    expect(page.locator("#panel-consent")).to_be_visible()
    page.evaluate(
        """() => { const data = new DataTransfer(); data.setData("text/uri-list", "http://x/y.jpg");
        document.getElementById("view-make").dispatchEvent(
          new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })) }"""
    )
    expect(page.locator("#photo-problem")).to_contain_text("Save the picture first")


def test_of_several_files_the_first_picture_is_taken(server: Serving, open_page: OpenPage) -> None:
    page = open_page(server.url + "#new")
    page.evaluate(
        """([text]) => { const data = new DataTransfer();
        data.items.add(new File(["notes"], "notes.txt", { type: "text/plain" }));
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        data.items.add(new File([bytes], "a.png", { type: "image/png" }));
        document.getElementById("view-make").dispatchEvent(
          new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })) }""",
        [base64.b64encode(saved(portrait(), "PNG")).decode()],
    )
    expect(page.locator("#panel-consent")).to_be_visible()


def test_the_later_of_two_photos_is_the_one(
    server: Serving, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(server.url + "#new")
    page.evaluate(
        """() => { window.opened = 0;
        const real = HTMLImageElement.prototype.decode;
        HTMLImageElement.prototype.decode = function () {
          return real.call(this).finally(() => setTimeout(() => (window.opened += 1), 100));
        } }"""
    )
    slow = tmp_path / "slow.png"
    slow.write_bytes(saved(grown(portrait(), 8000, 6000), "PNG", compress_level=1))
    page.set_input_files("#file", slow)
    hand_over(page, "drop", "a.png", "image/png", png(np.asarray(portrait())))
    expect(page.locator("#panel-consent")).to_be_visible()
    until(page, "window.opened === 2")  # the slow one is open by now and must not come up
    assert opened(sent(page)).size == (512, 512)


def test_the_camera_takes_a_photo_and_one_that_stops_says_so(
    server: Serving, open_page: OpenPage
) -> None:
    page = open_page(server.url + "#new")
    page.click("#use-camera")
    page.click("#take-photo")
    photo = opened(sent(page))
    assert photo.format == "JPEG" and max(photo.size) <= 2048 and np.asarray(photo).std() > 5

    page.get_by_role("button", name="Try another photo").click()
    page.click("#use-camera")
    page.click("#take-photo")
    page.evaluate(
        "document.getElementById('camera').srcObject.getTracks().forEach((t) => t.stop())"
    )
    expect(page.locator("#photo-problem")).to_contain_text("gives no picture", timeout=10_000)
    expect(page.get_by_role("button", name=re.compile("camera"))).to_be_visible()
    until(page, "!document.getElementById('take-photo').disabled")
