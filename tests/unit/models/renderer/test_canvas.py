"""A person on a canvas: every shape, every background, no halo, nobody cut off in mid-air."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers.layers import background_behind, foreground_colour
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.canvas import (
    CANVASES,
    FRAMINGS,
    Canvas,
    place,
    straight,
)
from visavis.models.renderer.canvas_rest import Backdrop
from visavis.models.renderer.patches import compose
from visavis.models.renderer.renderer import Renderer


def canvas(
    identity: Identity,
    size: tuple[int, int] = (1280, 720),
    framing: str = "bust",
    backdrop: Backdrop = "own",
) -> Canvas:
    def make(person: Identity, side: int, held: float) -> Renderer:
        return Renderer(person, size=side, cutout=True, held_sides=held)

    return Canvas(identity, *size, framing=framing, backdrop=backdrop, renderer=make)


def speaking(step: int = 0) -> np.ndarray:
    values = neutral()
    values[INDEX["jawOpen"]] = 0.3
    values[INDEX["headYaw"]] = 0.12 * np.sin(step)
    values[INDEX["torsoBreath"]] = 0.5 + 0.5 * np.sin(step / 3)
    return values


def cut(identity: Identity) -> Identity:
    """The same person as a photo that cuts the hair at its upper edge."""
    alpha = identity.alpha.copy()
    alpha[:120, 180:330] = 255
    return replace(identity, alpha=alpha)


@pytest.mark.parametrize("size", CANVASES)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_nobody_hangs_in_mid_air(
    astronaut_identity: Identity, size: tuple[int, int], framing: str
) -> None:
    for identity in (astronaut_identity, cut(astronaut_identity)):
        placed = place(identity, *size, framing)
        assert placed.top + placed.side >= size[1]
        assert placed.drawn <= 512 and placed.drawn % 4 == 0
    assert placed.top <= 0, "hair that the photo cut must be cut by the canvas"


def test_a_head_is_larger_than_a_bust(astronaut_identity: Identity) -> None:
    head, bust = (place(astronaut_identity, 1280, 720, f).side for f in ("head", "bust"))
    assert head > 1.3 * bust


def test_an_unknown_framing_is_refused(astronaut_identity: Identity) -> None:
    with pytest.raises(ValueError, match="framing"):
        place(astronaut_identity, 1280, 720, "feet")


@pytest.mark.parametrize("backdrop", ["own", "blur", (10, 200, 30), "picture"])
def test_only_the_person_moves(astronaut_identity: Identity, backdrop: Backdrop) -> None:
    if isinstance(backdrop, str) and backdrop == "picture":
        ramp = np.tile(np.linspace(0, 255, 900).astype(np.uint8), (300, 1))
        backdrop = np.dstack([ramp, ramp[:, ::-1], ramp])
    view = canvas(astronaut_identity, backdrop=backdrop)
    first = view.render(speaking(0)).copy()
    second = view.render(speaking(9)).copy()
    placed = view.placement
    assert first.shape == (720, 1280, 3)
    assert (first != second).any()
    same = (first == second).all(2)
    assert same[:, : max(0, placed.left)].all() and same[:, placed.left + placed.side :].all()
    edge = np.abs(first[:, placed.left].astype(int) - first[:, placed.left - 1].astype(int)).max(1)
    assert np.percentile(edge, 95) < 40, "what lies beside the square must join it"


def test_what_lies_beside_stays_joined_while_the_shoulders_move(
    astronaut_identity: Identity,
) -> None:
    view = canvas(astronaut_identity)
    left = view.placement.left
    for step in range(0, 40, 5):
        picture = view.render(speaking(step)).astype(int)
        jump = np.abs(picture[:, left] - picture[:, left - 1]).max(1)
        assert np.percentile(jump, 97) < 60, step


def soft_disc(size: int) -> np.ndarray:
    """Opacity of a disc with strands: soft over several pixels."""
    y, x = np.mgrid[:size, :size] - size / 2
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    rim = 0.32 * size + 0.02 * size * np.sin(23 * angle)
    return np.clip((rim - radius) / 6 + 0.5, 0, 1).astype(np.float32)


@pytest.mark.parametrize("new", [(0, 0, 0), (255, 255, 255), (0, 177, 64)])
def test_no_halo_of_the_old_background(new: tuple[int, int, int]) -> None:
    """Hair of a known colour and opacity before a bright wall, laid over another one."""
    size = 256
    alpha = soft_disc(size)
    wall, hair = np.array([235.0, 225.0, 240.0]), np.array([70.0, 48.0, 30.0])
    picture = alpha[..., None] * hair + (1 - alpha[..., None]) * wall
    picture = np.rint(picture).astype(np.uint8)
    behind = background_behind(picture, alpha)
    colour = foreground_colour(picture, alpha, behind)
    opacity = np.rint(255 * alpha).astype(np.uint8)
    premultiplied = np.rint(colour * (opacity[..., None] / 255.0)).astype(np.uint8)
    rest = np.full((size, size, 3), new, np.uint8)
    out = np.zeros_like(rest)
    compose(np.dstack([premultiplied, opacity]), rest, out)
    truth = alpha[..., None] * hair + (1 - alpha[..., None]) * np.array(new)
    soft = (alpha > 0.02) & (alpha < 0.98)
    wrong = np.abs(out.astype(float) - truth)[soft]
    # Laid over without freeing the colours, the same edge carries the wall.
    naive = alpha[..., None] * picture + (1 - alpha[..., None]) * np.array(new)
    worse = np.abs(naive - truth)[soft]
    assert np.percentile(wrong, 95) < 12
    assert wrong.mean() < 0.2 * worse.mean()


def test_a_transparent_canvas_carries_its_opacity_beside_the_colour(
    astronaut_identity: Identity,
) -> None:
    green, clear = (0, 177, 64), canvas(astronaut_identity, backdrop="transparent")
    wanted = canvas(astronaut_identity, backdrop=green).render(speaking()).astype(int)
    both = clear.render(speaking())
    assert both.shape == (720, 2560, 3)
    colour, opacity = both[:, :1280].astype(int), both[:, 1280:, 0].astype(int)
    laid = colour + (255 - opacity[..., None]) * np.array(green) / 255
    assert np.abs(laid - wanted).max() <= 2
    rgba = straight(both[:, :1280], both[:, 1280:, 0])
    share = rgba[..., 3:] / 255.0
    assert np.abs(rgba[..., :3] * share + (1 - share) * green - wanted).max() <= 3
    assert rgba.shape == clear.straight().shape


def test_the_square_canvas_in_its_own_background_is_the_photo(
    astronaut_identity: Identity,
) -> None:
    """Where the square covers the canvas the photo's backdrop stays where it was."""
    view = canvas(astronaut_identity, (512, 512), "photo")
    out = view.render(neutral())
    plain = Renderer(astronaut_identity, size=512).render(neutral())
    assert cv2.PSNR(np.ascontiguousarray(out), np.ascontiguousarray(plain)) > 45
