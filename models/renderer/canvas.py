"""A person on a wide, tall or square canvas, over a background of choice.

The person alone is drawn every frame, at 512 pixels at most, and laid over a rest that was put
together once: backdrop and what the photo's sides cut off of shoulders and hair. The avatar's
colours are free of the photo's background (``appearance.layers.foreground_colour``) and arrive
premultiplied, so nothing of the old background is mixed into the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, Image
from visavis.models.renderer.canvas_rest import Backdrop, beside, lay_backdrop
from visavis.models.renderer.cutout import cut_out
from visavis.models.renderer.patches import Box, Patch, Patches, compose, compose_opacity

CANVASES = ((1280, 720), (1920, 1080), (720, 1280), (512, 512))
FRAMINGS = ("head", "bust", "photo")
LARGEST = 512  # pixels of the drawn square's side
HELD = 0.06  # of the square's side over which motion fades out beside what stands still


class _CanvasTuning(NamedTuple):
    """Where a person stands on a canvas.

    Set by eye on rendered portraits, not fitted.
    """

    # Chin to hairline over the canvas's height
    face_share: Mapping[str, float] = MappingProxyType({"head": 0.52, "bust": 0.36})
    # Where the middle of it stands, from the top
    face_at: Mapping[str, float] = MappingProxyType({"head": 0.50, "bust": 0.44})
    above: float = 0.42  # of the canvas's height: the face's middle stands that high at least
    # Of the canvas's width that chin to hairline may measure, on tall canvases
    widest: float = 0.62
    touches: float = 0.02  # of the upper row that is person: then the photo cut the hair
    # Pixels: sides above LARGEST are multiples, so that 16 drawn ones fit whole ones
    grid: int = 32


_TUNING = _CanvasTuning()


@dataclass(frozen=True)
class Placement:
    """Where the avatar's square lies on the canvas.

    Attributes:
        side: of the square in canvas pixels.
        left: column of its first pixel, may be negative.
        top: row of it, likewise.
        drawn: side in pixels at which it is drawn.
    """

    side: int
    left: int
    top: int
    drawn: int


class CutoutRenderer(Protocol):
    """Draws the person alone; ``Renderer(..., cutout=True)`` does."""

    alpha: Image | None

    def render(self, coefficients: Floats) -> Image:
        """Return ``(S, S, 3)`` premultiplied RGB, with ``(S, S)`` opacity in ``alpha``."""
        ...


MakeRenderer = Callable[[Identity, int, float], CutoutRenderer]
"""Takes the person, the side in pixels and the part of it that is held still at the sides."""


def place(identity: Identity, width: int, height: int, framing: str) -> Placement:
    """Choose size and place of the avatar's square.

    The square always reaches the canvas's lower edge, and its upper one where the photo cut the
    hair: nobody is shown cut off in mid-air.

    Args:
        identity: the person.
        width: of the canvas.
        height: of the canvas.
        framing: ``head``, ``bust`` or ``photo``.

    Raises:
        ValueError: there is no such framing.
    """
    if framing not in FRAMINGS:
        raise ValueError(f"The framing must be one of {', '.join(FRAMINGS)}, not {framing!r}.")
    landmarks = load_basis().landmarks
    hairline, chin = (float(identity.source[landmarks[n], 1]) / identity.size for n in (10, 152))
    middle = float(np.mean([eye.iris[0] for eye in identity.eyes])) / identity.size
    touches = float((identity.alpha[0] > 127).mean()) > _TUNING.touches
    least = height if touches else 1
    # A photo that ends below the chin stands on the lower edge: large enough not to look sunken.
    middle_row = 0.5 * (hairline + chin)
    least = max(least, round(_TUNING.above * height / (1 - min(middle_row, 0.9))))
    if framing == "photo":
        side = _even(max(least, height if width >= height else width))
        return Placement(side, (width - side) // 2, height - side, min(side, LARGEST))
    face = chin - hairline
    wanted = min(_TUNING.face_share[framing] * height, _TUNING.widest * width) / face
    side = _even(max(least, round(wanted)))
    top = round(_TUNING.face_at[framing] * height - middle_row * side)
    top = max(top, height - side)
    if touches:
        top = min(top, 0)
    return Placement(side, round(width / 2 - middle * side), top, min(side, LARGEST))


def _even(side: int) -> int:
    step = 4 if side <= LARGEST else _TUNING.grid
    return -(-side // step) * step


class Canvas:
    """Draws one identity on a canvas; a ``Drawer`` like the renderer itself.

    With a transparent backdrop the picture is twice as wide: premultiplied colour on the left, the
    opacity as grey on the right. So it survives any video codec, and a page puts both together.

    Args:
        identity: the person.
        width: of the canvas in pixels, even.
        height: likewise.
        framing: ``head``, ``bust`` or ``photo``.
        backdrop: what stands behind the person.
        renderer: makes what draws the person alone.

    Attributes:
        placement: where the avatar's square lies.
        transparent: whether pictures carry their opacity on the right.
        width: of the canvas; pictures are twice as wide if it is transparent.
        height: of the canvas.
        changed: (left, top, right, bottom) of the parts of the canvas that the last frame drew
            anew; all the rest is as the frame before left it.
    """

    def __init__(
        self,
        identity: Identity,
        width: int,
        height: int,
        *,
        framing: str,
        backdrop: Backdrop,
        renderer: MakeRenderer,
    ) -> None:
        self.width, self.height = width, height
        self.placement = placed = place(identity, width, height, framing)
        self.transparent = isinstance(backdrop, str) and backdrop == "transparent"
        gap = max(placed.left, width - placed.left - placed.side, 0)
        if not isinstance(backdrop, str) or backdrop != "own":
            identity = cut_out(identity)
        self._renderer = renderer(identity, placed.drawn, HELD if gap > 0 else 0.0)
        rest, opacity = lay_backdrop(identity, width, height, placed, backdrop)
        if gap > 0:
            beside(identity, placed, rest, opacity)
        self._rest, self._opacity = rest, opacity
        self._out = np.zeros((height, 2 * width if self.transparent else width, 3), np.uint8)
        self._out[:, :width] = rest
        if self.transparent:
            self._out[:, width:] = opacity[..., None]
        self._patches = Patches(placed.drawn, placed.side, placed.left, placed.top, width, height)
        self._shown: list[Box] = []
        self.changed: list[Box] = []

    def render(self, coefficients: Floats) -> Image:
        """Draw one frame.

        Args:
            coefficients: ``(COUNT,)`` in the order of ``visavis.models.coefficients``.

        Returns:
            ``(H, W, 3)`` uint8 RGB, ``(H, 2 W, 3)`` if transparent; valid until the next call.
        """
        picture = self._renderer.render(coefficients)
        alpha = self._renderer.alpha
        assert alpha is not None, "the renderer must cut the person out"
        patches = self._patches.cut(picture, alpha)
        boxes = [patch.box for patch in patches]
        before = [box for box in self._shown if box not in boxes]
        for box in before:
            self._lay_rest(box)
        for patch in patches:
            self._lay(patch)
        self._shown, self.changed = boxes, before + boxes
        return self._out

    def _lay_rest(self, box: Box) -> None:
        """Show the rest alone where the person was."""
        left, top, right, bottom = box
        there = np.s_[top:bottom, left:right]
        self._out[there] = self._rest[there]
        if self.transparent:
            self._out[:, self.width :][there] = self._opacity[there][..., None]

    def _lay(self, patch: Patch) -> None:
        left, top, right, bottom = patch.box
        there = np.s_[top:bottom, left:right]
        compose(patch.person, self._rest[there], self._out[there])
        if self.transparent:
            beside = self._out[:, self.width :]
            compose_opacity(patch.person, self._opacity[there], beside[there])

    def straight(self) -> Image:
        """Return the last frame as ``(H, W, 4)`` RGBA, not premultiplied; a new array."""
        colour = self._out[:, : self.width]
        if not self.transparent:
            return cv2.cvtColor(colour, cv2.COLOR_RGB2RGBA)
        return straight(colour, self._out[:, self.width :, 0])


def straight(colour: Image, opacity: Image) -> Image:
    """Return premultiplied ``(H, W, 3)`` and ``(H, W)`` as straight RGBA ``(H, W, 4)``."""
    out = np.dstack([colour, opacity])
    soft = (opacity > 0) & (opacity < 255)
    share = opacity[soft].astype(np.float32)[:, None] / 255.0
    out[soft, :3] = np.clip(np.rint(colour[soft] / share), 0, 255).astype(np.uint8)
    return out
