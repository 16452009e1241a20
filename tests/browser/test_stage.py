"""The stage: a session for a browser source, with its own transparency, over and over again."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.browser.helpers.driving import until, wait_for
from tests.browser.helpers.serving import Serving
from visavis.streamer.worker.pipeline.pipeline import AvatarPipelines, SlotSpec, WorkerSettings

STAGE = "studio-1"
SHOWING = "document.documentElement.classList.contains('showing')"
COUNT = "document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames"
BEGIN = """async ([avatarId, canvas]) => {
  const { AvatarCall } = await import("/client.js");
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  window.testCall = new AvatarCall({ video, avatarId, size: 512, canvas });
  await window.testCall.start();
}"""


def begin(open_page: Callable[..., Page], server: Serving, avatar: str, background: str) -> Page:
    page = open_page(server.url)
    canvas = {"canvas": "512x512", "background": background, "stage": STAGE}
    page.evaluate(BEGIN, [avatar, canvas])
    until(page, "window.testCall.state === 'live'", 60)
    return page


def shot(page: Page) -> np.ndarray:
    """What the page shows, ``(H, W, 4)``, transparent where nothing is."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot(omit_background=True))))


@pytest.mark.browser
def test_a_transparent_stage_shows_the_person_alone(
    server: Serving,
    avatars: tuple[str, str],
    open_page: Callable[..., Page],
) -> None:
    begin(open_page, server, avatars[0], "transparent")
    stage = open_page(f"{server.url}stage/{STAGE}")
    stage.set_viewport_size({"width": 512, "height": 512})
    until(stage, SHOWING, 30)
    until(stage, f"{COUNT} > 20", 30)
    assert stage.locator("#label").is_visible() and stage.locator("button").count() == 0
    picture = shot(stage)
    alpha = picture[..., 3].astype(int)
    assert (alpha[:30, :30] == 0).all(), "nothing behind the person"
    assert (alpha[250:270, 250:270] == 255).mean() > 0.98, "and nothing through them"
    bundle = next((server.data / "avatars" / avatars[0]).glob("*.vav"))
    wanted = matte_of(str(bundle))
    # The head moves a little; the matte is compared where both agree that it is an edge or not.
    label = np.zeros(alpha.shape, bool)
    label[460:, 380:] = True  # the page's
    label[460:, :140] = True  # the picture's
    apart = np.abs(alpha - wanted)[~label]
    assert np.mean(apart) < 4.0, "of 255, against the drawn opacity"
    soft = ((wanted > 20) & (wanted < 235))[~label]
    assert np.median(apart[soft]) < 60, "at the hair"
    assert not stage.complaints


def matte_of(bundle: str) -> np.ndarray:
    """The opacity of the person at rest."""
    from visavis.models.coefficients import neutral

    view = SlotSpec(bundle, canvas="512x512", background="transparent").view
    settings = WorkerSettings(engine="cpu", refine=False)
    drawn = AvatarPipelines(settings).drawer(bundle, 512, view).render(neutral())
    return drawn[:, 512:, 0].astype(int)


@pytest.mark.browser
def test_a_stage_outlives_its_sessions(
    server: Serving, avatars: tuple[str, str], open_page: Callable[..., Page]
) -> None:
    """Opened before there is a session; shown, lost and shown again."""
    stage = open_page(f"{server.url}stage/{STAGE}?background=102030&fit=cover")
    first = begin(open_page, server, avatars[0], "blur")
    until(stage, SHOWING, 30)
    assert stage.evaluate("getComputedStyle(document.documentElement).backgroundColor") == (
        "rgb(16, 32, 48)"
    )
    first.evaluate("window.testCall.stop()")
    until(stage, f"!{SHOWING}", 30)
    begin(open_page, server, avatars[1], "blur")
    until(stage, SHOWING, 40)
    before = stage.evaluate(COUNT)
    wait_for(lambda: stage.evaluate(COUNT) != before, "new pictures")
